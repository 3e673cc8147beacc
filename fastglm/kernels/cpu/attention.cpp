// Attention of a few queries over an int8 cache, for x86-64 with AVX2: keys and values are read once a query, as they
// are kept, and nothing of their size is written. The layout of the cache: `fastglm/models/cache.py`.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/inductor/aoti_torch/utils.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "vectors.h"

namespace {

constexpr int64_t LANES = 8;
constexpr int64_t LEAST = 1 << 16;  // numbers of keys that are worth a thread

inline __m256 floats(const int8_t* from) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
}

inline float dot(const float* q, const int8_t* key, int64_t width) {
  __m256 even = _mm256_setzero_ps(), odd = _mm256_setzero_ps();
  int64_t i = 0;
  for (; i + 2 * LANES <= width; i += 2 * LANES) {
    even = _mm256_fmadd_ps(_mm256_loadu_ps(q + i), floats(key + i), even);
    odd = _mm256_fmadd_ps(_mm256_loadu_ps(q + i + LANES), floats(key + i + LANES), odd);
  }
  float total = sum(_mm256_add_ps(even, odd));
  for (; i < width; i++) total += q[i] * key[i];
  return total;
}

// The weighted sum of COUNT · LANES columns of the values.
template <int64_t COUNT>
inline void weigh(const float* weights, const int8_t* values, int64_t tokens, int64_t width, float* out) {
  __m256 total[COUNT];
  for (int64_t c = 0; c < COUNT; c++) total[c] = _mm256_setzero_ps();
  for (int64_t t = 0; t < tokens; t++) {
    const __m256 weight = _mm256_broadcast_ss(weights + t);
    for (int64_t c = 0; c < COUNT; c++)
      total[c] = _mm256_fmadd_ps(weight, floats(values + t * width + c * LANES), total[c]);
  }
  for (int64_t c = 0; c < COUNT; c++) _mm256_storeu_ps(out + c * LANES, total[c]);
}

// A head of the cache: [tokens, width], and a scale a token.
struct Vectors {
  const int8_t* numbers;
  const float* scales;

  Vectors(const at::Tensor& numbers, const at::Tensor& scales, int64_t row, int64_t head)
      : numbers(numbers.const_data_ptr<int8_t>() + row * numbers.stride(0) + head * numbers.stride(1)),
        scales(scales.const_data_ptr<float>() + row * scales.stride(0) + head * scales.stride(1)) {}
};

// One query of one head. `weights`: room for a float a token.
void attend(const float* q, const Vectors& keys, const Vectors& values, const float* mask, int64_t tokens,
            int64_t width, float* weights, float* out) {
  const float times = 1 / std::sqrt(static_cast<float>(width));
  float most = -std::numeric_limits<float>::infinity(), total = 0;
  for (int64_t t = 0; t < tokens; t++) {
    weights[t] = dot(q, keys.numbers + t * width, width) * keys.scales[t] * times + mask[t];
    most = std::max(most, weights[t]);
  }
  for (int64_t t = 0; t < tokens; t++) {
    weights[t] = std::exp(weights[t] - most);
    total += weights[t];
  }
  for (int64_t t = 0; t < tokens; t++) weights[t] *= values.scales[t] / total;
  int64_t i = 0;
  for (; i + 8 * LANES <= width; i += 8 * LANES) weigh<8>(weights, values.numbers + i, tokens, width, out + i);
  for (; i + LANES <= width; i += LANES) weigh<1>(weights, values.numbers + i, tokens, width, out + i);
  for (; i < width; i++) {
    out[i] = 0;
    for (int64_t t = 0; t < tokens; t++) out[i] += weights[t] * values.numbers[t * width + i];
  }
}

at::Tensor int8_attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& key_scale,
                          const at::Tensor& values, const at::Tensor& value_scale, const at::Tensor& mask) {
  const int64_t rows = q.size(0), heads = q.size(1), n = q.size(2), width = q.size(3), tokens = mask.size(3);
  for (const at::Tensor* x : {&keys, &values})
    TORCH_CHECK(x->size(2) >= tokens && x->stride(2) == width && x->stride(3) == 1, "the cache is not laid out");
  for (const at::Tensor* x : {&key_scale, &value_scale}) TORCH_CHECK(x->stride(2) == 1, "the scales are not laid out");
  TORCH_CHECK(q.is_contiguous() && mask.is_contiguous() && mask.size(2) == n, "the queries are not laid out");
  at::Tensor out = at::empty({rows, heads, n, width}, q.options());
  const float *from = q.const_data_ptr<float>(), *masks = mask.const_data_ptr<float>();
  float* into = out.mutable_data_ptr<float>();
  const int64_t masked_rows = mask.size(0);
  at::parallel_for(0, rows * heads, std::max<int64_t>(1, LEAST / (tokens * width)), [&](int64_t begin, int64_t end) {
    std::vector<float> weights(tokens);
    for (int64_t each = begin; each < end; each++) {
      const int64_t row = each / heads, head = each % heads;
      const Vectors k(keys, key_scale, row, head), v(values, value_scale, row, head);
      for (int64_t i = 0; i < n; i++)
        attend(from + (each * n + i) * width, k, v, masks + ((masked_rows > 1 ? row : 0) * n + i) * tokens, tokens,
               width, weights.data(), into + (each * n + i) * width);
    }
  });
  return out;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(fastglm, library) {
  library.def(
      "int8_attention(Tensor q, Tensor keys, Tensor key_scale, Tensor values, Tensor value_scale, Tensor mask) -> "
      "Tensor");
}

TORCH_LIBRARY_IMPL(fastglm, CPU, library) { library.impl("int8_attention", int8_attention); }

// What a compiled step calls, without the dispatcher.
extern "C" AOTITorchError aoti_torch_cpu_int8_attention(AtenTensorHandle q, AtenTensorHandle keys,
                                                        AtenTensorHandle key_scale, AtenTensorHandle values,
                                                        AtenTensorHandle value_scale, AtenTensorHandle mask,
                                                        AtenTensorHandle* out) {
  using torch::aot_inductor::tensor_handle_to_tensor_pointer;
  AOTI_TORCH_CONVERT_EXCEPTION_TO_ERROR_CODE({
    *out = torch::aot_inductor::new_tensor_handle(
        int8_attention(*tensor_handle_to_tensor_pointer(q), *tensor_handle_to_tensor_pointer(keys),
                       *tensor_handle_to_tensor_pointer(key_scale), *tensor_handle_to_tensor_pointer(values),
                       *tensor_handle_to_tensor_pointer(value_scale), *tensor_handle_to_tensor_pointer(mask)));
  });
}
