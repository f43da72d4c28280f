/*
 * Pooling over the last two axes, forward and backward. `planes` is N * C; x: planes, IH, IW and
 * y: planes, OH, OW. Backward adds to dx.
 */
#ifndef CNV_KERNELS_POOL_H
#define CNV_KERNELS_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/window.h"
#include "runtime/threads.h"

typedef struct cnv_pool2d {
    int64_t planes;
    cnv_window window;
    bool count_include_pad; /* the divisor of an average also counts the taps on the padding */
} cnv_pool2d;

/* The number of bytes of a winner's tap: 1 up to 256 taps, 2 up to 65536, else 4. */
static inline size_t cnv_max_pool_index_nbytes(const cnv_pool2d *p)
{
    int64_t taps = cnv_window_taps(&p->window);
    return taps <= 256 ? 1 : taps <= 65536 ? 2 : 4;
}

/* Padding counts as -inf, the first of equal maxima wins, and a NaN in the window wins over all numbers.
 * index: the winners' taps, planes, OH, OW entries of cnv_max_pool_index_nbytes each, or NULL. */
void cnv_max_pool_forward(float *y, void *index, const float *x, const cnv_pool2d *p, cnv_run *run);
void cnv_max_pool_backward(float *dx, const float *dy, const void *index, const cnv_pool2d *p, cnv_run *run);

/* The places of the maxima in their planes, row * IW + column, as numbers. */
void cnv_max_pool_position(float *y, const float *x, const cnv_pool2d *p, cnv_run *run);

/* The inverse of pooling, up to what it dropped: y is 0 but for x at its positions; of equal positions the
 * last counts, and those outside of y are left out. x: planes, n_in   y: planes, n_out   taken: n_out bytes
 * of scratch for each worker, taken_stride bytes apart. */
typedef struct cnv_max_unpool {
    int64_t planes;
    int64_t n_in;
    int64_t n_out;
} cnv_max_unpool;
void cnv_max_unpool_forward(float *y, const float *x, const float *position, const cnv_max_unpool *u,
                            cnv_run *run);
void cnv_max_unpool_backward(float *dx, const float *dy, const float *position, const cnv_max_unpool *u,
                             void *taken, size_t taken_stride, cnv_run *run);

/* The average of a window without a counted tap is 0. Taps beyond the padding, which windows reach in ceil
 * mode, are never counted. */
void cnv_average_pool_forward(float *y, const float *x, const cnv_pool2d *p, cnv_run *run);
void cnv_average_pool_backward(float *dx, const float *dy, const cnv_pool2d *p, cnv_run *run);

/* y: planes   x: planes, size */
void cnv_global_average_pool_forward(float *y, const float *x, int64_t planes, int64_t size, cnv_run *run);
void cnv_global_average_pool_backward(float *dx, const float *dy, int64_t planes, int64_t size, cnv_run *run);

/* As max pooling. index: planes, or NULL */
void cnv_global_max_pool_forward(float *y, int64_t *index, const float *x, int64_t planes, int64_t size,
                                 cnv_run *run);
void cnv_global_max_pool_backward(float *dx, const float *dy, const int64_t *index, int64_t planes,
                                  int64_t size, cnv_run *run);

#endif
