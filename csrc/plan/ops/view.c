/*
 * transpose(x; perm)
 * slice(x; start, shape, step)
 *
 * Both are strided views of x, which forward copies.
 */
#include "kernels/portable/shape.h"
#include "plan/op.h"

/* The number of elements between two indices of `axis`. */
static int64_t stride_of(const cnv_shape *shape, int axis)
{
    int64_t stride = 1;
    for (int i = axis + 1; i < shape->ndim; i++) stride *= shape->dim[i];
    return stride;
}

static cnv_status transpose_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    const cnv_shape *x = node->x_shape[0], *perm = &node->params.perm;
    unsigned seen = 0;
    *y = *x;
    for (int i = 0; i < perm->ndim && perm->ndim == x->ndim; i++) {
        if (perm->dim[i] < 0 || perm->dim[i] >= x->ndim) break;
        seen |= 1u << perm->dim[i];
        y->dim[i] = x->dim[perm->dim[i]];
    }
    if (perm->ndim == x->ndim && seen == (1u << x->ndim) - 1) return CNV_OK;
    return cnv_fail(err, CNV_INVALID, "perm (%s) is not an order of the %d axes of x (%s)",
                    cnv_shape_format(perm).text, x->ndim, cnv_shape_format(x).text);
}

static cnv_strided transpose_view(const cnv_node *node)
{
    cnv_strided view = {.ndim = node->y_shape->ndim};
    for (int i = 0; i < view.ndim; i++) {
        view.dim[i] = node->y_shape->dim[i];
        view.stride[i] = stride_of(node->x_shape[0], (int)node->params.perm.dim[i]);
    }
    return view;
}

static void transpose_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_strided view = transpose_view(node);
    cnv_strided_gather(io->y, io->x[0], &view, run);
}

static void transpose_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_strided view = transpose_view(node);
    if (io->dx[0] != NULL) cnv_strided_scatter_add(io->dx[0], io->dy, &view, run);
}

static const cnv_argument transpose_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(perm, SHAPE, perm),
    CNV_END,
};

const cnv_op cnv_op_transpose = {
    .name = "transpose",
    .arguments = transpose_arguments,
    .infer = transpose_infer,
    .kernel = {.forward = transpose_forward, .backward = transpose_backward},
};

static cnv_status check_slice_axis(const cnv_node *node, int axis, cnv_error *err)
{
    int64_t start = node->params.slice.start[axis], step = node->params.slice.step[axis];
    int64_t n = node->params.slice.shape.dim[axis], extent = node->x_shape[0]->dim[axis], last;
    bool inside = n >= 1 && step != 0 && start >= 0 && start < extent &&
                  !__builtin_mul_overflow(n - 1, step, &last) &&
                  !__builtin_add_overflow(last, start, &last) && last >= 0 && last < extent;
    if (inside) return CNV_OK;
    return cnv_fail(err, CNV_INVALID,
                    "axis %d: %lld elements from %lld on in steps of %lld do not lie in an extent of %lld",
                    axis, (long long)n, (long long)start, (long long)step, (long long)extent);
}

static cnv_status slice_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_shape *x = node->x_shape[0];
    if (node->params.slice.shape.ndim != x->ndim) {
        status = cnv_fail(err, CNV_INVALID, "shape has %d dimensions, but x has %d (%s)",
                          node->params.slice.shape.ndim, x->ndim, cnv_shape_format(x).text);
        goto done;
    }
    for (int i = 0; i < x->ndim; i++) CNV_TRY(check_slice_axis(node, i, err));
    *y = node->params.slice.shape;
done:
    return status;
}

static cnv_strided slice_view(const cnv_node *node)
{
    cnv_strided view = {.ndim = node->y_shape->ndim};
    for (int i = 0; i < view.ndim; i++) {
        int64_t stride = stride_of(node->x_shape[0], i);
        view.dim[i] = node->y_shape->dim[i];
        view.stride[i] = stride * node->params.slice.step[i];
        view.offset += stride * node->params.slice.start[i];
    }
    return view;
}

static void slice_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_strided view = slice_view(node);
    cnv_strided_gather(io->y, io->x[0], &view, run);
}

static void slice_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_strided view = slice_view(node);
    if (io->dx[0] != NULL) cnv_strided_scatter_add(io->dx[0], io->dy, &view, run);
}

static const cnv_argument slice_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(start, PER_AXIS, slice.start),
    CNV_PARAM(shape, SHAPE, slice.shape),
    CNV_PARAM(step, PER_AXIS, slice.step),
    CNV_END,
};

const cnv_op cnv_op_slice = {
    .name = "slice",
    .arguments = slice_arguments,
    .infer = slice_infer,
    .kernel = {.forward = slice_forward, .backward = slice_backward},
};
