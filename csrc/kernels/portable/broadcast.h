/*
 * NumPy broadcasting of two operands to one output, as strides.
 */
#ifndef CNV_KERNELS_BROADCAST_H
#define CNV_KERNELS_BROADCAST_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/types.h"

/* The output's axes with strides, in elements, into the output and both operands: 0 along an axis that
 * broadcasts. Axes of extent 1 are left out and neighbouring axes are merged where strides allow it, so the
 * last axis is as long as possible. There is at least one axis. */
typedef struct cnv_broadcast {
    int ndim;
    int64_t dim[CNV_MAX_NDIM];
    int64_t y[CNV_MAX_NDIM];
    int64_t a[CNV_MAX_NDIM];
    int64_t b[CNV_MAX_NDIM];
} cnv_broadcast;

/* y: the broadcast shape of a and b */
cnv_broadcast cnv_broadcast_of(const cnv_shape *y, const cnv_shape *a, const cnv_shape *b);

int64_t cnv_broadcast_size(const cnv_broadcast *shape);

/* A stretch of n elements along the output's last axis, and its offset in each of the three arrays. Inside a
 * stretch the arrays have the strides of the last axis. */
typedef struct cnv_stretch {
    int64_t y;
    int64_t a;
    int64_t b;
    int64_t n;
} cnv_stretch;

/* The stretch that begins at element `begin`, counted in C order, and ends at `end` or with its row. */
cnv_stretch cnv_broadcast_stretch(const cnv_broadcast *shape, int64_t begin, int64_t end);

/* The output's axes in two groups for one operand: the axes that it has (kept), and those along which it was
 * broadcast (dropped). Each of its n_kept elements receives the gradients of n_dropped outputs. */
typedef struct cnv_fold {
    cnv_broadcast kept;
    cnv_broadcast dropped;
    int64_t n_kept;
    int64_t n_dropped;
} cnv_fold;

cnv_fold cnv_fold_of(const cnv_broadcast *shape, bool to_a);

#endif
