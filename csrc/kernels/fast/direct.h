/*
 * Direct convolution on blocked pictures, as a sum over taps:
 *
 *     y[origin + g * step] = finish(bias + sum over taps t of w_t x[g * stride + tap_t]),   g on a grid
 *
 * with zeros outside of x. A forward pass is one such sum. A backward pass with stride s is s*s sums: the
 * pixels of dx whose coordinates leave the same remainder by the stride (a "phase") see the same taps, and
 * each phase is a sum over dy with stride 1, without a column buffer or inserted zeros.
 *
 * Strips of rows of x are copied into scratch memory. The copy holds zeros for the padding, keeps the columns
 * of each remainder by the stride apart, and has passed the gate of a fused rectifier, so the pixels that a
 * tile reads are neighbours. A 1x1 sum without stride and gate reads x itself. A backward pass leaves out the
 * channel blocks of a strip that are all zero, which changes no bit of the sum.
 *
 * A description (cnv_direct) depends on the shape alone and is made once; kernels only read it.
 */
#ifndef CNV_FAST_DIRECT_H
#define CNV_FAST_DIRECT_H

#include "kernels/fast/blocked.h"
#include "runtime/threads.h"

#define CNV_MAX_TAPS 384 /* the largest planar first layer in use, 11x11 over three channels, has 363 */
#define CNV_MAX_PHASES 16
#define CNV_DIRECT_BLOCKS 2 /* the output blocks of the widest tile, whose weights a pass packs together */

/* A convolution as its node states it. In pairs the row's value is before the column's. */
typedef struct cnv_geometry {
    int64_t images;
    int64_t ic, ih, iw;
    int64_t oc, oh, ow;
    int64_t kernel[2], stride[2], pad[2], dilation[2];
} cnv_geometry;

typedef struct cnv_direct {
    int64_t images;
    int64_t ic, oc; /* channels of x and of y; a backward pass, whose x is dy, exchanges the layer's */
    int64_t xh, xw;
    int64_t yh, yw;
    int64_t x_image, y_image;     /* floats between images */
    int64_t rows, cols;           /* extents of the grid; if in_place, one row of all pixels */
    int64_t origin[2], step[2];   /* grid point g is pixel origin + g * step of y */
    int64_t first[2];             /* the pixel of x of grid point 0 and tap 0 */
    int64_t stride[2];            /* pixels of x between grid points */
    int64_t taps;                 /* number of taps; if planar, of all channels together */
    int32_t tap[CNV_MAX_TAPS];    /* the index of a tap's weight in its kernel */
    int32_t offset[CNV_MAX_TAPS]; /* floats from a grid point to a tap's pixel in the copied strip */

    bool packed; /* the weights are packed; otherwise each pass packs them block by block */
    bool backward;
    int64_t kernel_size; /* taps of the kernel, which may be more than the sum's, to read plain weights */

    bool planar;   /* x is N,C,H,W with few channels; the weights are packed */
    bool in_place; /* tiles read x itself, there is no copy */
    bool seamless; /* the rows of a strip are contiguous in its copy and in y, and are handled as one row */
    int64_t strip; /* grid rows per item; if in_place, grid pixels */
    int64_t group; /* output blocks per item */
    int64_t phases;
    int64_t phase[CNV_MAX_PHASES][2]; /* the remainders of row and column by the stride that some tap reads */
    int64_t phase_rows, pitch; /* rows and columns of one phase of one channel block of a strip's copy */
} cnv_direct;

/* Whether the taps fit into a description and the copy of a strip into memory, for the forward pass, the
 * backward pass and the image gradient. */
bool cnv_direct_fits(const cnv_geometry *g);

/* Describes the forward pass, of x in N,C,H,W if planar. Sets `packed`; a caller with plain weights clears
 * it. */
void cnv_direct_forward(cnv_direct *d, const cnv_geometry *g, bool planar);

/* Describes phase `phase` of the backward pass, below stride[0] * stride[1]. gated: dy passes a rectifier. */
void cnv_direct_backward(cnv_direct *d, const cnv_geometry *g, int64_t phase, bool gated);

/* Scratch bytes of one worker, the sum of the three below: the list of channel blocks that are not all zero
 * (backward), the copy of a strip, and the packed weights of CNV_DIRECT_BLOCKS blocks unless `packed`. */
size_t cnv_direct_scratch(const cnv_direct *d);
size_t cnv_direct_list(const cnv_direct *d);
size_t cnv_direct_copy(const cnv_direct *d);
size_t cnv_direct_weights(const cnv_direct *d); /* bytes of the packed weights of all blocks */

/* packed: [output blocks][channel blocks][taps][16 channels or fewer][16 outputs]   w: O,I,KH,KW
 *
 * In a backward pass O and I exchange their roles. */
void cnv_direct_pack(float *packed, const float *w, const cnv_direct *d);

/* y, x: blocked (x: N,C,H,W if planar)   weights: packed, or O,I,KH,KW   bias: output blocks,16, or NULL */
typedef void cnv_direct_kernel(float *y, const float *x, const float *weights, const float *bias,
                               const cnv_finish *finish, const cnv_gate *gate, const cnv_direct *d,
                               void *scratch, size_t scratch_stride, cnv_run *run);

#endif
