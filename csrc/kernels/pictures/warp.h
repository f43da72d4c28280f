/*
 * Planes rolled, or resampled through an affine map. Both are linear: the adjoint of a roll is the roll back,
 * that of resampling adds to each pixel with the weights with which resampling reads it.
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

/* A coordinate in x of the pixel (i, j) of y: offset + by_row * i + by_column * j. */
typedef struct cnv_place {
    double offset;
    double by_row;
    double by_column;
} cnv_place;

/* y(i + down, j + right) = x(i, j), modulo the extents; 0 <= down < rows and 0 <= right < columns. */
void cnv_roll(float *y, const float *x, const cnv_planes *p, int64_t down, int64_t right);

/* y(i, j) = x(row, column), interpolated bilinearly; outside of x its edge pixels repeat. */
void cnv_resample(float *y, const float *x, const cnv_planes *p, const cnv_place *row,
                  const cnv_place *column);

void cnv_resample_adjoint(float *dx, const float *dy, const cnv_planes *p, const cnv_place *row,
                          const cnv_place *column);

#endif
