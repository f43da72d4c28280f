/*
 * softmax(x; axis), log_softmax(x; axis)
 */
#include "kernels/portable/softmax.h"
#include "plan/op.h"

static cnv_status softmax_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    cnv_status status = cnv_check_axis(node, node->params.axis, err);
    return status == CNV_OK ? cnv_infer_same(node, y, err) : status;
}

static cnv_softmax geometry(const cnv_node *node)
{
    const cnv_shape *x = node->x_shape[0];
    cnv_softmax s = {1, x->dim[node->params.axis], 1};
    for (int i = 0; i < node->params.axis; i++) s.outer *= x->dim[i];
    for (int i = node->params.axis + 1; i < x->ndim; i++) s.inner *= x->dim[i];
    return s;
}

static void reads_output(const cnv_node *node, cnv_needs *needs)
{
    (void)node;
    needs->backward_reads = CNV_READS_Y;
}

static void softmax_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_softmax s = geometry(node);
    cnv_softmax_forward(io->y, io->x[0], &s, run);
}

static void softmax_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_softmax s = geometry(node);
    if (io->dx[0] != NULL) cnv_softmax_backward(io->dx[0], io->dy, io->y, &s, run);
}

static const cnv_argument softmax_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(axis, AXIS, axis),
    CNV_END,
};

const cnv_op cnv_op_softmax = {
    .name = "softmax",
    .arguments = softmax_arguments,
    .infer = softmax_infer,
    .kernel = {.inplace = true,
               .needs = reads_output,
               .forward = softmax_forward,
               .backward = softmax_backward},
};

static void log_softmax_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_softmax s = geometry(node);
    cnv_log_softmax_forward(io->y, io->x[0], &s, run);
}

static void log_softmax_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_softmax s = geometry(node);
    if (io->dx[0] != NULL) cnv_log_softmax_backward(io->dx[0], io->dy, io->y, &s, run);
}

const cnv_op cnv_op_log_softmax = {
    .name = "log_softmax",
    .arguments = softmax_arguments,
    .infer = softmax_infer,
    .kernel = {.inplace = true,
               .needs = reads_output,
               .forward = log_softmax_forward,
               .backward = log_softmax_backward},
};
