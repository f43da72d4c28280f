/*
 * max_pool(x), average_pool(x)                      x: N,C,H,W  ->  N,C,OH,OW
 * max_pool_position(x)                              the same, row * W + column of each maximum
 * global_average_pool(x), global_max_pool(x)        x: N,C,...  ->  N,C,1,...
 *
 * A position has no derivative: its gradient is 0.
 */
#include "kernels/portable/pool.h"
#include "plan/op.h"
#include "plan/window.h"

#define EXACT ((int64_t)1 << 24) /* float32 counts so far */

static cnv_status pool_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_shape *x = node->x_shape[0];
    const cnv_window_params *p = &node->params.pool.window;
    const bool ceil_mode = node->params.pool.ceil_mode;
    CNV_TRY(cnv_check_ndim(node, 0, "x", 4, err));
    *y = *x;
    CNV_TRY(cnv_infer_window(p, p->kernel, ceil_mode, x, y, err));
    /* The tap that wins a maximum is stored in 32 bits. */
    if (p->kernel[0] * p->kernel[1] > INT32_MAX)
        status = cnv_fail(err, CNV_INVALID, "kernel %lld x %lld has more than %d taps",
                          (long long)p->kernel[0], (long long)p->kernel[1], INT32_MAX);
done:
    return status;
}

static int64_t planes_of(const cnv_node *node)
{
    return node->x_shape[0]->dim[0] * node->x_shape[0]->dim[1];
}

static int64_t plane_size(const cnv_node *node)
{
    return cnv_size_of_x(node) / planes_of(node);
}

static cnv_pool2d geometry(const cnv_node *node)
{
    return (cnv_pool2d){.planes = planes_of(node),
                        .window = cnv_pool_window(node),
                        .count_include_pad = node->params.pool.count_include_pad};
}

static void max_pool_needs(const cnv_node *node, cnv_needs *needs)
{
    cnv_pool2d p = geometry(node);
    needs->saved_nbytes = (size_t)cnv_shape_size(node->y_shape) * cnv_max_pool_index_nbytes(&p);
}

static void max_pool_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_pool2d p = geometry(node);
    cnv_max_pool_forward(io->y, io->saved, io->x[0], &p, run);
}

static void max_pool_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_pool2d p = geometry(node);
    if (io->dx[0] != NULL) cnv_max_pool_backward(io->dx[0], io->dy, io->saved, &p, run);
}

static const cnv_argument max_pool_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(kernel, INTEGERS, pool.window.kernel),
    CNV_PARAM(stride, INTEGERS, pool.window.stride),
    CNV_OPTIONAL_PARAM(pads, INTEGERS, pool.window.pad, 0),
    CNV_OPTIONAL_PARAM(dilation, INTEGERS, pool.window.dilation, 1, 1),
    CNV_OPTIONAL_PARAM(ceil_mode, FLAG, pool.ceil_mode, false),
    CNV_END,
};

const cnv_op cnv_op_max_pool = {
    .name = "max_pool",
    .arguments = max_pool_arguments,
    .infer = pool_infer,
    .kernel = {.needs = max_pool_needs, .forward = max_pool_forward, .backward = max_pool_backward},
};

static cnv_status position_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    cnv_status status = pool_infer(node, y, err);
    if (status == CNV_OK && plane_size(node) > EXACT)
        status =
            cnv_fail(err, CNV_INVALID, "planes of %lld elements have no positions, at most %lld are possible",
                     (long long)plane_size(node), (long long)EXACT);
    return status;
}

static void position_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_pool2d p = geometry(node);
    cnv_max_pool_position(io->y, io->x[0], &p, run);
}

static void position_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    (void)node;
    (void)io;
    (void)run;
}

const cnv_op cnv_op_max_pool_position = {
    .name = "max_pool_position",
    .arguments = max_pool_arguments,
    .infer = position_infer,
    .kernel = {.forward = position_forward, .backward = position_backward},
};

static void average_pool_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_pool2d p = geometry(node);
    cnv_average_pool_forward(io->y, io->x[0], &p, run);
}

static void average_pool_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_pool2d p = geometry(node);
    if (io->dx[0] != NULL) cnv_average_pool_backward(io->dx[0], io->dy, &p, run);
}

static const cnv_argument average_pool_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(kernel, INTEGERS, pool.window.kernel),
    CNV_PARAM(stride, INTEGERS, pool.window.stride),
    CNV_OPTIONAL_PARAM(pads, INTEGERS, pool.window.pad, 0),
    CNV_OPTIONAL_PARAM(dilation, INTEGERS, pool.window.dilation, 1, 1),
    CNV_OPTIONAL_PARAM(ceil_mode, FLAG, pool.ceil_mode, false),
    CNV_OPTIONAL_PARAM(count_include_pad, FLAG, pool.count_include_pad, false),
    CNV_END,
};

const cnv_op cnv_op_average_pool = {
    .name = "average_pool",
    .arguments = average_pool_arguments,
    .infer = pool_infer,
    .kernel = {.forward = average_pool_forward, .backward = average_pool_backward},
};

static cnv_status global_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    *y = *node->x_shape[0];
    if (y->ndim < 3)
        return cnv_fail(err, CNV_INVALID, "x has %d dimensions (%s), at least 3 are needed", y->ndim,
                        cnv_shape_format(y).text);
    for (int i = 2; i < y->ndim; i++) y->dim[i] = 1;
    return CNV_OK;
}

static void global_average_pool_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_global_average_pool_forward(io->y, io->x[0], planes_of(node), plane_size(node), run);
}

static void global_average_pool_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    if (io->dx[0] != NULL)
        cnv_global_average_pool_backward(io->dx[0], io->dy, planes_of(node), plane_size(node), run);
}

const cnv_op cnv_op_global_average_pool = {
    .name = "global_average_pool",
    .arguments = cnv_arguments_x,
    .infer = global_infer,
    .kernel = {.forward = global_average_pool_forward, .backward = global_average_pool_backward},
};

static void global_max_pool_needs(const cnv_node *node, cnv_needs *needs)
{
    needs->saved_nbytes = (size_t)planes_of(node) * sizeof(int64_t);
}

static void global_max_pool_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_global_max_pool_forward(io->y, io->saved, io->x[0], planes_of(node), plane_size(node), run);
}

static void global_max_pool_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    if (io->dx[0] != NULL)
        cnv_global_max_pool_backward(io->dx[0], io->dy, io->saved, planes_of(node), plane_size(node), run);
}

const cnv_op cnv_op_global_max_pool = {
    .name = "global_max_pool",
    .arguments = cnv_arguments_x,
    .infer = global_infer,
    .kernel = {.needs = global_max_pool_needs,
               .forward = global_max_pool_forward,
               .backward = global_max_pool_backward},
};
