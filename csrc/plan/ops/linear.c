/*
 * linear(x, w[, b])   x: N,I   w: O,I   b: O   ->   N,O
 * matmul(a, b)        a: ...,M,K   b: ...,K,N   ->   ...,M,N, batch axes broadcast
 */
#include "kernels/portable/linear.h"
#include "kernels/portable/matmul.h"
#include "plan/op.h"

static cnv_status linear_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_shape *x = node->x_shape[0], *w = node->x_shape[1];
    const cnv_shape *b = node->n_inputs > 2 ? node->x_shape[2] : NULL;
    CNV_TRY(cnv_check_ndim(node, 0, "x", 2, err));
    CNV_TRY(cnv_check_ndim(node, 1, "w", 2, err));
    if (x->dim[1] != w->dim[1]) {
        status = cnv_fail(err, CNV_INVALID, "x has rows of %lld numbers (%s), but w has rows of %lld (%s)",
                          (long long)x->dim[1], cnv_shape_format(x).text, (long long)w->dim[1],
                          cnv_shape_format(w).text);
        goto done;
    }
    if (b != NULL && (b->ndim != 1 || b->dim[0] != w->dim[0])) {
        status = cnv_fail(err, CNV_INVALID, "b has shape %s, but w has %lld rows", cnv_shape_format(b).text,
                          (long long)w->dim[0]);
        goto done;
    }
    *y = (cnv_shape){2, {x->dim[0], w->dim[0]}};
done:
    return status;
}

static cnv_rows rows_of(const cnv_node *node)
{
    const cnv_shape *x = node->x_shape[0], *w = node->x_shape[1];
    return (cnv_rows){.rows = x->dim[0], .in = w->dim[1], .out = w->dim[0]};
}

/* Each factor's gradient reads the other one. */
static void product_needs(const cnv_node *node, cnv_needs *needs)
{
    needs->backward_reads = (cnv_wants(node, 0) ? 1u << 1 : 0) | (cnv_wants(node, 1) ? 1u << 0 : 0);
}

static void linear_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_rows s = rows_of(node);
    cnv_rows_forward(io->y, io->x[0], io->x[1], node->n_inputs > 2 ? io->x[2] : NULL, &s, run);
}

static void linear_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_rows s = rows_of(node);
    if (io->dx[0] != NULL) cnv_rows_backward_data(io->dx[0], io->dy, io->x[1], &s, run);
    if (io->dx[1] != NULL) cnv_rows_backward_weight(io->dx[1], io->dy, io->x[0], &s, run);
    if (node->n_inputs > 2 && io->dx[2] != NULL) cnv_rows_backward_bias(io->dx[2], io->dy, &s, run);
}

static const cnv_argument linear_arguments[] = {
    CNV_INPUT(x),
    CNV_INPUT(w),
    CNV_OPTIONAL_INPUT(b),
    CNV_END,
};

const cnv_op cnv_op_linear = {
    .name = "linear",
    .arguments = linear_arguments,
    .infer = linear_infer,
    .kernel = {.needs = product_needs, .forward = linear_forward, .backward = linear_backward},
};

/* The shape without its last two axes, the matrix. */
static cnv_shape batch_axes(const cnv_shape *shape)
{
    cnv_shape batch = *shape;
    batch.ndim -= 2;
    return batch;
}

static cnv_status matmul_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_shape *a = node->x_shape[0], *b = node->x_shape[1];
    if (a->ndim < 2 || b->ndim < 2 || a->dim[a->ndim - 1] != b->dim[b->ndim - 2]) {
        status = cnv_fail(err, CNV_INVALID, "%s and %s are not matrices that can be multiplied",
                          cnv_shape_format(a).text, cnv_shape_format(b).text);
        goto done;
    }
    cnv_shape a_batch = batch_axes(a), b_batch = batch_axes(b);
    CNV_TRY(cnv_broadcast_shape(&a_batch, &b_batch, y, err));
    y->dim[y->ndim++] = a->dim[a->ndim - 2];
    y->dim[y->ndim++] = b->dim[b->ndim - 1];
done:
    return status;
}

static cnv_matmul matmul_geometry(const cnv_node *node)
{
    const cnv_shape *a = node->x_shape[0], *b = node->x_shape[1], *y = node->y_shape;
    cnv_shape a_batch = batch_axes(a), b_batch = batch_axes(b), y_batch = batch_axes(y);
    return (cnv_matmul){
        .m = a->dim[a->ndim - 2],
        .k = a->dim[a->ndim - 1],
        .n = b->dim[b->ndim - 1],
        .rows = y->ndim == 2,
        .batch = cnv_broadcast_of(&y_batch, &a_batch, &b_batch),
    };
}

static void matmul_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_matmul s = matmul_geometry(node);
    cnv_matmul_forward(io->y, io->x[0], io->x[1], &s, run);
}

static void matmul_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_matmul s = matmul_geometry(node);
    if (io->dx[0] != NULL) cnv_matmul_backward_a(io->dx[0], io->dy, io->x[1], &s, run);
    if (io->dx[1] != NULL) cnv_matmul_backward_b(io->dx[1], io->dy, io->x[0], &s, run);
}

const cnv_op cnv_op_matmul = {
    .name = "matmul",
    .arguments = cnv_arguments_ab,
    .infer = matmul_infer,
    .kernel = {.needs = product_needs, .forward = matmul_forward, .backward = matmul_backward},
};
