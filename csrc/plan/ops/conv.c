/*
 * conv2d(x, w[, b])             x: N,C,H,W   w: O,C/groups,KH,KW   b: O   ->   N,O,OH,OW
 * conv_transpose2d(x, w[, b])   x: N,C,H,W   w: C,O/groups,KH,KW   b: O   ->   N,O,OH,OW
 *
 * The second is the adjoint of the convolution from N,O,OH,OW to N,C,H,W with the same weights and window.
 */
#include "kernels/portable/conv.h"
#include "plan/op.h"
#include "plan/window.h"

/* The convolution of a node with this window, or the one that it transposes. */
static cnv_conv2d geometry(const cnv_node *node, cnv_window window)
{
    const cnv_shape *x = node->x_shape[0], *w = node->x_shape[1];
    const int64_t groups = node->params.conv.groups;
    return (cnv_conv2d){
        .n = x->dim[0], .groups = groups, .ic = w->dim[1], .oc = w->dim[0] / groups, .window = window};
}

static cnv_status check_channels(const cnv_node *node, cnv_error *err)
{
    const cnv_shape *x = node->x_shape[0], *w = node->x_shape[1];
    long long channels = x->dim[1], groups = node->params.conv.groups, filters = w->dim[0];
    if (groups < 1 || channels % groups != 0 || filters % groups != 0)
        return cnv_fail(err, CNV_INVALID, "%lld groups do not divide %lld input and %lld output channels",
                        groups, channels, filters);
    if (w->dim[1] != channels / groups)
        return cnv_fail(err, CNV_INVALID,
                        "w has %lld channels per filter (%s), but x has %lld channels in %lld groups (%s)",
                        (long long)w->dim[1], cnv_shape_format(w).text, channels, groups,
                        cnv_shape_format(x).text);
    return CNV_OK;
}

static cnv_status check_bias(const cnv_node *node, cnv_error *err)
{
    if (node->x_shape[2] == NULL) return CNV_OK;
    const cnv_shape *b = node->x_shape[2];
    if (b->ndim == 1 && b->dim[0] == node->x_shape[1]->dim[0]) return CNV_OK;
    return cnv_fail(err, CNV_INVALID, "b has shape %s, but w has %lld filters", cnv_shape_format(b).text,
                    (long long)node->x_shape[1]->dim[0]);
}

static cnv_status conv2d_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_shape *x = node->x_shape[0], *w = node->x_shape[1];
    CNV_TRY(cnv_check_ndim(node, 0, "x", 4, err));
    CNV_TRY(cnv_check_ndim(node, 1, "w", 4, err));
    CNV_TRY(check_channels(node, err));
    CNV_TRY(check_bias(node, err));
    *y = (cnv_shape){4, {x->dim[0], w->dim[0]}};
    CNV_TRY(cnv_infer_window(&node->params.conv.window, &w->dim[2], false, x, y, err));
done:
    return status;
}

static void conv2d_needs(const cnv_node *node, cnv_needs *needs)
{
    cnv_conv2d c = geometry(node, cnv_conv_window(node));
    size_t data = cnv_wants(node, 0) ? cnv_conv2d_backward_data_scratch(&c) : 0;
    size_t weight = cnv_wants(node, 1) ? cnv_conv2d_backward_weight_scratch(&c) : 0;
    needs->forward_scratch = cnv_conv2d_forward_scratch(&c);
    needs->backward_scratch = data > weight ? data : weight;
    needs->backward_reads = (cnv_wants(node, 0) ? 1u << 1 : 0) | (cnv_wants(node, 1) ? 1u << 0 : 0);
}

static void conv2d_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_conv2d c = geometry(node, cnv_conv_window(node));
    cnv_conv2d_forward(io->y, io->x[0], io->x[1], io->x[2], &c, io->scratch, io->scratch_stride, run);
}

static void conv2d_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_conv2d c = geometry(node, cnv_conv_window(node));
    if (io->dx[0] != NULL)
        cnv_conv2d_backward_data(io->dx[0], io->dy, io->x[1], &c, io->scratch, io->scratch_stride, run);
    if (io->dx[1] != NULL)
        cnv_conv2d_backward_weight(io->dx[1], io->dy, io->x[0], &c, io->scratch, io->scratch_stride, run);
    if (io->dx[2] != NULL) cnv_conv2d_backward_bias(io->dx[2], io->dy, &c, run);
}

static const cnv_argument conv2d_arguments[] = {
    CNV_INPUT(x),
    CNV_INPUT(w),
    CNV_OPTIONAL_INPUT(b),
    CNV_OPTIONAL_PARAM(stride, INTEGERS, conv.window.stride, 1, 1),
    CNV_OPTIONAL_PARAM(pads, INTEGERS, conv.window.pad, 0),
    CNV_OPTIONAL_PARAM(dilation, INTEGERS, conv.window.dilation, 1, 1),
    CNV_OPTIONAL_PARAM(groups, INTEGER, conv.groups, 1),
    CNV_END,
};

const cnv_op cnv_op_conv2d = {
    .name = "conv2d",
    .arguments = conv2d_arguments,
    .infer = conv2d_infer,
    .kernel = {.needs = conv2d_needs, .forward = conv2d_forward, .backward = conv2d_backward},
};

static int64_t outputs_of(const cnv_node *node)
{
    return node->x_shape[1]->dim[1] * node->params.conv.groups;
}

static cnv_status check_transposed_channels(const cnv_node *node, cnv_error *err)
{
    const cnv_shape *x = node->x_shape[0], *w = node->x_shape[1];
    long long channels = x->dim[1], groups = node->params.conv.groups;
    if (groups < 1 || channels % groups != 0)
        return cnv_fail(err, CNV_INVALID, "%lld groups do not divide %lld input channels", groups, channels);
    if (w->dim[0] != channels)
        return cnv_fail(err, CNV_INVALID, "w has %lld filters (%s), but x has %lld channels (%s)",
                        (long long)w->dim[0], cnv_shape_format(w).text, channels, cnv_shape_format(x).text);
    return CNV_OK;
}

static cnv_status check_transposed_bias(const cnv_node *node, cnv_error *err)
{
    if (node->x_shape[2] == NULL) return CNV_OK;
    const cnv_shape *b = node->x_shape[2];
    if (b->ndim == 1 && b->dim[0] == outputs_of(node)) return CNV_OK;
    return cnv_fail(err, CNV_INVALID, "b has shape %s, but w makes %lld channels (%s in %lld groups)",
                    cnv_shape_format(b).text, (long long)outputs_of(node),
                    cnv_shape_format(node->x_shape[1]).text, (long long)node->params.conv.groups);
}

static cnv_status conv_transpose2d_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_shape *x = node->x_shape[0], *w = node->x_shape[1];
    CNV_TRY(cnv_check_ndim(node, 0, "x", 4, err));
    CNV_TRY(cnv_check_ndim(node, 1, "w", 4, err));
    CNV_TRY(check_transposed_channels(node, err));
    CNV_TRY(check_transposed_bias(node, err));
    *y = (cnv_shape){4, {x->dim[0], outputs_of(node)}};
    CNV_TRY(cnv_infer_transposed_window(&node->params.conv, &w->dim[2], x, y, err));
done:
    return status;
}

static void conv_transpose2d_needs(const cnv_node *node, cnv_needs *needs)
{
    cnv_conv2d c = geometry(node, cnv_transposed_window(node));
    size_t data = cnv_wants(node, 0) ? cnv_conv2d_forward_scratch(&c) : 0;
    size_t weight = cnv_wants(node, 1) ? cnv_conv2d_backward_weight_scratch(&c) : 0;
    needs->forward_scratch = cnv_conv2d_backward_data_scratch(&c);
    needs->backward_scratch = data > weight ? data : weight;
    needs->backward_reads = (cnv_wants(node, 0) ? 1u << 1 : 0) | (cnv_wants(node, 1) ? 1u << 0 : 0);
}

static void conv_transpose2d_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_conv2d c = geometry(node, cnv_transposed_window(node));
    cnv_conv_transpose2d_forward(io->y, io->x[0], io->x[1], io->x[2], &c, io->scratch, io->scratch_stride,
                                 run);
}

static void conv_transpose2d_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_conv2d c = geometry(node, cnv_transposed_window(node));
    if (io->dx[0] != NULL)
        cnv_conv2d_forward_add(io->dx[0], io->dy, io->x[1], &c, io->scratch, io->scratch_stride, run);
    if (io->dx[1] != NULL)
        cnv_conv2d_backward_weight(io->dx[1], io->x[0], io->dy, &c, io->scratch, io->scratch_stride, run);
    if (io->dx[2] != NULL) cnv_conv_transpose2d_backward_bias(io->dx[2], io->dy, &c, run);
}

static const cnv_argument conv_transpose2d_arguments[] = {
    CNV_INPUT(x),
    CNV_INPUT(w),
    CNV_OPTIONAL_INPUT(b),
    CNV_OPTIONAL_PARAM(stride, INTEGERS, conv.window.stride, 1, 1),
    CNV_OPTIONAL_PARAM(pads, INTEGERS, conv.window.pad, 0),
    CNV_OPTIONAL_PARAM(dilation, INTEGERS, conv.window.dilation, 1, 1),
    CNV_OPTIONAL_PARAM(output_padding, INTEGERS, conv.output_padding, 0, 0),
    CNV_OPTIONAL_PARAM(groups, INTEGER, conv.groups, 1),
    CNV_END,
};

const cnv_op cnv_op_conv_transpose2d = {
    .name = "conv_transpose2d",
    .arguments = conv_transpose2d_arguments,
    .infer = conv_transpose2d_infer,
    .kernel = {.needs = conv_transpose2d_needs,
               .forward = conv_transpose2d_forward,
               .backward = conv_transpose2d_backward},
};
