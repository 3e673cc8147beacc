// Rows of activations, rounded to whole numbers for products with packed weights, and the scales that undo the rounding.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "vectors.h"

namespace {

constexpr int64_t CHUNK = 64;       // columns of int4 weights in a register of 32 bytes
constexpr int64_t LEAST = 1 << 18;  // products that are worth a thread
constexpr int64_t LONGEST = 256;    // columns of a group
// Multiples of a row's usual size. A group with a number above OUTLYING keeps all numbers above APART apart.
constexpr float OUTLYING = 6;
constexpr float APART = 4;

// A line of the cache. Rows of numbers begin with one: a register that is read from two lines takes twice as long.
struct alignas(64) Line {
  std::byte bytes[64];
};

// The largest magnitude; NaN if one of the numbers is NaN or infinite, so that the products show it.
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

// Puts the odd ones of CHUNK bytes before the even ones.
inline void part(int8_t* bytes) {
  __m256i* at = reinterpret_cast<__m256i*>(bytes);
  const __m256i a = _mm256_loadu_si256(at), b = _mm256_loadu_si256(at + 1), low = _mm256_set1_epi16(255);
  const __m256i odd = _mm256_packus_epi16(_mm256_srli_epi16(a, 8), _mm256_srli_epi16(b, 8));
  const __m256i even = _mm256_packus_epi16(_mm256_and_si256(a, low), _mm256_and_si256(b, low));
  _mm256_storeu_si256(at, _mm256_permute4x64_epi64(odd, 0xd8));
  _mm256_storeu_si256(at + 1, _mm256_permute4x64_epi64(even, 0xd8));
}

// Puts the odd ones of each eight bytes, of 32, before the even ones.
inline void part_words(int8_t* bytes) {
  __m256i* at = reinterpret_cast<__m256i*>(bytes);
  const __m256i order = _mm256_broadcastsi128_si256(_mm_setr_epi8(1, 3, 5, 7, 0, 2, 4, 6, 9, 11, 13, 15, 8, 10, 12, 14));
  _mm256_storeu_si256(at, _mm256_shuffle_epi8(_mm256_loadu_si256(at), order));
}

// The root mean square of the numbers up to a bound; NaN if one of them is NaN.
inline float root_mean_square(const float* x, int64_t n, float bound) {
  constexpr int64_t TOGETHER = 4;
  const __m256 most = _mm256_set1_ps(bound * bound);
  __m256 squares[TOGETHER];
  for (__m256& each : squares) each = _mm256_setzero_ps();
  int64_t i = 0, count = 0;
  for (; i + 8 * TOGETHER <= n; i += 8 * TOGETHER)
    for (int64_t k = 0; k < TOGETHER; k++) {
      const __m256 v = _mm256_loadu_ps(x + i + 8 * k), square = _mm256_mul_ps(v, v);
      const __m256 within = _mm256_cmp_ps(square, most, _CMP_NGT_UQ);
      squares[k] = _mm256_add_ps(squares[k], _mm256_and_ps(square, within));
      count += __builtin_popcount(_mm256_movemask_ps(within));
    }
  float total = sum(_mm256_add_ps(_mm256_add_ps(squares[0], squares[1]), _mm256_add_ps(squares[2], squares[3])));
  for (; i < n; i++) {
    const float square = x[i] * x[i];
    if (square > bound * bound) continue;
    total += square;
    count++;
  }
  return std::sqrt(total / std::max<int64_t>(count, 1));
}

// The root mean square of a row without its outliers, found in rounds.
inline float usual(const float* x, int64_t n, float most) {
  constexpr int64_t ROUNDS = 3;
  float found = root_mean_square(x, n, std::numeric_limits<float>::infinity());
  for (int64_t round = 1; round < ROUNDS && most > OUTLYING * found; round++) found = root_mean_square(x, n, OUTLYING * found);
  return std::max(found, 1e-15f);  // a number whose square is not 0
}

// An activation that is not rounded: with a scale that holds it, the others of its group would all become 0.
struct Outlier {
  int64_t column;
  float number;
};

// Outliers of rows, in the order of their columns, found by blocks of columns.
struct Outliers {
  int64_t blocks, depth;
  std::vector<int64_t> first;  // the first outlier of each row and block, and the end
  std::vector<Outlier> all;

  Outliers(const std::vector<std::vector<Outlier>>& of_rows, int64_t width, int64_t depth)
      : blocks((width + depth - 1) / depth), depth(depth), first(of_rows.size() * blocks + 1) {
    for (size_t row = 0; row < of_rows.size(); row++)
      for (const Outlier& outlier : of_rows[row]) {
        first[row * blocks + outlier.column / depth + 1]++;
        all.push_back(outlier);
      }
    std::partial_sum(first.begin(), first.end(), first.begin());
  }

  // The outliers of a row in the block of columns from `start` on.
  std::span<const Outlier> of(int64_t row, int64_t start) const {
    const int64_t* at = &first[row * blocks + start / depth];
    return {all.data() + at[0], all.data() + at[1]};
  }
};

// The order of columns in a row of numbers: the odd ones of each CHUNK or of each eight come first, as nibbles are unpacked.
enum class Order { plain, chunks, words };

// Rows in int8, with a scale for each group of columns.
struct Int8Rows {
  int64_t group, groups;
  int64_t stride;  // a stride that is no power of two: rows read together would share a set of the first cache
  std::vector<float> scales, sums;  // [n, groups]
  std::vector<std::vector<Outlier>> outliers;  // of each row
  std::vector<Line> lines;  // [n, stride / 64]

  // If `apart`, outliers are kept apart, and are 0 among the numbers.
  Int8Rows(const float* x, int64_t n, int64_t columns, int64_t width, int64_t group, Order order, bool apart = false)
      : group(group),
        groups(width / group),
        stride(width + CHUNK),
        scales(n * groups),
        sums(n * groups),
        outliers(n),
        lines(n * stride / sizeof(Line)) {
    at::parallel_for(0, n, std::max<int64_t>(1, LEAST / 8 / width), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        int8_t* into = numbers(row);
        const float* from = x + row * columns;
        float most = 0;
        for (int64_t start = 0, g = row * groups; start < columns; start += group, g++) {
          scales[g] = largest(from + start, std::min(group, columns - start));
          most = std::max(most, scales[g]);
        }
        const float often = apart ? usual(from, columns, most) : most;
        for (int64_t start = 0, g = row * groups; start < columns; start += group, g++)
          round(from + start, std::min(group, columns - start), into + start, g, often, row, start);
        if (order == Order::chunks)
          for (int64_t start = 0; start < width; start += CHUNK) part(into + start);
        if (order == Order::words)
          for (int64_t start = 0; start < width; start += 32) part_words(into + start);
      }
    });
  }

  int8_t* numbers(int64_t row) { return reinterpret_cast<int8_t*>(lines.data()) + row * stride; }
  const int8_t* numbers(int64_t row) const { return reinterpret_cast<const int8_t*>(lines.data()) + row * stride; }

  // Rounds n numbers to group g, whose largest is known, of a row, from column `start` on; `often` is `usual` of the row.
  void round(const float* x, int64_t n, int8_t* into, int64_t g, float often, int64_t row, int64_t start) {
    std::array<float, LONGEST> rest;
    float most = scales[g];
    if (most > OUTLYING * often) {
      for (int64_t i = 0; i < n; i++) {
        const bool is_outlier = std::fabs(x[i]) > APART * often;
        if (is_outlier) outliers[row].push_back({start + i, x[i]});
        rest[i] = is_outlier ? 0 : x[i];
      }
      x = rest.data();
      most = largest(x, n);
    }
    const float times = 127 / most;
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

}  // namespace
