/*
 * batch_norm(x, scale, bias, mean, var; epsilon)   x: N,C,...   the others: C
 * lrn(x; size, alpha, beta, bias)                  x: N,C,...
 */
#include <math.h>

#include "kernels/portable/norm.h"
#include "plan/op.h"

static cnv_status check_channel_axis(const cnv_node *node, cnv_error *err)
{
    if (node->x_shape[0]->ndim >= 2) return CNV_OK;
    return cnv_fail(err, CNV_INVALID, "x has shape %s, it needs a batch and a channel axis",
                    cnv_shape_format(node->x_shape[0]).text);
}

static cnv_status batch_norm_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    static const char *const names[] = {"x", "scale", "bias", "mean", "var"};
    cnv_status status = CNV_OK;
    CNV_TRY(check_channel_axis(node, err));
    for (int i = 1; i < 5; i++) {
        const cnv_shape *s = node->x_shape[i];
        if (s->ndim == 1 && s->dim[0] == node->x_shape[0]->dim[1]) continue;
        status = cnv_fail(err, CNV_INVALID, "%s has shape %s, but x has %lld channels (%s)", names[i],
                          cnv_shape_format(s).text, (long long)node->x_shape[0]->dim[1],
                          cnv_shape_format(node->x_shape[0]).text);
        goto done;
    }
    if (!(node->params.epsilon >= 0.0f)) {
        status = cnv_fail(err, CNV_INVALID, "epsilon is %g, it must not be negative",
                          (double)node->params.epsilon);
        goto done;
    }
    status = cnv_infer_same(node, y, err);
done:
    return status;
}

static cnv_batch_norm batch_norm_geometry(const cnv_node *node, const cnv_io *io)
{
    const cnv_shape *x = node->x_shape[0];
    return (cnv_batch_norm){
        .n = x->dim[0],
        .channels = x->dim[1],
        .size = cnv_shape_size(x) / (x->dim[0] * x->dim[1]),
        .scale = io->x[1],
        .bias = io->x[2],
        .mean = io->x[3],
        .var = io->x[4],
        .epsilon = node->params.epsilon,
    };
}

static void batch_norm_needs(const cnv_node *node, cnv_needs *needs)
{
    bool data = cnv_wants(node, 0), scale = cnv_wants(node, 1), mean = cnv_wants(node, 3),
         var = cnv_wants(node, 4);
    needs->backward_reads = (scale || var ? 1u << 0 : 0) | (data || mean || var ? 1u << 1 : 0) |
                            (scale || var ? 1u << 3 : 0) | (data || scale || mean || var ? 1u << 4 : 0);
}

static void batch_norm_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_batch_norm s = batch_norm_geometry(node, io);
    cnv_batch_norm_forward(io->y, io->x[0], &s, run);
}

static void batch_norm_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_batch_norm s = batch_norm_geometry(node, io);
    if (io->dx[0] != NULL) cnv_batch_norm_backward_data(io->dx[0], io->dy, &s, run);
    if (node->grad_inputs >> 1 != 0)
        cnv_batch_norm_backward_channels(io->dx[1], io->dx[2], io->dx[3], io->dx[4], io->dy, io->x[0], &s,
                                         run);
}

static const cnv_argument batch_norm_arguments[] = {
    CNV_INPUT(x),    CNV_INPUT(scale), CNV_INPUT(bias),
    CNV_INPUT(mean), CNV_INPUT(var),   CNV_PARAM(epsilon, NUMBER, epsilon),
    CNV_END,
};

const cnv_op cnv_op_batch_norm = {
    .name = "batch_norm",
    .arguments = batch_norm_arguments,
    .infer = batch_norm_infer,
    .kernel = {.inplace = true,
               .needs = batch_norm_needs,
               .forward = batch_norm_forward,
               .backward = batch_norm_backward},
};

static cnv_status lrn_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_lrn_params *p = &node->params.lrn;
    CNV_TRY(check_channel_axis(node, err));
    if (p->size < 1 || p->size > INT32_MAX) {
        status =
            cnv_fail(err, CNV_INVALID, "size is %lld, it must lie in 1..%d", (long long)p->size, INT32_MAX);
        goto done;
    }
    if (!isfinite(p->alpha) || !isfinite(p->beta) || !isfinite(p->bias)) {
        status = cnv_fail(err, CNV_INVALID, "alpha %g, beta %g and bias %g must be finite", (double)p->alpha,
                          (double)p->beta, (double)p->bias);
        goto done;
    }
    status = cnv_infer_same(node, y, err);
done:
    return status;
}

static cnv_lrn lrn_geometry(const cnv_node *node)
{
    const cnv_shape *x = node->x_shape[0];
    const cnv_lrn_params *p = &node->params.lrn;
    return (cnv_lrn){
        .n = x->dim[0],
        .channels = x->dim[1],
        .size = cnv_shape_size(x) / (x->dim[0] * x->dim[1]),
        .window = p->size,
        .alpha = p->alpha,
        .beta = p->beta,
        .k = p->bias,
    };
}

static void lrn_needs(const cnv_node *node, cnv_needs *needs)
{
    cnv_lrn s = lrn_geometry(node);
    needs->backward_reads = 1u << 0;
    needs->backward_scratch = cnv_lrn_backward_scratch(&s);
}

static void lrn_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_lrn s = lrn_geometry(node);
    cnv_lrn_forward(io->y, io->x[0], &s, run);
}

static void lrn_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_lrn s = lrn_geometry(node);
    if (io->dx[0] != NULL)
        cnv_lrn_backward(io->dx[0], io->dy, io->x[0], &s, io->scratch, io->scratch_stride, run);
}

static const cnv_argument lrn_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(size, INTEGER, lrn.size),
    CNV_PARAM(alpha, NUMBER, lrn.alpha),
    CNV_PARAM(beta, NUMBER, lrn.beta),
    CNV_PARAM(bias, NUMBER, lrn.bias),
    CNV_END,
};

const cnv_op cnv_op_lrn = {
    .name = "lrn",
    .arguments = lrn_arguments,
    .infer = lrn_infer,
    .kernel = {.needs = lrn_needs, .forward = lrn_forward, .backward = lrn_backward},
};
