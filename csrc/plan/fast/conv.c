/*
 * Convolutions on blocked pictures: the choice of algorithm, the packed weights, and the two passes.
 *
 * The choice depends on the shape of one image alone, so that results do not depend on the batch or the
 * number of threads. A 3x3 convolution with stride 1 gets Winograd's F(4x4,3x3) for nine or more tiles of 4x4
 * (9x9 pixels), or F(2x2,3x3), which streams 2.25 times fewer weights, for sixteen or more tiles of 2x2 (7x7
 * pixels); every other convolution is a direct sum.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plan/fast/blocked.h"
#include "plan/constant.h"
#include "plan/op.h"
#include "plan/window.h"
#include "runtime/alloc.h"

#define F4_TILES 9  /* fewest tiles of 4x4 for F(4x4,3x3) */
#define F2_TILES 16 /* fewest tiles of 2x2 for F(2x2,3x3) */

/* One sum over taps. A strided backward pass has several, every other pass one. Forward and backward are the
 * passes of the form's convolution, here and below. */
typedef struct conv_sum {
    cnv_direct d;        /* description of a direct sum */
    const float *packed; /* packed weights; NULL: the pass packs the plain ones as it goes */
} conv_sum;

typedef struct conv_form {
    cnv_form form;
    cnv_geometry g;
    bool planar;
    bool transposed; /* the node's forward pass is g's backward pass, and the other way round */
    int64_t m;       /* extent of a Winograd tile; 0: direct */
    int threads;
    cnv_winograd winograd[2];    /* forward, backward */
    cnv_image_gradient gradient; /* backward of a planar one */
    const float *bias;
    bool packs[2]; /* forward, backward: the weights are packed by conv_settle */
    int64_t n_back;
    conv_sum forward;
    conv_sum back[];
} conv_form;

/* The convolution that a node computes or transposes. */
static cnv_geometry geometry_of(const cnv_node *node)
{
    const bool transposed = node->op == &cnv_op_conv_transpose2d;
    const cnv_shape *x = transposed ? node->y_shape : node->x_shape[0];
    const cnv_shape *y = transposed ? node->x_shape[0] : node->y_shape;
    const cnv_window v = transposed ? cnv_transposed_window(node) : cnv_conv_window(node);
    return (cnv_geometry){.images = x->dim[0],
                          .ic = x->dim[1],
                          .ih = v.ih,
                          .iw = v.iw,
                          .oc = y->dim[1],
                          .oh = v.oh,
                          .ow = v.ow,
                          .kernel = {v.kernel[0], v.kernel[1]},
                          .stride = {v.stride[0], v.stride[1]},
                          .pad = {v.pad[0], v.pad[1]},
                          .dilation = {v.dilation[0], v.dilation[1]}};
}

bool cnv_conv_is_planar(const cnv_node *node)
{
    return node->x_shape[0]->dim[1] <= CNV_GRADIENT_CHANNELS;
}

bool cnv_conv_is_served(const cnv_node *node)
{
    const cnv_geometry g = geometry_of(node);
    const int64_t planes = cnv_conv_is_planar(node) ? g.ic : 1;
    return node->params.conv.groups == 1 && cnv_direct_fits(&g) &&
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
    const int64_t m = planar ? 0 : winograd_m(&g), n_back = m != 0 || planar ? 1 : g.stride[0] * g.stride[1];
    conv_form *f = cnv_alloc(1, sizeof *f + (size_t)n_back * sizeof *f->back);
    if (f == NULL) return NULL;
    f->form.fast = fast;
    f->form.picture = cnv_picture_of(node->y_shape);
    f->form.high = INFINITY;
    f->g = g;
    f->planar = planar;
    f->transposed = node->op == &cnv_op_conv_transpose2d;
    f->m = m;
    f->threads = threads;
    f->n_back = n_back;
    if (m != 0)
        snprintf(f->form.text, sizeof f->form.text, "%s winograd %dx%d", fast->name, (int)m, (int)m);
    else
        snprintf(f->form.text, sizeof f->form.text, "%s direct", fast->name);
    return f;
}

/* Describes the sums to the kernels, for packed weights or plain ones as f->packs says. */
static void describe(conv_form *f)
{
    if (f->m != 0) {
        cnv_winograd_describe(&f->winograd[0], &f->g, f->m, false, f->packs[0]);
        cnv_winograd_describe(&f->winograd[1], &f->g, f->m, true, f->packs[1]);
        return;
    }
    cnv_direct_forward(&f->forward.d, &f->g, f->planar);
    f->forward.d.packed = f->packs[0];
    if (f->planar) cnv_image_gradient_describe(&f->gradient, &f->g);
    for (int64_t i = 0; i < f->n_back && !f->planar; i++) {
        cnv_direct_backward(&f->back[i].d, &f->g, i, f->form.rectify);
        f->back[i].d.packed = f->packs[1];
    }
}

/* ---- weights */

/* A geometry with the same taps in the same order, which the extents of the picture do not change. */
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
    cnv_direct_pack(packed, data, &d);
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
    cnv_winograd_describe(&d, &g, p->details[1], p->details[0], true);
    cnv_fast_kernels()->winograd_pack(packed, data, &d);
}

/* The packing of one sum's weights. */
static cnv_packing packing_of(const conv_form *f, bool backward, int64_t sum)
{
    const cnv_geometry *g = &f->g;
    const int64_t details[] = {backward,       f->m,          sum,          f->planar, g->kernel[0],
                               g->kernel[1],   g->stride[0],  g->stride[1], g->pad[0], g->pad[1],
                               g->dilation[0], g->dilation[1]};
    const conv_sum *direct = backward ? &f->back[sum] : &f->forward;
    cnv_packing p = {.kind = CNV_PACK_DIRECT, .pack = pack_direct};
    if (f->m != 0)
        p = (cnv_packing){.kind = CNV_PACK_WINOGRAD, .pack = pack_winograd};
    else if (f->planar && backward)
        p = (cnv_packing){.kind = CNV_PACK_GRADIENT, .pack = pack_gradient};
    p.nbytes = f->m != 0               ? cnv_winograd_weights(&f->winograd[backward])
               : f->planar && backward ? cnv_image_gradient_weights(&f->gradient)
                                       : cnv_direct_weights(&direct->d);
    memcpy(p.details, details, sizeof details);
    return p;
}

/* Whether a pass of the node runs the form's backward pass, or its forward pass. */
static bool runs(const cnv_node *node, bool backward)
{
    const conv_form *f = node->form;
    return backward != f->transposed ? cnv_wants(node, 0) : node->runs_forward;
}

static cnv_status conv_settle(cnv_plan *plan, cnv_node *node, cnv_error *err)
{
    conv_form *f = node->form;
    cnv_status status = CNV_OK;
    if (node->runs_forward) CNV_TRY(cnv_pack_bias(plan, node, &f->bias, err));
    if (runs(node, false) && f->packs[0]) {
        const cnv_packing packing = packing_of(f, false, 0);
        CNV_TRY(cnv_pack(plan, node, 1, &packing, &f->forward.packed, err));
    }
    for (int64_t i = 0; i < f->n_back && runs(node, true) && f->packs[1]; i++) {
        const cnv_packing packing = packing_of(f, true, i);
        CNV_TRY(cnv_pack(plan, node, 1, &packing, &f->back[i].packed, err));
    }
done:
    return status;
}

/* Takes the size of one direction's packed weights from *room, if that suffices. */
static void claim_direction(const cnv_plan *plan, const cnv_node *node, bool backward, size_t *room)
{
    conv_form *f = node->form;
    size_t nbytes = 0;
    for (int64_t i = 0; i < (backward ? f->n_back : 1); i++) {
        const cnv_packing packing = packing_of(f, backward, i);
        if (!cnv_constant_has(plan->values[node->inputs[1]]->constant, &packing)) nbytes += packing.nbytes;
    }
    f->packs[backward] = f->planar || nbytes <= *room;
    if (f->packs[backward]) *room -= nbytes < *room ? nbytes : *room;
    describe(f);
}

static cnv_claim claim_of(const conv_form *f, bool backward)
{
    if (f->planar) return CNV_CLAIM_NEEDED;
    if (f->m == 0) return CNV_CLAIM_DIRECT;
    if (f->m == 2) return backward ? CNV_CLAIM_F2_BACKWARD : CNV_CLAIM_F2;
    return backward ? CNV_CLAIM_F4_BACKWARD : CNV_CLAIM_F4;
}

/* Both directions claim, even when the request runs only one: the plans of one model then divide the memory
 * in the same way, whatever they run. */
static void conv_claim(cnv_plan *plan, cnv_node *node, cnv_claim claim, size_t *room)
{
    conv_form *f = node->form;
    if (claim == CNV_CLAIM_NEEDED) {
        describe(f);
        cnv_claim_bias(plan, node, room);
    }
    for (int backward = 1; backward >= 0; backward--)
        if (claim == claim_of(f, backward)) claim_direction(plan, node, backward, room);
}

/* ---- passes */

static size_t whole_lines(size_t nbytes)
{
    return (nbytes + CNV_ALIGNMENT - 1) / CNV_ALIGNMENT * CNV_ALIGNMENT;
}

/* Scratch per worker: its own part, and its share of V, the transformed input that all workers read. */
static size_t winograd_scratch(const cnv_winograd *d, int threads)
{
    const size_t shared = whole_lines(cnv_winograd_shared(d));
    return whole_lines(cnv_winograd_scratch(d)) +
           whole_lines((shared + (size_t)threads - 1) / (size_t)threads);
}

/* Scratch per worker of the form's forward or backward pass. */
static size_t pass_scratch(const conv_form *f, bool backward)
{
    if (f->m != 0) return winograd_scratch(&f->winograd[backward], f->threads);
    if (!backward) return cnv_direct_scratch(&f->forward.d);
    size_t most = f->planar ? cnv_image_gradient_scratch(&f->gradient) : 0;
    for (int64_t i = 0; i < f->n_back && !f->planar; i++) {
        const size_t scratch = cnv_direct_scratch(&f->back[i].d);
        if (scratch > most) most = scratch;
    }
    return most;
}

static void conv_needs(const cnv_node *node, cnv_needs *needs)
{
    const conv_form *f = node->form;
    needs->saved_nbytes = cnv_bits_nbytes(&f->form);
    needs->forward_scratch = pass_scratch(f, f->transposed);
    needs->backward_scratch = pass_scratch(f, !f->transposed);
}

/* The weights as the sum reads them: packed or plain. */
static const float *weights_of(const conv_sum *sum, const cnv_io *io)
{
    return sum->packed != NULL ? sum->packed : io->x[1];
}

static void run_winograd(const conv_form *f, bool backward, float *y, const float *x, const float *weights,
                         const float *bias, const cnv_finish *finish, const cnv_gate *gate, const cnv_io *io,
                         cnv_run *run)
{
    const cnv_winograd *d = &f->winograd[backward];
    char *own = (char *)io->scratch + whole_lines(cnv_winograd_shared(d));
    f->form.fast->winograd(y, x, weights, bias, finish, gate, d, io->scratch, own,
                           whole_lines(cnv_winograd_scratch(d)), run);
}

static void run_forward(const conv_form *f, float *y, const float *x, const float *bias,
                        const cnv_finish *finish, const cnv_io *io, cnv_run *run)
{
    const cnv_gate open = {0};
    const float *weights = weights_of(&f->forward, io);
    if (f->m != 0)
        run_winograd(f, false, y, x, weights, bias, finish, &open, io, run);
    else
        f->form.fast->direct(y, x, weights, bias, finish, &open, &f->forward.d, io->scratch,
                             io->scratch_stride, run);
}

static void run_backward(const conv_form *f, float *dx, const float *dy, const float *bias,
                         const cnv_finish *finish, const cnv_gate *gate, const cnv_io *io, cnv_run *run)
{
    const cnv_fast *fast = f->form.fast;
    for (int64_t i = 0; i < f->n_back; i++) {
        const float *weights = weights_of(&f->back[i], io);
        if (f->m != 0)
            run_winograd(f, true, dx, dy, weights, bias, finish, gate, io, run);
        else if (f->planar)
            fast->image_gradient(dx, dy, weights, gate, finish->accumulate, &f->gradient, io->scratch,
                                 io->scratch_stride, run);
        else
            fast->direct(dx, dy, weights, bias, finish, gate, &f->back[i].d, io->scratch, io->scratch_stride,
                         run);
    }
}

static void conv_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const conv_form *f = node->form;
    cnv_finish finish = cnv_finish_of(&f->form, io);
    finish.add = io->x[3];
    run_forward(f, io->y, io->x[0], f->bias, &finish, io, run);
}

static void conv_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const conv_form *f = node->form;
    const cnv_gate gate = cnv_gate_of(&f->form, io, run);
    const cnv_finish finish = {.accumulate = !cnv_is_fresh(io, 0)};
    if (io->dx[0] != NULL) run_backward(f, io->dx[0], io->dy, NULL, &finish, &gate, io, run);
    if (io->dx[3] != NULL)
        f->form.fast->gate(io->dx[3], io->dy, &gate, !cnv_is_fresh(io, 3), &f->form.picture, run);
}

const cnv_kernel cnv_kernel_blocked_conv = {
    .fresh = true,
    .claim = conv_claim,
    .settle = conv_settle,
    .needs = conv_needs,
    .forward = conv_forward,
    .backward = conv_backward,
};

static void transposed_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const conv_form *f = node->form;
    const cnv_gate open = {0};
    const cnv_finish finish = {0};
    run_backward(f, io->y, io->x[0], f->bias, &finish, &open, io, run);
}

static void transposed_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_finish finish = {.accumulate = !cnv_is_fresh(io, 0)};
    if (io->dx[0] != NULL) run_forward(node->form, io->dx[0], io->dy, NULL, &finish, io, run);
}

const cnv_kernel cnv_kernel_blocked_conv_transpose = {
    .fresh = true,
    .claim = conv_claim,
    .settle = conv_settle,
    .needs = conv_needs,
    .forward = transposed_forward,
    .backward = transposed_backward,
};
