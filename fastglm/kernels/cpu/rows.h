// Products of a few rows of activations with int4 weights in groups of 128 or 256, for processors with AVX-512 and VNNI.
//
// Rows of weights are done by fours: where they are short, what is done once a row, scaling its groups and adding up the
// lanes of its sums, would take longer than its products.
#pragma once

#ifdef __AVX512VNNI__

#include <algorithm>
#include <vector>

#include "activations.h"
#include "vectors.h"
#include "weights.h"

namespace {
namespace rows {

constexpr int64_t TOGETHER = 4;  // rows of weights
constexpr int64_t LANES = 16;
constexpr int XOR_AND = 0x28;    // of three bits: (a ^ b) & c

inline __mmask16 first(int64_t count) { return static_cast<__mmask16>((1u << std::min(count, LANES)) - 1); }

inline __m512 floats(__mmask16 there, const BFloat16* from) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(there, from)), 16));
}

// The scales of activations, again for each of the rows of weights that are done together.
struct Scales {
  int64_t size;                     // with room for whole registers
  std::vector<float> scales, sums;  // [n, size]

  Scales(const Int8Rows& x, int64_t n)
      : size((TOGETHER * x.groups + LANES - 1) / LANES * LANES), scales(n * size), sums(n * size) {
    for (int64_t t = 0; t < n; t++)
      for (int64_t r = 0; r < TOGETHER; r++) {
        std::copy_n(&x.scales[t * x.groups], x.groups, &scales[t * size + r * x.groups]);
        std::copy_n(&x.sums[t * x.groups], x.groups, &sums[t * size + r * x.groups]);
      }
  }
};

// ROWS rows of weights from `row` on by COUNT rows of activations. `room`: 2 · COUNT · scales.size floats.
template <int64_t COUNT, int64_t GROUP, int64_t ROWS>
inline void product(const Int8Rows& x, const Scales& scales, int64_t token, const Int4Weights& weights, int64_t row,
                    float* room, float* out, int64_t stride) {
  const int64_t groups = x.groups, size = scales.size;
  float* zeros = room + COUNT * size;
  for (int64_t i = 0; i < ROWS * groups; i += LANES) {
    const __mmask16 there = first(ROWS * groups - i);
    const __m512 s = floats(there, weights.scales + row * groups + i);
    const __m512 z = _mm512_fnmadd_ps(_mm512_set1_ps(8), s, floats(there, weights.zeros + row * groups + i));
    for (int64_t t = 0; t < COUNT; t++) {
      const int64_t of = (token + t) * size + i;
      _mm512_storeu_ps(room + t * size + i, _mm512_mul_ps(s, _mm512_loadu_ps(&scales.scales[of])));
      _mm512_storeu_ps(zeros + t * size + i, _mm512_mul_ps(z, _mm512_loadu_ps(&scales.sums[of])));
    }
  }
  const __m512i low = _mm512_set1_epi8(15), sign = _mm512_set1_epi8(-120);
  const uint8_t* weight = weights.numbers + row * weights.width / 2;
  __m512 total[COUNT][ROWS];
  for (int64_t r = 0; r < ROWS; r++) {
    for (int64_t t = 0; t < COUNT; t++) {
      total[t][r] = _mm512_maskz_loadu_ps(first(groups), zeros + t * size + r * groups);
      for (int64_t g = LANES; g < groups; g += LANES)
        total[t][r] = _mm512_add_ps(total[t][r], _mm512_maskz_loadu_ps(first(groups - g), zeros + t * size + r * groups + g));
    }
    for (int64_t g = 0, column = 0; g < groups; g++) {
      __m512i found[COUNT];
      for (int64_t t = 0; t < COUNT; t++) found[t] = _mm512_setzero_si512();
      for (int64_t end = column + GROUP; column < end; column += WIDE, weight += WIDE / 2) {
        fetch(weight);
        const __m512i both = _mm512_loadu_si512(weight);
        const __m512i odd = _mm512_ternarylogic_epi32(both, sign, low, XOR_AND);
        const __m512i even = _mm512_ternarylogic_epi32(_mm512_srli_epi16(both, 4), sign, low, XOR_AND);
        for (int64_t t = 0; t < COUNT; t++) {
          const int8_t* numbers = &x.numbers[(token + t) * x.stride + column];
          found[t] = _mm512_dpbusd_epi32(found[t], odd, _mm512_loadu_si512(numbers));
          found[t] = _mm512_dpbusd_epi32(found[t], even, _mm512_loadu_si512(numbers + WIDE / 2));
        }
      }
      for (int64_t t = 0; t < COUNT; t++) {
        const __m512 times = _mm512_set1_ps(room[t * size + r * groups + g]);
        total[t][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(found[t]), times, total[t][r]);
      }
    }
  }
  for (int64_t t = 0; t < COUNT; t++) {
    float* into = out + (token + t) * stride + row;
    if constexpr (ROWS == TOGETHER) _mm_storeu_ps(into, lane_sums(total[t]));
    else *into = sum(total[t][0]);
  }
}

}  // namespace rows
}  // namespace

#endif
