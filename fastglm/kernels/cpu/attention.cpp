// Attention of a few queries over a cache in fp32 or int8, for x86-64 with AVX2: keys and values are read in the format in
// which they are kept, up to the place of the query, and nothing of their size is written. Neighbouring heads of the queries
// that share a head of the keys are computed together, so that each block of keys is read from memory and converted once for
// all of them. `fastglm/engine/kv_cache.py` defines the layout of the cache.

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
constexpr int64_t BLOCK = 32;       // tokens that stay in the nearest cache for all heads that share them
constexpr int64_t LEAST = 1 << 16;  // numbers of keys that are worth a thread
constexpr float INFINITE = std::numeric_limits<float>::infinity();
#ifdef __AVX512VNNI__
constexpr int64_t HEADS = 4;  // heads of queries whose sums fit into the registers
#else
constexpr int64_t HEADS = 2;
#endif

// A head of the cache: [tokens, width], and in int8 a scale for each token.
template <typename Number>
struct Vectors {
  const Number* numbers;
  const float* scales;

  Vectors(const at::Tensor& numbers, const at::Tensor* scales, int64_t row, int64_t head)
      : numbers(numbers.const_data_ptr<Number>() + row * numbers.stride(0) + head * numbers.stride(1)),
        scales(scales ? scales->const_data_ptr<float>() + row * scales->stride(0) + head * scales->stride(1) : nullptr) {}

  float scale(int64_t token) const { return scales ? scales[token] : 1; }
};

// `heads` heads of queries that share a head of the cache, and see `tokens` of its `capacity` tokens.
struct Shared {
  int64_t heads, tokens, capacity, width;
  int64_t stride;                  // from head to head of queries and results
  const float* q;
  float *room, *weights, *out;     // room for BLOCK vectors; for heads · room_a_head weights

  int64_t room_a_head() const { return tokens + 8; }
};

// Vectors in the cache's format, or in fp32 if several heads share the conversion.
inline const float* block(const float* vectors, int64_t, float*) { return vectors; }
inline const float* block(const int8_t* vectors, int64_t count, float* room) {
  int64_t i = 0;
  for (; i + FLOATS <= count; i += FLOATS) store(room + i, load(vectors + i));
  for (; i < count; i++) room[i] = vectors[i];
  return room;
}

// Multiplies COUNT keys by the queries of SIDE heads.
template <int64_t SIDE, int64_t COUNT, typename Number>
inline void dots(const Shared& of, int64_t head, const Number* keys, int64_t token) {
  const float* q = of.q + head * of.stride;
  Floats total[SIDE][COUNT];
  for (int64_t h = 0; h < SIDE; h++)
    for (int64_t k = 0; k < COUNT; k++) total[h][k] = none();
  int64_t i = 0;
  for (; i + FLOATS <= of.width; i += FLOATS) {
    Floats numbers[COUNT];
    for (int64_t k = 0; k < COUNT; k++) numbers[k] = load(keys + k * of.width + i);
    for (int64_t h = 0; h < SIDE; h++) {
      const Floats query = load(q + h * of.stride + i);
      for (int64_t k = 0; k < COUNT; k++) total[h][k] = with_product(total[h][k], query, numbers[k]);
    }
  }
#pragma GCC unroll 4  // otherwise the sums are written to memory with every register of columns
  for (int64_t h = 0; h < SIDE; h++) {
    float* out = of.weights + (head + h) * of.room_a_head() + token;
    if constexpr (COUNT == 4) _mm_storeu_ps(out, lane_sums({total[h][0], total[h][1], total[h][2], total[h][3]}));
    else for (int64_t k = 0; k < COUNT; k++) out[k] = sum(total[h][k]);
    for (int64_t rest = i; rest < of.width; rest++)
      for (int64_t k = 0; k < COUNT; k++) out[k] += q[h * of.stride + rest] * keys[k * of.width + rest];
  }
}

// Multiplies the keys of tokens from `first` on by the queries of SIDE heads.
template <int64_t SIDE, typename Number>
inline void score(const Shared& of, int64_t head, const Number* keys, int64_t first, int64_t last) {
  int64_t token = first;
  // The last products may be those of unseen keys: a product is then the same, whatever follows its key.
  for (; token < last && token + TOGETHER <= of.capacity; token += TOGETHER)
    dots<SIDE, TOGETHER>(of, head, keys + (token - first) * of.width, token);
  for (; token < last; token++) dots<SIDE, 1>(of, head, keys + (token - first) * of.width, token);
}

// Adds the weighted sums of COUNT registers of columns of the values to those of the tokens before `first`.
template <int64_t SIDE, int64_t COUNT, typename Number>
inline void weigh(const Shared& of, int64_t head, const Number* values, int64_t first, int64_t last, int64_t column) {
  float* out = of.out + head * of.stride + column;
  const float* weights = of.weights + head * of.room_a_head();
  Floats total[SIDE][COUNT];
  for (int64_t h = 0; h < SIDE; h++)
    for (int64_t c = 0; c < COUNT; c++) total[h][c] = first ? load(out + h * of.stride + c * FLOATS) : none();
  for (int64_t t = first; t < last; t++) {
    Floats numbers[COUNT];
    for (int64_t c = 0; c < COUNT; c++) numbers[c] = load(values + (t - first) * of.width + column + c * FLOATS);
    for (int64_t h = 0; h < SIDE; h++) {
      const Floats weight = everywhere(weights[h * of.room_a_head() + t]);
      for (int64_t c = 0; c < COUNT; c++) total[h][c] = with_product(total[h][c], weight, numbers[c]);
    }
  }
  for (int64_t h = 0; h < SIDE; h++)
    for (int64_t c = 0; c < COUNT; c++) store(out + h * of.stride + c * FLOATS, total[h][c]);
}

// Multiplies all columns of the values of tokens from `first` on by the weights of SIDE heads.
template <int64_t SIDE, typename Number>
inline void add_values(const Shared& of, int64_t head, const Number* values, int64_t first, int64_t last) {
  constexpr int64_t MOST = SIDE == 1 ? 8 : 4;
  int64_t i = 0;
  for (; i + MOST * FLOATS <= of.width; i += MOST * FLOATS) weigh<SIDE, MOST>(of, head, values, first, last, i);
  for (; i + 2 * FLOATS <= of.width; i += 2 * FLOATS) weigh<SIDE, 2>(of, head, values, first, last, i);
  for (; i + FLOATS <= of.width; i += FLOATS) weigh<SIDE, 1>(of, head, values, first, last, i);
  for (; i < of.width; i++)
    for (int64_t h = head; h < head + SIDE; h++) {
      float& sum = of.out[h * of.stride + i];
      if (!first) sum = 0;
      for (int64_t t = first; t < last; t++)
        sum += of.weights[h * of.room_a_head() + t] * values[(t - first) * of.width + i];
    }
}

// Replaces the scores of a head by its weights: their softmax, times the scales of the values.
template <typename Number>
void weights_of(const Shared& of, int64_t head, const Vectors<Number>& keys, const Vectors<Number>& values) {
  float* weights = of.weights + head * of.room_a_head();
  const float times = 1 / std::sqrt(static_cast<float>(of.width));
  for (int64_t t = 0; t < of.tokens; t++) weights[t] *= keys.scale(t) * times;
  std::fill_n(weights + of.tokens, 8, -INFINITE);
  __m256 most = _mm256_set1_ps(-INFINITE), total = _mm256_setzero_ps();
  for (int64_t t = 0; t < of.tokens; t += 8) most = _mm256_max_ps(_mm256_loadu_ps(weights + t), most);
  most = _mm256_set1_ps(highest(most));
  for (int64_t t = 0; t < of.tokens; t += 8) {
    const __m256 weight = power_of_e(_mm256_sub_ps(_mm256_loadu_ps(weights + t), most));
    total = _mm256_add_ps(total, weight);
    _mm256_storeu_ps(weights + t, weight);
  }
  const float by = 1 / sum(total);
  for (int64_t t = 0; t < of.tokens; t++) weights[t] *= values.scale(t) * by;
}

// Calls `each(Constant<HEADS or 1>, head)` for all heads.
template <typename Each>
inline void for_heads(int64_t heads, const Each& each) {
  int64_t head = 0;
  for (; head + HEADS <= heads; head += HEADS) each(Constant<HEADS>(), head);
  for (; head < heads; head++) each(Constant<1>(), head);
}

// Computes the attention of one query of each head.
template <typename Number>
void attend(const Shared& of, const Vectors<Number>& keys, const Vectors<Number>& values) {
  if (of.heads == 1) {
    score<1>(of, 0, keys.numbers, 0, of.tokens);
    weights_of(of, 0, keys, values);
    return add_values<1>(of, 0, values.numbers, 0, of.tokens);
  }
  for (int64_t first = 0; first < of.tokens; first += BLOCK) {
    const int64_t last = std::min(first + BLOCK, of.tokens), read = std::min(first + BLOCK, of.capacity) - first;
    const float* vectors = block(keys.numbers + first * of.width, read * of.width, of.room);
    for_heads(of.heads, [&](auto side, int64_t head) { score<side()>(of, head, vectors, first, last); });
  }
  for (int64_t head = 0; head < of.heads; head++) weights_of(of, head, keys, values);
  for (int64_t first = 0; first < of.tokens; first += BLOCK) {
    const int64_t last = std::min(first + BLOCK, of.tokens);
    const float* vectors = block(values.numbers + first * of.width, (last - first) * of.width, of.room);
    for_heads(of.heads, [&](auto side, int64_t head) { add_values<side()>(of, head, vectors, first, last); });
  }
}

// The number of heads of queries that a thread computes together: all that share keys, or fewer if threads would be idle.
inline int64_t heads_together(int64_t all, int64_t sets) {
  const int64_t parts = std::max<int64_t>(1, (at::get_num_threads() + sets - 1) / sets);
  const int64_t each = (all + parts - 1) / parts;
  return std::min(all, (each + HEADS - 1) / HEADS * HEADS);
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
  const int64_t all = heads / shared, together = heads_together(all, rows * shared), parts = (all + together - 1) / together;
  const int64_t least = std::max<int64_t>(1, LEAST / (longest * width * together * n));
  at::parallel_for(0, rows * shared * parts, least, [&](int64_t begin, int64_t end) {
    std::vector<float> room(BLOCK * width), weights(together * (longest + 8));
    for (int64_t each = begin; each < end; each++) {
      const int64_t row = each % rows, set = each / rows / parts;  // so that threads share the work of a long row
      const int64_t part = each / rows % parts * together;         // of the heads that share the keys
      const Vectors<Number> k(keys, key_scale, row, set), v(values, value_scale, row, set);
      for (int64_t i = 0; i < n; i++) {
        const int64_t first = ((row * heads + set * all + part) * n + i) * width;
        attend(Shared{std::min(together, all - part), place[row * n + i] + 1, capacity, width, n * width, from + first,
                      room.data(), weights.data(), into + first},
               k, v);
      }
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

// The functions that a compiled step calls, without the dispatcher.
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
