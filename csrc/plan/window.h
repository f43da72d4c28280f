/* The window of a convolution or a pooling node: its checks, and its form for the kernels. */
#ifndef CNV_PLAN_WINDOW_H
#define CNV_PLAN_WINDOW_H

#include "kernels/window.h"
#include "plan/kernel.h"

/* Writes the rows and columns of y, both N,C,H,W, for a window of these parameters and this kernel (a
 * convolution's is that of w). Checks that the parameters make sense and that at least one window fits. */
cnv_status cnv_infer_window(const cnv_window_params *window, const int64_t kernel[2], bool ceil_mode,
                            const cnv_shape *x, cnv_shape *y, cnv_error *err);

/* Writes the rows and columns of y for the transposed convolution of this kernel and these parameters. Checks
 * that they make sense and that y is not empty. */
cnv_status cnv_infer_transposed_window(const cnv_conv_params *conv, const int64_t kernel[2],
                                       const cnv_shape *x, cnv_shape *y, cnv_error *err);

/* The window of a conv2d node, that of the convolution which a conv_transpose2d node transposes, and that of
 * a max_pool or average_pool node. */
cnv_window cnv_conv_window(const cnv_node *node);
cnv_window cnv_transposed_window(const cnv_node *node);
cnv_window cnv_pool_window(const cnv_node *node);

#endif
