/*
 * Sampling of a picture at given positions, forward and backward.
 *
 *     y[n,c,p] = sum over the taps around position p of grid[n,p] of weight * x[n,c,tap]
 *
 * x: images, C, extents   grid: images, points, axes   y: n, C, points
 *
 * A row of the grid has the coordinates of a point, the last axis's first, from -1 to 1 across the picture:
 * between the centres of its outermost elements (corners), or between its edges. An image of x or a grid may
 * serve all n outputs. Work is cut by shapes alone; backward kernels add to their output.
 */
#ifndef CNV_KERNELS_GRID_SAMPLE_H
#define CNV_KERNELS_GRID_SAMPLE_H

#include <stdbool.h>

#include "runtime/threads.h"
#include "runtime/types.h"

#define CNV_SAMPLE_AXES 3

typedef struct cnv_grid_sample {
    int64_t n;
    int64_t x_images; /* n, or 1 */
    int64_t grids;    /* n, or 1 */
    int64_t channels;
    int64_t points; /* of one image */
    int axes;
    int64_t extent[CNV_SAMPLE_AXES]; /* of the first `axes` axes of x behind its channels */
    int degree;                      /* taps of an axis: the nearest (0), two (1) or four (3) */
    cnv_pad_mode padding;            /* elements beyond x: zeros, its edge, or its reflection */
    bool corners;
    bool elements; /* the grid has indices of elements, fractions between them, and `corners` is not read */
} cnv_grid_sample;

void cnv_grid_sample_forward(float *y, const float *x, const float *grid, const cnv_grid_sample *s,
                             cnv_run *run);
void cnv_grid_sample_backward_data(float *dx, const float *dy, const float *grid, const cnv_grid_sample *s,
                                   cnv_run *run);
void cnv_grid_sample_backward_grid(float *dgrid, const float *dy, const float *x, const float *grid,
                                   const cnv_grid_sample *s, cnv_run *run);

#endif
