/*
 * One step of the micro-kernel: the products of one input channel at one kernel tap, for every sum of a tile.
 * The pixel's input is broadcast, sixteen output channels are one vector, and a step is one fused
 * multiply-add for each pair of a pixel and a vector.
 *
 * Part of the templates (see table_template.h): vec.h chooses the vector, this file the shape of the tile.
 */
#ifndef CNV_FAST_TILE_STEPS_H
#define CNV_FAST_TILE_STEPS_H

#include "kernels/fast/vec.h"

/* The extents of the largest tiles that leave registers for weights and broadcasts, in pixels by blocks of
 * sixteen output channels: 14 x 2 in 32 zmm registers; 3 x 2 or 6 x 1 in 16 ymm registers. The wide ymm tile
 * (3 x 2) takes seven loads for its twelve products where the tall one takes eight, which shows when two
 * programs share a core. */
#define TILE_BLOCKS 2
#if VEC_ZMM
#define TILE_PIXELS_1 14
#define TILE_PIXELS_2 14
#else
#define TILE_PIXELS_1 6
#define TILE_PIXELS_2 3
#endif
#define TILE_PIXELS TILE_PIXELS_1
#define TILE_HALF (TILE_PIXELS / 2)

/* The largest number of pixels of a tile that has `blocks` output blocks. */
CNV_INLINE int64_t tile_pixels(int64_t blocks)
{
    return blocks > 1 ? TILE_PIXELS_2 : TILE_PIXELS_1;
}

/* The loop over the pixels of a tile, unrolled: calls f(p, ...) for p = 0..13, because compilers keep a sum
 * in a register only if literals index it. f returns at once for a pixel that its tile does not have. */
#define TILE_EACH_PIXEL(f, ...)                                                                     \
    (f(0, __VA_ARGS__), f(1, __VA_ARGS__), f(2, __VA_ARGS__), f(3, __VA_ARGS__), f(4, __VA_ARGS__), \
     f(5, __VA_ARGS__), f(6, __VA_ARGS__), f(7, __VA_ARGS__), f(8, __VA_ARGS__), f(9, __VA_ARGS__), \
     f(10, __VA_ARGS__), f(11, __VA_ARGS__), f(12, __VA_ARGS__), f(13, __VA_ARGS__))

#if VEC_ZMM
CNV_INLINE void tile_add_product(v16 *sum, v16 value, v16 w)
{
    *sum = v16_fma(value, w, *sum);
}
#else
CNV_INLINE void tile_add_product(v16 *sum, v16 value, v16 w)
{
    v8_add_product(&sum->low, value.low, w.low);
    v8_add_product(&sum->high, value.high, w.high);
}

/* Adds the products of eight lanes of weights and up to three pixels. */
CNV_INLINE void tile_eight(int pixels, const float *w, const __m256 *x, __m256 *s0, __m256 *s1, __m256 *s2)
{
    const __m256 eight = _mm256_loadu_ps(w);
    v8_add_product(s0, x[0], eight);
    if (pixels > 1) v8_add_product(s1, x[1], eight);
    if (pixels > 2) v8_add_product(s2, x[2], eight);
}

/* One step for two blocks; `narrow` leaves out the second half of the second block. The pixels stay in
 * registers, each vector of weights is loaded, used and dropped. */
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

/* Sixteen steps of the full wide tile, 3 x 2, in assembly: it uses exactly the sixteen registers, and
 * compilers that choose registers themselves move sums between them up to three times a step. w and v are the
 * weights of the two blocks. */
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

#endif

/* Adds the product of pixel p, whose tile has single blocks or, with zmm, two. The first half of the pixels
 * begins at xa, the second half at xb. */
CNV_INLINE void tile_step_pixel(int p, int pixels, int blocks, int gap, v16 *acc, const float *xa,
                                const float *xb, v16 w0, v16 w1)
{
    if (p >= pixels) return;
    const v16 value = v16_all(p < TILE_HALF ? xa[p * gap] : xb[(p - TILE_HALF) * gap]);
    tile_add_product(&acc[p * blocks], value, w0);
    if (blocks > 1) tile_add_product(&acc[p * blocks + 1], value, w1);
}

/* One step for `pixels` pixels, `gap` floats apart: the first half from xa on, the second half from xb on. */
CNV_INLINE void tile_step(int pixels, int blocks, bool narrow, int gap, v16 *acc, const float *xa,
                          const float *xb, const float *w, int64_t w_block)
{
#if VEC_ZMM
    (void)narrow;
#else
    if (blocks > 1) {
        tile_step_wide(pixels, narrow, gap, acc, xa, w, w_block);
        return;
    }
#endif
    const v16 w0 = v16_load(w), w1 = blocks > 1 ? v16_load(w + w_block) : w0;
    TILE_EACH_PIXEL(tile_step_pixel, pixels, blocks, gap, acc, xa, xb, w0, w1);
}

/* `steps` steps: neighbouring input channels of one tap. */
CNV_INLINE void tile_steps(int pixels, int blocks, bool narrow, int64_t steps, v16 *acc, const float *xa,
                           const float *xb, const float *w, int64_t w_block)
{
    for (; steps > 0; steps--, w += 16) tile_step(pixels, blocks, narrow, 16, acc, xa++, xb++, w, w_block);
}

/* The sixteen steps of a whole channel block. A ymm tile has no instructions to spare for a loop
 * counter, so its steps are unrolled; a zmm tile has, and a second loop for each shape would only take
 * time to compile. */
#if VEC_ZMM
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
