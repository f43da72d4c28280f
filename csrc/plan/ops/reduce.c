/*
 * reduce_mean(x; axes, keepdims), reduce_sum, reduce_max, ...   axes.dim[i] is 1 where axis i is reduced
 *
 * The gradient of a maximum is shared evenly by the numbers that attain it, as PyTorch's amax does. That of a
 * norm at zero is 0.
 */
#include <math.h>

#include "kernels/portable/reduce.h"
#include "kernels/portable/reduction.h"
#include "plan/op.h"

/* x's shape with extent 1 along the axes that are reduced. */
static cnv_shape kept_shape(const cnv_node *node)
{
    cnv_shape kept = *node->x_shape[0];
    for (int i = 0; i < kept.ndim; i++)
        if (node->params.reduce.axes.dim[i]) kept.dim[i] = 1;
    return kept;
}

static cnv_status reduce_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    const cnv_shape *x = node->x_shape[0];
    for (int i = x->ndim; i < CNV_MAX_NDIM; i++)
        if (node->params.reduce.axes.dim[i])
            return cnv_fail(err, CNV_INVALID, "axis %d is reduced, but x has %d dimensions (%s)", i, x->ndim,
                            cnv_shape_format(x).text);
    *y = kept_shape(node);
    if (node->params.reduce.keepdims) return CNV_OK;
    y->ndim = 0;
    for (int i = 0; i < x->ndim; i++)
        if (!node->params.reduce.axes.dim[i]) y->dim[y->ndim++] = x->dim[i];
    return CNV_OK;
}

static cnv_broadcast geometry(const cnv_node *node)
{
    cnv_shape kept = kept_shape(node);
    return cnv_broadcast_of(node->x_shape[0], node->x_shape[0], &kept);
}

static double mean_scale(const cnv_node *node)
{
    return (double)cnv_shape_size(node->y_shape) / (double)cnv_size_of_x(node);
}

static void reduce_mean_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_broadcast shape = geometry(node);
    cnv_reduce_forward(io->y, io->x[0], mean_scale(node), &shape, run);
}

static void reduce_mean_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_broadcast shape = geometry(node);
    if (io->dx[0] != NULL) cnv_reduce_backward(io->dx[0], io->dy, mean_scale(node), &shape, run);
}

static const cnv_argument reduce_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(axes, AXES, reduce.axes),
    CNV_PARAM(keepdims, FLAG, reduce.keepdims),
    CNV_END,
};

const cnv_op cnv_op_reduce_mean = {
    .name = "reduce_mean",
    .arguments = reduce_arguments,
    .infer = reduce_infer,
    .kernel = {.forward = reduce_mean_forward, .backward = reduce_mean_backward},
};

static void reduce_sum_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_broadcast shape = geometry(node);
    cnv_reduce_forward(io->y, io->x[0], 1.0, &shape, run);
}

static void reduce_sum_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_broadcast shape = geometry(node);
    if (io->dx[0] != NULL) cnv_reduce_backward(io->dx[0], io->dy, 1.0, &shape, run);
}

const cnv_op cnv_op_reduce_sum = {
    .name = "reduce_sum",
    .arguments = reduce_arguments,
    .infer = reduce_infer,
    .kernel = {.forward = reduce_sum_forward, .backward = reduce_sum_backward},
};

static void reduction_needs(const cnv_node *node, cnv_needs *needs)
{
    (void)node;
    needs->backward_reads = 1u << 0;
}

static void reduction_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_broadcast shape = geometry(node);
    cnv_reduction_forward(io->y, io->x[0], node->op->variant, &shape, run);
}

static void reduction_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_broadcast shape = geometry(node);
    if (io->dx[0] != NULL)
        cnv_reduction_backward(io->dx[0], io->dy, io->x[0], node->op->variant, &shape, run);
}

/* The row of an operator; what follows its name are the members of its cnv_reduction. */
#define REDUCTION(operator, ...)                                                                            \
    const cnv_op cnv_op_##operator = {                                                                      \
        .name = #operator,                                                                                  \
        .arguments = reduce_arguments,                                                                      \
        .infer = reduce_infer,                                                                              \
        .variant = &(const cnv_reduction){__VA_ARGS__},                                                     \
        .kernel = {.needs = reduction_needs, .forward = reduction_forward, .backward = reduction_backward}, \
    }

static double count_equal(double count, double x, double y)
{
    return x == y ? count + 1.0 : count;
}

static double max_slope(double x, double y, double ties, double rest)
{
    (void)rest;
    return x == y ? 1.0 / ties : 0.0;
}

REDUCTION(reduce_max, .start = -INFINITY, .add = cnv_reduction_larger, .count = count_equal,
          .slope = max_slope);

static double product(double state, double x, double given)
{
    (void)given;
    return state * x;
}

static double count_zeros(double zeros, double x, double y)
{
    (void)y;
    return x == 0.0 ? zeros + 1.0 : zeros;
}

static double product_without_zeros(double state, double x, double y)
{
    (void)y;
    return x == 0.0 ? state : state * x;
}

/* The product of the other numbers. */
static double product_slope(double x, double y, double zeros, double rest)
{
    if (zeros == 0.0) return y / x;
    return zeros == 1.0 && x == 0.0 ? rest : 0.0;
}

REDUCTION(reduce_prod, .start = 1.0, .add = product, .count = count_zeros, .rest = product_without_zeros,
          .slope = product_slope);

static double add_square(double sum, double x, double given)
{
    (void)given;
    return sum + x * x;
}

static double root(double sum, double top)
{
    (void)top;
    return sqrt(sum);
}

static double norm_slope(double x, double y, double count, double rest)
{
    (void)count;
    (void)rest;
    return y == 0.0 ? 0.0 : x / y;
}

REDUCTION(reduce_l2, .start = 0.0, .add = add_square, .end = root, .slope = norm_slope);

static double add_exp(double sum, double x, double top)
{
    return sum + exp(x - top);
}

static double log_with_top(double sum, double top)
{
    return isinf(top) ? top : log(sum) + top;
}

/* The softmax; 0 where the sum of exponentials is 0 or infinite. */
static double log_sum_exp_slope(double x, double y, double count, double rest)
{
    (void)count;
    (void)rest;
    return isinf(y) ? 0.0 : exp(x - y);
}

REDUCTION(reduce_log_sum_exp, .start = 0.0, .add = add_exp, .end = log_with_top, .shifted = true,
          .slope = log_sum_exp_slope);
