/*
 * add(a, b), sub, mul, div, min, max, pow: broadcast as in NumPy
 */
#include "kernels/portable/binary.h"
#include "plan/op.h"

static cnv_status binary_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    return cnv_broadcast_shape(node->x_shape[0], node->x_shape[1], y, err);
}

static cnv_binary_op operator_of(const cnv_node *node)
{
    return *(const cnv_binary_op *)node->op->variant;
}

/* The gradient of a sum reads no operand, that of a factor reads the other factor, all others read both. */
static void binary_needs(const cnv_node *node, cnv_needs *needs)
{
    cnv_binary_op op = operator_of(node);
    if (op == CNV_ADD || op == CNV_SUB) return;
    needs->backward_reads = 1u << 0 | 1u << 1;
    if (op == CNV_MUL && !cnv_wants(node, 0)) needs->backward_reads = 1u << 0;
    if (op == CNV_MUL && !cnv_wants(node, 1)) needs->backward_reads = 1u << 1;
}

static void binary_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_broadcast shape = cnv_broadcast_of(node->y_shape, node->x_shape[0], node->x_shape[1]);
    cnv_binary_forward(operator_of(node), io->y, io->x[0], io->x[1], &shape, run);
}

static void binary_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_binary_op op = operator_of(node);
    cnv_broadcast shape = cnv_broadcast_of(node->y_shape, node->x_shape[0], node->x_shape[1]);
    if (io->dx[0] != NULL) cnv_binary_backward_a(op, io->dx[0], io->dy, io->x[0], io->x[1], &shape, run);
    if (io->dx[1] != NULL) cnv_binary_backward_b(op, io->dx[1], io->dy, io->x[0], io->x[1], &shape, run);
}

#define ROW(operator, variant_)                      \
    const cnv_op cnv_op_##operator = {               \
        .name = #operator,                           \
        .arguments = cnv_arguments_ab,               \
        .infer = binary_infer,                       \
        .variant = &(const cnv_binary_op){variant_}, \
        .kernel = {.inplace = true,                  \
                   .needs = binary_needs,            \
                   .forward = binary_forward,        \
                   .backward = binary_backward},     \
    }

ROW(add, CNV_ADD);
ROW(sub, CNV_SUB);
ROW(mul, CNV_MUL);
ROW(div, CNV_DIV);
ROW(min, CNV_MIN);
ROW(max, CNV_MAX);
ROW(pow, CNV_POW);
