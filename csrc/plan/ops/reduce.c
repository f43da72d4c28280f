/*
 * reduce_mean(x; axes, keepdims), reduce_sum(x; axes, keepdims)   axes.dim[i] is 1 where axis i is summed
 */
#include "kernels/portable/reduce.h"
#include "plan/op.h"

/* x's shape with extent 1 along the axes that are summed. */
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
            return cnv_fail(err, CNV_INVALID, "axis %d is summed, but x has %d dimensions (%s)", i, x->ndim,
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
