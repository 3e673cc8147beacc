// Products of many rows of activations with int8 weights, for processors with AVX-512 and VNNI.
//
// A panel of weights (ROWS rows by DEPTH columns) is unpacked once for all rows of activations, four columns of each row
// side by side, so that the lanes of a register are rows of weights: the sums of `vpdpbusd` can be written without adding
// up lanes. The blocking is that of Goto and van de Geijn, ACM Transactions on Mathematical Software 34 (3), 2008, pages 8
// to 13.
#pragma once

#ifdef __AVX512VNNI__

#include <array>
#include <memory>
#include <span>

#include "activations.h"
#include "vectors.h"
#include "weights.h"

namespace {
namespace panels {

constexpr int64_t LANES = 16;
constexpr int64_t ROWS = 2 * LANES;  // rows of weights in a panel
constexpr int64_t DEPTH = 2048;      // columns of a panel, which then takes 64 KiB of the second cache
constexpr int64_t STEP = 4;          // columns that one instruction adds up
constexpr int64_t TOKENS = 12;       // rows of activations at once: 24 of the 32 registers hold their sums
constexpr int64_t SHORT = 1024;      // weights with so few columns are in a cache anyway
constexpr int64_t GROUP = 128;       // columns of activations with a scale of their own, where weights have no groups

// Tells whether unpacking weights pays for so many rows of activations.
inline bool worth(int64_t n, int64_t width) { return n >= (width > SHORT ? 24 : 8); }

// Transposes 16 registers of 16 lanes: lane j of register i becomes lane i of register j.
inline void transpose(std::array<__m512i, LANES>& r) {
  std::array<__m512i, LANES> t;
  for (int64_t i = 0; i < LANES; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int64_t i = 0; i < LANES; i += 4)
    for (int64_t j = 0; j < 2; j++) {
      r[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + j + 2]);
      r[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + j + 2]);
    }
  for (int64_t i = 0; i < 4; i++)
    for (int64_t j = 0; j < 2; j++) {  // lanes i, 4 + i, 8 + i, 12 + i of eight rows
      t[i + 8 * j] = _mm512_shuffle_i32x4(r[i + 8 * j], r[i + 8 * j + 4], 0x88);
      t[i + 8 * j + 4] = _mm512_shuffle_i32x4(r[i + 8 * j], r[i + 8 * j + 4], 0xdd);
    }
  for (int64_t i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

// Weights unpacked to numbers that are not negative: `scale · number + zero`, with a scale and a zero of each row.
struct Panel {
  alignas(64) uint8_t numbers[ROWS * DEPTH];  // [columns / STEP, ROWS, STEP]
  alignas(64) float scales[ROWS], zeros[ROWS];

  // Unpacks `rows` rows from `first` on, and `columns` columns from `start` on.
  void fill(const Int8Weights& weights, int64_t first, int64_t rows, int64_t start, int64_t columns) {
    for (int64_t column = 0; column < columns; column += CHUNK)
      for (int64_t half = 0; half < ROWS; half += LANES) {
        std::array<__m512i, LANES> found;
        for (int64_t i = 0; i < LANES; i++)
          found[i] = half + i < rows ? chunk(weights, first + half + i, start + column) : _mm512_setzero_si512();
        transpose(found);
        uint8_t* into = numbers + column * ROWS + half * STEP;
        for (int64_t i = 0; i < LANES; i++) _mm512_store_si512(into + i * ROWS * STEP, found[i]);
      }
    for (int64_t i = 0; i < ROWS; i++) {
      scales[i] = i < rows ? weights.scales[first + i] : 0;
      zeros[i] = -128 * scales[i];
    }
  }

  // CHUNK columns of a row.
  static __m512i chunk(const Int8Weights& weights, int64_t row, int64_t column) {
    const int64_t there = std::clamp<int64_t>(weights.width - column, 0, CHUNK);
    const __mmask64 bytes = there < CHUNK ? (__mmask64(1) << there) - 1 : ~__mmask64(0);
    const __m512i numbers = _mm512_maskz_loadu_epi8(bytes, weights.numbers + row * weights.width + column);
    return _mm512_xor_si512(numbers, _mm512_set1_epi8(-128));
  }
};

inline __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>((1u << std::clamp<int64_t>(count, 0, LANES)) - 1);
}

// Adds the products of one group of columns to the totals of COUNT rows of activations by LANES rows of weights.
template <int64_t COUNT>
inline void settle(const __m512i (&found)[COUNT], const float* scale, const float* zero, const float* scales,
                   const float* sums, int64_t all, float (&totals)[COUNT][LANES]) {
  const __m512 s = _mm512_load_ps(scale), z = _mm512_load_ps(zero);
#pragma GCC unroll 12
  for (int64_t t = 0; t < COUNT; t++) {
    const __m512 times = _mm512_mul_ps(s, _mm512_set1_ps(scales[t * all]));
    const __m512 total = _mm512_fmadd_ps(z, _mm512_set1_ps(sums[t * all]), _mm512_load_ps(totals[t]));
    _mm512_store_ps(totals[t], _mm512_fmadd_ps(_mm512_cvtepi32_ps(found[t]), times, total));
  }
}

// Adds in fp32 the products of a row's outliers with the panel's columns, which begin at `start`.
inline void add_outliers(const Panel& panel, std::span<const Outlier> outliers, int64_t start, float* left, float* right) {
  for (const Outlier& outlier : outliers) {
    const int64_t column = outlier.column - start;
    const uint8_t* weights = panel.numbers + column / STEP * ROWS * STEP;
    const __m128i shift = _mm_cvtsi64_si128(column % STEP * 8);
    for (int64_t half = 0; half < 2; half++) {
      const __m512i four = _mm512_load_si512(weights + half * LANES * STEP);
      const __m512i number = _mm512_and_si512(_mm512_srl_epi32(four, shift), _mm512_set1_epi32(255));
      const __m512 weight = _mm512_fmadd_ps(_mm512_cvtepi32_ps(number), _mm512_load_ps(panel.scales + half * LANES),
                                            _mm512_load_ps(panel.zeros + half * LANES));
      float* total = half ? right : left;
      _mm512_store_ps(total, _mm512_fmadd_ps(weight, _mm512_set1_ps(outlier.number), _mm512_load_ps(total)));
    }
  }
}

// Multiplies the panel by COUNT rows of activations from `token` on; adds to `out`, unless its columns are the first.
template <int64_t COUNT>
inline void tile(const Panel& panel, const Int8Rows& rows_of_x, const Outliers& outliers, int64_t token, int64_t start,
                 int64_t groups, int64_t rows, float* out, int64_t stride) {
  const int64_t group = rows_of_x.group, all = rows_of_x.groups, apart = rows_of_x.stride;
  const int8_t* x = rows_of_x.numbers(token) + start;
  const float *scales = &rows_of_x.scales[token * all + start / group], *sums = &rows_of_x.sums[token * all + start / group];
  const auto there = [&](int64_t half) { return first_lanes(rows - half * LANES); };
  alignas(64) float totals[2][COUNT][LANES];  // in `out` they would share a few sets of the first cache
  for (int64_t half = 0; half < 2; half++)
    for (int64_t t = 0; t < COUNT; t++)
      _mm512_store_ps(totals[half][t], _mm512_maskz_loadu_ps(start > 0 ? there(half) : 0, out + t * stride + half * LANES));
  const uint8_t* weight = panel.numbers;
  for (int64_t g = 0; g < groups; g++) {
    __m512i left[COUNT], right[COUNT];
#pragma GCC unroll 12
    for (int64_t t = 0; t < COUNT; t++) left[t] = right[t] = _mm512_setzero_si512();
    for (int64_t end = group; end > 0; end -= STEP, x += STEP, weight += ROWS * STEP) {
      const __m512i a = _mm512_load_si512(weight), b = _mm512_load_si512(weight + LANES * STEP);
#pragma GCC unroll 12
      for (int64_t t = 0; t < COUNT; t++) {
        const __m512i numbers = four(x + t * apart);
        accumulate(left[t], a, numbers);
        accumulate(right[t], b, numbers);
      }
    }
    settle<COUNT>(left, panel.scales, panel.zeros, scales + g, sums + g, all, totals[0]);
    settle<COUNT>(right, panel.scales + LANES, panel.zeros + LANES, scales + g, sums + g, all, totals[1]);
  }
  for (int64_t t = 0; t < COUNT; t++)
    add_outliers(panel, outliers.of(token + t, start), start, totals[0][t], totals[1][t]);
  for (int64_t half = 0; half < 2; half++)
    for (int64_t t = 0; t < COUNT; t++)
      _mm512_mask_storeu_ps(out + t * stride + half * LANES, there(half), _mm512_load_ps(totals[half][t]));
}

// Computes x @ weights.T. out: [n, rows].
inline void product(const Int8Rows& x, int64_t n, const Int8Weights& weights, int64_t rows, float* out) {
  const int64_t group = x.group, width = x.groups * group, blocks = (rows + ROWS - 1) / ROWS;
  const Outliers outliers(x.outliers, width, DEPTH);
  at::parallel_for(0, blocks, std::max<int64_t>(1, LEAST / (n * width * ROWS)), [&](int64_t begin, int64_t end) {
    const auto panel = std::make_unique<Panel>();
    for (int64_t block = begin; block < end; block++)
      for (int64_t start = 0; start < width; start += DEPTH) {
        const int64_t first = block * ROWS, left = std::min(ROWS, rows - first), columns = std::min(DEPTH, width - start);
        panel->fill(weights, first, left, start, columns);
        const auto some = [&](auto count, int64_t token) {
          tile<count>(*panel, x, outliers, token, start, columns / group, left, out + token * rows + first, rows);
        };
        int64_t token = 0;
        for (; token + TOKENS <= n; token += TOKENS) some(Constant<TOKENS>(), token);
        for (; token + 4 <= n; token += 4) some(Constant<4>(), token);
        for (; token < n; token++) some(Constant<1>(), token);
      }
  });
}

}  // namespace panels
}  // namespace

#endif
