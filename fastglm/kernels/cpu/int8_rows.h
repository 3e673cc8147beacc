// Products of a few rows of activations with int8 weights as they lie on disk, for processors with AVX2.
#pragma once

#ifndef __AVX512VNNI__

#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "activations.h"
#include "vectors.h"
#include "weights.h"

namespace {

constexpr int64_t FLUSH = 2048;  // columns of int8 weights whose integer sums cannot overflow

// Rows in int16, with a scale for each row.
struct Int16Rows {
  int64_t width, stride;
  std::vector<float> scales;  // [n]
  std::vector<Line> lines;    // [n, stride / 32]

  Int16Rows(const float* x, int64_t n, int64_t columns, int64_t width)
      : width(width), stride((width / 64 + 1) * 64), scales(n), lines(n * stride * sizeof(int16_t) / sizeof(Line)) {
    at::parallel_for(0, n, std::max<int64_t>(1, LEAST / 8 / width), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) round(x + row * columns, columns, numbers(row), row);
    });
  }

  int16_t* numbers(int64_t row) { return reinterpret_cast<int16_t*>(lines.data()) + row * stride; }
  const int16_t* numbers(int64_t row) const { return reinterpret_cast<const int16_t*>(lines.data()) + row * stride; }

  void round(const float* x, int64_t n, int16_t* into, int64_t row) {
    const float most = largest(x, n), times = 32767 / most;
    const __m256 by = _mm256_set1_ps(times);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const __m256i both = _mm256_packs_epi32(nearest(x + i, by), nearest(x + i + 8, by));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(into + i), _mm256_permute4x64_epi64(both, 0xd8));
    }
    for (; i < n; i++) into[i] = static_cast<int16_t>(nearest(x[i] * times));
    scales[row] = most / 32767;
  }
};

// Adds the products of some columns of a row of int8 weights by COUNT rows of activations.
template <int64_t COUNT>
inline void int8_columns(const int8_t* weight, const int16_t* x, int64_t stride, int64_t columns, int64_t ahead,
                         __m256 (&total)[COUNT]) {
  __m256i found[COUNT];
  for (int64_t t = 0; t < COUNT; t++) found[t] = _mm256_setzero_si256();
  for (int64_t i = 0; i < columns; i += 32) {
    if (i % 64 == 0) fetch(weight + i, ahead);
    const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weight + i));
    const __m256i left = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(both));
    const __m256i right = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(both, 1));
    for (int64_t t = 0; t < COUNT; t++) {
      const __m256i* numbers = reinterpret_cast<const __m256i*>(x + t * stride + i);
      const __m256i a = _mm256_madd_epi16(left, _mm256_loadu_si256(numbers));
      const __m256i b = _mm256_madd_epi16(right, _mm256_loadu_si256(numbers + 1));
      found[t] = _mm256_add_epi32(found[t], _mm256_add_epi32(a, b));
    }
  }
  for (int64_t t = 0; t < COUNT; t++) total[t] = _mm256_add_ps(total[t], _mm256_cvtepi32_ps(found[t]));
}

// Multiplies rows of int8 weights from `first` to `last`, at most BLOCK, by COUNT rows of activations. out: [n, stride].
template <int64_t COUNT>
inline void int8_rows(const Int16Rows& x, int64_t token, const Int8Weights& weights, int64_t first, int64_t last, float* out,
                      int64_t stride) {
  constexpr int64_t depth = COUNT > 2 ? FLUSH : 8 * FLUSH;  // columns of activations that stay in the first cache
  const int64_t width = x.width, ahead = std::max(AHEAD, 2 * width);
  __m256 totals[BLOCK][COUNT];
  for (int64_t row = first; row < last; row++)
    for (int64_t t = 0; t < COUNT; t++) totals[row - first][t] = _mm256_setzero_ps();
  for (int64_t start = 0; start < width; start += depth)
    for (int64_t row = first; row < last; row++)
      for (int64_t i = start; i < std::min(width, start + depth); i += FLUSH)
        int8_columns<COUNT>(weights.numbers + row * width + i, x.numbers(token) + i, x.stride, std::min(FLUSH, width - i),
                            ahead, totals[row - first]);
  for (int64_t row = first; row < last; row++)
    for (int64_t t = 0; t < COUNT; t++)
      out[(token + t) * stride + row] = sum(totals[row - first][t]) * weights.scales[row] * x.scales[token + t];
}

}  // namespace

#endif
