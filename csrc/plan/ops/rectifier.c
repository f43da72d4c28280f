/*
 * relu(x), leaky_relu(x; slope), clip(x; low, high), prelu(x, slope): any shape, the first axis counts batch
 * elements
 */
#include <math.h>

#include "kernels/portable/prelu.h"
#include "kernels/portable/rectifier.h"
#include "plan/op.h"

/* The number of elements of one batch element. */
static int64_t element_size(const cnv_node *node)
{
    const cnv_shape *x = node->x_shape[0];
    return x->ndim > 0 ? cnv_shape_size(x) / x->dim[0] : 1;
}

static void one_mask(const cnv_node *node, cnv_needs *needs)
{
    needs->saved_nbytes = cnv_mask_nbytes(cnv_size_of_x(node));
}

static void two_masks(const cnv_node *node, cnv_needs *needs)
{
    needs->saved_nbytes = 2 * cnv_mask_nbytes(cnv_size_of_x(node));
}

static uint8_t *second_mask(const cnv_node *node, const cnv_io *io)
{
    return io->saved != NULL ? (uint8_t *)io->saved + cnv_mask_nbytes(cnv_size_of_x(node)) : NULL;
}

static void relu_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_relu_forward(io->y, io->saved, io->x[0], cnv_size_of_x(node), run);
}

static void relu_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    if (io->dx[0] == NULL) return;
    cnv_relu_backward(io->dx[0], io->dy, io->saved, cnv_size_of_x(node), element_size(node), io->relu, run);
}

const cnv_op cnv_op_relu = {
    .name = "relu",
    .arguments = cnv_arguments_x,
    .infer = cnv_infer_same,
    .elementwise = true,
    .kernel = {.inplace = true, .needs = one_mask, .forward = relu_forward, .backward = relu_backward},
};

static void leaky_relu_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_leaky_relu_forward(io->y, io->saved, io->x[0], node->params.slope, cnv_size_of_x(node), run);
}

static void leaky_relu_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    if (io->dx[0] == NULL) return;
    cnv_leaky_relu_backward(io->dx[0], io->dy, io->saved, node->params.slope, cnv_size_of_x(node), io->relu,
                            run);
}

static const cnv_argument leaky_relu_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(slope, NUMBER, slope),
    CNV_END,
};

const cnv_op cnv_op_leaky_relu = {
    .name = "leaky_relu",
    .arguments = leaky_relu_arguments,
    .infer = cnv_infer_same,
    .elementwise = true,
    .kernel = {.inplace = true,
               .needs = one_mask,
               .forward = leaky_relu_forward,
               .backward = leaky_relu_backward},
};

/* low > high is legal in ONNX, and makes every output high. */
static cnv_status clip_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    if (isnan(node->params.clip.low) || isnan(node->params.clip.high))
        return cnv_fail(err, CNV_INVALID, "low is %g and high is %g: neither may be NaN",
                        (double)node->params.clip.low, (double)node->params.clip.high);
    return cnv_infer_same(node, y, err);
}

static void clip_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_clip_forward(io->y, io->saved, second_mask(node, io), io->x[0], node->params.clip.low,
                     node->params.clip.high, cnv_size_of_x(node), run);
}

static void clip_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    if (io->dx[0] == NULL) return;
    cnv_clip_backward(io->dx[0], io->dy, io->saved, second_mask(node, io), cnv_size_of_x(node),
                      element_size(node), io->relu, run);
}

static const cnv_argument clip_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(low, NUMBER, clip.low),
    CNV_PARAM(high, NUMBER, clip.high),
    CNV_END,
};

const cnv_op cnv_op_clip = {
    .name = "clip",
    .arguments = clip_arguments,
    .infer = clip_infer,
    .elementwise = true,
    .kernel = {.inplace = true, .needs = two_masks, .forward = clip_forward, .backward = clip_backward},
};

static cnv_status prelu_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    const cnv_shape *x = node->x_shape[0], *slope = node->x_shape[1];
    cnv_status status = cnv_broadcast_shape(x, slope, y, err);
    if (status == CNV_OK && cnv_shape_size(y) != cnv_shape_size(x))
        status = cnv_fail(err, CNV_INVALID, "slope has shape %s, which does not broadcast to x (%s)",
                          cnv_shape_format(slope).text, cnv_shape_format(x).text);
    return status == CNV_OK ? cnv_infer_same(node, y, err) : status;
}

static void prelu_needs(const cnv_node *node, cnv_needs *needs)
{
    needs->backward_reads = 1u << 0 | (cnv_wants(node, 0) ? 1u << 1 : 0);
}

static void prelu_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_broadcast shape = cnv_broadcast_of(node->y_shape, node->x_shape[0], node->x_shape[1]);
    cnv_prelu_forward(io->y, io->x[0], io->x[1], &shape, run);
}

static void prelu_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_broadcast shape = cnv_broadcast_of(node->y_shape, node->x_shape[0], node->x_shape[1]);
    if (io->dx[0] != NULL)
        cnv_prelu_backward_data(io->dx[0], io->dy, io->x[0], io->x[1], &shape, io->relu, run);
    if (io->dx[1] != NULL) cnv_prelu_backward_slope(io->dx[1], io->dy, io->x[0], &shape, run);
}

static const cnv_argument prelu_arguments[] = {
    CNV_INPUT(x),
    CNV_INPUT(slope),
    CNV_END,
};

const cnv_op cnv_op_prelu = {
    .name = "prelu",
    .arguments = prelu_arguments,
    .infer = prelu_infer,
    .elementwise = true,
    .kernel = {.needs = prelu_needs, .forward = prelu_forward, .backward = prelu_backward},
};
