/*
 * add(a, b), sub, mul, div, min, max, pow, greater, equal, masked(a, mask): broadcast as in NumPy
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

static bool is_comparison(cnv_binary_op op)
{
    return op == CNV_GREATER || op == CNV_EQUAL;
}

/* The gradient of a sum reads no operand, that of a masked operand the mask, that of a factor reads the other
 * factor, all others read both. */
static void binary_needs(const cnv_node *node, cnv_needs *needs)
{
    cnv_binary_op op = operator_of(node);
    if (op == CNV_ADD || op == CNV_SUB || is_comparison(op)) return;
    needs->backward_reads = 1u << 0 | 1u << 1;
    if (op == CNV_MASKED) needs->backward_reads = 1u << 1;
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
    if (is_comparison(op)) return; /* the gradients are zeros */
    if (io->dx[0] != NULL) cnv_binary_backward_a(op, io->dx[0], io->dy, io->x[0], io->x[1], &shape, run);
    if (io->dx[1] != NULL && op != CNV_MASKED)
        cnv_binary_backward_b(op, io->dx[1], io->dy, io->x[0], io->x[1], &shape, run);
}

#define ROW(operator, variant_) ROW_WITH(operator, cnv_arguments_ab, variant_)
#define ROW_WITH(operator, arguments_, variant_)     \
    const cnv_op cnv_op_##operator = {               \
        .name = #operator,                           \
        .arguments = arguments_,                     \
        .infer = binary_infer,                       \
        .elementwise = true,                         \
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
ROW(greater, CNV_GREATER);
ROW(equal, CNV_EQUAL);

static const cnv_argument masked_arguments[] = {
    CNV_INPUT(a),
    CNV_INPUT(mask),
    CNV_END,
};

ROW_WITH(masked, masked_arguments, CNV_MASKED);
