/*
 * concat(x0, x1, ...; axis)      all extents equal but along the axis
 * reshape(x; shape)              a view
 */
#include "kernels/portable/shape.h"
#include "plan/op.h"

static cnv_status check_concat_input(const cnv_node *node, int i, cnv_error *err)
{
    const cnv_shape *first = node->x_shape[0], *x = node->x_shape[i];
    bool same = x->ndim == first->ndim;
    for (int k = 0; same && k < x->ndim; k++) same = k == node->params.axis || x->dim[k] == first->dim[k];
    if (same) return CNV_OK;
    return cnv_fail(err, CNV_INVALID, "input %d has shape %s, which does not continue %s along axis %d", i,
                    cnv_shape_format(x).text, cnv_shape_format(first).text, node->params.axis);
}

static cnv_status concat_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    cnv_status status = CNV_OK;
    int axis = node->params.axis;
    CNV_TRY(cnv_check_axis(node, axis, err));
    *y = *node->x_shape[0];
    for (int i = 1; i < node->n_inputs; i++) {
        CNV_TRY(check_concat_input(node, i, err));
        if (__builtin_add_overflow(y->dim[axis], node->x_shape[i]->dim[axis], &y->dim[axis])) {
            status = cnv_fail(err, CNV_INVALID, "the extent along axis %d overflows", axis);
            goto done;
        }
    }
done:
    return status;
}

/* The number of elements between two indices of the axis before `axis`. */
static int64_t row_size(const cnv_shape *shape, int axis)
{
    int64_t size = 1;
    for (int i = axis; i < shape->ndim; i++) size *= shape->dim[i];
    return size;
}

static void concat_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    int64_t row = row_size(node->y_shape, node->params.axis), offset = 0;
    for (int i = 0; i < node->n_inputs; i++) {
        int64_t n = row_size(node->x_shape[i], node->params.axis);
        cnv_copy_rows(io->y + offset, row, io->x[i], n, cnv_shape_size(node->y_shape) / row, n, run);
        offset += n;
    }
}

static void concat_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    int64_t row = row_size(node->y_shape, node->params.axis), offset = 0;
    for (int i = 0; i < node->n_inputs; i++) {
        int64_t n = row_size(node->x_shape[i], node->params.axis);
        if (io->dx[i] != NULL)
            cnv_add_rows(io->dx[i], n, io->dy + offset, row, cnv_shape_size(node->y_shape) / row, n, run);
        offset += n;
    }
}

static const cnv_argument concat_arguments[] = {
    CNV_INPUTS(xs),
    CNV_PARAM(axis, AXIS, axis),
    CNV_END,
};

const cnv_op cnv_op_concat = {
    .name = "concat",
    .arguments = concat_arguments,
    .infer = concat_infer,
    .kernel = {.forward = concat_forward, .backward = concat_backward},
};

static cnv_status reshape_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    cnv_status status = CNV_OK;
    CNV_TRY(cnv_shape_check(&node->params.shape, "the new shape", err));
    *y = node->params.shape;
    if (cnv_shape_size(y) != cnv_size_of_x(node))
        status = cnv_fail(err, CNV_INVALID, "%s has %lld elements, but x has %lld (%s)",
                          cnv_shape_format(y).text, (long long)cnv_shape_size(y),
                          (long long)cnv_size_of_x(node), cnv_shape_format(node->x_shape[0]).text);
done:
    return status;
}

static const cnv_argument reshape_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(shape, SHAPE, shape),
    CNV_END,
};

const cnv_op cnv_op_reshape = {
    .name = "reshape",
    .arguments = reshape_arguments,
    .infer = reshape_infer,
    .kernel = {.view = true},
};
