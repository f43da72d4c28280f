/*
 * add(a, b), sub, mul, div: broadcast as in NumPy
 */
#include "kernels/binary.h"
#include "plan/ops.h"

static cnv_status binary_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    return cnv_broadcast_shape(node->x_shape[0], node->x_shape[1], y, err);
}

static cnv_broadcast geometry(const cnv_node *node)
{
    return cnv_broadcast_of(node->y_shape, node->x_shape[0], node->x_shape[1]);
}

/* The derivatives look at both operands. */
static void reads_both(const cnv_node *node, cnv_needs *needs)
{
    (void)node;
    needs->backward_reads = 1u << 0 | 1u << 1;
}

/* The derivative of a product by one factor looks at the other only. */
static void mul_needs(const cnv_node *node, cnv_needs *needs)
{
    needs->backward_reads = (cnv_wants(node, 0) ? 1u << 1 : 0) | (cnv_wants(node, 1) ? 1u << 0 : 0);
}

static void forward(cnv_binary_op op, const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_broadcast shape = geometry(node);
    cnv_binary_forward(op, io->y, io->x[0], io->x[1], &shape, run);
}

static void backward(cnv_binary_op op, const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_broadcast shape = geometry(node);
    if (io->dx[0] != NULL) cnv_binary_backward_a(op, io->dx[0], io->dy, io->x[0], io->x[1], &shape, run);
    if (io->dx[1] != NULL) cnv_binary_backward_b(op, io->dx[1], io->dy, io->x[0], io->x[1], &shape, run);
}

static void add_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    forward(CNV_ADD, node, io, run);
}

static void add_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    backward(CNV_ADD, node, io, run);
}

const cnv_op cnv_op_add = {
    .name = "add",
    .min_inputs = 2,
    .max_inputs = 2,
    .inplace = true,
    .infer = binary_infer,
    .forward = add_forward,
    .backward = add_backward,
};

static void sub_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    forward(CNV_SUB, node, io, run);
}

static void sub_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    backward(CNV_SUB, node, io, run);
}

const cnv_op cnv_op_sub = {
    .name = "sub",
    .min_inputs = 2,
    .max_inputs = 2,
    .inplace = true,
    .infer = binary_infer,
    .forward = sub_forward,
    .backward = sub_backward,
};

static void mul_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    forward(CNV_MUL, node, io, run);
}

static void mul_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    backward(CNV_MUL, node, io, run);
}

const cnv_op cnv_op_mul = {
    .name = "mul",
    .min_inputs = 2,
    .max_inputs = 2,
    .inplace = true,
    .infer = binary_infer,
    .needs = mul_needs,
    .forward = mul_forward,
    .backward = mul_backward,
};

static void div_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    forward(CNV_DIV, node, io, run);
}

static void div_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    backward(CNV_DIV, node, io, run);
}

const cnv_op cnv_op_div = {
    .name = "div",
    .min_inputs = 2,
    .max_inputs = 2,
    .inplace = true,
    .infer = binary_infer,
    .needs = reads_both,
    .forward = div_forward,
    .backward = div_backward,
};
