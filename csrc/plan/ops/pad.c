/*
 * pad(x; before, after, mode, value)   negative pads crop
 */
#include "kernels/portable/pad.h"
#include "plan/op.h"

/* A reflection reads the axis after cropping, which must be longer than the padding. */
static cnv_status check_reflection(const cnv_node *node, int axis, cnv_error *err)
{
    int64_t before = node->params.pad.before[axis], after = node->params.pad.after[axis];
    int64_t left = node->x_shape[0]->dim[axis] + (before < 0 ? before : 0) + (after < 0 ? after : 0);
    if (node->params.pad.mode != CNV_PAD_REFLECT || (before < left && after < left)) return CNV_OK;
    return cnv_fail(err, CNV_INVALID, "axis %d: an extent of %lld can not be reflected over %lld and %lld",
                    axis, (long long)left, (long long)before, (long long)after);
}

static cnv_status pad_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    cnv_status status = CNV_OK;
    *y = *node->x_shape[0];
    if (y->ndim == 0) {
        status = cnv_fail(err, CNV_INVALID, "x is a scalar, there is no axis to pad");
        goto done;
    }
    for (int i = 0; i < y->ndim; i++) {
        int64_t before = node->params.pad.before[i], after = node->params.pad.after[i], x = y->dim[i];
        if (before <= -x || after <= -x || before > INT32_MAX || after > INT32_MAX ||
            x + before + after < 1) {
            status =
                cnv_fail(err, CNV_INVALID, "axis %d: an extent of %lld can not be padded by %lld and %lld", i,
                         (long long)x, (long long)before, (long long)after);
            goto done;
        }
        CNV_TRY(check_reflection(node, i, err));
        y->dim[i] = x + before + after;
    }
done:
    return status;
}

static cnv_pad geometry(const cnv_node *node)
{
    return (cnv_pad){*node->x_shape[0], *node->y_shape, node->params.pad.before, node->params.pad.mode,
                     node->params.pad.value};
}

static void pad_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_pad p = geometry(node);
    cnv_pad_forward(io->y, io->x[0], &p, run);
}

static void pad_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_pad p = geometry(node);
    if (io->dx[0] != NULL) cnv_pad_backward(io->dx[0], io->dy, &p, run);
}

static const cnv_argument pad_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(before, PER_AXIS, pad.before),
    CNV_PARAM(after, PER_AXIS, pad.after),
    CNV_OPTIONAL_PARAM(mode, PAD_MODE, pad.mode, CNV_PAD_CONSTANT),
    CNV_OPTIONAL_PARAM(value, NUMBER, pad.value, 0),
    CNV_END,
};

const cnv_op cnv_op_pad = {
    .name = "pad",
    .arguments = pad_arguments,
    .infer = pad_infer,
    .kernel = {.forward = pad_forward, .backward = pad_backward},
};
