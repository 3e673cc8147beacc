// Products of activations with weights, for x86-64 with AVX2: `x @ W.T`.
//
// fp32: weights that are not packed, by few rows of activations.
// int4: activations are rounded to int8, each group of columns with a scale of its own; sums are exact integers.
// int8: activations are rounded to int16, each row with a scale of its own; sums are exact integers.
// Weights are read once for up to TOKENS rows of activations, as they lie on disk; `fastglm/kernels/int4.py` and `int8.py`
// define their layout. On processors with AVX-512 and VNNI int4 lies in panels, `int4_panels.h`, and `panels.h` multiplies
// int8 by many rows, which are rounded like those for int4.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/inductor/aoti_torch/utils.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "activations.h"
#include "int4_panels.h"
#include "int4_rows.h"
#include "panels.h"
#include "vectors.h"
#include "weights.h"

namespace {

constexpr int64_t TOKENS = 4;        // rows of activations that share a read of the weights
#ifdef __AVX512VNNI__
constexpr int64_t INT8_TOKENS = 8;   // for int8 weights, if there are registers for so many sums
#else
constexpr int64_t INT8_TOKENS = TOKENS;
#endif
constexpr int64_t BLOCK = 32;        // rows of weights that stay in a cache for all rows of activations
constexpr int64_t FLUSH = 2048;      // columns of int8 weights whose integer sums cannot overflow

#ifdef __AVX512VNNI__

// Adds the products of some columns of a row of int8 weights by COUNT rows of activations.
template <int64_t COUNT>
inline void int8_columns(const int8_t* weight, const int16_t* x, int64_t stride, int64_t columns, int64_t ahead,
                         __m256 (&total)[COUNT]) {
  __m512i found[2][COUNT];
  for (int64_t t = 0; t < COUNT; t++) found[0][t] = found[1][t] = _mm512_setzero_si512();
  int64_t i = 0;
  for (; i + 64 <= columns; i += 64) {
    fetch(weight + i, ahead);
    const __m256i* both = reinterpret_cast<const __m256i*>(weight + i);
    const __m512i left = _mm512_cvtepi8_epi16(_mm256_loadu_si256(both));
    const __m512i right = _mm512_cvtepi8_epi16(_mm256_loadu_si256(both + 1));
    for (int64_t t = 0; t < COUNT; t++) {
      found[0][t] = _mm512_dpwssd_epi32(found[0][t], left, _mm512_loadu_si512(x + t * stride + i));
      found[1][t] = _mm512_dpwssd_epi32(found[1][t], right, _mm512_loadu_si512(x + t * stride + i + 32));
    }
  }
  if (i < columns) {  // 32 are left
    const __m512i last = _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(weight + i)));
    for (int64_t t = 0; t < COUNT; t++)
      found[0][t] = _mm512_dpwssd_epi32(found[0][t], last, _mm512_loadu_si512(x + t * stride + i));
  }
  for (int64_t t = 0; t < COUNT; t++) {
    const __m512i both = _mm512_add_epi32(found[0][t], found[1][t]);
    const __m256i all = _mm256_add_epi32(_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64(both, 1));
    total[t] = _mm256_add_ps(total[t], _mm256_cvtepi32_ps(all));
  }
}

#else

// Adds the products of some columns of a row of int8 weights by COUNT rows of activations.
template <int64_t COUNT>
inline void int8_columns(const int8_t* weight, const int16_t* x, int64_t stride, int64_t columns, int64_t ahead,
                         __m256 (&total)[COUNT]) {
  __m256i found[COUNT];
  for (int64_t t = 0; t < COUNT; t++) found[t] = _mm256_setzero_si256();
  for (int64_t i = 0; i < columns; i += 32) {
    if (i % 64 == 0) fetch(weight + i, ahead);
    const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weight + i));
    const __m256i left = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(both));
    const __m256i right = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(both, 1));
    for (int64_t t = 0; t < COUNT; t++) {
      const __m256i* numbers = reinterpret_cast<const __m256i*>(x + t * stride + i);
      const __m256i a = _mm256_madd_epi16(left, _mm256_loadu_si256(numbers));
      const __m256i b = _mm256_madd_epi16(right, _mm256_loadu_si256(numbers + 1));
      found[t] = _mm256_add_epi32(found[t], _mm256_add_epi32(a, b));
    }
  }
  for (int64_t t = 0; t < COUNT; t++) total[t] = _mm256_add_ps(total[t], _mm256_cvtepi32_ps(found[t]));
}

#endif

// Multiplies rows of int8 weights from `first` to `last`, at most BLOCK, by COUNT rows of activations. out: [n, stride].
template <int64_t COUNT>
inline void int8_rows(const Int16Rows& x, int64_t token, const Int8Weights& weights, int64_t first, int64_t last, float* out,
                      int64_t stride) {
  constexpr int64_t depth = COUNT > 2 ? FLUSH : 8 * FLUSH;  // columns of activations that stay in the first cache
  const int64_t width = x.width, ahead = std::max(AHEAD, 2 * width);
  __m256 totals[BLOCK][COUNT];
  for (int64_t row = first; row < last; row++)
    for (int64_t t = 0; t < COUNT; t++) totals[row - first][t] = _mm256_setzero_ps();
  for (int64_t start = 0; start < width; start += depth)
    for (int64_t row = first; row < last; row++)
      for (int64_t i = start; i < std::min(width, start + depth); i += FLUSH)
        int8_columns<COUNT>(weights.numbers + row * width + i, x.numbers(token) + i, x.stride, std::min(FLUSH, width - i),
                            ahead, totals[row - first]);
  for (int64_t row = first; row < last; row++)
    for (int64_t t = 0; t < COUNT; t++)
      out[(token + t) * stride + row] = sum(totals[row - first][t]) * weights.scales[row] * x.scales[token + t];
}

// Calls `some(count, token, first row, end of rows, room)` until all rows of both are done, up to MOST rows of activations
// at a time, so that a block of weights stays in a cache; `room` is for so many floats a row of activations.
template <int64_t MOST, typename Some>
void each(int64_t n, int64_t rows, int64_t width, int64_t room, const Some& some) {
  const int64_t blocks = (rows + BLOCK - 1) / BLOCK, work = n * width * BLOCK;
  at::parallel_for(0, blocks, std::max<int64_t>(1, LEAST / work), [&](int64_t begin, int64_t end) {
    std::vector<float> floats(MOST * room);
    for (int64_t block = begin; block < end; block++) {
      const int64_t first = block * BLOCK, last = std::min(rows, first + BLOCK);
      int64_t token = 0;
      // Without the attribute GCC calls the products of two and three rows, and their sums are written to memory.
      const auto go = [&](auto count) __attribute__((always_inline)) {
        some(count, token, first, last, floats.data());
        token += count;
      };
      if constexpr (MOST > 4)
        while (token + MOST <= n) go(Constant<MOST>());
      while (token + 4 <= n) go(Constant<4>());
      switch (n - token) {
        case 1: go(Constant<1>()); break;
        case 2: go(Constant<2>()); break;
        case 3: go(Constant<3>()); break;
      }
    }
  });
}

// Tells whether the weights have as many columns as the activations, or more, and both lie row by row.
inline bool fits(const at::Tensor& x, const at::Tensor& weight, int64_t width) {
  return x.is_contiguous() && weight.is_contiguous() && x.size(1) <= width;
}

#ifdef __AVX512VNNI__

// weight: [panels, words, ROWS, 4]; scale, zero: [panels, groups, ROWS] → [n, panels · ROWS].
at::Tensor int4_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& scale, const at::Tensor& zero,
                        int64_t group) {
  TORCH_CHECK(x.dim() == 2 && weight.dim() == 4, "the operands are no matrices");
  const int64_t n = x.size(0), count = weight.size(0), width = int4::WORD * weight.size(1);
  TORCH_CHECK(group > 0 && group % 32 == 0 && group <= LONGEST, "no groups of ", group);
  TORCH_CHECK(width % group == 0 && fits(x, weight, width) && weight.size(2) == int4::ROWS && weight.size(3) == int4::WORD / 2,
              "the operands are not laid out");
  for (const at::Tensor* each : {&scale, &zero})
    TORCH_CHECK(each->is_contiguous() && each->sizes() == at::IntArrayRef({count, width / group, int4::ROWS}),
                "the scales are not laid out");
  at::Tensor out = at::empty({n, count * int4::ROWS}, x.options());
  const int4::Panels weights{count, width, width / group, reinterpret_cast<const uint8_t*>(weight.const_data_ptr<int8_t>()),
                             scale.const_data_ptr<BFloat16>(), zero.const_data_ptr<BFloat16>()};
  const Int8Rows numbers(x.const_data_ptr<float>(), n, x.size(1), width, group, Order::words);
  int4::product(numbers, n, weights, out.mutable_data_ptr<float>());
  return out;
}

#else

template <int64_t GROUP>
at::Tensor int4_in_groups(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& scale,
                          const at::Tensor& zero) {
  const int64_t n = x.size(0), rows = weight.size(0), width = 2 * weight.size(1);
  TORCH_CHECK(width % CHUNK == 0 && width % GROUP == 0 && fits(x, weight, width), "the operands are not laid out");
  for (const at::Tensor* each : {&scale, &zero})
    TORCH_CHECK(each->is_contiguous() && each->sizes() == at::IntArrayRef({rows, width / GROUP}), "the scales are not laid out");
  at::Tensor out = at::empty({n, rows}, x.options());
  const Int4Weights weights{width, width / GROUP, reinterpret_cast<const uint8_t*>(weight.const_data_ptr<int8_t>()),
                            scale.const_data_ptr<BFloat16>(), zero.const_data_ptr<BFloat16>()};
  float* into = out.mutable_data_ptr<float>();
  const Int8Rows numbers(x.const_data_ptr<float>(), n, x.size(1), width, GROUP, Order::chunks);
  each<TOKENS>(n, rows, width, numbers.groups, [&](auto count, int64_t token, int64_t first, int64_t last, float* room) {
    for (int64_t r = first; r < last; r++) int4_row<count, GROUP>(numbers, token, weights, r, room, into, rows);
  });
  return out;
}

at::Tensor int4_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& scale, const at::Tensor& zero,
                        int64_t group) {
  TORCH_CHECK(x.dim() == 2 && weight.dim() == 2, "the operands are no matrices");
  switch (group) {
    case 32: return int4_in_groups<32>(x, weight, scale, zero);
    case 64: return int4_in_groups<64>(x, weight, scale, zero);
    case 128: return int4_in_groups<128>(x, weight, scale, zero);
    case 256: return int4_in_groups<256>(x, weight, scale, zero);
    default: TORCH_CHECK(false, "no groups of ", group);
  }
}

#endif

at::Tensor int8_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& scale) {
  TORCH_CHECK(x.dim() == 2 && weight.dim() == 2, "the operands are no matrices");
  const int64_t n = x.size(0), rows = weight.size(0), width = weight.size(1);
  TORCH_CHECK(width % 32 == 0 && fits(x, weight, width), "the operands are not laid out");
  TORCH_CHECK(scale.is_contiguous() && scale.sizes() == at::IntArrayRef({rows}), "the scales are not laid out");
  at::Tensor out = at::empty({n, rows}, x.options());
  const Int8Weights weights{width, weight.const_data_ptr<int8_t>(), scale.const_data_ptr<float>()};
  float* into = out.mutable_data_ptr<float>();
#ifdef __AVX512VNNI__
  if (panels::worth(n, width)) {
    const int64_t padded = (width + panels::GROUP - 1) / panels::GROUP * panels::GROUP;
    const Int8Rows numbers(x.const_data_ptr<float>(), n, x.size(1), padded, panels::GROUP, Order::plain, true);
    panels::product(numbers, n, weights, rows, into);
    return out;
  }
#endif
  const Int16Rows numbers(x.const_data_ptr<float>(), n, x.size(1), width);
  each<INT8_TOKENS>(n, rows, width, 0, [&](auto count, int64_t token, int64_t first, int64_t last, float*) {
    int8_rows<count>(numbers, token, weights, first, last, into, rows);
  });
  return out;
}

// Multiplies ROWS rows of weights by COUNT rows of activations.
template <int64_t COUNT, int64_t ROWS>
inline void float_rows(const float* x, const float* weight, int64_t width, float* out, int64_t stride) {
  Floats total[COUNT][ROWS];
  for (int64_t t = 0; t < COUNT; t++)
    for (int64_t r = 0; r < ROWS; r++) total[t][r] = none();
  int64_t i = 0;
  for (; i + FLOATS <= width; i += FLOATS) {
    if constexpr (COUNT < 4 || ROWS == 4) {  // the operand that stays in registers was chosen by measuring
      Floats weights[ROWS];
      for (int64_t r = 0; r < ROWS; r++) weights[r] = load(weight + r * width + i);
      for (int64_t t = 0; t < COUNT; t++) {
        const Floats numbers = load(x + t * width + i);
        for (int64_t r = 0; r < ROWS; r++) total[t][r] = with_product(total[t][r], weights[r], numbers);
      }
    } else {
      Floats numbers[COUNT];
      for (int64_t t = 0; t < COUNT; t++) numbers[t] = load(x + t * width + i);
      for (int64_t r = 0; r < ROWS; r++) {
        const Floats weights = load(weight + r * width + i);
        for (int64_t t = 0; t < COUNT; t++) total[t][r] = with_product(total[t][r], weights, numbers[t]);
      }
    }
  }
  for (int64_t t = 0; t < COUNT; t++) {
    float* found = out + t * stride;
    if constexpr (ROWS == 4) _mm_storeu_ps(found, lane_sums(total[t]));
    else for (int64_t r = 0; r < ROWS; r++) found[r] = sum(total[t][r]);
    for (int64_t k = i; k < width; k++)
      for (int64_t r = 0; r < ROWS; r++) found[r] += weight[r * width + k] * x[t * width + k];
  }
}

at::Tensor float_product(const at::Tensor& x, const at::Tensor& weight) {
  TORCH_CHECK(x.dim() == 2 && weight.dim() == 2, "the operands are no matrices");
  const int64_t n = x.size(0), rows = weight.size(0), width = weight.size(1);
  TORCH_CHECK(fits(x, weight, width) && x.size(1) == width, "the operands are not laid out");
  at::Tensor out = at::empty({n, rows}, x.options());
  const float *numbers = x.const_data_ptr<float>(), *weights = weight.const_data_ptr<float>();
  float* into = out.mutable_data_ptr<float>();
  each<TOKENS>(n, rows, width, 0, [&](auto count, int64_t token, int64_t first, int64_t last, float*) {
    constexpr int64_t together = count > 2 && FLOATS == 8 ? 2 : 4;  // there are registers for the sums of so many rows
    const float* from = numbers + token * width;
    int64_t r = first;
    for (; r + together <= last; r += together)
      float_rows<count, together>(from, weights + r * width, width, into + token * rows + r, rows);
    for (; r < last; r++) float_rows<count, 1>(from, weights + r * width, width, into + token * rows + r, rows);
  });
  return out;
}

}  // namespace

TORCH_LIBRARY(fastglm, library) {
  library.def("int4_product(Tensor x, Tensor weight, Tensor scale, Tensor zero, int group) -> Tensor");
  library.def("int8_product(Tensor x, Tensor weight, Tensor scale) -> Tensor");
  library.def("float_product(Tensor x, Tensor weight) -> Tensor");
}

TORCH_LIBRARY_IMPL(fastglm, CPU, library) {
  library.impl("int4_product", int4_product);
  library.impl("int8_product", int8_product);
  library.impl("float_product", float_product);
}

// The functions that a compiled step calls, without the dispatcher.
extern "C" {

AOTITorchError aoti_torch_cpu_int4_product(AtenTensorHandle x, AtenTensorHandle weight, AtenTensorHandle scale,
                                           AtenTensorHandle zero, int64_t group, AtenTensorHandle* out) {
  using torch::aot_inductor::tensor_handle_to_tensor_pointer;
  AOTI_TORCH_CONVERT_EXCEPTION_TO_ERROR_CODE({
    *out = torch::aot_inductor::new_tensor_handle(
        int4_product(*tensor_handle_to_tensor_pointer(x), *tensor_handle_to_tensor_pointer(weight),
                     *tensor_handle_to_tensor_pointer(scale), *tensor_handle_to_tensor_pointer(zero), group));
  });
}

AOTITorchError aoti_torch_cpu_int8_product(AtenTensorHandle x, AtenTensorHandle weight, AtenTensorHandle scale,
                                           AtenTensorHandle* out) {
  using torch::aot_inductor::tensor_handle_to_tensor_pointer;
  AOTI_TORCH_CONVERT_EXCEPTION_TO_ERROR_CODE({
    *out = torch::aot_inductor::new_tensor_handle(
        int8_product(*tensor_handle_to_tensor_pointer(x), *tensor_handle_to_tensor_pointer(weight),
                     *tensor_handle_to_tensor_pointer(scale)));
  });
}

AOTITorchError aoti_torch_cpu_float_product(AtenTensorHandle x, AtenTensorHandle weight, AtenTensorHandle* out) {
  using torch::aot_inductor::tensor_handle_to_tensor_pointer;
  AOTI_TORCH_CONVERT_EXCEPTION_TO_ERROR_CODE({
    *out = torch::aot_inductor::new_tensor_handle(
        float_product(*tensor_handle_to_tensor_pointer(x), *tensor_handle_to_tensor_pointer(weight)));
  });
}

}
