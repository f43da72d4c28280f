/*
 * One body of the micro-kernel per tile shape, to be called with the shape at hand: the registers of tile.h
 * need it as a constant.
 */
#ifndef CNV_FAST_TILE_SHAPES_H
#define CNV_FAST_TILE_SHAPES_H

#include "kernels/fast/tile.h"

/* pixels is 1..tile_pixels(blocks), the last digit of the name is the number of blocks. */
static __attribute__((noinline)) void tile_blocked_1(int pixels, const tile_walk *walk, const float *x0,
                                                     const float *x1, float *out)
{
    switch (pixels) {
    case 1:
        tile_blocked(1, 1, false, walk, x0, x1, out);
        return;
    case 2:
        tile_blocked(2, 1, false, walk, x0, x1, out);
        return;
    case 3:
        tile_blocked(3, 1, false, walk, x0, x1, out);
        return;
    case 4:
        tile_blocked(4, 1, false, walk, x0, x1, out);
        return;
    case 5:
        tile_blocked(5, 1, false, walk, x0, x1, out);
        return;
    case 6:
        tile_blocked(6, 1, false, walk, x0, x1, out);
        return;
#if TILE_PIXELS_1 > 6
    case 7:
        tile_blocked(7, 1, false, walk, x0, x1, out);
        return;
    case 8:
        tile_blocked(8, 1, false, walk, x0, x1, out);
        return;
    case 9:
        tile_blocked(9, 1, false, walk, x0, x1, out);
        return;
    case 10:
        tile_blocked(10, 1, false, walk, x0, x1, out);
        return;
    case 11:
        tile_blocked(11, 1, false, walk, x0, x1, out);
        return;
    case 12:
        tile_blocked(12, 1, false, walk, x0, x1, out);
        return;
    case 13:
        tile_blocked(13, 1, false, walk, x0, x1, out);
        return;
    case 14:
        tile_blocked(14, 1, false, walk, x0, x1, out);
        return;
#endif
    default:
        return;
    }
}

static __attribute__((noinline)) void tile_blocked_2(int pixels, const tile_walk *walk, const float *x0,
                                                     const float *x1, float *out)
{
    switch (pixels) {
    case 1:
        tile_blocked(1, 2, false, walk, x0, x1, out);
        return;
    case 2:
        tile_blocked(2, 2, false, walk, x0, x1, out);
        return;
    case 3:
        tile_blocked(3, 2, false, walk, x0, x1, out);
        return;
#if TILE_PIXELS_2 > 3
    case 4:
        tile_blocked(4, 2, false, walk, x0, x1, out);
        return;
    case 5:
        tile_blocked(5, 2, false, walk, x0, x1, out);
        return;
    case 6:
        tile_blocked(6, 2, false, walk, x0, x1, out);
        return;
    case 7:
        tile_blocked(7, 2, false, walk, x0, x1, out);
        return;
    case 8:
        tile_blocked(8, 2, false, walk, x0, x1, out);
        return;
    case 9:
        tile_blocked(9, 2, false, walk, x0, x1, out);
        return;
    case 10:
        tile_blocked(10, 2, false, walk, x0, x1, out);
        return;
    case 11:
        tile_blocked(11, 2, false, walk, x0, x1, out);
        return;
    case 12:
        tile_blocked(12, 2, false, walk, x0, x1, out);
        return;
    case 13:
        tile_blocked(13, 2, false, walk, x0, x1, out);
        return;
    case 14:
        tile_blocked(14, 2, false, walk, x0, x1, out);
        return;
#endif
    default:
        return;
    }
}

#if TILE_PIXELS_2 == 3
static __attribute__((noinline)) void tile_narrow_2(int pixels, const tile_walk *walk, const float *x0,
                                                    const float *x1, float *out)
{
    switch (pixels) {
    case 1:
        tile_blocked(1, 2, true, walk, x0, x1, out);
        return;
    case 2:
        tile_blocked(2, 2, true, walk, x0, x1, out);
        return;
    case 3:
        tile_blocked(3, 2, true, walk, x0, x1, out);
        return;
    default:
        return;
    }
}
#endif

static __attribute__((noinline)) void tile_planar_1(int pixels, const tile_walk *walk, const float *x0,
                                                    const float *x1, float *out)
{
    switch (pixels) {
    case 1:
        tile_planar(1, 1, walk, x0, x1, out);
        return;
    case 2:
        tile_planar(2, 1, walk, x0, x1, out);
        return;
    case 3:
        tile_planar(3, 1, walk, x0, x1, out);
        return;
    case 4:
        tile_planar(4, 1, walk, x0, x1, out);
        return;
    case 5:
        tile_planar(5, 1, walk, x0, x1, out);
        return;
    case 6:
        tile_planar(6, 1, walk, x0, x1, out);
        return;
#if TILE_PIXELS_1 > 6
    case 7:
        tile_planar(7, 1, walk, x0, x1, out);
        return;
    case 8:
        tile_planar(8, 1, walk, x0, x1, out);
        return;
    case 9:
        tile_planar(9, 1, walk, x0, x1, out);
        return;
    case 10:
        tile_planar(10, 1, walk, x0, x1, out);
        return;
    case 11:
        tile_planar(11, 1, walk, x0, x1, out);
        return;
    case 12:
        tile_planar(12, 1, walk, x0, x1, out);
        return;
    case 13:
        tile_planar(13, 1, walk, x0, x1, out);
        return;
    case 14:
        tile_planar(14, 1, walk, x0, x1, out);
        return;
#endif
    default:
        return;
    }
}

static __attribute__((noinline)) void tile_planar_2(int pixels, const tile_walk *walk, const float *x0,
                                                    const float *x1, float *out)
{
    switch (pixels) {
    case 1:
        tile_planar(1, 2, walk, x0, x1, out);
        return;
    case 2:
        tile_planar(2, 2, walk, x0, x1, out);
        return;
    case 3:
        tile_planar(3, 2, walk, x0, x1, out);
        return;
#if TILE_PIXELS_2 > 3
    case 4:
        tile_planar(4, 2, walk, x0, x1, out);
        return;
    case 5:
        tile_planar(5, 2, walk, x0, x1, out);
        return;
    case 6:
        tile_planar(6, 2, walk, x0, x1, out);
        return;
    case 7:
        tile_planar(7, 2, walk, x0, x1, out);
        return;
    case 8:
        tile_planar(8, 2, walk, x0, x1, out);
        return;
    case 9:
        tile_planar(9, 2, walk, x0, x1, out);
        return;
    case 10:
        tile_planar(10, 2, walk, x0, x1, out);
        return;
    case 11:
        tile_planar(11, 2, walk, x0, x1, out);
        return;
    case 12:
        tile_planar(12, 2, walk, x0, x1, out);
        return;
    case 13:
        tile_planar(13, 2, walk, x0, x1, out);
        return;
    case 14:
        tile_planar(14, 2, walk, x0, x1, out);
        return;
#endif
    default:
        return;
    }
}

#endif
