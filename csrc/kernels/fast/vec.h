/*
 * Sixteen float lanes, whatever the machine: v16 is one zmm register, or two ymm registers.
 *
 * The templates of this folder are written against these functions and compiled once for each instruction
 * set. Lanes are channels, every operation works lane by lane and v16_sum adds in one fixed order, so a
 * kernel gives the same bits on every instruction set.
 *
 * Parameter, defined before any template is included:
 *
 *     VEC_ZMM   v16                compiled with
 *     1         one __m512         AVX-512 F, VL, BW and DQ, AVX2 and FMA
 *     0         two __m256         AVX2 and FMA
 */
#ifndef CNV_FAST_VEC_H
#define CNV_FAST_VEC_H

#if !defined(VEC_ZMM)
#error "define VEC_ZMM as 0 or 1 before including a template"
#elif VEC_ZMM && \
    !(defined(__AVX512F__) && defined(__AVX512VL__) && defined(__AVX512BW__) && defined(__AVX512DQ__))
#error "VEC_ZMM needs AVX-512 F, VL, BW and DQ"
#elif !defined(__AVX2__) || !defined(__FMA__)
#error "the templates need AVX2 and FMA"
#endif

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

#define CNV_INLINE static inline __attribute__((always_inline))

#if VEC_ZMM

typedef __m512 v16;

CNV_INLINE v16 v16_zero(void)
{
    return _mm512_setzero_ps();
}
CNV_INLINE v16 v16_all(float value)
{
    return _mm512_set1_ps(value);
}
CNV_INLINE v16 v16_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
CNV_INLINE void v16_store(float *p, v16 a)
{
    _mm512_storeu_ps(p, a);
}
CNV_INLINE v16 v16_add(v16 a, v16 b)
{
    return _mm512_add_ps(a, b);
}
CNV_INLINE v16 v16_sub(v16 a, v16 b)
{
    return _mm512_sub_ps(a, b);
}
CNV_INLINE v16 v16_mul(v16 a, v16 b)
{
    return _mm512_mul_ps(a, b);
}
/* a * b + c, rounded once. */
CNV_INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
    return _mm512_fmadd_ps(a, b, c);
}
/* The larger lanes; b where either is NaN, as in the smaller lanes of v16_min. */
CNV_INLINE v16 v16_max(v16 a, v16 b)
{
    return _mm512_max_ps(a, b);
}
CNV_INLINE v16 v16_min(v16 a, v16 b)
{
    return _mm512_min_ps(a, b);
}
/* Bit i is a[i] > b[i], which is false where either is NaN. */
CNV_INLINE uint16_t v16_greater(v16 a, v16 b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}
/* Whether any lane differs from 0, as NaN does. */
CNV_INLINE bool v16_any(v16 a)
{
    return _mm512_cmp_ps_mask(a, v16_zero(), _CMP_NEQ_UQ) != 0;
}
/* a where the bit is set, elsewhere 0. */
CNV_INLINE v16 v16_keep(uint16_t bits, v16 a)
{
    return _mm512_maskz_mov_ps(bits, a);
}
/* b where the bit is set, elsewhere a. */
CNV_INLINE v16 v16_blend(uint16_t bits, v16 a, v16 b)
{
    return _mm512_mask_mov_ps(a, bits, b);
}
/* a, held in a register: GCC would otherwise load it again for every use. */
CNV_INLINE v16 v16_pinned(v16 a)
{
    __asm__("" : "+v"(a));
    return a;
}
/* x where a > b, elsewhere y; the caller guarantees x >= y >= 0. */
CNV_INLINE v16 v16_raise(v16 a, v16 b, v16 x, v16 y)
{
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), x);
}
/* a where the lane's byte is `byte`, elsewhere 0. */
CNV_INLINE v16 v16_keep_equal(const uint8_t *bytes, int byte, v16 a)
{
    __m128i all = _mm_loadu_si128((const __m128i *)bytes);
    return _mm512_maskz_mov_ps(_mm_cmpeq_epi8_mask(all, _mm_set1_epi8((char)byte)), a);
}
/* Four floats from each of four addresses, `gap` floats apart. */
CNV_INLINE v16 v16_load4(const float *p, int64_t gap)
{
    v16 a = _mm512_castps128_ps512(_mm_loadu_ps(p));
    a = _mm512_insertf32x4(a, _mm_loadu_ps(p + gap), 1);
    a = _mm512_insertf32x4(a, _mm_loadu_ps(p + 2 * gap), 2);
    return _mm512_insertf32x4(a, _mm_loadu_ps(p + 3 * gap), 3);
}
/* Every four lanes become a0 b0 a1 b1 (low) or a2 b2 a3 b3 (high). */
CNV_INLINE v16 v16_zip_low(v16 a, v16 b)
{
    return _mm512_unpacklo_ps(a, b);
}
CNV_INLINE v16 v16_zip_high(v16 a, v16 b)
{
    return _mm512_unpackhi_ps(a, b);
}
/* Every four lanes become a0 a1 b0 b1 (low) or a2 a3 b2 b3 (high). */
CNV_INLINE v16 v16_pair_low(v16 a, v16 b)
{
    return _mm512_shuffle_ps(a, b, 0x44);
}
CNV_INLINE v16 v16_pair_high(v16 a, v16 b)
{
    return _mm512_shuffle_ps(a, b, 0xee);
}
CNV_INLINE __m256 v16_low(v16 a)
{
    return _mm512_castps512_ps256(a);
}
CNV_INLINE __m256 v16_high(v16 a)
{
    return _mm512_extractf32x8_ps(a, 1);
}

#else

typedef struct v16 {
    __m256 low, high;
} v16;

CNV_INLINE v16 v16_of(__m256 low, __m256 high)
{
    v16 a = {low, high};
    return a;
}
CNV_INLINE v16 v16_zero(void)
{
    return v16_of(_mm256_setzero_ps(), _mm256_setzero_ps());
}
CNV_INLINE v16 v16_all(float value)
{
    return v16_of(_mm256_set1_ps(value), _mm256_set1_ps(value));
}
CNV_INLINE v16 v16_load(const float *p)
{
    return v16_of(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
CNV_INLINE void v16_store(float *p, v16 a)
{
    _mm256_storeu_ps(p, a.low);
    _mm256_storeu_ps(p + 8, a.high);
}
CNV_INLINE v16 v16_add(v16 a, v16 b)
{
    return v16_of(_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high));
}
CNV_INLINE v16 v16_sub(v16 a, v16 b)
{
    return v16_of(_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high));
}
CNV_INLINE v16 v16_mul(v16 a, v16 b)
{
    return v16_of(_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high));
}
/* a * b + c, rounded once. */
CNV_INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
    return v16_of(_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high));
}
/* sum += a * b, in the register of sum. With the intrinsic, gcc 12 and clang 14 often write the result to
 * another register, run out of registers, and spill sums to memory. */
CNV_INLINE void v8_add_product(__m256 *sum, __m256 a, __m256 b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(*sum) : "x"(a), "x"(b));
}
/* The larger lanes; b where either is NaN, as in the smaller lanes of v16_min. */
CNV_INLINE v16 v16_max(v16 a, v16 b)
{
    return v16_of(_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high));
}
CNV_INLINE v16 v16_min(v16 a, v16 b)
{
    return v16_of(_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high));
}
/* Bit i is a[i] > b[i], which is false where either is NaN. */
CNV_INLINE uint16_t v16_greater(v16 a, v16 b)
{
    int low = _mm256_movemask_ps(_mm256_cmp_ps(a.low, b.low, _CMP_GT_OQ));
    int high = _mm256_movemask_ps(_mm256_cmp_ps(a.high, b.high, _CMP_GT_OQ));
    return (uint16_t)(low | high << 8);
}
/* Whether any lane differs from 0, as NaN does. */
CNV_INLINE bool v16_any(v16 a)
{
    const __m256 zero = _mm256_setzero_ps();
    return (_mm256_movemask_ps(_mm256_cmp_ps(a.low, zero, _CMP_NEQ_UQ)) |
            _mm256_movemask_ps(_mm256_cmp_ps(a.high, zero, _CMP_NEQ_UQ))) != 0;
}
/* All ones in the lanes whose bit is set among the eight lowest bits. */
CNV_INLINE __m256 v8_lanes_of(uint16_t bits)
{
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i set = _mm256_and_si256(_mm256_set1_epi32(bits), lane);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, lane));
}
/* a where the bit is set, elsewhere 0. */
CNV_INLINE v16 v16_keep(uint16_t bits, v16 a)
{
    return v16_of(_mm256_and_ps(v8_lanes_of(bits), a.low),
                  _mm256_and_ps(v8_lanes_of((uint16_t)(bits >> 8)), a.high));
}
/* b where the bit is set, elsewhere a. */
CNV_INLINE v16 v16_blend(uint16_t bits, v16 a, v16 b)
{
    return v16_of(_mm256_blendv_ps(a.low, b.low, v8_lanes_of(bits)),
                  _mm256_blendv_ps(a.high, b.high, v8_lanes_of((uint16_t)(bits >> 8))));
}
/* x where a > b, elsewhere y; the caller guarantees x >= y >= 0. */
CNV_INLINE v16 v16_raise(v16 a, v16 b, v16 x, v16 y)
{
    return v16_of(_mm256_max_ps(_mm256_and_ps(_mm256_cmp_ps(a.low, b.low, _CMP_GT_OQ), x.low), y.low),
                  _mm256_max_ps(_mm256_and_ps(_mm256_cmp_ps(a.high, b.high, _CMP_GT_OQ), x.high), y.high));
}
/* a where the lane's byte is `byte`, elsewhere 0. */
CNV_INLINE v16 v16_keep_equal(const uint8_t *bytes, int byte, v16 a)
{
    __m128i all = _mm_loadu_si128((const __m128i *)bytes);
    __m128i equal = _mm_cmpeq_epi8(all, _mm_set1_epi8((char)byte));
    __m256 low = _mm256_castsi256_ps(_mm256_cvtepi8_epi32(equal));
    __m256 high = _mm256_castsi256_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(equal, 8)));
    return v16_of(_mm256_and_ps(low, a.low), _mm256_and_ps(high, a.high));
}
/* Four floats from each of four addresses, `gap` floats apart. */
CNV_INLINE v16 v16_load4(const float *p, int64_t gap)
{
    const __m256 low = _mm256_castps128_ps256(_mm_loadu_ps(p));
    const __m256 high = _mm256_castps128_ps256(_mm_loadu_ps(p + 2 * gap));
    return v16_of(_mm256_insertf128_ps(low, _mm_loadu_ps(p + gap), 1),
                  _mm256_insertf128_ps(high, _mm_loadu_ps(p + 3 * gap), 1));
}
/* Every four lanes become a0 b0 a1 b1 (low) or a2 b2 a3 b3 (high). */
CNV_INLINE v16 v16_zip_low(v16 a, v16 b)
{
    return v16_of(_mm256_unpacklo_ps(a.low, b.low), _mm256_unpacklo_ps(a.high, b.high));
}
CNV_INLINE v16 v16_zip_high(v16 a, v16 b)
{
    return v16_of(_mm256_unpackhi_ps(a.low, b.low), _mm256_unpackhi_ps(a.high, b.high));
}
/* Every four lanes become a0 a1 b0 b1 (low) or a2 a3 b2 b3 (high). */
CNV_INLINE v16 v16_pair_low(v16 a, v16 b)
{
    return v16_of(_mm256_shuffle_ps(a.low, b.low, 0x44), _mm256_shuffle_ps(a.high, b.high, 0x44));
}
CNV_INLINE v16 v16_pair_high(v16 a, v16 b)
{
    return v16_of(_mm256_shuffle_ps(a.low, b.low, 0xee), _mm256_shuffle_ps(a.high, b.high, 0xee));
}
CNV_INLINE __m256 v16_low(v16 a)
{
    return a.low;
}
CNV_INLINE __m256 v16_high(v16 a)
{
    return a.high;
}

#endif

/* The sum of all lanes, in a fixed order: halves, quarters, pairs. */
CNV_INLINE float v16_sum(v16 a)
{
    __m256 half = _mm256_add_ps(v16_low(a), v16_high(a));
    __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}

#endif
