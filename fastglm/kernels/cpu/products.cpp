// Products of activations with weights, for x86-64 with AVX2: `x @ W.T`.
//
// fp32: weights that are not packed, by few rows of activations.
// int4: activations are rounded to int8, each group of columns with a scale of its own; sums are exact integers.
// int8: activations are rounded to int16, each row with a scale of its own; sums are exact integers.
// Weights are read once for up to TOKENS rows of activations, as they lie on disk; `fastglm/kernels/int4.py` and `int8.py`
// define their layout. On processors with AVX-512 and VNNI packed weights lie in panels, `panels.h`, and many rows of
// activations for int8 are rounded like those for int4.

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
#include "int8_panels.h"
#include "int8_rows.h"
#include "vectors.h"
#include "weights.h"

namespace {

constexpr int64_t TOKENS = 4;  // rows of activations that share a read of the weights

// Calls `some(count, token, first row, end of rows, room)` until all rows of both are done, up to TOKENS rows of activations
// at a time, so that a block of weights stays in a cache; `room` is for so many floats a row of activations.
template <typename Some>
void each(int64_t n, int64_t rows, int64_t width, int64_t room, const Some& some) {
  const int64_t blocks = (rows + BLOCK - 1) / BLOCK, work = n * width * BLOCK;
  at::parallel_for(0, blocks, std::max<int64_t>(1, LEAST / work), [&](int64_t begin, int64_t end) {
    std::vector<float> floats(TOKENS * room);
    for (int64_t block = begin; block < end; block++) {
      const int64_t first = block * BLOCK, last = std::min(rows, first + BLOCK);
      int64_t token = 0;
      // Without the attribute GCC calls the products of two and three rows, and their sums are written to memory.
      const auto go = [&](auto count) __attribute__((always_inline)) {
        some(count, token, first, last, floats.data());
        token += count;
      };
      while (token + TOKENS <= n) go(Constant<TOKENS>());
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
  const int64_t n = x.size(0), count = weight.size(0), width = int4::COLUMNS * weight.size(1);
  TORCH_CHECK(group > 0 && group % 32 == 0 && group <= LONGEST, "no groups of ", group);
  TORCH_CHECK(width % group == 0 && fits(x, weight, width) && weight.size(2) == int4::ROWS && weight.size(3) == int4::WORD,
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

// weight: [panels, words, ROWS, 4]; scale: [panels, ROWS] → [n, panels · ROWS].
at::Tensor int8_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& scale) {
  TORCH_CHECK(x.dim() == 2 && weight.dim() == 4, "the operands are no matrices");
  const int64_t n = x.size(0), count = weight.size(0), width = int8::WORD * weight.size(1);
  TORCH_CHECK(fits(x, weight, width) && weight.size(2) == int8::ROWS && weight.size(3) == int8::WORD,
              "the operands are not laid out");
  TORCH_CHECK(scale.is_contiguous() && scale.sizes() == at::IntArrayRef({count, int8::ROWS}), "the scales are not laid out");
  at::Tensor out = at::empty({n, count * int8::ROWS}, x.options());
  const int8::Panels weights{count, width, weight.const_data_ptr<int8_t>(), scale.const_data_ptr<float>()};
  int8::product(x.const_data_ptr<float>(), n, x.size(1), weights, out.mutable_data_ptr<float>());
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
  each(n, rows, width, numbers.groups, [&](auto count, int64_t token, int64_t first, int64_t last, float* room) {
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

at::Tensor int8_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& scale) {
  TORCH_CHECK(x.dim() == 2 && weight.dim() == 2, "the operands are no matrices");
  const int64_t n = x.size(0), rows = weight.size(0), width = weight.size(1);
  TORCH_CHECK(width % 32 == 0 && fits(x, weight, width), "the operands are not laid out");
  TORCH_CHECK(scale.is_contiguous() && scale.sizes() == at::IntArrayRef({rows}), "the scales are not laid out");
  at::Tensor out = at::empty({n, rows}, x.options());
  const Int8Weights weights{width, weight.const_data_ptr<int8_t>(), scale.const_data_ptr<float>()};
  float* into = out.mutable_data_ptr<float>();
  const Int16Rows numbers(x.const_data_ptr<float>(), n, x.size(1), width);
  each(n, rows, width, 0, [&](auto count, int64_t token, int64_t first, int64_t last, float*) {
    int8_rows<count>(numbers, token, weights, first, last, into, rows);
  });
  return out;
}

#endif

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
  each(n, rows, width, 0, [&](auto count, int64_t token, int64_t first, int64_t last, float*) {
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
