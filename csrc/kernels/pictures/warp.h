/*
 * Planes moved: rolled, or seen through an affine map. Both are linear, and the adjoint of each stands beside
 * it: the roll back, and the one that spreads with the weights that the other reads with.
 */
#ifndef CNV_KERNELS_WARP_H
#define CNV_KERNELS_WARP_H

#include <stdint.h>

/* rows * columns is below 2^31. */
typedef struct cnv_planes {
    int64_t count;
    int64_t rows;
    int64_t columns;
} cnv_planes;

/* offset + by_row * i + by_column * j, of the pixel (i, j) */
typedef struct cnv_place {
    double offset;
    double by_row;
    double by_column;
} cnv_place;

/* y(i + down, j + right) = x(i, j), both modulo the extents and within 0 and them. */
void cnv_roll(float *y, const float *x, const cnv_planes *p, int64_t down, int64_t right);

/* y(i, j) = x(row, column), bilinearly; outside x its edge goes on. */
void cnv_resample(float *y, const float *x, const cnv_planes *p, const cnv_place *row,
                  const cnv_place *column);

void cnv_resample_adjoint(float *dx, const float *dy, const cnv_planes *p, const cnv_place *row,
                          const cnv_place *column);

#endif
