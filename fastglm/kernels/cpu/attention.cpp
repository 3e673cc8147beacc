// Attention of a few queries over a cache in fp32 or int8, for x86-64 with AVX2: keys and values are read once a query, as
// they are kept, up to the place of the query, and nothing of their size is written. The layout of the cache:
// `fastglm/engine/kv_cache.py`.

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

constexpr int64_t TOGETHER = 4;     // keys whose products with a query are added up together
constexpr int64_t LEAST = 1 << 16;  // numbers of keys that are worth a thread

// A head of the cache: [tokens, width], and in int8 a scale a token.
template <typename Number>
struct Vectors {
  const Number* numbers;
  const float* scales;

  Vectors(const at::Tensor& numbers, const at::Tensor* scales, int64_t row, int64_t head)
      : numbers(numbers.const_data_ptr<Number>() + row * numbers.stride(0) + head * numbers.stride(1)),
        scales(scales ? scales->const_data_ptr<float>() + row * scales->stride(0) + head * scales->stride(1) : nullptr) {}

  float scale(int64_t token) const { return scales ? scales[token] : 1; }
};

// COUNT keys by a query.
template <int64_t COUNT, typename Number>
inline void dots(const float* q, const Number* keys, int64_t width, float* out) {
  Floats total[COUNT];
  for (int64_t k = 0; k < COUNT; k++) total[k] = none();
  int64_t i = 0;
  for (; i + FLOATS <= width; i += FLOATS) {
    const Floats numbers = load(q + i);
    for (int64_t k = 0; k < COUNT; k++) total[k] = with_product(total[k], numbers, load(keys + k * width + i));
  }
  if constexpr (COUNT == 4) _mm_storeu_ps(out, lane_sums(total));
  else for (int64_t k = 0; k < COUNT; k++) out[k] = sum(total[k]);
  for (; i < width; i++)
    for (int64_t k = 0; k < COUNT; k++) out[k] += q[i] * keys[k * width + i];
}

// The weighted sum of COUNT registers of columns of the values.
template <int64_t COUNT, typename Number>
inline void weigh(const float* weights, const Number* values, int64_t tokens, int64_t width, float* out) {
  Floats total[COUNT];
  for (int64_t c = 0; c < COUNT; c++) total[c] = none();
  for (int64_t t = 0; t < tokens; t++) {
    const Floats weight = everywhere(weights[t]);
    for (int64_t c = 0; c < COUNT; c++) total[c] = with_product(total[c], weight, load(values + t * width + c * FLOATS));
  }
  for (int64_t c = 0; c < COUNT; c++) store(out + c * FLOATS, total[c]);
}

// One query of one head, which sees `tokens` of the `capacity` tokens. `weights`: room for a float a token, and 8 more.
template <typename Number>
void attend(const float* q, const Vectors<Number>& keys, const Vectors<Number>& values, int64_t tokens, int64_t capacity,
            int64_t width, float* weights, float* out) {
  constexpr float INFINITE = std::numeric_limits<float>::infinity();
  const float times = 1 / std::sqrt(static_cast<float>(width));
  int64_t token = 0;
  // The last products may be of keys that are not seen, so that a product is the same whatever follows its key.
  for (; token < tokens && token + TOGETHER <= capacity; token += TOGETHER)
    dots<TOGETHER>(q, keys.numbers + token * width, width, weights + token);
  for (; token < tokens; token++) dots<1>(q, keys.numbers + token * width, width, weights + token);
  for (int64_t t = 0; t < tokens; t++) weights[t] *= keys.scale(t) * times;
  std::fill_n(weights + tokens, 8, -INFINITE);
  __m256 most = _mm256_set1_ps(-INFINITE), total = _mm256_setzero_ps();
  for (int64_t t = 0; t < tokens; t += 8) most = _mm256_max_ps(_mm256_loadu_ps(weights + t), most);
  most = _mm256_set1_ps(highest(most));
  for (int64_t t = 0; t < tokens; t += 8) {
    const __m256 weight = power_of_e(_mm256_sub_ps(_mm256_loadu_ps(weights + t), most));
    total = _mm256_add_ps(total, weight);
    _mm256_storeu_ps(weights + t, weight);
  }
  const float by = 1 / sum(total);
  for (int64_t t = 0; t < tokens; t++) weights[t] *= values.scale(t) * by;
  int64_t i = 0;
  for (; i + 8 * FLOATS <= width; i += 8 * FLOATS) weigh<8>(weights, values.numbers + i, tokens, width, out + i);
  for (; i + 2 * FLOATS <= width; i += 2 * FLOATS) weigh<2>(weights, values.numbers + i, tokens, width, out + i);
  for (; i + FLOATS <= width; i += FLOATS) weigh<1>(weights, values.numbers + i, tokens, width, out + i);
  for (; i < width; i++) {
    out[i] = 0;
    for (int64_t t = 0; t < tokens; t++) out[i] += weights[t] * values.numbers[t * width + i];
  }
}

// `places`: [rows, queries], the place of each query in the cache, the last one that it sees. The scales are null where
// there are none. Several neighbouring heads of the queries may share one of the keys.
template <typename Number>
at::Tensor attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor* key_scale, const at::Tensor& values,
                     const at::Tensor* value_scale, const at::Tensor& places) {
  for (const at::Tensor* x : {&q, &keys, &values, key_scale, value_scale})
    TORCH_CHECK(!x || x->dim() == 4, "the operands have no four dimensions");
  const int64_t rows = q.size(0), heads = q.size(1), n = q.size(2), width = q.size(3);
  const int64_t shared = keys.size(1), capacity = keys.size(2);
  TORCH_CHECK(shared > 0 && heads % shared == 0, "the heads of the queries are no multiple of those of the keys");
  const auto of_cache = [&](const at::Tensor& x) {
    return x.size(0) == rows && x.size(1) == shared && x.size(2) == capacity;
  };
  for (const at::Tensor* x : {&keys, &values})
    TORCH_CHECK(of_cache(*x) && x->size(3) == width && x->stride(2) == width && x->stride(3) == 1, "the cache is not laid out");
  for (const at::Tensor* x : {key_scale, value_scale})
    TORCH_CHECK(!x || (of_cache(*x) && x->size(3) == 1 && x->stride(2) == 1), "the scales are not laid out");
  TORCH_CHECK(q.is_contiguous(), "the queries are not laid out");
  TORCH_CHECK(places.dim() == 2 && places.size(0) == rows && places.size(1) == n && places.is_contiguous(),
              "the places are not laid out");
  const int64_t* place = places.const_data_ptr<int64_t>();
  int64_t longest = 0;
  for (int64_t i = 0; i < rows * n; i++) {
    TORCH_CHECK(place[i] >= 0 && place[i] < capacity, "a place is outside the cache");
    longest = std::max(longest, place[i] + 1);
  }
  at::Tensor out = at::empty({rows, heads, n, width}, q.options());
  const float* from = q.const_data_ptr<float>();
  float* into = out.mutable_data_ptr<float>();
  at::parallel_for(0, rows * heads, std::max<int64_t>(1, LEAST / (longest * width)), [&](int64_t begin, int64_t end) {
    std::vector<float> weights(longest + 8);
    for (int64_t each = begin; each < end; each++) {
      const int64_t row = each % rows, head = each / rows;  // so that threads share the work of a long row
      const int64_t of = head / (heads / shared), first = (row * heads + head) * n;
      const Vectors<Number> k(keys, key_scale, row, of), v(values, value_scale, row, of);
      for (int64_t i = 0; i < n; i++)
        attend(from + (first + i) * width, k, v, place[row * n + i] + 1, capacity, width, weights.data(),
               into + (first + i) * width);
    }
  });
  return out;
}

at::Tensor float_attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values, const at::Tensor& places) {
  return attention<float>(q, keys, nullptr, values, nullptr, places);
}

at::Tensor int8_attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& key_scale,
                          const at::Tensor& values, const at::Tensor& value_scale, const at::Tensor& places) {
  return attention<int8_t>(q, keys, &key_scale, values, &value_scale, places);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(fastglm, library) {
  library.def("float_attention(Tensor q, Tensor keys, Tensor values, Tensor places) -> Tensor");
  library.def(
      "int8_attention(Tensor q, Tensor keys, Tensor key_scale, Tensor values, Tensor value_scale, Tensor places) -> "
      "Tensor");
}

TORCH_LIBRARY_IMPL(fastglm, CPU, library) {
  library.impl("float_attention", float_attention);
  library.impl("int8_attention", int8_attention);
}

// What a compiled step calls, without the dispatcher.
extern "C" AOTITorchError aoti_torch_cpu_float_attention(AtenTensorHandle q, AtenTensorHandle keys, AtenTensorHandle values,
                                                         AtenTensorHandle places, AtenTensorHandle* out) {
  using torch::aot_inductor::tensor_handle_to_tensor_pointer;
  AOTI_TORCH_CONVERT_EXCEPTION_TO_ERROR_CODE({
    *out = torch::aot_inductor::new_tensor_handle(
        float_attention(*tensor_handle_to_tensor_pointer(q), *tensor_handle_to_tensor_pointer(keys),
                        *tensor_handle_to_tensor_pointer(values), *tensor_handle_to_tensor_pointer(places)));
  });
}

extern "C" AOTITorchError aoti_torch_cpu_int8_attention(AtenTensorHandle q, AtenTensorHandle keys,
                                                        AtenTensorHandle key_scale, AtenTensorHandle values,
                                                        AtenTensorHandle value_scale, AtenTensorHandle places,
                                                        AtenTensorHandle* out) {
  using torch::aot_inductor::tensor_handle_to_tensor_pointer;
  AOTI_TORCH_CONVERT_EXCEPTION_TO_ERROR_CODE({
    *out = torch::aot_inductor::new_tensor_handle(
        int8_attention(*tensor_handle_to_tensor_pointer(q), *tensor_handle_to_tensor_pointer(keys),
                       *tensor_handle_to_tensor_pointer(key_scale), *tensor_handle_to_tensor_pointer(values),
                       *tensor_handle_to_tensor_pointer(value_scale), *tensor_handle_to_tensor_pointer(places)));
  });
}
