/*
 * Two-dimensional convolution (cross-correlation, as every framework means it), forward and backward.
 *
 *     y[n,o,i,j] = b[o] + sum over c,r,s of w[o,c,r,s] * x[n, first(o) + c, i*stride - pad + r*dilation, ...]
 *
 * x: N, groups*IC, IH, IW   w: groups*OC, IC, KH, KW   b: groups*OC   y: N, groups*OC, OH, OW
 *
 * Work is cut by the layer's shape alone, so results depend neither on N nor on the number of threads. Every
 * backward kernel adds to its output. `scratch` is one slice per worker, scratch_stride bytes apart, of at
 * least the size that the *_scratch function of the same name returns.
 */
#ifndef CNV_KERNELS_CONV_H
#define CNV_KERNELS_CONV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/window.h"
#include "runtime/threads.h"

typedef struct cnv_conv2d {
    int64_t n;
    int64_t groups;
    int64_t ic;        /* per group */
    int64_t oc;        /* per group */
    cnv_window window; /* the padding below and to the right follows from oh and ow, and is not read */
} cnv_conv2d;

size_t cnv_conv2d_forward_scratch(const cnv_conv2d *c);
size_t cnv_conv2d_backward_data_scratch(const cnv_conv2d *c);
size_t cnv_conv2d_backward_weight_scratch(const cnv_conv2d *c);

/* b may be NULL. */
void cnv_conv2d_forward(float *y, const float *x, const float *w, const float *b, const cnv_conv2d *c,
                        void *scratch, size_t scratch_stride, cnv_run *run);
/* Adds the convolution to y, for the gradient of a transposed one. */
void cnv_conv2d_forward_add(float *y, const float *x, const float *w, const cnv_conv2d *c, void *scratch,
                            size_t scratch_stride, cnv_run *run);
void cnv_conv2d_backward_data(float *dx, const float *dy, const float *w, const cnv_conv2d *c, void *scratch,
                              size_t scratch_stride, cnv_run *run);
/* The images are summed in order. */
void cnv_conv2d_backward_weight(float *dw, const float *dy, const float *x, const cnv_conv2d *c,
                                void *scratch, size_t scratch_stride, cnv_run *run);
void cnv_conv2d_backward_bias(float *db, const float *dy, const cnv_conv2d *c, cnv_run *run);

/*
 * A transposed convolution is the adjoint of the convolution c, from c's outputs to its inputs: the passes of
 * one are those of the other, exchanged. Only the bias, groups*IC, and its gradient are not c's.
 *
 *     forward          y += cnv_conv2d_backward_data(dy = x), onto y filled with b
 *     backward_data    cnv_conv2d_forward_add(dx, x = dy), the scratch is cnv_conv2d_forward_scratch
 *     backward_weight  dw += cnv_conv2d_backward_weight(dy = x, x = dy)
 *
 * x: N, groups*OC, OH, OW   w: groups*OC, IC, KH, KW   y: N, groups*IC, IH, IW
 */
void cnv_conv_transpose2d_forward(float *y, const float *x, const float *w, const float *b,
                                  const cnv_conv2d *c, void *scratch, size_t scratch_stride, cnv_run *run);
void cnv_conv_transpose2d_backward_bias(float *db, const float *dy, const cnv_conv2d *c, cnv_run *run);

/* The functions above choose between a direct loop (cnv_conv_depthwise_*) and a GEMM (cnv_conv_gemm_*). */

/* Whether each group has one input channel: a direct loop then reads each number once. */
static inline bool cnv_conv2d_is_depthwise(const cnv_conv2d *c)
{
    return c->ic == 1 && c->groups > 1;
}

/* Whether the convolution is 1x1 with stride 1 and no padding: the columns of im2col are the input itself. */
static inline bool cnv_conv2d_is_pointwise(const cnv_conv2d *c)
{
    const cnv_window *v = &c->window;
    return cnv_window_taps(v) == 1 && v->stride[0] == 1 && v->stride[1] == 1 && v->pad[0] == 0 &&
           v->pad[1] == 0 && v->oh == v->ih && v->ow == v->iw;
}

/* In the forward passes, `add` keeps the numbers of y and adds to them; b is then NULL. */
void cnv_conv_depthwise_forward(float *y, const float *x, const float *w, const float *b, bool add,
                                const cnv_conv2d *c, cnv_run *run);
void cnv_conv_depthwise_backward_data(float *dx, const float *dy, const float *w, const cnv_conv2d *c,
                                      cnv_run *run);
void cnv_conv_depthwise_backward_weight(float *dw, const float *dy, const float *x, const cnv_conv2d *c,
                                        cnv_run *run);

size_t cnv_conv_gemm_forward_scratch(const cnv_conv2d *c);
size_t cnv_conv_gemm_backward_scratch(const cnv_conv2d *c);
void cnv_conv_gemm_forward(float *y, const float *x, const float *w, const float *b, bool add,
                           const cnv_conv2d *c, void *scratch, size_t scratch_stride, cnv_run *run);
void cnv_conv_gemm_backward_data(float *dx, const float *dy, const float *w, const cnv_conv2d *c,
                                 void *scratch, size_t scratch_stride, cnv_run *run);
void cnv_conv_gemm_backward_weight(float *dw, const float *dy, const float *x, const cnv_conv2d *c,
                                   void *scratch, size_t scratch_stride, cnv_run *run);

/* columns[(k*KH + r)*KW + s][p] = the input that output pixel `pixels.begin + p` sees through tap r,s of
 * channel k, zero in the padding; rows are pixels.end - pixels.begin long.  x: channels, IH, IW */
void cnv_im2col(float *columns, const float *x, int64_t channels, cnv_span pixels, const cnv_window *v);
/* The adjoint of cnv_im2col: adds every column entry to the input that it came from. */
void cnv_col2im(float *dx, const float *columns, int64_t channels, cnv_span pixels, const cnv_window *v);

#endif
