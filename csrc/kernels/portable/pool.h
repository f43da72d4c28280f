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
    bool count_include_pad; /* average: the divisor counts the taps that fall on padding, too */
} cnv_pool2d;

/* Bytes per output of the tap that won: 1 up to 256 taps, 2 up to 65536, else 4. */
static inline size_t cnv_max_pool_index_nbytes(const cnv_pool2d *p)
{
    int64_t taps = cnv_window_taps(&p->window);
    return taps <= 256 ? 1 : taps <= 65536 ? 2 : 4;
}

/* Padding counts as -inf, the first of equal maxima wins, and a NaN in the window wins over all numbers.
 * index: planes * OH * OW entries of cnv_max_pool_index_nbytes each, or NULL. */
void cnv_max_pool_forward(float *y, void *index, const float *x, const cnv_pool2d *p, cnv_run *run);
void cnv_max_pool_backward(float *dx, const float *dy, const void *index, const cnv_pool2d *p, cnv_run *run);

/* A window without a countable tap averages to 0. Taps beyond the padding, where ceil mode lets windows
 * reach, are never counted. */
void cnv_average_pool_forward(float *y, const float *x, const cnv_pool2d *p, cnv_run *run);
void cnv_average_pool_backward(float *dx, const float *dy, const cnv_pool2d *p, cnv_run *run);

/* x: planes, size   y: planes */
void cnv_global_average_pool_forward(float *y, const float *x, int64_t planes, int64_t size, cnv_run *run);
void cnv_global_average_pool_backward(float *dx, const float *dy, int64_t planes, int64_t size, cnv_run *run);

/* As max pooling. index: planes entries, or NULL. */
void cnv_global_max_pool_forward(float *y, int64_t *index, const float *x, int64_t planes, int64_t size,
                                 cnv_run *run);
void cnv_global_max_pool_backward(float *dx, const float *dy, const int64_t *index, int64_t planes,
                                  int64_t size, cnv_run *run);

#endif
