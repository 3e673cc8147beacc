// Products of a few rows of activations with int4 weights in groups of 128 or 256, for processors with AVX-512 and VNNI.
//
// Columns are multiplied in parts, so that the activations stay in the first cache. Sums are added up in the same order
// for any number of rows of activations, so that the product of a row does not depend on the rows beside it.
#pragma once

#ifdef __AVX512VNNI__

#include <algorithm>
#include <array>

#include "activations.h"
#include "vectors.h"
#include "weights.h"

namespace {
namespace rows {

constexpr int64_t TOKENS = 8;    // rows of activations that share a read of the weights
constexpr int64_t TOGETHER = 4;  // rows of weights whose scales are computed, and whose lanes are added up, together
constexpr int64_t LANES = 16;
constexpr int64_t SHORT = 1024;  // rows with so few columns are done together: their sums take as long as their products
constexpr int XOR_AND = 0x28;    // of three bits: (a ^ b) & c

// Columns of a part. One or two rows of activations stay in the first cache anyway, and weights are read in their order.
template <int64_t COUNT>
constexpr int64_t DEPTH = COUNT > 2 ? 4096 : 16384;

inline __mmask16 first(int64_t count) { return static_cast<__mmask16>((1u << std::min(count, LANES)) - 1); }

inline __m512 floats(__mmask16 there, const BFloat16* from) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(there, from)), 16));
}

// Products of ROWS rows of weights from `row` on by COUNT rows of activations from `token` on.
template <int64_t COUNT, int64_t GROUP, int64_t ROWS>
struct Block {
  const Int8Rows& x;
  const Int4Weights& weights;
  int64_t token, row;
  static constexpr int64_t size = ROWS;

  // Where the sums begin: with the zeros of all groups.
  void begin(float* totals) const {
    const int64_t groups = x.groups;
    for (int64_t r = 0; r < ROWS; r++)
      for (int64_t g = 0; g < groups; g += LANES) {
        const __mmask16 there = first(groups - g);
        const int64_t at = (row + r) * groups + g;
        const __m512 z = _mm512_fnmadd_ps(_mm512_set1_ps(8), floats(there, weights.scales + at), floats(there, weights.zeros + at));
        for (int64_t t = 0; t < COUNT; t++) {
          float* total = totals + (r * COUNT + t) * LANES;
          const __m512 before = g > 0 ? _mm512_load_ps(total) : _mm512_setzero_ps();
          const __m512 sums = _mm512_maskz_loadu_ps(there, &x.sums[(token + t) * groups + g]);
          _mm512_store_ps(total, _mm512_fmadd_ps(z, sums, before));
        }
      }
  }

  // Adds the products of some groups, up to DEPTH columns, TILE rows of weights at a time.
  template <int64_t TILE>
  void add(int64_t from, int64_t to, float* totals) const {
    constexpr int64_t MOST = DEPTH<COUNT> / GROUP;
    alignas(64) float times[ROWS][COUNT][MOST];
    for (int64_t r = 0; r < ROWS; r++)
      for (int64_t g = from; g < to; g += LANES) {
        const __mmask16 there = first(to - g);
        const __m512 s = floats(there, weights.scales + (row + r) * x.groups + g);
        for (int64_t t = 0; t < COUNT; t++) {
          const __m512 scale = _mm512_maskz_loadu_ps(there, &x.scales[(token + t) * x.groups + g]);
          _mm512_store_ps(&times[r][t][g - from], _mm512_mul_ps(s, scale));
        }
      }
    const __m512i low = _mm512_set1_epi8(15), sign = _mm512_set1_epi8(-120);
    const int64_t bytes = weights.width / 2, ahead = std::max(AHEAD, 2 * bytes);
    for (int64_t r = 0; r < ROWS; r += TILE) {
      const uint8_t* weight = weights.numbers + (row + r) * bytes + from * GROUP / 2;
      __m512 total[TILE][COUNT];
      for (int64_t k = 0; k < TILE; k++)
        for (int64_t t = 0; t < COUNT; t++) total[k][t] = _mm512_load_ps(totals + ((r + k) * COUNT + t) * LANES);
      for (int64_t g = from; g < to; g++) {
        __m512i found[TILE][COUNT];
        for (int64_t k = 0; k < TILE; k++)
          for (int64_t t = 0; t < COUNT; t++) found[k][t] = _mm512_setzero_si512();
        for (int64_t column = g * GROUP; column < (g + 1) * GROUP; column += WIDE, weight += WIDE / 2) {
          __m512i odd[TILE], even[TILE];
          for (int64_t k = 0; k < TILE; k++) {
            fetch(weight + k * bytes, ahead);
            const __m512i both = _mm512_loadu_si512(weight + k * bytes);
            odd[k] = _mm512_ternarylogic_epi32(both, sign, low, XOR_AND);
            even[k] = _mm512_ternarylogic_epi32(_mm512_srli_epi16(both, 4), sign, low, XOR_AND);
          }
          for (int64_t t = 0; t < COUNT; t++) {
            const int8_t* numbers = x.numbers(token + t) + column;
            const __m512i a = _mm512_load_si512(numbers), b = _mm512_load_si512(numbers + WIDE / 2);
            for (int64_t k = 0; k < TILE; k++)
              found[k][t] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(found[k][t], odd[k], a), even[k], b);
          }
        }
        for (int64_t k = 0; k < TILE; k++)
          for (int64_t t = 0; t < COUNT; t++) {
            const __m512 by = _mm512_set1_ps(times[r + k][t][g - from]);
            total[k][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(found[k][t]), by, total[k][t]);
          }
      }
      for (int64_t k = 0; k < TILE; k++)
        for (int64_t t = 0; t < COUNT; t++) _mm512_store_ps(totals + ((r + k) * COUNT + t) * LANES, total[k][t]);
    }
  }

  // Writes the sums into `out`: [n, stride].
  void end(const float* totals, float* out, int64_t stride) const {
    for (int64_t t = 0; t < COUNT; t++) {
      float* into = out + (token + t) * stride + row;
      __m512 total[ROWS];
      for (int64_t r = 0; r < ROWS; r++) total[r] = _mm512_load_ps(totals + (r * COUNT + t) * LANES);
      if constexpr (ROWS == TOGETHER) _mm_storeu_ps(into, lane_sums(total));
      else *into = sum(total[0]);
    }
  }
};

// Multiplies rows of weights from `first` to `last`, at most MOST, by COUNT rows of activations. out: [n, stride].
template <int64_t COUNT, int64_t GROUP, int64_t MOST>
void product(const Int8Rows& x, const Int4Weights& weights, int64_t token, int64_t first, int64_t last, float* out,
             int64_t stride) {
  alignas(64) float totals[MOST * COUNT * LANES];
  const auto each = [&](auto some) {
    int64_t r = first;
    for (; r + TOGETHER <= last; r += TOGETHER)
      some(Block<COUNT, GROUP, TOGETHER>{x, weights, token, r}, totals + (r - first) * COUNT * LANES);
    for (; r < last; r++) some(Block<COUNT, GROUP, 1>{x, weights, token, r}, totals + (r - first) * COUNT * LANES);
  };
  each([](const auto& block, float* totals) { block.begin(totals); });
  for (int64_t from = 0; from < x.groups; from += DEPTH<COUNT> / GROUP) {
    const int64_t to = std::min(x.groups, from + DEPTH<COUNT> / GROUP);
    each([&](const auto& block, float* totals) {
      if (COUNT == 1 && weights.width <= SHORT) block.template add<block.size>(from, to, totals);
      else block.template add<1>(from, to, totals);
    });
  }
  each([&](const auto& block, const float* totals) { block.end(totals, out, stride); });
}

}  // namespace rows
}  // namespace

#endif
