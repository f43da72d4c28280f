/*
 * What the operator rows share among themselves.
 */
#ifndef CNV_PLAN_OPS_H
#define CNV_PLAN_OPS_H

#include "plan/plan.h"

/* Extents as "2 x 3 x 4", for messages; "scalar" when there are none. */
typedef struct cnv_shape_text {
    char text[192];
} cnv_shape_text;
cnv_shape_text cnv_shape_format(const cnv_shape *shape);

/* Fails unless input `i`, called `what`, has exactly ndim dimensions. */
cnv_status cnv_check_ndim(const cnv_node *node, int i, const char *what, int ndim, cnv_error *err);

/* Fails unless 0 <= axis < ndim of input 0. */
cnv_status cnv_check_axis(const cnv_node *node, int axis, cnv_error *err);

/* The shape that a and b broadcast to, as in NumPy. */
cnv_status cnv_broadcast_shape(const cnv_shape *a, const cnv_shape *b, cnv_shape *y, cnv_error *err);

/* y = the shape of input 0. */
cnv_status cnv_infer_same(const cnv_node *node, cnv_shape *y, cnv_error *err);

/*
 * Extents of a window that slides over one picture axis (0 rows, 1 columns), from the node's kernel, stride,
 * pad and dilation; for a convolution the builder has put the filter's extents into `kernel`.
 * Checks that they make sense and that at least one window fits.
 */
cnv_status cnv_infer_window(const cnv_params *params, const int64_t kernel[2], int axis, int64_t extent,
                            int64_t *n_out, cnv_error *err);

static inline bool cnv_wants(const cnv_node *node, int input)
{
    return node->grad_inputs >> input & 1;
}

/* Elements of input 0. */
static inline int64_t cnv_size_of_x(const cnv_node *node)
{
    return cnv_shape_size(node->x_shape[0]);
}

extern const cnv_op cnv_op_conv2d, cnv_op_linear, cnv_op_matmul;
extern const cnv_op cnv_op_relu, cnv_op_leaky_relu, cnv_op_prelu, cnv_op_clip;
extern const cnv_op cnv_op_max_pool, cnv_op_average_pool, cnv_op_global_average_pool, cnv_op_global_max_pool;
extern const cnv_op cnv_op_batch_norm, cnv_op_lrn, cnv_op_softmax, cnv_op_log_softmax;
extern const cnv_op cnv_op_concat, cnv_op_reshape, cnv_op_transpose, cnv_op_slice, cnv_op_pad;
extern const cnv_op cnv_op_reduce_mean, cnv_op_reduce_sum;
extern const cnv_op cnv_binary_ops[]; /* by cnv_binary_op */
extern const cnv_op cnv_unary_ops[];  /* by cnv_unary_op */

#endif
