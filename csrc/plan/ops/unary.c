/*
 * sigmoid(x), tanh(x), exp(x), ...: smooth functions of each element, any shape. elu, selu and hard_sigmoid
 * have alpha, the last two beta (selu's gamma) as well.
 */
#include <math.h>

#include "kernels/portable/unary.h"
#include "plan/op.h"

static cnv_status unary_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    if (!isfinite(node->params.alpha) || !isfinite(node->params.beta))
        return cnv_fail(err, CNV_INVALID, "alpha %g and beta %g must be finite", (double)node->params.alpha,
                        (double)node->params.beta);
    return cnv_infer_same(node, y, err);
}

static cnv_unary function_of(const cnv_node *node)
{
    return (cnv_unary){(cnv_unary_op)node->op->variant, node->params.alpha, node->params.beta};
}

static void unary_needs(const cnv_node *node, cnv_needs *needs)
{
    needs->backward_reads = cnv_unary_reads_y(function_of(node).op) ? CNV_READS_Y : 1u << 0;
}

static void unary_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_unary f = function_of(node);
    cnv_unary_forward(io->y, io->x[0], cnv_size_of_x(node), &f, run);
}

static void unary_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_unary f = function_of(node);
    const float *at = cnv_unary_reads_y(f.op) ? io->y : io->x[0];
    if (io->dx[0] != NULL) cnv_unary_backward(io->dx[0], io->dy, at, cnv_size_of_x(node), &f, run);
}

static const cnv_argument elu_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(alpha, NUMBER, alpha),
    CNV_END,
};

static const cnv_argument selu_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(alpha, NUMBER, alpha),
    CNV_PARAM(gamma, NUMBER, beta),
    CNV_END,
};

static const cnv_argument hard_sigmoid_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(alpha, NUMBER, alpha),
    CNV_PARAM(beta, NUMBER, beta),
    CNV_END,
};

#define ROW(operator, variant_, arguments_) \
    const cnv_op cnv_op_##operator = {      \
        .name = #operator,                  \
        .arguments = arguments_,            \
        .inplace = true,                    \
        .infer = unary_infer,               \
        .needs = unary_needs,               \
        .forward = unary_forward,           \
        .backward = unary_backward,         \
        .variant = variant_,                \
    }

ROW(sigmoid, CNV_SIGMOID, cnv_arguments_x);
ROW(tanh, CNV_TANH, cnv_arguments_x);
ROW(exp, CNV_EXP, cnv_arguments_x);
ROW(log, CNV_LOG, cnv_arguments_x);
ROW(sqrt, CNV_SQRT, cnv_arguments_x);
ROW(neg, CNV_NEG, cnv_arguments_x);
ROW(abs, CNV_ABS, cnv_arguments_x);
ROW(erf, CNV_ERF, cnv_arguments_x);
ROW(softplus, CNV_SOFTPLUS, cnv_arguments_x);
ROW(elu, CNV_ELU, elu_arguments);
ROW(selu, CNV_SELU, selu_arguments);
ROW(hard_sigmoid, CNV_HARD_SIGMOID, hard_sigmoid_arguments);
ROW(hard_swish, CNV_HARD_SWISH, cnv_arguments_x);
ROW(silu, CNV_SILU, cnv_arguments_x);
ROW(gelu, CNV_GELU, cnv_arguments_x);
