// SwiGLU over the products of a prompt, in one pass, for x86-64 with AVX2; Shazeer 2020, arXiv 2002.05202.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>

#include "vectors.h"

namespace {

constexpr int64_t LEAST = 1 << 14;  // numbers that are worth a thread

// x: [..., 2 · width], gates and then the numbers that they scale; returns gate · sigmoid(gate) · scaled, [..., width].
at::Tensor swiglu(const at::Tensor& x) {
  TORCH_CHECK(x.dim() > 0 && x.size(-1) % 2 == 0 && x.is_contiguous(), "gates and what they scale are not laid out");
  auto sizes = x.sizes().vec();
  const int64_t width = sizes.back() /= 2, rows = width ? x.numel() / (2 * width) : 0;
  at::Tensor out = at::empty(sizes, x.options());
  const float* from = x.const_data_ptr<float>();
  float* into = out.mutable_data_ptr<float>();
  at::parallel_for(0, rows, std::max<int64_t>(1, LEAST / std::max<int64_t>(1, width)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const float *gate = from + row * 2 * width, *scaled = gate + width;
      float* to = into + row * width;
      int64_t i = 0;
      for (; i + 8 <= width; i += 8) {
        const __m256 numbers = _mm256_loadu_ps(gate + i);
        _mm256_storeu_ps(to + i, _mm256_mul_ps(_mm256_mul_ps(numbers, sigmoid(numbers)), _mm256_loadu_ps(scaled + i)));
      }
      alignas(32) float rest[8] = {};
      std::copy_n(gate + i, width - i, rest);
      _mm256_store_ps(rest, _mm256_mul_ps(_mm256_load_ps(rest), sigmoid(_mm256_load_ps(rest))));
      for (int64_t k = 0; i < width; i++, k++) to[i] = rest[k] * scaled[i];
    }
  });
  return out;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(fastglm, library) { library.def("swiglu(Tensor x) -> Tensor"); }

TORCH_LIBRARY_IMPL(fastglm, CPU, library) { library.impl("swiglu", swiglu); }
