// Operations on registers that several kernels share.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

template <int64_t N>
using Constant = std::integral_constant<int64_t, N>;

inline float sum(__m256 v) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

inline int sum(__m256i v) {  // of 32-bit integers
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}

inline float highest(__m256 v) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

// The widest registers of floats that are used here.
#ifdef __AVX512VNNI__

using Floats = __m512;

inline Floats load(const float* from) { return _mm512_loadu_ps(from); }
inline Floats load(const int8_t* from) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
}
inline void store(float* to, Floats v) { _mm512_storeu_ps(to, v); }
inline Floats everywhere(float x) { return _mm512_set1_ps(x); }
inline Floats none() { return _mm512_setzero_ps(); }
inline float sum(__m512 v) { return _mm512_reduce_add_ps(v); }
inline Floats with_product(Floats sums, Floats a, Floats b) { return _mm512_fmadd_ps(a, b, sums); }

// Four numbers of a row of activations, in every lane.
inline __m512i four(const int8_t* x) {
  int32_t numbers;
  std::memcpy(&numbers, x, sizeof numbers);
  return _mm512_set1_epi32(numbers);
}

// sums += a · b, four numbers a lane. In assembler, because GCC 12 copies and spills the sums of the intrinsic.
inline void accumulate(__m512i& sums, __m512i a, __m512i b) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(a), "v"(b));
}

// The sums of the lanes of four registers.
inline __m128 lane_sums(const __m512 (&v)[4]) {
  const __m512 a = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
  const __m512 b = _mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
  const __m512d c = _mm512_castps_pd(a), d = _mm512_castps_pd(b);
  const __m512 all = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(c, d)), _mm512_castpd_ps(_mm512_unpackhi_pd(c, d)));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

#else

using Floats = __m256;

inline Floats load(const float* from) { return _mm256_loadu_ps(from); }
inline Floats load(const int8_t* from) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
}
inline void store(float* to, Floats v) { _mm256_storeu_ps(to, v); }
inline Floats everywhere(float x) { return _mm256_set1_ps(x); }
inline Floats none() { return _mm256_setzero_ps(); }
inline Floats with_product(Floats sums, Floats a, Floats b) { return _mm256_fmadd_ps(a, b, sums); }

inline __m128 lane_sums(const __m256 (&v)[4]) {
  const __m256 all = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
  return _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
}

#endif

constexpr int64_t FLOATS = sizeof(Floats) / sizeof(float);

// eˣ for x up to 0: 2ⁿ · eʳ, with r between -ln 2 / 2 and ln 2 / 2 and eʳ by Taylor's series. It is 0 below -87; NaN stays
// NaN.
inline __m256 power_of_e(__m256 x) {
  const __m256 least = _mm256_set1_ps(-87);
  const __m256 within = _mm256_max_ps(least, x);
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(within, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  // ln 2 in two parts; the first has few digits, so that its products are exact.
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), within);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
  __m256 found = _mm256_set1_ps(1.0f / 5040);
  for (const float factor : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 1.0f / 2, 1.0f, 1.0f})
    found = _mm256_fmadd_ps(found, r, _mm256_set1_ps(factor));
  const __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  found = _mm256_mul_ps(found, _mm256_castsi256_ps(power));
  return _mm256_andnot_ps(_mm256_cmp_ps(x, least, _CMP_LT_OQ), found);
}

// 1 / (1 + e^-x), by a power that cannot overflow.
inline __m256 sigmoid(__m256 x) {
  const __m256 one = _mm256_set1_ps(1), e = power_of_e(_mm256_or_ps(x, _mm256_set1_ps(-0.0f)));
  return _mm256_div_ps(_mm256_blendv_ps(one, e, x), _mm256_add_ps(one, e));
}
