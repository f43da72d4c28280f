/*
 * Kernels that handle each pixel and channel block on its own: rectifiers and sums that are not fused into a
 * convolution, slices of channels, and the conversion to and from the blocked layout.
 */
#ifndef CNV_FAST_LANEWISE_H
#define CNV_FAST_LANEWISE_H

#include "kernels/fast/blocked.h"
#include "runtime/threads.h"

/* The extents of an array N,C,H,W or N,C/16,H,W,16, with H * W = `pixels`. */
typedef struct cnv_picture {
    int64_t images;
    int64_t channels;
    int64_t pixels;
} cnv_picture;

/* y = x in the other layout, N,C,pixels or N,C/16,pixels,16; or y += x if accumulate. */
typedef void cnv_reorder_kernel(float *y, const float *x, bool accumulate, const cnv_picture *p,
                                cnv_run *run);

/* y = finish(x): a rectifier, a sum of two arrays, or both. y may be x. */
typedef void cnv_finish_kernel(float *y, const float *x, const cnv_finish *finish, const cnv_picture *p,
                               cnv_run *run);

/* dx = gate(dy), or dx += gate(dy) if accumulate. */
typedef void cnv_gate_kernel(float *dx, const float *dy, const cnv_gate *gate, bool accumulate,
                             const cnv_picture *p, cnv_run *run);

/* dead[n]: the plain rule passes nothing of image n, as every dy whose bit is set is 0 or NaN. */
typedef void cnv_dead_kernel(bool *dead, const float *dy, const uint16_t *bits, const cnv_picture *p,
                             cnv_run *run);

/* A slice of whole channel blocks of y that has the contents of x, as a concatenation of channels makes it.
 * Forward copies x into the slice; backward copies the slice of dy to dx, or adds it. */
typedef struct cnv_slice {
    int64_t images;
    int64_t x_size; /* floats of one image of x, and of the slice */
    int64_t y_size; /* floats of one image of y */
    int64_t first;  /* floats before the slice in an image of y */
} cnv_slice;

typedef void cnv_slice_forward_kernel(float *y, const float *x, const cnv_slice *s, cnv_run *run);
typedef void cnv_slice_backward_kernel(float *dx, const float *dy, bool accumulate, const cnv_slice *s,
                                       cnv_run *run);

#endif
