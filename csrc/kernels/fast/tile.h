/*
 * The micro-kernel: the sums of a tile, some pixels by one or two blocks of output channels, are held in
 * registers while the kernel walks along input channels and kernel taps. Part of the templates, see
 * table_template.h.
 *
 *     out[p][o] = start[o] + sum over steps s of x[p][s] * w[s][o]
 *
 * Direct convolution in both directions, 1x1 convolution and the Winograd products are all this sum; they
 * differ in the number of pixels of a row and in the address of a step's input. Every accumulator is summed
 * in the same order whatever the shape of the tile, so bits depend neither on the tiling nor on the
 * instruction set.
 *
 * Accumulators are in an array that is only indexed by constants in straight-line code (TILE_EACH_PIXEL): GCC
 * 12 keeps such an array in registers, and spills one that a loop indexes, even a loop that it unrolls later.
 */
#ifndef CNV_FAST_TILE_H
#define CNV_FAST_TILE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/fast/lanes.h"
#include "kernels/fast/tile_steps.h"

/* The part of a tile's description that the tiles of one row share. */
typedef struct tile_walk {
    const float *start;   /* [blocks of the tile][16]: the initial value of the sums; NULL for 0 */
    const float *partial; /* laid out as the result: the sums so far; NULL for the first part of a sum */
    const float *w;       /* the packed weights, [channels][16] per tap, taps inside channel blocks */
    int64_t w_block;      /* floats between the weights of two output blocks */
    int64_t channels;     /* input channels; the last block of 16 may be shorter */
    const int32_t *live;  /* the channel blocks that are not all zero; NULL for all channel blocks */
    int64_t begin, end;   /* the entries of `live` (or the channel blocks) that this part of the sum covers */
    bool narrow;     /* the second output block has at most eight channels; tiles may leave out the rest */
    int64_t x_block; /* floats between two channel blocks of x */
    int64_t taps;
    const int32_t *offset;         /* [taps]: floats from a pixel to the tap's input */
    int64_t out_pixel;             /* floats between two pixels of the result */
    int64_t out_block;             /* floats between two output blocks of the result */
    const char *ahead, *ahead_end; /* the weights to prefetch into L2; ahead is NULL if there are none */
    int64_t share;                 /* bytes that are prefetched for each tap of a channel block */

    /* The summand and the rectifier that are applied while the sums are in registers, because a pass through
     * memory would cost a tenth of a 1x1 layer. Both may be NULL. add is laid out as the result, and may be
     * it. */
    const float *add;
    const cnv_finish *rectifier;
    uint16_t *bits; /* the rectifier's bits of the tile's first pixel; NULL if there is no backward pass */
    int64_t bits_block;
} tile_walk;

/* Starts the sums of pixel p: acc[p * blocks + b] is that of output block b. */
CNV_INLINE void tile_begin(int p, int pixels, int blocks, v16 *acc, v16 s0, v16 s1)
{
    if (p >= pixels) return;
    acc[p * blocks] = s0;
    if (blocks > 1) acc[p * blocks + 1] = s1;
}

CNV_INLINE void tile_begin_all(int pixels, int blocks, v16 *acc, const float *start)
{
    const v16 s0 = start != NULL ? v16_load(start) : v16_zero();
    const v16 s1 = start != NULL && blocks > 1 ? v16_load(start + 16) : v16_zero();
    TILE_EACH_PIXEL(tile_begin, pixels, blocks, acc, s0, s1);
}

/* Loads the sums of pixel p from `from`, laid out as the result, or adds `from` to them. */
CNV_INLINE void tile_take(int p, int pixels, int blocks, bool adds, v16 *acc, const float *from,
                          const tile_walk *walk)
{
    if (p >= pixels) return;
    from += p * walk->out_pixel;
    acc += p * blocks;
    acc[0] = adds ? v16_add(acc[0], v16_load(from)) : v16_load(from);
    from += walk->out_block;
    if (blocks > 1) acc[1] = adds ? v16_add(acc[1], v16_load(from)) : v16_load(from);
}

CNV_INLINE void tile_take_all(int pixels, int blocks, bool adds, v16 *acc, const float *from,
                              const tile_walk *walk)
{
    TILE_EACH_PIXEL(tile_take, pixels, blocks, adds, acc, from, walk);
}

CNV_INLINE void tile_put(int p, int pixels, int blocks, bool clips, v16 high, const v16 *acc, float *out,
                         const tile_walk *walk)
{
    if (p >= pixels) return;
    const v16 zero = v16_zero(), a = acc[p * blocks];
    out += p * walk->out_pixel;
    v16_store(out, clips ? v16_min(high, v16_max(zero, a)) : a);
    if (blocks == 1) return;
    const v16 b = acc[p * blocks + 1];
    v16_store(out + walk->out_block, clips ? v16_min(high, v16_max(zero, b)) : b);
}

CNV_INLINE void tile_put_all(int pixels, int blocks, bool clips, v16 high, const v16 *acc, float *out,
                             const tile_walk *walk)
{
    TILE_EACH_PIXEL(tile_put, pixels, blocks, clips, high, acc, out, walk);
}

CNV_INLINE void tile_rectify(int p, int pixels, int blocks, const v16 *acc, float *out, const tile_walk *walk)
{
    if (p >= pixels) return;
    const cnv_finish *f = walk->rectifier;
    const bool bounded = f->high < INFINITY;
    uint16_t *bits = walk->bits + p;
    v16_store(out + p * walk->out_pixel, lanes_clip(acc[p * blocks], bits, bounded, f));
    if (blocks == 1) return;
    bits += walk->bits_block;
    v16_store(out + p * walk->out_pixel + walk->out_block, lanes_clip(acc[p * blocks + 1], bits, bounded, f));
}

CNV_INLINE void tile_rectify_all(int pixels, int blocks, const v16 *acc, float *out, const tile_walk *walk)
{
    TILE_EACH_PIXEL(tile_rectify, pixels, blocks, acc, out, walk);
}

CNV_INLINE void tile_end(int pixels, int blocks, v16 *acc, float *out, const tile_walk *walk)
{
    if (walk->add != NULL) tile_take_all(pixels, blocks, true, acc, walk->add, walk);
    if (walk->rectifier == NULL)
        tile_put_all(pixels, blocks, false, v16_zero(), acc, out, walk);
    else if (walk->bits == NULL)
        tile_put_all(pixels, blocks, true, v16_all(walk->rectifier->high), acc, out, walk);
    else
        tile_rectify_all(pixels, blocks, acc, out, walk);
}

/* Prefetches a channel block of a tile's pixels into L1. */
CNV_INLINE void tile_ask(int pixels, const float *x)
{
    for (int p = 0; p < pixels; p++) _mm_prefetch((const char *)(x + p * 16), _MM_HINT_T0);
}

/* Makes the next `tiles` tiles prefetch into L2 the weights that the tiles after them read: those of the
 * TILE_BLOCKS output blocks from w on, of which `left` exist. The tiles share the work evenly, because memory
 * delivers a cache line in the time of some twenty products and a tile that asks for more has to wait; fewer
 * than four lines at a time are not worth the instructions. */
CNV_INLINE void tile_want(tile_walk *walk, const float *w, int64_t left, int64_t tiles)
{
    const int64_t blocks = left < TILE_BLOCKS ? left : TILE_BLOCKS;
    const int64_t lines = cnv_ceil_div(blocks * 16, tiles);
    walk->share = (lines > 4 ? lines : 4) * 64;
    walk->ahead = blocks > 0 ? (const char *)w : NULL;
    walk->ahead_end = (const char *)(w + blocks * walk->w_block);
}

/* Moves `ahead` past the weights that the last tile has prefetched. */
CNV_INLINE void tile_wanted_less(tile_walk *walk)
{
    if (walk->ahead == NULL) return;
    walk->ahead += (walk->end - walk->begin) * walk->taps * walk->share;
    if (walk->ahead >= walk->ahead_end) walk->ahead = NULL;
}

/* Prefetches nbytes of weights into L2 and returns their end. */
CNV_INLINE const char *tile_ask_ahead(const char *ahead, int64_t nbytes)
{
    const char *end = ahead + nbytes;
    for (; ahead < end; ahead += 64) _mm_prefetch(ahead, _MM_HINT_T1);
    return ahead;
}

/* Adds all taps of one channel block, which has 16 channels (`whole`) or `steps`; w: the block's weights. */
CNV_INLINE const char *tile_taps(int pixels, int blocks, bool narrow, bool whole, int64_t steps, v16 *acc,
                                 const float *x, int64_t half, const float *w, const char *ahead,
                                 const tile_walk *walk)
{
    for (int64_t t = 0; t < walk->taps; t++, w += whole ? 256 : steps * 16) {
        const float *xa = x + walk->offset[t];
        if (ahead != NULL) ahead = tile_ask_ahead(ahead, walk->share);
        if (whole)
            tile_sixteen(pixels, blocks, narrow, acc, xa, xa + half, w, walk->w_block);
        else
            tile_steps(pixels, blocks, narrow, steps, acc, xa, xa + half, w, walk->w_block);
    }
    return ahead;
}

/* A tile of x in blocks: the sixteen channels of a pixel are neighbours, and a step is one of them. */
CNV_INLINE void tile_blocked(int pixels, int blocks, bool narrow, const tile_walk *given, const float *x0,
                             const float *x1, float *out)
{
    const tile_walk walk = *given; /* a copy, whose fields the loops can keep in registers */
    const int64_t half = x1 - x0;
    const char *ahead = walk.ahead;
    v16 acc[TILE_PIXELS * TILE_BLOCKS];
    if (walk.partial != NULL)
        tile_take_all(pixels, blocks, false, acc, walk.partial, &walk);
    else
        tile_begin_all(pixels, blocks, acc, walk.start);
    for (int64_t i = walk.begin; i < walk.end; i++) {
        const int64_t b = walk.live != NULL ? walk.live[i] : i, left = walk.channels - b * 16;
        const float *x = x0 + b * walk.x_block, *w = walk.w + b * walk.taps * 256;
        tile_ask(pixels, x + walk.x_block);
        if (left >= 16 && !TILE_COUNTS_ALWAYS)
            ahead = tile_taps(pixels, blocks, narrow, true, 16, acc, x, half, w, ahead, &walk);
        else
            ahead = tile_taps(pixels, blocks, narrow, false, left < 16 ? left : 16, acc, x, half, w, ahead,
                              &walk);
    }
    tile_end(pixels, blocks, acc, out, &walk);
}

/* A tile of x in planes, N,C,H,W: neighbouring pixels are neighbours in memory, and a "tap" is one tap of one
 * channel. It serves the first layer, whose input has too few channels to fill a block. */
CNV_INLINE void tile_planar(int pixels, int blocks, const tile_walk *walk, const float *x0, const float *x1,
                            float *out)
{
    v16 acc[TILE_PIXELS * TILE_BLOCKS];
    tile_begin_all(pixels, blocks, acc, walk->start);
    const float *w = walk->w;
    for (int64_t t = 0; t < walk->taps; t++, w += 16)
        tile_step(pixels, blocks, false, 1, acc, x0 + walk->offset[t], x1 + walk->offset[t], w,
                  walk->w_block);
    tile_end(pixels, blocks, acc, out, walk);
}

#endif
