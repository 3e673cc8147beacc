// Packed weights as they lie on disk; `fastglm/kernels/int4.py` and `int8.py` define the meaning of their numbers.
#pragma once

#include <c10/util/BFloat16.h>

#include <immintrin.h>

#include <cstdint>

using c10::BFloat16;

constexpr int64_t BLOCK = 32;  // rows of weights that stay in a cache for all rows of activations

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

// Bytes of weights that are on their way to the cache; measured on an Emerald Rapids and on a Zen 3.
#ifdef __AVX512VNNI__
constexpr int64_t AHEAD = 4096;
#else
constexpr int64_t AHEAD = 1024;
#endif

// Has the cache fetch later weights: a few rows of activations are multiplied faster than memory delivers weights.
inline void fetch(const void* weights, int64_t ahead = AHEAD) {
  _mm_prefetch(static_cast<const char*>(weights) + ahead, _MM_HINT_T0);
}
