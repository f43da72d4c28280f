/*
 * max_unpool(x, position; shape)      x: N,C,...  position: the same, of max_pool_position  ->  shape,
 * N,C,...
 */
#include "kernels/portable/pool.h"
#include "plan/op.h"

static int64_t plane_of(const cnv_shape *shape)
{
    return cnv_shape_size(shape) / shape->dim[0] / shape->dim[1];
}

static bool same_shape(const cnv_shape *a, const cnv_shape *b)
{
    bool same = a->ndim == b->ndim;
    for (int i = 0; same && i < a->ndim; i++) same = a->dim[i] == b->dim[i];
    return same;
}

static cnv_status unpool_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    const cnv_shape *x = node->x_shape[0], *position = node->x_shape[1], *shape = &node->params.shape;
    if (x->ndim < 3 || !same_shape(x, position))
        return cnv_fail(err, CNV_INVALID, "x has shape %s and position %s, expected N,C,... twice",
                        cnv_shape_format(x).text, cnv_shape_format(position).text);
    if (shape->ndim != x->ndim || shape->dim[0] != x->dim[0] || shape->dim[1] != x->dim[1])
        return cnv_fail(err, CNV_INVALID, "x of shape %s can not become %s", cnv_shape_format(x).text,
                        cnv_shape_format(shape).text);
    *y = *shape;
    return CNV_OK;
}

static cnv_max_unpool geometry(const cnv_node *node)
{
    const cnv_shape *x = node->x_shape[0];
    return (cnv_max_unpool){
        .planes = x->dim[0] * x->dim[1], .n_in = plane_of(x), .n_out = plane_of(&node->params.shape)};
}

static void unpool_needs(const cnv_node *node, cnv_needs *needs)
{
    needs->backward_reads = 1u << 1;
    needs->backward_scratch = (size_t)geometry(node).n_out;
}

static void unpool_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_max_unpool u = geometry(node);
    cnv_max_unpool_forward(io->y, io->x[0], io->x[1], &u, run);
}

static void unpool_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_max_unpool u = geometry(node);
    if (io->dx[0] != NULL)
        cnv_max_unpool_backward(io->dx[0], io->dy, io->x[1], &u, io->scratch, io->scratch_stride, run);
}

static const cnv_argument unpool_arguments[] = {
    CNV_INPUT(x),
    CNV_INPUT(position),
    CNV_PARAM(shape, SHAPE, shape),
    CNV_END,
};

const cnv_op cnv_op_max_unpool = {
    .name = "max_unpool",
    .arguments = unpool_arguments,
    .infer = unpool_infer,
    .kernel = {.needs = unpool_needs, .forward = unpool_forward, .backward = unpool_backward},
};
