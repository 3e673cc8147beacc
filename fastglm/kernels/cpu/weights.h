// Packed weights as they lie on disk; what their numbers mean: `fastglm/kernels/int4.py` and `int8.py`.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

using c10::BFloat16;

struct Int4Weights {
  int64_t width, groups;           // of a row
  const uint8_t* numbers;          // [rows, width / 2], two to a byte
  const BFloat16 *scales, *zeros;  // [rows, groups]
};

struct Int8Weights {
  int64_t width;
  const int8_t* numbers;  // [rows, width]
  const float* scales;    // [rows]
};
