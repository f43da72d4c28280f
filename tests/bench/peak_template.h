/*
 * Template: the rate of fused multiply-adds that read registers only, in GF/s, which no kernel can exceed.
 * Ten chains of one register each hide the latency of both units.
 *
 * Parameter: VEC_ZMM, see kernels/fast/vec.h; the including file is compiled for that instruction set.
 */
#include <time.h>

#include "kernels/fast/vec.h"

#define PEAK_ROUNDS 500000

static double peak_rate(void)
{
    struct timespec start, end;
#if VEC_ZMM
    __m512 m = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
    __m512 x0 = m, x1 = b, x2 = _mm512_set1_ps(2), x3 = _mm512_set1_ps(3), x4 = _mm512_set1_ps(4),
           x5 = _mm512_set1_ps(5), x6 = _mm512_set1_ps(6), x7 = _mm512_set1_ps(7), x8 = _mm512_set1_ps(8),
           x9 = _mm512_set1_ps(9);
#define STEP(x) x = _mm512_fmadd_ps(x, m, b)
#define ADD(x, y) _mm512_add_ps(x, y)
    const double flops = 2.0 * 16;
#else
    __m256 m = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
    __m256 x0 = m, x1 = b, x2 = _mm256_set1_ps(2), x3 = _mm256_set1_ps(3), x4 = _mm256_set1_ps(4),
           x5 = _mm256_set1_ps(5), x6 = _mm256_set1_ps(6), x7 = _mm256_set1_ps(7), x8 = _mm256_set1_ps(8),
           x9 = _mm256_set1_ps(9);
#define STEP(x) x = _mm256_fmadd_ps(x, m, b)
#define ADD(x, y) _mm256_add_ps(x, y)
    const double flops = 2.0 * 8;
#endif
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < PEAK_ROUNDS; i++) {
        STEP(x0), STEP(x1), STEP(x2), STEP(x3), STEP(x4), STEP(x5), STEP(x6), STEP(x7), STEP(x8), STEP(x9);
        __asm__ volatile("" ::: "memory");
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    float sink[16];
    x0 = ADD(ADD(ADD(ADD(x0, x1), ADD(x2, x3)), ADD(ADD(x4, x5), ADD(x6, x7))), ADD(x8, x9));
#if VEC_ZMM
    _mm512_storeu_ps(sink, x0);
#else
    _mm256_storeu_ps(sink, x0);
#endif
    volatile float keep = sink[0];
    (void)keep;
    double seconds = (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    return 10 * PEAK_ROUNDS * flops / seconds * 1e-9;
}
