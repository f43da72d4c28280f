/*
 * Direct convolution on blocked pictures, as a sum over taps:
 *
 *     y[origin + g * step] = finish(bias + sum over taps t of w_t x[g * stride + tap_t]),   g on a grid
 *
 * with zeros outside of x. A forward pass is one such sum. A backward pass with stride s is s*s of them: the
 * pixels of dx whose coordinates leave the same remainder see the same taps (its "phase"), and each phase is
 * a plain sum over dy with stride 1: no column buffer, no zeros inserted.
 *
 * Strips of x are copied into scratch memory, where padding is real zeros, a stride has been resolved by
 * keeping the columns of each remainder apart, and a fused rectifier's gate has been applied; the tiles then
 * read pixels that are neighbours. A 1x1 sum without stride and gate reads x itself. A backward pass leaves
 * out the channel blocks of a strip that are all zero: what they add is nothing, to the bit.
 *
 * The description is made once, by the shape alone; then kernels only run.
 */
#ifndef CNV_FAST_DIRECT_H
#define CNV_FAST_DIRECT_H

#include "kernels/fast/blocked.h"
#include "runtime/threads.h"

#define CNV_MAX_TAPS 384 /* 11x11 over three channels, the largest first layer in use, has 363 */
#define CNV_MAX_PHASES 16
#define CNV_DIRECT_BLOCKS 2 /* output blocks whose weights are packed at a time: those of the widest tile */

/* A convolution as its node states it; rows before columns. */
typedef struct cnv_geometry {
    int64_t images;
    int64_t ic, ih, iw;
    int64_t oc, oh, ow;
    int64_t kernel[2], stride[2], pad[2], dilation[2];
} cnv_geometry;

typedef struct cnv_direct {
    int64_t images;
    int64_t ic, oc; /* channels of x and y here: a backward pass has them the other way round */
    int64_t xh, xw;
    int64_t yh, yw;
    int64_t x_image, y_image;     /* floats between images */
    int64_t rows, cols;           /* the grid; in_place: one row of all pixels */
    int64_t origin[2], step[2];   /* where it lies in y */
    int64_t first[2], stride[2];  /* x of grid point 0 and tap 0; between grid points */
    int64_t taps;                 /* planar: of all channels together */
    int32_t tap[CNV_MAX_TAPS];    /* which of the kernel's weights, per pair of channels */
    int32_t offset[CNV_MAX_TAPS]; /* where its pixel lies in the copied strip, in floats */

    bool packed; /* the weights come packed; otherwise each pass packs them as it goes */
    bool backward;
    int64_t kernel_size; /* only for reading plain weights: taps of the kernel, which may be more than this
                            sum's */

    bool planar;   /* x is N,C,H,W with few channels; its weights come packed */
    bool in_place; /* no copy: tiles read x */
    bool seamless; /* a strip's rows follow on each other in its copy and in y, as if they were one */
    int64_t strip; /* grid rows per item; in_place: grid pixels */
    int64_t group; /* output blocks per item */
    int64_t phases;
    int64_t phase[CNV_MAX_PHASES][2]; /* remainders of row and column, by stride, that some tap reads */
    int64_t phase_rows, pitch;        /* extents of one phase of one channel block of a strip */
} cnv_direct;

/* Whether the taps fit into a description, and a strip's copy into memory: also those of a backward pass and
 * of an image gradient. */
bool cnv_direct_fits(const cnv_geometry *g);

/* planar: x stays N,C,H,W. Weights are taken to come packed; whoever has none clears `packed`. */
void cnv_direct_forward(cnv_direct *d, const cnv_geometry *g, bool planar);

/* Phase number `phase` of the backward pass, below stride[0] * stride[1]. gated: dy passes a rectifier. */
void cnv_direct_backward(cnv_direct *d, const cnv_geometry *g, int64_t phase, bool gated);

/* Bytes per worker: a list of channel blocks (backward), the copy of a strip, weights that come plain. */
size_t cnv_direct_scratch(const cnv_direct *d);
size_t cnv_direct_list(const cnv_direct *d);
size_t cnv_direct_copy(const cnv_direct *d);
size_t cnv_direct_weights(const cnv_direct *d); /* bytes of packed weights */

/* From O,I,KH,KW: [block of outputs][channels][16] per tap, taps inside blocks of channels. Backward, the
 * roles of O and I change. */
void cnv_direct_pack(float *packed, const float *w, const cnv_direct *d);

/* weights: packed or O,I,KH,KW, as d says. bias: padded to whole blocks, or NULL. */
typedef void cnv_direct_kernel(float *y, const float *x, const float *weights, const float *bias,
                               const cnv_finish *finish, const cnv_gate *gate, const cnv_direct *d,
                               void *scratch, size_t scratch_stride, cnv_run *run);

#endif
