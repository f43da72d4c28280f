/*
 * Kernels that treat every pixel's sixteen channels by themselves: what could not be fused into a
 * convolution, and the way into and out of the blocked layout.
 */
#ifndef CNV_FAST_LANEWISE_H
#define CNV_FAST_LANEWISE_H

#include "kernels/fast/blocked.h"
#include "runtime/threads.h"

/* The extents of a picture: images of `channels` channels, or their blocks, of `pixels` pixels. */
typedef struct cnv_picture {
    int64_t images;
    int64_t channels;
    int64_t pixels;
} cnv_picture;

/* N,C,pixels <-> N,C/16,pixels,16; y is overwritten, or added to. */
typedef void cnv_reorder_kernel(float *y, const float *x, bool accumulate, const cnv_picture *p,
                                cnv_run *run);

/* y = finish(x): a rectifier, a sum of two pictures, or both. y may be x. */
typedef void cnv_finish_kernel(float *y, const float *x, const cnv_finish *finish, const cnv_picture *p,
                               cnv_run *run);

/* dx = what the gate lets through of dy, or dx += that. */
typedef void cnv_gate_kernel(float *dx, const float *dy, const cnv_gate *gate, bool accumulate,
                             const cnv_picture *p, cnv_run *run);

/* dead[n]: no number of image n has its bit set, zeros and NaN aside. */
typedef void cnv_dead_kernel(bool *dead, const float *dy, const uint16_t *bits, const cnv_picture *p,
                             cnv_run *run);

/* Blocks that lie behind one another in y, from block `first` of its `y_blocks` on: what a concatenation of
 * channels moves. Forward copies x into y; backward copies or adds the slice of dy to dx. */
typedef struct cnv_slice {
    int64_t images;
    int64_t x_size; /* floats of one image of x */
    int64_t y_size; /* of y */
    int64_t first;  /* where the slice begins in an image of y */
} cnv_slice;

typedef void cnv_slice_forward_kernel(float *y, const float *x, const cnv_slice *s, cnv_run *run);
typedef void cnv_slice_backward_kernel(float *dx, const float *dy, bool accumulate, const cnv_slice *s,
                                       cnv_run *run);

#endif
