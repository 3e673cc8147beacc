// Rows of activations, rounded to whole numbers for products with packed weights, with the scales to undo that.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "vectors.h"

namespace {

constexpr int64_t CHUNK = 64;       // columns of int4 weights in a register of 32 bytes
constexpr int64_t WIDE = 2 * CHUNK;  // and in one of 64
constexpr int64_t LEAST = 1 << 18;  // products that are worth a thread

// The largest magnitude; no number where one of them is none, so that it stays seen in the products.
inline float largest(const float* x, int64_t n) {
  const __m256 sign = _mm256_set1_ps(-0.0f), zero = _mm256_setzero_ps();
  __m256 most = _mm256_set1_ps(1e-30f), none = zero;
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256 v = _mm256_loadu_ps(x + i);
    most = _mm256_max_ps(_mm256_andnot_ps(sign, v), most);
    none = _mm256_fmadd_ps(v, zero, none);
  }
  float found = highest(most), rest = sum(none);
  for (; i < n; i++) {
    found = std::max(found, std::fabs(x[i]));
    rest += x[i] * 0;
  }
  return found + rest;
}

inline int32_t nearest(float x) { return _mm_cvtss_si32(_mm_set_ss(x)); }

inline __m256i nearest(const float* x, __m256 times) {
  return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), times));
}

// Of CHUNK bytes the odd ones, then the even ones.
inline void part(int8_t* bytes) {
  __m256i* at = reinterpret_cast<__m256i*>(bytes);
  const __m256i a = _mm256_loadu_si256(at), b = _mm256_loadu_si256(at + 1), low = _mm256_set1_epi16(255);
  const __m256i odd = _mm256_packus_epi16(_mm256_srli_epi16(a, 8), _mm256_srli_epi16(b, 8));
  const __m256i even = _mm256_packus_epi16(_mm256_and_si256(a, low), _mm256_and_si256(b, low));
  _mm256_storeu_si256(at, _mm256_permute4x64_epi64(odd, 0xd8));
  _mm256_storeu_si256(at + 1, _mm256_permute4x64_epi64(even, 0xd8));
}

// Of WIDE bytes the odd ones, then the even ones.
inline void part_wide(int8_t* bytes) {
  part(bytes);
  part(bytes + CHUNK);
  __m256i* at = reinterpret_cast<__m256i*>(bytes);
  const __m256i even = _mm256_loadu_si256(at + 1);
  _mm256_storeu_si256(at + 1, _mm256_loadu_si256(at + 2));
  _mm256_storeu_si256(at + 2, even);
}

// In int8, a scale for each group of columns. Of each `parted` columns the odd ones come first, as nibbles are unpacked;
// 0: they stay in order.
struct Int8Rows {
  int64_t group, groups;
  int64_t stride;  // a stride that is no power of two: rows read together would share a set of the first cache
  std::vector<int8_t> numbers;      // [n, stride]
  std::vector<float> scales, sums;  // [n, groups]

  Int8Rows(const float* x, int64_t n, int64_t columns, int64_t width, int64_t group, int64_t parted)
      : group(group),
        groups(width / group),
        stride(width + CHUNK),
        numbers(n * stride),
        scales(n * groups),
        sums(n * groups) {
    at::parallel_for(0, n, std::max<int64_t>(1, LEAST / 8 / width), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        int8_t* into = &numbers[row * stride];
        for (int64_t start = 0, g = row * groups; start < columns; start += group, g++)
          round(x + row * columns + start, std::min(group, columns - start), into + start, g);
        for (int64_t start = 0; parted && start < width; start += parted) (parted == WIDE ? part_wide : part)(into + start);
      }
    });
  }

  void round(const float* x, int64_t n, int8_t* into, int64_t g) {
    const float most = largest(x, n), times = 127 / most;
    const __m256 by = _mm256_set1_ps(times);
    __m256i totals = _mm256_setzero_si256();
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
      const __m256i a = nearest(x + i, by), b = nearest(x + i + 8, by);
      const __m256i c = nearest(x + i + 16, by), d = nearest(x + i + 24, by);
      totals = _mm256_add_epi32(totals, _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d)));
      const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
      const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(into + i), _mm256_permutevar8x32_epi32(bytes, order));
    }
    int32_t total = sum(totals);
    for (; i < n; i++) {
      const int32_t number = nearest(x[i] * times);
      into[i] = static_cast<int8_t>(number);
      total += number;
    }
    scales[g] = most / 127;
    sums[g] = most / 127 * total;
  }
};

// In int16, a scale for each row.
struct Int16Rows {
  int64_t width;
  std::vector<int16_t> numbers;  // [n, width]
  std::vector<float> scales;     // [n]

  Int16Rows(const float* x, int64_t n, int64_t columns, int64_t width)
      : width(width), numbers(n * width), scales(n) {
    at::parallel_for(0, n, std::max<int64_t>(1, LEAST / 8 / width), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) round(x + row * columns, columns, &numbers[row * width], row);
    });
  }

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

}  // namespace
