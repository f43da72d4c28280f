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

const cnv_op cnv_unary_ops[] = {
    [CNV_SIGMOID] = {"sigmoid", 1, 1, false, true, unary_infer, unary_needs, unary_forward, unary_backward,
                     .variant = CNV_SIGMOID},
    [CNV_TANH] = {"tanh", 1, 1, false, true, unary_infer, unary_needs, unary_forward, unary_backward,
                  .variant = CNV_TANH},
    [CNV_EXP] = {"exp", 1, 1, false, true, unary_infer, unary_needs, unary_forward, unary_backward,
                 .variant = CNV_EXP},
    [CNV_LOG] = {"log", 1, 1, false, true, unary_infer, unary_needs, unary_forward, unary_backward,
                 .variant = CNV_LOG},
    [CNV_SQRT] = {"sqrt", 1, 1, false, true, unary_infer, unary_needs, unary_forward, unary_backward,
                  .variant = CNV_SQRT},
    [CNV_NEG] = {"neg", 1, 1, false, true, unary_infer, unary_needs, unary_forward, unary_backward,
                 .variant = CNV_NEG},
    [CNV_ABS] = {"abs", 1, 1, false, true, unary_infer, unary_needs, unary_forward, unary_backward,
                 .variant = CNV_ABS},
    [CNV_ERF] = {"erf", 1, 1, false, true, unary_infer, unary_needs, unary_forward, unary_backward,
                 .variant = CNV_ERF},
    [CNV_SOFTPLUS] = {"softplus", 1, 1, false, true, unary_infer, unary_needs, unary_forward, unary_backward,
                      .variant = CNV_SOFTPLUS},
    [CNV_ELU] = {"elu", 1, 1, false, true, unary_infer, unary_needs, unary_forward, unary_backward,
                 .variant = CNV_ELU},
    [CNV_SELU] = {"selu", 1, 1, false, true, unary_infer, unary_needs, unary_forward, unary_backward,
                  .variant = CNV_SELU},
    [CNV_HARD_SIGMOID] = {"hard_sigmoid", 1, 1, false, true, unary_infer, unary_needs, unary_forward,
                          unary_backward, .variant = CNV_HARD_SIGMOID},
    [CNV_HARD_SWISH] = {"hard_swish", 1, 1, false, true, unary_infer, unary_needs, unary_forward,
                        unary_backward, .variant = CNV_HARD_SWISH},
    [CNV_SILU] = {"silu", 1, 1, false, true, unary_infer, unary_needs, unary_forward, unary_backward,
                  .variant = CNV_SILU},
    [CNV_GELU] = {"gelu", 1, 1, false, true, unary_infer, unary_needs, unary_forward, unary_backward,
                  .variant = CNV_GELU},
};
