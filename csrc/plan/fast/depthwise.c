/* Depthwise convolutions on blocked pictures. */
#include <math.h>
#include <stdio.h>

#include "plan/fast/blocked.h"
#include "plan/constant.h"
#include "plan/window.h"
#include "runtime/alloc.h"

typedef struct depthwise_form {
    cnv_form form;
    cnv_depthwise d;
    const float *packed, *bias;
} depthwise_form;

bool cnv_depthwise_is_served(const cnv_node *node)
{
    const cnv_shape *w = node->x_shape[1];
    return node->params.conv.groups == node->x_shape[0]->dim[1] && w->dim[0] == node->params.conv.groups &&
           w->dim[1] == 1 && w->dim[2] <= CNV_DEPTHWISE_KERNEL && w->dim[3] <= CNV_DEPTHWISE_KERNEL;
}

void *cnv_depthwise_form(const cnv_node *node, const cnv_fast *fast)
{
    const cnv_window v = cnv_conv_window(node);
    depthwise_form *f = cnv_alloc(1, sizeof *f);
    if (f == NULL) return NULL;
    f->form.fast = fast;
    f->form.picture = cnv_picture_of(node->y_shape);
    f->form.high = INFINITY;
    f->d = (cnv_depthwise){.images = node->x_shape[0]->dim[0],
                           .channels = node->x_shape[0]->dim[1],
                           .ih = v.ih,
                           .iw = v.iw,
                           .oh = v.oh,
                           .ow = v.ow,
                           .kernel = {v.kernel[0], v.kernel[1]},
                           .stride = {v.stride[0], v.stride[1]},
                           .pad = {v.pad[0], v.pad[1]},
                           .dilation = {v.dilation[0], v.dilation[1]}};
    cnv_depthwise_describe(&f->d);
    snprintf(f->form.text, sizeof f->form.text, "%s depthwise", fast->name);
    return f;
}

static void pack_depthwise(const cnv_packing *p, const float *data, const cnv_shape *shape, void *packed)
{
    const cnv_depthwise d = {.channels = shape->dim[0], .kernel = {shape->dim[2], shape->dim[3]}};
    cnv_depthwise_pack(packed, data, &d);
    (void)p;
}

static cnv_packing packing_of(const depthwise_form *f)
{
    return (cnv_packing){
        .kind = CNV_PACK_DEPTHWISE, .nbytes = cnv_depthwise_weights(&f->d), .pack = pack_depthwise};
}

static void depthwise_claim(cnv_plan *plan, cnv_node *node, cnv_claim claim, size_t *room)
{
    const cnv_packing packing = packing_of(node->form);
    if (claim != CNV_CLAIM_NEEDED) return;
    cnv_claim_needed(plan, node, 1, &packing, room);
    cnv_claim_bias(plan, node, room);
}

static cnv_status depthwise_settle(cnv_plan *plan, cnv_node *node, cnv_error *err)
{
    depthwise_form *f = node->form;
    const cnv_packing packing = packing_of(f);
    cnv_status status = CNV_OK;
    if (!node->runs_forward && !node->needs_grad) return CNV_OK;
    CNV_TRY(cnv_pack(plan, node, 1, &packing, &f->packed, err));
    CNV_TRY(cnv_pack_bias(plan, node, &f->bias, err));
done:
    return status;
}

static void depthwise_needs(const cnv_node *node, cnv_needs *needs)
{
    const depthwise_form *f = node->form;
    needs->saved_nbytes = cnv_bits_nbytes(&f->form);
    needs->backward_scratch = f->form.rectify ? cnv_depthwise_backward_scratch(&f->d) : 0;
}

static void depthwise_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const depthwise_form *f = node->form;
    const cnv_finish finish = cnv_finish_of(&f->form, io);
    f->form.fast->depthwise_forward(io->y, io->x[0], f->packed, f->bias, &finish, &f->d, run);
}

static void depthwise_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const depthwise_form *f = node->form;
    const cnv_gate gate = cnv_gate_of(&f->form, io, run);
    if (io->dx[0] != NULL)
        f->form.fast->depthwise_backward(io->dx[0], io->dy, f->packed, &gate, !cnv_is_fresh(io, 0), &f->d,
                                         io->scratch, io->scratch_stride, run);
}

const cnv_kernel cnv_kernel_blocked_depthwise = {
    .fresh = true,
    .claim = depthwise_claim,
    .settle = depthwise_settle,
    .needs = depthwise_needs,
    .forward = depthwise_forward,
    .backward = depthwise_backward,
};
