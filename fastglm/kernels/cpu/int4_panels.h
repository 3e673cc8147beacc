// Products with int4 weights in panels, for processors with AVX-512 and VNNI.
#pragma once

#ifdef __AVX512VNNI__

#include <c10/util/BFloat16.h>

#include "panels.h"
#include "weights.h"

namespace {
namespace int4 {

using namespace panels;

constexpr int64_t COLUMNS = 2 * WORD;  // of a word
constexpr int XOR_AND = 0x28;          // of three bits: (a ^ b) & c

struct Panels {
  int64_t count, width, groups;
  const uint8_t* numbers;          // [count, width / COLUMNS, ROWS, WORD], the odd columns in the low nibbles
  const BFloat16 *scales, *zeros;  // [count, groups, ROWS]
};

inline __m512 floats(const BFloat16* from) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

// Adds the products of four columns of 32 rows of weights, in the low nibbles of `a` and `b`, by COUNT rows of activations.
template <int64_t COUNT>
[[gnu::always_inline]] inline void add(__m512i a, __m512i b, const int8_t* x, int64_t apart, __m512i (&left)[COUNT], __m512i (&right)[COUNT]) {
  const __m512i low = _mm512_set1_epi8(15), sign = _mm512_set1_epi8(-120);
  const __m512i first = _mm512_ternarylogic_epi32(a, sign, low, XOR_AND);
  const __m512i second = _mm512_ternarylogic_epi32(b, sign, low, XOR_AND);
#pragma GCC unroll 12
  for (int64_t t = 0; t < COUNT; t++) {
    const __m512i numbers = four(x + t * apart);
    accumulate(left[t], first, numbers);
    accumulate(right[t], second, numbers);
  }
}

// Multiplies some columns of a panel by COUNT rows of activations; adds to `out`, unless the columns are the first.
template <int64_t COUNT>
inline void tile(const Panels& weights, const Int8Rows& rows, int64_t panel, int64_t token, int64_t start, int64_t stop,
                 float* out) {
  const int64_t group = rows.group, all = rows.groups, apart = rows.stride, stride = weights.count * ROWS;
  const int8_t* x = rows.numbers(token) + start;
  const float *scales = &rows.scales[token * all], *sums = &rows.sums[token * all];
  const uint8_t* weight = weights.numbers + (panel * weights.width + start) / COLUMNS * ROWS * WORD;
  float* const into = out + token * stride + panel * ROWS;
  alignas(64) Totals<COUNT> totals;
  begin<COUNT>(totals, into, stride, start == 0);
  for (int64_t g = start / group; g * group < stop; g++) {
    __m512i left[COUNT], right[COUNT];
#pragma GCC unroll 12
    for (int64_t t = 0; t < COUNT; t++) left[t] = right[t] = _mm512_setzero_si512();
    for (int64_t end = group; end > 0; end -= COLUMNS, x += COLUMNS, weight += ROWS * WORD) {
      fetch(weight);
      fetch(weight + LANES * WORD);
      const __m512i a = _mm512_loadu_si512(weight), b = _mm512_loadu_si512(weight + LANES * WORD);
      add<COUNT>(a, b, x, apart, left, right);
      add<COUNT>(_mm512_srli_epi16(a, 4), _mm512_srli_epi16(b, 4), x + WORD, apart, left, right);
    }
    const auto add_up = [&](const __m512i (&found)[COUNT], int64_t half) __attribute__((always_inline)) {
      const int64_t at = (panel * weights.groups + g) * ROWS + half * LANES;
      const __m512 s = floats(weights.scales + at), z = _mm512_fnmadd_ps(_mm512_set1_ps(8), s, floats(weights.zeros + at));
      settle<COUNT>(found, s, z, scales + g, sums + g, all, totals[half]);
    };
    add_up(left, 0);
    add_up(right, 1);
  }
  end<COUNT>(totals, into, stride);
}

// Computes x @ weights.T. out: [n, count · ROWS].
inline void product(const Int8Rows& x, int64_t n, const Panels& weights, float* out) {
  each<TOKENS>(n, weights.count, weights.width, [&](auto count, int64_t panel, int64_t token, int64_t start, int64_t stop) {
    tile<count>(weights, x, panel, token, start, stop, out);
  });
}

}  // namespace int4
}  // namespace

#endif
