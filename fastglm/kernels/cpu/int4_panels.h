// Products with int4 weights in panels, for processors with AVX-512 and VNNI.
//
// A panel holds ROWS rows of weights side by side, so that the lanes of a register are rows of weights: no lanes are added
// up, and the sums of a group are scaled once for 32 rows. A matrix is one stream of memory. Sums are added up in the same
// order for any number of rows of activations, so that the product of a row does not depend on the rows beside it.
#pragma once

#ifdef __AVX512VNNI__

#include "activations.h"
#include "vectors.h"
#include "weights.h"

namespace {
namespace int4 {

constexpr int64_t LANES = 16;
constexpr int64_t ROWS = 2 * LANES;  // rows of weights in a panel
constexpr int64_t WORD = 8;          // columns of a row that lie together: four bytes
constexpr int64_t DEPTH = 2048;      // columns that are multiplied by all rows of activations before the next
constexpr int64_t TOKENS = 12;       // rows of activations at once: 24 of the 32 registers hold their sums
constexpr int XOR_AND = 0x28;        // of three bits: (a ^ b) & c

struct Panels {
  int64_t count, width, groups;    // of a row
  const uint8_t* numbers;          // [count, width / WORD, ROWS, WORD / 2], the odd columns in the low nibbles
  const BFloat16 *scales, *zeros;  // [count, groups, ROWS]
};

inline __m512 floats(const BFloat16* from) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

// Adds the products of one group of columns, by LANES rows of weights, to the totals of COUNT rows of activations.
template <int64_t COUNT>
inline void settle(const __m512i (&found)[COUNT], const BFloat16* scale, const BFloat16* zero, const float* scales,
                   const float* sums, int64_t all, float (&totals)[COUNT][LANES]) {
  const __m512 s = floats(scale), z = _mm512_fnmadd_ps(_mm512_set1_ps(8), s, floats(zero));
#pragma GCC unroll 12
  for (int64_t t = 0; t < COUNT; t++) {
    const __m512 times = _mm512_mul_ps(s, _mm512_set1_ps(scales[t * all]));
    const __m512 total = _mm512_fmadd_ps(z, _mm512_set1_ps(sums[t * all]), _mm512_load_ps(totals[t]));
    _mm512_store_ps(totals[t], _mm512_fmadd_ps(_mm512_cvtepi32_ps(found[t]), times, total));
  }
}

// Multiplies the columns of some groups of a panel by COUNT rows of activations from `token` on; adds to `out`, [n, stride],
// unless the columns are the first.
template <int64_t COUNT>
inline void tile(const Panels& weights, const Int8Rows& rows, int64_t panel, int64_t token, int64_t from, int64_t to, float* out) {
  const int64_t group = rows.group, all = rows.groups, apart = rows.stride, stride = weights.count * ROWS;
  const int8_t* x = rows.numbers(token) + from * group;
  const float *scales = &rows.scales[token * all], *sums = &rows.sums[token * all];
  const uint8_t* weight = weights.numbers + (panel * weights.width + from * group) / WORD * ROWS * (WORD / 2);
  const __m512i low = _mm512_set1_epi8(15), sign = _mm512_set1_epi8(-120);
  float* const into = out + token * stride + panel * ROWS;
  alignas(64) float totals[2][COUNT][LANES];  // in `out` they would share a few sets of the first cache
  for (int64_t half = 0; half < 2; half++)
    for (int64_t t = 0; t < COUNT; t++)
      _mm512_store_ps(totals[half][t], from ? _mm512_loadu_ps(into + t * stride + half * LANES) : _mm512_setzero_ps());
  for (int64_t g = from; g < to; g++) {
    __m512i left[COUNT], right[COUNT];
#pragma GCC unroll 12
    for (int64_t t = 0; t < COUNT; t++) left[t] = right[t] = _mm512_setzero_si512();
    for (int64_t end = group; end > 0; end -= WORD, x += WORD, weight += ROWS * WORD / 2) {
      for (int64_t half = 0; half < 2; half++) fetch(weight + half * 64);
      const __m512i a = _mm512_loadu_si512(weight), b = _mm512_loadu_si512(weight + 64);
      {
        const __m512i first = _mm512_ternarylogic_epi32(a, sign, low, XOR_AND);
        const __m512i second = _mm512_ternarylogic_epi32(b, sign, low, XOR_AND);
#pragma GCC unroll 12
        for (int64_t t = 0; t < COUNT; t++) {
          const __m512i numbers = four(x + t * apart);
          accumulate(left[t], first, numbers);
          accumulate(right[t], second, numbers);
        }
      }
      {
        const __m512i first = _mm512_ternarylogic_epi32(_mm512_srli_epi16(a, 4), sign, low, XOR_AND);
        const __m512i second = _mm512_ternarylogic_epi32(_mm512_srli_epi16(b, 4), sign, low, XOR_AND);
#pragma GCC unroll 12
        for (int64_t t = 0; t < COUNT; t++) {
          const __m512i numbers = four(x + t * apart + WORD / 2);
          accumulate(left[t], first, numbers);
          accumulate(right[t], second, numbers);
        }
      }
    }
    const int64_t at = (panel * weights.groups + g) * ROWS;
    settle<COUNT>(left, weights.scales + at, weights.zeros + at, scales + g, sums + g, all, totals[0]);
    settle<COUNT>(right, weights.scales + at + LANES, weights.zeros + at + LANES, scales + g, sums + g, all, totals[1]);
  }
  for (int64_t half = 0; half < 2; half++)
    for (int64_t t = 0; t < COUNT; t++)
      _mm512_storeu_ps(into + t * stride + half * LANES, _mm512_load_ps(totals[half][t]));
}

// Calls `some` with the constant that equals `n`, of 1 to MOST.
template <int64_t MOST, typename Some>
inline void with_constant(int64_t n, const Some& some) {
  if constexpr (MOST > 0) {
    if (n == MOST) some(Constant<MOST>());
    else with_constant<MOST - 1>(n, some);
  }
}

// Computes x @ weights.T. out: [n, count · ROWS].
inline void product(const Int8Rows& x, int64_t n, const Panels& weights, float* out) {
  const int64_t work = n * weights.width * ROWS, deep = std::max<int64_t>(1, DEPTH / x.group);
  at::parallel_for(0, weights.count, std::max<int64_t>(1, LEAST / work), [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; panel++)
      for (int64_t from = 0; from < x.groups; from += deep) {
        const int64_t to = std::min(x.groups, from + deep);
        int64_t token = 0;
        for (; token + TOKENS <= n; token += TOKENS) tile<TOKENS>(weights, x, panel, token, from, to, out);
        with_constant<TOKENS - 1>(n - token, [&](auto count) { tile<count>(weights, x, panel, token, from, to, out); });
      }
  });
}

}  // namespace int4
}  // namespace

#endif
