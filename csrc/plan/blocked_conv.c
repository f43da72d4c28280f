/*
 * Convolutions on blocked pictures: which algorithm a layer gets, its packed weights, and its two passes.
 *
 * The choice depends on the shape of one image alone, never on the batch or the number of threads, so that
 * results do not either. With t the number of 4x4 tiles of a picture of 3x3 convolution with stride 1:
 * F(4x4,3x3) from t = 49 on (28x28); F(2x2,3x3), which is more accurate and has 2.25 times fewer weights to
 * stream, on pictures that fill F(4x4)'s tiles badly; the direct sum for everything else.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plan/blocked.h"
#include "plan/constant.h"
#include "plan/ops.h"
#include "runtime/alloc.h"

#define F4_TILES 49 /* 4x4 tiles */
#define F2_TILES 16 /* 2x2 tiles */

typedef enum { PACK_DIRECT, PACK_WINOGRAD, PACK_GRADIENT, PACK_BIAS, PACK_DEPTHWISE } pack_kind;

/* Backward only: one of the sums that it consists of. */
typedef struct conv_phase {
    cnv_direct d;
    const float *packed;
} conv_phase;

typedef struct conv_form {
    cnv_form form;
    cnv_geometry g;
    bool planar;
    int64_t m; /* of Winograd; 0: direct */
    int threads;
    cnv_direct direct;
    cnv_winograd winograd, winograd_back;
    cnv_image_gradient gradient; /* planar only */
    const float *packed, *bias, *packed_back;
    int64_t n_phases;
    conv_phase phase[]; /* of the direct backward pass */
} conv_form;

static cnv_geometry geometry_of(const cnv_node *node)
{
    const cnv_shape *x = node->x_shape[0], *w = node->x_shape[1], *y = node->y_shape;
    const cnv_params *p = &node->params;
    return (cnv_geometry){.images = x->dim[0],
                          .ic = x->dim[1],
                          .ih = x->dim[2],
                          .iw = x->dim[3],
                          .oc = y->dim[1],
                          .oh = y->dim[2],
                          .ow = y->dim[3],
                          .kernel = {w->dim[2], w->dim[3]},
                          .stride = {p->stride[0], p->stride[1]},
                          .pad = {p->pad[0], p->pad[1]},
                          .dilation = {p->dilation[0], p->dilation[1]}};
}

bool cnv_conv_is_planar(const cnv_node *node)
{
    return node->x_shape[0]->dim[1] <= CNV_GRADIENT_CHANNELS;
}

bool cnv_conv_is_served(const cnv_node *node)
{
    const cnv_geometry g = geometry_of(node);
    const int64_t planes = cnv_conv_is_planar(node) ? g.ic : 1;
    return node->params.groups == 1 && cnv_direct_fits(&g) &&
           planes * g.kernel[0] * g.kernel[1] <= CNV_MAX_TAPS;
}

static int64_t winograd_m(const cnv_geometry *g)
{
    if (!cnv_winograd_fits(g) || g->ic < CNV_LANES || g->oc < CNV_LANES) return 0;
    if (cnv_ceil_div(g->oh, 4) * cnv_ceil_div(g->ow, 4) >= F4_TILES) return 4;
    return cnv_ceil_div(g->oh, 2) * cnv_ceil_div(g->ow, 2) >= F2_TILES ? 2 : 0;
}

void *cnv_conv_form(const cnv_node *node, const cnv_fast *fast, bool planar, int threads)
{
    const cnv_geometry g = geometry_of(node);
    const int64_t m = planar ? 0 : winograd_m(&g), phases = m != 0 || planar ? 0 : g.stride[0] * g.stride[1];
    conv_form *f = cnv_alloc(1, sizeof *f + (size_t)phases * sizeof *f->phase);
    if (f == NULL) return NULL;
    f->form.fast = fast;
    f->form.picture = cnv_picture_of(node->y_shape);
    f->form.high = INFINITY;
    f->g = g;
    f->planar = planar;
    f->m = m;
    f->threads = threads;
    f->n_phases = phases;
    if (m != 0) {
        cnv_winograd_describe(&f->winograd, &g, m, false);
        cnv_winograd_describe(&f->winograd_back, &g, m, true);
        snprintf(f->form.text, sizeof f->form.text, "%s winograd %dx%d", fast->name, (int)m, (int)m);
    } else {
        cnv_direct_forward(&f->direct, &g, planar);
        if (planar) cnv_image_gradient_describe(&f->gradient, &g);
        snprintf(f->form.text, sizeof f->form.text, "%s direct", fast->name);
    }
    return f;
}

/* ---- weights */

static cnv_packing packing_of(const conv_form *f, pack_kind kind, int64_t m, bool backward, int64_t phase,
                              size_t nbytes)
{
    const cnv_geometry *g = &f->g;
    cnv_packing p = {.kind = kind, .nbytes = nbytes};
    const int64_t details[] = {
        backward,     m,         phase,     f->planar,      g->kernel[0],  g->kernel[1], g->stride[0],
        g->stride[1], g->pad[0], g->pad[1], g->dilation[0], g->dilation[1]};
    memcpy(p.details, details, sizeof details);
    return p;
}

/* A geometry with the same taps in the same order: extents do not matter for them. */
static cnv_geometry unpacked(const cnv_packing *p, const cnv_shape *w)
{
    const int64_t *d = p->details, extent = 64;
    return (cnv_geometry){.images = 1,
                          .ic = w->dim[1],
                          .oc = w->dim[0],
                          .ih = extent,
                          .iw = extent,
                          .oh = extent,
                          .ow = extent,
                          .kernel = {d[4], d[5]},
                          .stride = {d[6], d[7]},
                          .pad = {d[8], d[9]},
                          .dilation = {d[10], d[11]}};
}

static void pack_direct(const cnv_packing *p, const float *data, const cnv_shape *shape, void *packed)
{
    const cnv_geometry g = unpacked(p, shape);
    cnv_direct d;
    if (p->details[0])
        cnv_direct_backward(&d, &g, p->details[2], true);
    else
        cnv_direct_forward(&d, &g, p->details[3]);
    cnv_direct_pack(packed, data, &d, g.kernel[0] * g.kernel[1], p->details[0]);
}

static void pack_gradient(const cnv_packing *p, const float *data, const cnv_shape *shape, void *packed)
{
    const cnv_geometry g = unpacked(p, shape);
    cnv_image_gradient d;
    cnv_image_gradient_describe(&d, &g);
    cnv_image_gradient_pack(packed, data, &d);
}

static void pack_winograd(const cnv_packing *p, const float *data, const cnv_shape *shape, void *packed)
{
    const cnv_geometry g = unpacked(p, shape);
    cnv_winograd d;
    cnv_winograd_describe(&d, &g, p->details[1], p->details[0]);
    cnv_winograd_pack(packed, data, &d, p->details[0]);
}

static void pack_bias(const cnv_packing *p, const float *data, const cnv_shape *shape, void *packed)
{
    memset(packed, 0, p->nbytes);
    memcpy(packed, data, (size_t)shape->dim[0] * sizeof(float));
}

static cnv_status pack(cnv_plan *plan, cnv_value_id value, cnv_packing packing, const float **packed,
                       cnv_error *err)
{
    const void *bytes = cnv_constant_data(plan->values[value]->constant); /* for a phase without taps */
    cnv_status status = CNV_OK;
    if (packing.nbytes > 0) status = cnv_constant_pack(plan->values[value]->constant, &packing, &bytes, err);
    *packed = bytes;
    return status;
}

cnv_status cnv_pack_bias(cnv_plan *plan, cnv_value_id bias, const float **packed, cnv_error *err)
{
    *packed = NULL;
    if (bias == CNV_NONE) return CNV_OK;
    const int64_t lanes = cnv_blocks(plan->values[bias]->shape.dim[0]) * CNV_LANES;
    return pack(plan, bias,
                (cnv_packing){.kind = PACK_BIAS, .nbytes = (size_t)lanes * sizeof(float), .pack = pack_bias},
                packed, err);
}

/* What forward needs of the weights. */
static cnv_status settle_forward(cnv_plan *plan, const cnv_node *node, conv_form *f, cnv_error *err)
{
    cnv_packing p = packing_of(f, PACK_DIRECT, 0, false, 0, 0);
    p.pack = pack_direct;
    if (f->m != 0) {
        p = packing_of(f, PACK_WINOGRAD, f->m, false, 0, cnv_winograd_weights(&f->winograd));
        p.pack = pack_winograd;
    } else {
        p.nbytes = cnv_direct_weights(&f->direct);
    }
    cnv_status status = pack(plan, node->inputs[1], p, &f->packed, err);
    return status == CNV_OK ? cnv_pack_bias(plan, node->inputs[2], &f->bias, err) : status;
}

/* What backward needs. A copy is made of every phase's x where a gate has to be applied. */
static cnv_status settle_backward(cnv_plan *plan, const cnv_node *node, conv_form *f, cnv_error *err)
{
    cnv_status status = CNV_OK;
    if (f->m != 0) {
        cnv_packing p = packing_of(f, PACK_WINOGRAD, f->m, true, 0, cnv_winograd_weights(&f->winograd_back));
        p.pack = pack_winograd;
        return pack(plan, node->inputs[1], p, &f->packed_back, err);
    }
    if (f->planar) {
        cnv_packing p = packing_of(f, PACK_GRADIENT, 0, true, 0, cnv_image_gradient_weights(&f->gradient));
        p.pack = pack_gradient;
        return pack(plan, node->inputs[1], p, &f->packed_back, err);
    }
    for (int64_t i = 0; i < f->n_phases && status == CNV_OK; i++) {
        cnv_packing p = packing_of(f, PACK_DIRECT, 0, true, i, cnv_direct_weights(&f->phase[i].d));
        p.pack = pack_direct;
        status = pack(plan, node->inputs[1], p, &f->phase[i].packed, err);
    }
    return status;
}

static cnv_status conv_settle(cnv_plan *plan, cnv_node *node, cnv_error *err)
{
    conv_form *f = node->form;
    cnv_status status = CNV_OK;
    if (node->runs_forward) status = settle_forward(plan, node, f, err);
    if (status == CNV_OK && cnv_wants(node, 0)) status = settle_backward(plan, node, f, err);
    return status;
}

/* ---- passes */

static size_t whole_lines(size_t nbytes)
{
    return (nbytes + CNV_ALIGNMENT - 1) / CNV_ALIGNMENT * CNV_ALIGNMENT;
}

/* Scratch per worker, of which the workers' shares together hold V and every worker's own part. */
static size_t winograd_scratch(const cnv_winograd *d, int threads)
{
    const size_t shared = whole_lines(cnv_winograd_shared(d));
    return whole_lines(cnv_winograd_scratch(d)) +
           whole_lines((shared + (size_t)threads - 1) / (size_t)threads);
}

static void conv_needs(const cnv_node *node, cnv_needs *needs)
{
    conv_form *f = node->form;
    needs->saved_nbytes = cnv_bits_nbytes(&f->form);
    if (f->m != 0) {
        needs->forward_scratch = winograd_scratch(&f->winograd, f->threads);
        needs->backward_scratch = winograd_scratch(&f->winograd_back, f->threads);
        return;
    }
    needs->forward_scratch = cnv_direct_scratch(&f->direct);
    needs->backward_scratch = f->planar ? cnv_image_gradient_scratch(&f->gradient) : 0;
    for (int64_t i = 0; i < f->n_phases; i++) {
        cnv_direct_backward(&f->phase[i].d, &f->g, i, f->form.rectify);
        const size_t scratch = cnv_direct_scratch(&f->phase[i].d);
        if (scratch > needs->backward_scratch) needs->backward_scratch = scratch;
    }
}

static void run_winograd(const conv_form *f, const cnv_winograd *d, float *y, const float *x,
                         const float *packed, const float *bias, const cnv_finish *finish,
                         const cnv_gate *gate, const cnv_io *io, cnv_run *run)
{
    char *own = (char *)io->scratch + whole_lines(cnv_winograd_shared(d));
    f->form.fast->winograd(y, x, packed, bias, finish, gate, d, io->scratch, own,
                           whole_lines(cnv_winograd_scratch(d)), run);
}

static void conv_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const conv_form *f = node->form;
    const cnv_gate open = {0};
    cnv_finish finish = cnv_finish_of(&f->form, io);
    finish.add = io->x[3];
    if (f->m != 0)
        run_winograd(f, &f->winograd, io->y, io->x[0], f->packed, f->bias, &finish, &open, io, run);
    else
        f->form.fast->direct(io->y, io->x[0], f->packed, f->bias, &finish, &open, &f->direct, io->scratch,
                             io->scratch_stride, run);
}

static void conv_backward_data(const conv_form *f, const cnv_gate *gate, const cnv_io *io, cnv_run *run)
{
    const cnv_fast *fast = f->form.fast;
    const cnv_finish finish = {.accumulate = !cnv_is_fresh(io, 0)};
    if (f->m != 0) {
        run_winograd(f, &f->winograd_back, io->dx[0], io->dy, f->packed_back, NULL, &finish, gate, io, run);
        return;
    }
    if (f->planar)
        fast->image_gradient(io->dx[0], io->dy, f->packed_back, gate, finish.accumulate, &f->gradient,
                             io->scratch, io->scratch_stride, run);
    for (int64_t i = 0; i < f->n_phases; i++)
        fast->direct(io->dx[0], io->dy, f->phase[i].packed, NULL, &finish, gate, &f->phase[i].d, io->scratch,
                     io->scratch_stride, run);
}

static void conv_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const conv_form *f = node->form;
    const cnv_gate gate = cnv_gate_of(&f->form, io, run);
    if (io->dx[0] != NULL) conv_backward_data(f, &gate, io, run);
    if (io->dx[3] != NULL)
        f->form.fast->gate(io->dx[3], io->dy, &gate, !cnv_is_fresh(io, 3), &f->form.picture, run);
}

const cnv_op cnv_op_blocked_conv = {
    .name = "blocked_conv",
    .min_inputs = 2,
    .max_inputs = 4,
    .fresh = true,
    .settle = conv_settle,
    .needs = conv_needs,
    .forward = conv_forward,
    .backward = conv_backward,
};
