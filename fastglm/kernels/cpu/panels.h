// Panels of packed weights, for processors with AVX-512 and VNNI: ROWS rows of weights side by side.
//
// The lanes of a register are rows of weights, so that no lanes are added up, and a matrix is one stream of memory. Sums
// are added up in the same order for any number of rows of activations, so that the product of a row does not depend on the
// rows beside it. The blocking is that of Goto and van de Geijn, ACM Transactions on Mathematical Software 34 (3), 2008,
// pages 8 to 13.
#pragma once

#ifdef __AVX512VNNI__

#include <ATen/Parallel.h>

#include <algorithm>

#include "activations.h"
#include "vectors.h"

namespace {
namespace panels {

constexpr int64_t LANES = 16;
constexpr int64_t ROWS = 2 * LANES;
constexpr int64_t WORD = 4;      // bytes of a row that lie together
constexpr int64_t TOKENS = 12;   // rows of activations at once: 24 of the 32 registers hold their sums
constexpr int64_t DEPTH = 2048;  // columns that are multiplied by all rows of activations before the next

template <int64_t COUNT>
using Totals = float[2][COUNT][LANES];  // of a panel by COUNT rows of activations; in `out` they would share a few cache sets

// Begins the totals of a panel with those in `out`, whose rows are `stride` apart, or with 0.
template <int64_t COUNT>
inline void begin(Totals<COUNT>& totals, const float* out, int64_t stride, bool is_first) {
  for (int64_t half = 0; half < 2; half++)
    for (int64_t t = 0; t < COUNT; t++)
      _mm512_store_ps(totals[half][t], is_first ? _mm512_setzero_ps() : _mm512_loadu_ps(out + t * stride + half * LANES));
}

template <int64_t COUNT>
inline void end(const Totals<COUNT>& totals, float* out, int64_t stride) {
  for (int64_t half = 0; half < 2; half++)
    for (int64_t t = 0; t < COUNT; t++) _mm512_storeu_ps(out + t * stride + half * LANES, _mm512_load_ps(totals[half][t]));
}

// Adds the products of one group of columns by LANES rows of weights, `scale · number + zero`, to the totals of COUNT rows
// of activations, whose scales and sums of the group are `all` apart.
template <int64_t COUNT>
[[gnu::always_inline]] inline void settle(const __m512i (&found)[COUNT], __m512 scale, __m512 zero, const float* scales, const float* sums,
                   int64_t all, float (&totals)[COUNT][LANES]) {
#pragma GCC unroll 12
  for (int64_t t = 0; t < COUNT; t++) {
    const __m512 times = _mm512_mul_ps(scale, _mm512_set1_ps(scales[t * all]));
    const __m512 total = _mm512_fmadd_ps(zero, _mm512_set1_ps(sums[t * all]), _mm512_load_ps(totals[t]));
    _mm512_store_ps(totals[t], _mm512_fmadd_ps(_mm512_cvtepi32_ps(found[t]), times, total));
  }
}

// Calls `some` with the constant that equals `n`, of 1 to MOST.
template <int64_t MOST, typename Some>
inline void with_constant(int64_t n, const Some& some) {
  if constexpr (MOST > 0) {
    if (n == MOST) some(Constant<MOST>());
    else with_constant<MOST - 1>(n, some);
  }
}

// Calls `some(count, panel, token, first column, end of columns)` for all panels of `width` columns and n rows of
// activations, at most MOST rows and DEPTH columns at a time.
template <int64_t MOST, typename Some>
void each(int64_t n, int64_t panels, int64_t width, const Some& some) {
  if (n == 0) return;
  const int64_t parts = (n + MOST - 1) / MOST, together = (n + parts - 1) / parts;
  at::parallel_for(0, panels, std::max<int64_t>(1, LEAST / (n * width * ROWS)), [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; panel++)
      for (int64_t start = 0; start < width; start += DEPTH)
        for (int64_t token = 0; token < n; token += together)
          with_constant<MOST>(std::min(together, n - token), [&](auto count) {
            some(count, panel, token, start, std::min(width, start + DEPTH));
          });
  });
}

}  // namespace panels
}  // namespace

#endif
