/*
 * sigmoid(x), tanh(x), exp(x), ...: smooth functions of each element, any shape. elu, selu and hard_sigmoid
 * have alpha; selu has gamma, which is params.unary.beta, and hard_sigmoid beta.
 */
#include <math.h>

#include "kernels/portable/unary.h"
#include "plan/op.h"

/* Infers the shape of the functions with parameters. */
static cnv_status unary_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    if (!isfinite(node->params.unary.alpha) || !isfinite(node->params.unary.beta))
        return cnv_fail(err, CNV_INVALID, "alpha %g and beta %g must be finite",
                        (double)node->params.unary.alpha, (double)node->params.unary.beta);
    return cnv_infer_same(node, y, err);
}

static cnv_unary function_of(const cnv_node *node)
{
    return (cnv_unary){(cnv_unary_op)node->op->variant, node->params.unary.alpha, node->params.unary.beta};
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
    CNV_PARAM(alpha, NUMBER, unary.alpha),
    CNV_END,
};

static const cnv_argument selu_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(alpha, NUMBER, unary.alpha),
    CNV_PARAM(gamma, NUMBER, unary.beta),
    CNV_END,
};

static const cnv_argument hard_sigmoid_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(alpha, NUMBER, unary.alpha),
    CNV_PARAM(beta, NUMBER, unary.beta),
    CNV_END,
};

#define ROW(operator, variant_, arguments_, infer_) \
    const cnv_op cnv_op_##operator = {              \
        .name = #operator,                          \
        .arguments = arguments_,                    \
        .infer = infer_,                            \
        .variant = variant_,                        \
        .kernel = {.inplace = true,                 \
                   .needs = unary_needs,            \
                   .forward = unary_forward,        \
                   .backward = unary_backward},     \
    }

ROW(sigmoid, CNV_SIGMOID, cnv_arguments_x, cnv_infer_same);
ROW(tanh, CNV_TANH, cnv_arguments_x, cnv_infer_same);
ROW(exp, CNV_EXP, cnv_arguments_x, cnv_infer_same);
ROW(log, CNV_LOG, cnv_arguments_x, cnv_infer_same);
ROW(sqrt, CNV_SQRT, cnv_arguments_x, cnv_infer_same);
ROW(neg, CNV_NEG, cnv_arguments_x, cnv_infer_same);
ROW(abs, CNV_ABS, cnv_arguments_x, cnv_infer_same);
ROW(erf, CNV_ERF, cnv_arguments_x, cnv_infer_same);
ROW(softplus, CNV_SOFTPLUS, cnv_arguments_x, cnv_infer_same);
ROW(elu, CNV_ELU, elu_arguments, unary_infer);
ROW(selu, CNV_SELU, selu_arguments, unary_infer);
ROW(hard_sigmoid, CNV_HARD_SIGMOID, hard_sigmoid_arguments, unary_infer);
ROW(hard_swish, CNV_HARD_SWISH, cnv_arguments_x, cnv_infer_same);
ROW(silu, CNV_SILU, cnv_arguments_x, cnv_infer_same);
ROW(gelu, CNV_GELU, cnv_arguments_x, cnv_infer_same);
