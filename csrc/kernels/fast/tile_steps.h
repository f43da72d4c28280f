/*
 * The steps of a tile: what the input of one channel at one tap adds to every sum. A pixel's input is
 * broadcast, sixteen output channels are one vector, and a step is one product for each pair of them.
 */
#ifndef CNV_FAST_TILE_STEPS_H
#define CNV_FAST_TILE_STEPS_H

#include "kernels/fast/vec.h"

/* The largest tiles that leave registers for weights and broadcasts: 14 pixels x 2 blocks of sixteen in 32
 * zmm; 3 x 2 or 6 x 1 in 16 ymm. The wide one of ymm takes seven loads for its twelve products where the tall
 * one takes eight, which shows where two programs share a core. */
#define TILE_BLOCKS 2
#if defined(__AVX512F__)
#define TILE_PIXELS_1 14
#define TILE_PIXELS_2 14
#else
#define TILE_PIXELS_1 6
#define TILE_PIXELS_2 3
#endif
#define TILE_PIXELS TILE_PIXELS_1
#define TILE_HALF (TILE_PIXELS / 2)

/* How many pixels a tile of so many blocks has. */
CNV_INLINE int64_t tile_pixels(int64_t blocks)
{
    return blocks > 1 ? TILE_PIXELS_2 : TILE_PIXELS_1;
}

#if defined(__AVX512F__)
CNV_INLINE void tile_pixel(int blocks, v16 *acc, const float *x, v16 w0, v16 w1)
{
    v16 value = v16_all(*x);
    acc[0] = v16_fma(value, w0, acc[0]);
    if (blocks > 1) acc[1] = v16_fma(value, w1, acc[1]);
}

/* One step for `pixels` pixels that lie `gap` floats apart, the second half of them from xb on. */
CNV_INLINE void tile_step(int pixels, int blocks, bool narrow, int gap, v16 *acc, const float *xa,
                          const float *xb, const float *w, int64_t w_block)
{
    (void)narrow;
    v16 w0 = v16_load(w);
    v16 w1 = blocks > 1 ? v16_load(w + w_block) : w0;
    const int b = blocks;
    if (pixels > 0) tile_pixel(b, acc, xa, w0, w1);
    if (pixels > 1) tile_pixel(b, acc + b, xa + gap, w0, w1);
    if (pixels > 2) tile_pixel(b, acc + 2 * b, xa + 2 * gap, w0, w1);
    if (pixels > 3) tile_pixel(b, acc + 3 * b, xa + 3 * gap, w0, w1);
    if (pixels > 4) tile_pixel(b, acc + 4 * b, xa + 4 * gap, w0, w1);
    if (pixels > 5) tile_pixel(b, acc + 5 * b, xa + 5 * gap, w0, w1);
    if (pixels > 6) tile_pixel(b, acc + 6 * b, xa + 6 * gap, w0, w1);
    if (pixels > 7) tile_pixel(b, acc + 7 * b, xb, w0, w1);
    if (pixels > 8) tile_pixel(b, acc + 8 * b, xb + gap, w0, w1);
    if (pixels > 9) tile_pixel(b, acc + 9 * b, xb + 2 * gap, w0, w1);
    if (pixels > 10) tile_pixel(b, acc + 10 * b, xb + 3 * gap, w0, w1);
    if (pixels > 11) tile_pixel(b, acc + 11 * b, xb + 4 * gap, w0, w1);
    if (pixels > 12) tile_pixel(b, acc + 12 * b, xb + 5 * gap, w0, w1);
    if (pixels > 13) tile_pixel(b, acc + 13 * b, xb + 6 * gap, w0, w1);
}
#else
CNV_INLINE void tile_pixel(v16 *acc, const float *x, v16 w)
{
    const __m256 value = _mm256_broadcast_ss(x);
    v8_add_product(&acc->low, value, w.low);
    v8_add_product(&acc->high, value, w.high);
}

/* Eight lanes of weights for up to three pixels, whose sums lie two blocks apart. */
CNV_INLINE void tile_eight(int pixels, const float *w, const __m256 *x, __m256 *s0, __m256 *s1, __m256 *s2)
{
    const __m256 eight = _mm256_loadu_ps(w);
    v8_add_product(s0, x[0], eight);
    if (pixels > 1) v8_add_product(s1, x[1], eight);
    if (pixels > 2) v8_add_product(s2, x[2], eight);
}

/* One step for two blocks, of which the second may be half empty: the pixels stay in registers, weights are
 * used up as they come. */
CNV_INLINE void tile_step_wide(int pixels, bool narrow, int gap, v16 *acc, const float *xa, const float *w,
                               int64_t w_block)
{
    __m256 x[3];
    x[0] = _mm256_broadcast_ss(xa);
    if (pixels > 1) x[1] = _mm256_broadcast_ss(xa + gap);
    if (pixels > 2) x[2] = _mm256_broadcast_ss(xa + 2 * gap);
    tile_eight(pixels, w, x, &acc[0].low, &acc[2].low, &acc[4].low);
    tile_eight(pixels, w + 8, x, &acc[0].high, &acc[2].high, &acc[4].high);
    tile_eight(pixels, w + w_block, x, &acc[1].low, &acc[3].low, &acc[5].low);
    if (!narrow) tile_eight(pixels, w + w_block + 8, x, &acc[1].high, &acc[3].high, &acc[5].high);
}

/* Sixteen steps of the whole tile, instruction by instruction: it takes exactly the registers there are, and
 * compilers, left to choose, move sums between registers up to three times a step. */
CNV_INLINE void tile_sixteen_whole(v16 *acc, const float *x, const float *w, const float *v)
{
    __asm__(".irp s, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
            "vbroadcastss 0+4*\\s(%[x]), %%ymm12\n\t"
            "vbroadcastss 64+4*\\s(%[x]), %%ymm13\n\t"
            "vbroadcastss 128+4*\\s(%[x]), %%ymm14\n\t"
            "vmovups 64*\\s(%[w]), %%ymm15\n\t"
            "vfmadd231ps %%ymm15, %%ymm12, %[a0]\n\t"
            "vfmadd231ps %%ymm15, %%ymm13, %[a1]\n\t"
            "vfmadd231ps %%ymm15, %%ymm14, %[a2]\n\t"
            "vmovups 32+64*\\s(%[w]), %%ymm15\n\t"
            "vfmadd231ps %%ymm15, %%ymm12, %[b0]\n\t"
            "vfmadd231ps %%ymm15, %%ymm13, %[b1]\n\t"
            "vfmadd231ps %%ymm15, %%ymm14, %[b2]\n\t"
            "vmovups 64*\\s(%[v]), %%ymm15\n\t"
            "vfmadd231ps %%ymm15, %%ymm12, %[c0]\n\t"
            "vfmadd231ps %%ymm15, %%ymm13, %[c1]\n\t"
            "vfmadd231ps %%ymm15, %%ymm14, %[c2]\n\t"
            "vmovups 32+64*\\s(%[v]), %%ymm15\n\t"
            "vfmadd231ps %%ymm15, %%ymm12, %[d0]\n\t"
            "vfmadd231ps %%ymm15, %%ymm13, %[d1]\n\t"
            "vfmadd231ps %%ymm15, %%ymm14, %[d2]\n\t"
            ".endr"
            : [a0] "+x"(acc[0].low), [a1] "+x"(acc[2].low), [a2] "+x"(acc[4].low), [b0] "+x"(acc[0].high),
              [b1] "+x"(acc[2].high), [b2] "+x"(acc[4].high), [c0] "+x"(acc[1].low), [c1] "+x"(acc[3].low),
              [c2] "+x"(acc[5].low), [d0] "+x"(acc[1].high), [d1] "+x"(acc[3].high), [d2] "+x"(acc[5].high)
            : [x] "r"(x), [w] "r"(w), [v] "r"(v), "m"(*(const float (*)[48])x), "m"(*(const float (*)[256])w),
              "m"(*(const float (*)[256])v)
            : "xmm12", "xmm13", "xmm14", "xmm15");
}

/* One step, as for zmm; only a tile of single blocks has a second half. */
CNV_INLINE void tile_step(int pixels, int blocks, bool narrow, int gap, v16 *acc, const float *xa,
                          const float *xb, const float *w, int64_t w_block)
{
    if (blocks > 1) {
        tile_step_wide(pixels, narrow, gap, acc, xa, w, w_block);
        return;
    }
    const v16 w0 = v16_load(w);
    if (pixels > 0) tile_pixel(acc, xa, w0);
    if (pixels > 1) tile_pixel(acc + 1, xa + gap, w0);
    if (pixels > 2) tile_pixel(acc + 2, xa + 2 * gap, w0);
    if (pixels > 3) tile_pixel(acc + 3, xb, w0);
    if (pixels > 4) tile_pixel(acc + 4, xb + gap, w0);
    if (pixels > 5) tile_pixel(acc + 5, xb + 2 * gap, w0);
}
#endif

/* Some steps one after the other. */
CNV_INLINE void tile_steps(int pixels, int blocks, bool narrow, int64_t steps, v16 *acc, const float *xa,
                           const float *xb, const float *w, int64_t w_block)
{
    for (; steps > 0; steps--, w += 16) tile_step(pixels, blocks, narrow, 16, acc, xa++, xb++, w, w_block);
}

/* The sixteen steps of a whole channel block. A small tile has no instructions to spare for counting; with
 * zmm a second loop of each shape would only take time to compile. */
#if defined(__AVX512F__)
#define TILE_COUNTS_ALWAYS true
CNV_INLINE void tile_sixteen(int pixels, int blocks, bool narrow, v16 *acc, const float *xa, const float *xb,
                             const float *w, int64_t w_block)
{
    tile_steps(pixels, blocks, narrow, 16, acc, xa, xb, w, w_block);
}
#else
#define TILE_COUNTS_ALWAYS false
CNV_INLINE void tile_four(int pixels, int blocks, bool narrow, v16 *acc, const float *xa, const float *xb,
                          const float *w, int64_t w_block)
{
    tile_step(pixels, blocks, narrow, 16, acc, xa, xb, w, w_block);
    tile_step(pixels, blocks, narrow, 16, acc, xa + 1, xb + 1, w + 16, w_block);
    tile_step(pixels, blocks, narrow, 16, acc, xa + 2, xb + 2, w + 32, w_block);
    tile_step(pixels, blocks, narrow, 16, acc, xa + 3, xb + 3, w + 48, w_block);
}

CNV_INLINE void tile_sixteen(int pixels, int blocks, bool narrow, v16 *acc, const float *xa, const float *xb,
                             const float *w, int64_t w_block)
{
    if (pixels == TILE_PIXELS_2 && blocks > 1 && !narrow) {
        tile_sixteen_whole(acc, xa, w, w + w_block);
        return;
    }
    for (int i = 0; i < 16; i += 4)
        tile_four(pixels, blocks, narrow, acc, xa + i, xb + i, w + i * 16, w_block);
}
#endif

#endif
