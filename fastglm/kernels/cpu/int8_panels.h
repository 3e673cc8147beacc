// Products with int8 weights in panels, for processors with AVX-512 and VNNI.
//
// A few rows of activations are rounded to int16, each with a scale of its own, and multiplied as two rows of int8; many
// rows are rounded to int8, each group of columns with a scale of its own, with outliers in fp32.
#pragma once

#ifdef __AVX512VNNI__

#include "panels.h"
#include "weights.h"

namespace {
namespace int8 {

using namespace panels;

constexpr int64_t SHORT = 1024;  // weights with so few columns are in a cache, so that their products take the most time
constexpr int64_t GROUP = 128;   // columns of many rows of activations with a scale of their own
constexpr int64_t FEW = 6;       // few rows of activations at once: 24 registers hold their sums

// Tells whether so many rows of activations are rounded to int8.
inline bool are_many(int64_t n, int64_t width) { return n >= (width > SHORT ? 24 : 8); }

struct Panels {
  int64_t count, width;
  const int8_t* numbers;  // [count, width / WORD, ROWS, WORD]
  const float* scales;    // [count, ROWS]
};

// Rows in int16, `256 · high + low`, with a scale for each row.
struct SplitRows {
  static constexpr int32_t MOST = 127 * 256 + 127;
  int64_t width, stride, blocks;
  std::vector<float> scales;  // [n]
  std::vector<int32_t> sums;  // [n, 2, blocks], of the high and the low numbers of DEPTH columns
  std::vector<Line> lines;    // [n, 2, stride / 64]

  SplitRows(const float* x, int64_t n, int64_t columns, int64_t width)
      : width(width),
        stride((width / 64 + 1) * 64),
        blocks((width + DEPTH - 1) / DEPTH),
        scales(n),
        sums(n * 2 * blocks),
        lines(n * 2 * stride / sizeof(Line)) {
    at::parallel_for(0, n, std::max<int64_t>(1, LEAST / 8 / width), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) round(x + row * columns, columns, row);
    });
  }

  int8_t* high(int64_t row) { return reinterpret_cast<int8_t*>(lines.data()) + 2 * row * stride; }
  const int8_t* high(int64_t row) const { return reinterpret_cast<const int8_t*>(lines.data()) + 2 * row * stride; }

  void round(const float* x, int64_t columns, int64_t row) {
    const float most = largest(x, columns), times = MOST / most;
    int8_t *const above = high(row), *const below = above + stride;
    scales[row] = most / MOST;
    const __m512 by = _mm512_set1_ps(times);
    for (int64_t start = 0; start < columns; start += DEPTH) {
      __m512i highs = _mm512_setzero_si512(), lows = highs;
      for (int64_t i = start; i < std::min(columns, start + DEPTH); i += LANES) {
        const __mmask16 there = static_cast<__mmask16>((1u << std::min(columns - i, LANES)) - 1);
        const __m512i both = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(there, x + i), by));
        const __m512i low = _mm512_srai_epi32(_mm512_slli_epi32(both, 24), 24);
        const __m512i high = _mm512_srai_epi32(_mm512_sub_epi32(both, low), 8);
        highs = _mm512_add_epi32(highs, high);
        lows = _mm512_add_epi32(lows, low);
        _mm_mask_storeu_epi8(above + i, there, _mm512_cvtepi32_epi8(high));
        _mm_mask_storeu_epi8(below + i, there, _mm512_cvtepi32_epi8(low));
      }
      int32_t* sum = &sums[2 * row * blocks + start / DEPTH];
      sum[0] = _mm512_reduce_add_epi32(highs);
      sum[blocks] = _mm512_reduce_add_epi32(lows);
    }
  }
};

// Four columns of 32 rows of weights, as numbers that are not negative: 128 more.
inline __m512i raised(const int8_t* weight) { return _mm512_xor_si512(_mm512_loadu_si512(weight), _mm512_set1_epi8(-128)); }

// Multiplies some columns of a panel by COUNT rows of activations; adds to `out`, unless the columns are the first.
template <int64_t COUNT>
inline void few(const Panels& weights, const SplitRows& x, int64_t panel, int64_t token, int64_t start, int64_t stop, float* out) {
  const int64_t stride = weights.count * ROWS, apart = 2 * x.stride;
  const int8_t *weight = weights.numbers + (panel * weights.width + start) * ROWS, *numbers = x.high(token) + start;
  __m512i highs[COUNT], lows[COUNT], later_highs[COUNT], later_lows[COUNT];  // of the first and the later 16 rows
#pragma GCC unroll 6
  for (int64_t t = 0; t < COUNT; t++) {  // what the weights have too much
    const int32_t* sum = &x.sums[2 * (token + t) * x.blocks + start / DEPTH];
    highs[t] = later_highs[t] = _mm512_set1_epi32(-128 * sum[0]);
    lows[t] = later_lows[t] = _mm512_set1_epi32(-128 * sum[x.blocks]);
  }
  for (int64_t column = start; column < stop; column += WORD, numbers += WORD, weight += ROWS * WORD) {
    fetch(weight);
    fetch(weight + LANES * WORD);
    const __m512i a = raised(weight), b = raised(weight + LANES * WORD);
#pragma GCC unroll 6
    for (int64_t t = 0; t < COUNT; t++) {
      const __m512i high = four(numbers + t * apart), low = four(numbers + t * apart + x.stride);
      accumulate(highs[t], a, high);
      accumulate(later_highs[t], b, high);
      accumulate(lows[t], a, low);
      accumulate(later_lows[t], b, low);
    }
  }
  const auto add_up = [&](const __m512i (&high)[COUNT], const __m512i (&low)[COUNT], int64_t half) __attribute__((always_inline)) {
    const __m512 scale = _mm512_loadu_ps(weights.scales + panel * ROWS + half * LANES);
#pragma GCC unroll 6
    for (int64_t t = 0; t < COUNT; t++) {
      float* const at = out + (token + t) * stride + panel * ROWS + half * LANES;
      const __m512 before = start > 0 ? _mm512_loadu_ps(at) : _mm512_setzero_ps();
      const __m512 sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(high[t]), _mm512_set1_ps(256), _mm512_cvtepi32_ps(low[t]));
      _mm512_storeu_ps(at, _mm512_fmadd_ps(sum, _mm512_mul_ps(scale, _mm512_set1_ps(x.scales[token + t])), before));
    }
  };
  add_up(highs, lows, 0);
  add_up(later_highs, later_lows, 1);
}

// Adds in fp32 the products of a row's outliers among the columns from `start` on; `weight` is the panel there.
inline void add_outliers(const int8_t* weight, const float* scales, std::span<const Outlier> outliers, int64_t start,
                         float* left, float* right) {
  for (const Outlier& outlier : outliers) {
    const int64_t column = outlier.column - start;
    const __m128i shift = _mm_cvtsi64_si128(24 - column % WORD * 8);
    for (int64_t half = 0; half < 2; half++) {
      const __m512i four = _mm512_loadu_si512(weight + (column / WORD * ROWS + half * LANES) * WORD);
      const __m512i number = _mm512_srai_epi32(_mm512_sll_epi32(four, shift), 24);
      const __m512 times = _mm512_mul_ps(_mm512_loadu_ps(scales + half * LANES), _mm512_set1_ps(outlier.number));
      float* total = half ? right : left;
      _mm512_store_ps(total, _mm512_fmadd_ps(_mm512_cvtepi32_ps(number), times, _mm512_load_ps(total)));
    }
  }
}

// As `few`, for rows of activations in int8.
template <int64_t COUNT>
inline void many(const Panels& weights, const Int8Rows& rows, const Outliers& outliers, int64_t panel, int64_t token,
                 int64_t start, int64_t stop, float* out) {
  const int64_t all = rows.groups, stride = weights.count * ROWS;
  const int8_t *first = weights.numbers + (panel * weights.width + start) * ROWS, *weight = first;
  const int8_t* x = rows.numbers(token) + start;
  const float *scales = &rows.scales[token * all], *sums = &rows.sums[token * all], *own = weights.scales + panel * ROWS;
  float* const into = out + token * stride + panel * ROWS;
  alignas(64) Totals<COUNT> totals;
  begin<COUNT>(totals, into, stride, start == 0);
  for (int64_t g = start / GROUP; g * GROUP < stop; g++) {
    __m512i left[COUNT], right[COUNT];
#pragma GCC unroll 12
    for (int64_t t = 0; t < COUNT; t++) left[t] = right[t] = _mm512_setzero_si512();
    for (int64_t end = std::min(GROUP, stop - g * GROUP); end > 0; end -= WORD, x += WORD, weight += ROWS * WORD) {
      fetch(weight);
      fetch(weight + LANES * WORD);
      const __m512i a = raised(weight), b = raised(weight + LANES * WORD);
#pragma GCC unroll 12
      for (int64_t t = 0; t < COUNT; t++) {
        const __m512i numbers = four(x + t * rows.stride);
        accumulate(left[t], a, numbers);
        accumulate(right[t], b, numbers);
      }
    }
    const auto add_up = [&](const __m512i (&found)[COUNT], int64_t half) __attribute__((always_inline)) {
      const __m512 s = _mm512_loadu_ps(own + half * LANES), z = _mm512_mul_ps(s, _mm512_set1_ps(-128));
      settle<COUNT>(found, s, z, scales + g, sums + g, all, totals[half]);
    };
    add_up(left, 0);
    add_up(right, 1);
  }
  for (int64_t t = 0; t < COUNT; t++)
    add_outliers(first, own, outliers.of(token + t, start), start, totals[0][t], totals[1][t]);
  end<COUNT>(totals, into, stride);
}

// Computes x @ weights.T, x of n rows and `columns` columns. out: [n, count · ROWS].
inline void product(const float* x, int64_t n, int64_t columns, const Panels& weights, float* out) {
  if (are_many(n, weights.width)) {
    const int64_t padded = (weights.width + GROUP - 1) / GROUP * GROUP;
    const Int8Rows rows(x, n, columns, padded, GROUP, Order::plain, true);
    const Outliers outliers(rows.outliers, padded, DEPTH);
    each<TOKENS>(n, weights.count, weights.width, [&](auto count, int64_t panel, int64_t token, int64_t start, int64_t stop) {
      many<count>(weights, rows, outliers, panel, token, start, stop, out);
    });
  } else {
    const SplitRows rows(x, n, columns, weights.width);
    each<FEW>(n, weights.count, weights.width, [&](auto count, int64_t panel, int64_t token, int64_t start, int64_t stop) {
      few<count>(weights, rows, panel, token, start, stop, out);
    });
  }
}

}  // namespace int8
}  // namespace

#endif
