// Products of a few rows of activations with int4 weights as they lie on disk, for processors with AVX2.
#pragma once

#ifndef __AVX512VNNI__

#include <algorithm>

#include "activations.h"
#include "vectors.h"
#include "weights.h"

namespace {

inline __m256 floats(const BFloat16* from) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

// Adds two products of nibbles by int8 to sums of 16 bits, which have room for the 256 columns of a group.
inline __m256i with_products(__m256i sums, __m256i a, __m256i by_a, __m256i b, __m256i by_b) {
  return _mm256_add_epi16(sums, _mm256_add_epi16(_mm256_maddubs_epi16(a, by_a), _mm256_maddubs_epi16(b, by_b)));
}

// Adds up sums of 16 bits, pair by pair, in 32 bits.
inline __m256i added(__m256i sums) { return _mm256_madd_epi16(sums, _mm256_set1_epi16(1)); }

// Multiplies a row of int4 weights by COUNT rows of activations. `room`: COUNT · groups floats. `out`: [n, stride], from
// the row on.
template <int64_t COUNT, int64_t GROUP>
inline void int4_row(const Int8Rows& x, int64_t token, const Int4Weights& weights, int64_t row, float* room, float* out,
                     int64_t stride) {
  const int64_t groups = x.groups, width = groups * GROUP;
  const uint8_t* weight = weights.numbers + row * width / 2;
  const BFloat16 *scale = weights.scales + row * groups, *zero = weights.zeros + row * groups;
  const float *scales = &x.scales[token * groups], *sums = &x.sums[token * groups];
  __m256 total[COUNT];
  float rest[COUNT] = {};
  for (int64_t t = 0; t < COUNT; t++) total[t] = _mm256_setzero_ps();
  int64_t g = 0;
  for (; g + 8 <= groups; g += 8) {
    const __m256 s = floats(scale + g), z = _mm256_fnmadd_ps(_mm256_set1_ps(8), s, floats(zero + g));
    for (int64_t t = 0; t < COUNT; t++) {
      total[t] = _mm256_fmadd_ps(z, _mm256_loadu_ps(sums + t * groups + g), total[t]);
      _mm256_storeu_ps(room + t * groups + g, _mm256_mul_ps(s, _mm256_loadu_ps(scales + t * groups + g)));
    }
  }
  for (; g < groups; g++) {
    const float s = scale[g], z = zero[g] - 8 * s;
    for (int64_t t = 0; t < COUNT; t++) {
      rest[t] += z * sums[t * groups + g];
      room[t * groups + g] = s * scales[t * groups + g];
    }
  }
  const __m256i low = _mm256_set1_epi8(15), sign = _mm256_set1_epi8(-120);
  constexpr int64_t together = std::max<int64_t>(GROUP / CHUNK, 1);
  const int64_t chunks = width / CHUNK;
  const float* at = room;
  for (int64_t chunk = 0; chunk < chunks; chunk += together) {
    __m256i found[COUNT];
    for (int64_t t = 0; t < COUNT; t++) found[t] = _mm256_setzero_si256();
    for (int64_t c = chunk; c < chunk + together; c++) {
      if (c % 2 == 0) fetch(weight + c * CHUNK / 2);
      const __m256i both =
          _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(weight + c * CHUNK / 2)), sign);
      const __m256i odd = _mm256_and_si256(both, low), even = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
      for (int64_t t = 0; t < COUNT; t++) {
        const __m256i* numbers = reinterpret_cast<const __m256i*>(x.numbers(token + t) + c * CHUNK);
        found[t] = with_products(found[t], odd, _mm256_loadu_si256(numbers), even, _mm256_loadu_si256(numbers + 1));
      }
    }
    for (int64_t t = 0; t < COUNT; t++) {
      const float* one = at + t * groups;
      const __m256 times = GROUP >= CHUNK ? _mm256_broadcast_ss(one)
                                          : _mm256_set_m128(_mm_broadcast_ss(one + 1), _mm_broadcast_ss(one));
      total[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(added(found[t])), times, total[t]);
    }
    at += GROUP >= CHUNK ? 1 : 2;
  }
  for (int64_t t = 0; t < COUNT; t++) out[(token + t) * stride + row] = sum(total[t]) + rest[t];
}

}  // namespace

#endif
