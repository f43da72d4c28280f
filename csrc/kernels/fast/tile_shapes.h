/*
 * The shapes of the micro-kernel: the registers of tile.h need a tile's extents as constants, so each shape
 * is compiled for itself and chosen by its number of pixels. Part of the templates, as tile.h is.
 *
 * The last digit of a name is the number of output blocks; pixels is 1..tile_pixels(blocks).
 */
#ifndef CNV_FAST_TILE_SHAPES_H
#define CNV_FAST_TILE_SHAPES_H

#include "kernels/fast/tile.h"

/* The loop over shapes, unrolled as TILE_EACH_PIXEL is: true once a call f(p, ...) returns true. */
#define TILE_ANY_PIXEL(f, ...)                                                             \
    (f(0, __VA_ARGS__) || f(1, __VA_ARGS__) || f(2, __VA_ARGS__) || f(3, __VA_ARGS__) ||   \
     f(4, __VA_ARGS__) || f(5, __VA_ARGS__) || f(6, __VA_ARGS__) || f(7, __VA_ARGS__) ||   \
     f(8, __VA_ARGS__) || f(9, __VA_ARGS__) || f(10, __VA_ARGS__) || f(11, __VA_ARGS__) || \
     f(12, __VA_ARGS__) || f(13, __VA_ARGS__))

/* Computes the tile and returns true if it has p + 1 pixels: a call with literals compiles that one shape. */
CNV_INLINE bool tile_blocked_shape(int p, int pixels, int blocks, bool narrow, const tile_walk *walk,
                                   const float *x0, const float *x1, float *out)
{
    if (p + 1 != pixels || p >= tile_pixels(blocks)) return false;
    tile_blocked(p + 1, blocks, narrow, walk, x0, x1, out);
    return true;
}

CNV_INLINE bool tile_planar_shape(int p, int pixels, int blocks, const tile_walk *walk, const float *x0,
                                  const float *x1, float *out)
{
    if (p + 1 != pixels || p >= tile_pixels(blocks)) return false;
    tile_planar(p + 1, blocks, walk, x0, x1, out);
    return true;
}

static __attribute__((noinline)) void tile_blocked_1(int pixels, const tile_walk *walk, const float *x0,
                                                     const float *x1, float *out)
{
    (void)(TILE_ANY_PIXEL(tile_blocked_shape, pixels, 1, false, walk, x0, x1, out));
}

static __attribute__((noinline)) void tile_blocked_2(int pixels, const tile_walk *walk, const float *x0,
                                                     const float *x1, float *out)
{
    (void)(TILE_ANY_PIXEL(tile_blocked_shape, pixels, 2, false, walk, x0, x1, out));
}

#if TILE_PIXELS_2 == 3
static __attribute__((noinline)) void tile_narrow_2(int pixels, const tile_walk *walk, const float *x0,
                                                    const float *x1, float *out)
{
    (void)(TILE_ANY_PIXEL(tile_blocked_shape, pixels, 2, true, walk, x0, x1, out));
}
#endif

static __attribute__((noinline)) void tile_planar_1(int pixels, const tile_walk *walk, const float *x0,
                                                    const float *x1, float *out)
{
    (void)(TILE_ANY_PIXEL(tile_planar_shape, pixels, 1, walk, x0, x1, out));
}

static __attribute__((noinline)) void tile_planar_2(int pixels, const tile_walk *walk, const float *x0,
                                                    const float *x1, float *out)
{
    (void)(TILE_ANY_PIXEL(tile_planar_shape, pixels, 2, walk, x0, x1, out));
}

#endif
