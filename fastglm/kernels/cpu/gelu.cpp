// Bias and GELU over the products of a prompt, in one pass, for x86-64 with AVX2.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <algorithm>

#include "vectors.h"

namespace {

constexpr int64_t LEAST = 1 << 14;  // numbers that are worth a thread

// x · (1 + tanh u) / 2 with u = √(2 / π) · (x + 0.044715 x³), which is x / (1 + e^-2u); Hendrycks and Gimpel 2016, arXiv
// 1606.08415, section 2.
inline __m256 gelu(__m256 x) {
  const __m256 cubic = _mm256_fmadd_ps(_mm256_mul_ps(x, x), _mm256_set1_ps(0.044715f), _mm256_set1_ps(1));
  return _mm256_mul_ps(x, sigmoid(_mm256_mul_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.595769122f)), cubic)));
}

// x: [n, rows], which is overwritten; bias: [rows].
at::Tensor& bias_gelu_(at::Tensor& x, const at::Tensor& bias) {
  TORCH_CHECK(x.dim() == 2 && bias.dim() == 1, "the operands are no matrix and a row");
  const int64_t n = x.size(0), rows = x.size(1);
  TORCH_CHECK(x.stride(1) == 1 && bias.is_contiguous() && bias.size(0) == rows, "the operands are not laid out");
  float* numbers = x.mutable_data_ptr<float>();
  const float* added = bias.const_data_ptr<float>();
  const int64_t stride = x.stride(0);
  at::parallel_for(0, n, std::max<int64_t>(1, LEAST / rows), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      float* at = numbers + row * stride;
      int64_t i = 0;
      for (; i + 8 <= rows; i += 8)
        _mm256_storeu_ps(at + i, gelu(_mm256_add_ps(_mm256_loadu_ps(at + i), _mm256_loadu_ps(added + i))));
      alignas(32) float rest[8] = {};
      const int64_t left = rows - i;
      for (int64_t k = 0; k < left; k++) rest[k] = at[i + k] + added[i + k];
      _mm256_store_ps(rest, gelu(_mm256_load_ps(rest)));
      std::copy_n(rest, left, at + i);
    }
  });
  return x;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(fastglm, library) { library.def("bias_gelu_(Tensor(a!) x, Tensor bias) -> Tensor(a!)"); }

TORCH_LIBRARY_IMPL(fastglm, CPU, library) { library.impl("bias_gelu_", bias_gelu_); }
