/* The kernels of made nodes other than convolutions: rectifiers, layouts, pooling, concatenation, linear
 * layers. */
#include <math.h>

#include "plan/fast/blocked.h"
#include "plan/constant.h"
#include "plan/op.h"
#include "plan/window.h"

cnv_picture cnv_picture_of(const cnv_shape *plain)
{
    cnv_picture p = {plain->dim[0], plain->ndim > 1 ? plain->dim[1] : 1, 1};
    for (int i = 2; i < plain->ndim; i++) p.pixels *= plain->dim[i];
    return p;
}

cnv_shape cnv_blocked_shape(const cnv_shape *plain)
{
    return (cnv_shape){5,
                       {plain->dim[0], cnv_blocks(plain->dim[1]), plain->dim[2], plain->dim[3], CNV_LANES}};
}

/* ---- rectifiers */

/* Pixels of all blocks of all images: one uint16_t of bits each. */
static int64_t n_bits(const cnv_picture *p)
{
    return p->images * cnv_blocks(p->channels) * p->pixels;
}

static int64_t n_masks(const cnv_form *form)
{
    return form->high < INFINITY ? 2 : 1;
}

size_t cnv_bits_nbytes(const cnv_form *form)
{
    if (!form->rectify) return 0;
    return (size_t)(n_masks(form) * n_bits(&form->picture)) * sizeof(uint16_t) +
           (size_t)form->picture.images * sizeof(bool);
}

cnv_finish cnv_finish_of(const cnv_form *form, const cnv_io *io)
{
    return (cnv_finish){.rectify = form->rectify,
                        .high = form->high,
                        .bits = io->saved,
                        .above = n_masks(form) > 1 ? n_bits(&form->picture) : 0};
}

cnv_gate cnv_gate_of(const cnv_form *form, const cnv_io *io, cnv_run *run)
{
    if (!form->rectify) return (cnv_gate){0};
    uint16_t *bits = io->saved;
    bool *dead = (bool *)(bits + n_masks(form) * n_bits(&form->picture));
    if (io->relu == CNV_RELU_REDIRECTED) form->fast->dead(dead, io->dy, bits, &form->picture, run);
    return (cnv_gate){.bits = bits,
                      .rule = io->relu,
                      .dead = dead,
                      .above = n_masks(form) > 1 ? n_bits(&form->picture) : 0};
}

static void rectifier_needs(const cnv_node *node, cnv_needs *needs)
{
    needs->saved_nbytes = cnv_bits_nbytes(node->form);
}

static void finish_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    cnv_finish finish = cnv_finish_of(form, io);
    finish.add = io->x[1];
    form->fast->finish(io->y, io->x[0], &finish, &form->picture, run);
}

static void finish_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    cnv_gate gate = cnv_gate_of(form, io, run);
    for (int i = 0; i < node->n_inputs; i++)
        if (io->dx[i] != NULL)
            form->fast->gate(io->dx[i], io->dy, &gate, !cnv_is_fresh(io, i), &form->picture, run);
}

const cnv_kernel cnv_kernel_blocked_finish = {
    .inplace = true,
    .fresh = true,
    .needs = rectifier_needs,
    .forward = finish_forward,
    .backward = finish_backward,
};

/* ---- layouts */

static void to_blocked_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    form->fast->to_blocked(io->y, io->x[0], false, &form->picture, run);
}

static void to_blocked_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    if (io->dx[0] != NULL) form->fast->to_plain(io->dx[0], io->dy, !cnv_is_fresh(io, 0), &form->picture, run);
}

const cnv_kernel cnv_kernel_to_blocked = {
    .fresh = true,
    .forward = to_blocked_forward,
    .backward = to_blocked_backward,
};

static void to_plain_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    form->fast->to_plain(io->y, io->x[0], false, &form->picture, run);
}

static void to_plain_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    if (io->dx[0] != NULL)
        form->fast->to_blocked(io->dx[0], io->dy, !cnv_is_fresh(io, 0), &form->picture, run);
}

const cnv_kernel cnv_kernel_to_plain = {
    .fresh = true,
    .forward = to_plain_forward,
    .backward = to_plain_backward,
};

/* ---- pooling */

cnv_fast_pool cnv_pool_of(const cnv_node *node)
{
    const cnv_window v = cnv_pool_window(node);
    return (cnv_fast_pool){.images = node->x_shape[0]->dim[0],
                           .channels = node->x_shape[0]->dim[1],
                           .ih = v.ih,
                           .iw = v.iw,
                           .oh = v.oh,
                           .ow = v.ow,
                           .kernel = {v.kernel[0], v.kernel[1]},
                           .stride = {v.stride[0], v.stride[1]},
                           .dilation = {v.dilation[0], v.dilation[1]},
                           .pad = {v.pad[0], v.pad[1], v.pad[2], v.pad[3]},
                           .count_include_pad = node->params.pool.count_include_pad};
}

bool cnv_pool_is_served(const cnv_node *node)
{
    const cnv_window_params *p = &node->params.pool.window;
    return (node->op == &cnv_op_max_pool || node->op == &cnv_op_average_pool) &&
           p->kernel[0] <= CNV_POOL_KERNEL && p->kernel[1] <= CNV_POOL_KERNEL &&
           p->stride[1] <= CNV_POOL_STRIDE;
}

static void max_pool_needs(const cnv_node *node, cnv_needs *needs)
{
    needs->saved_nbytes = (size_t)cnv_shape_size(node->y_shape); /* one byte each */
}

static void max_pool_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    form->fast->max_forward(io->y, io->saved, io->x[0], &form->pool, run);
}

static void max_pool_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    if (io->dx[0] != NULL)
        form->fast->max_backward(io->dx[0], io->dy, io->saved, !cnv_is_fresh(io, 0), &form->pool, run);
}

const cnv_kernel cnv_kernel_blocked_max_pool = {
    .fresh = true,
    .needs = max_pool_needs,
    .forward = max_pool_forward,
    .backward = max_pool_backward,
};

static void average_pool_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    form->fast->average_forward(io->y, io->x[0], &form->pool, run);
}

static void average_pool_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    if (io->dx[0] != NULL)
        form->fast->average_backward(io->dx[0], io->dy, !cnv_is_fresh(io, 0), &form->pool, run);
}

const cnv_kernel cnv_kernel_blocked_average_pool = {
    .fresh = true,
    .forward = average_pool_forward,
    .backward = average_pool_backward,
};

static void mean_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    form->fast->mean_forward(io->y, io->x[0], &form->pool, run);
}

static void mean_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    if (io->dx[0] != NULL)
        form->fast->mean_backward(io->dx[0], io->dy, !cnv_is_fresh(io, 0), &form->pool, run);
}

const cnv_kernel cnv_kernel_blocked_mean = {
    .fresh = true,
    .forward = mean_forward,
    .backward = mean_backward,
};

/* ---- concatenation */

/* The slice of y that input i fills, from element `first` of each image. */
static cnv_slice slice_of(const cnv_node *node, int i, int64_t first)
{
    const int64_t images = node->y_shape->dim[0];
    return (cnv_slice){.images = images,
                       .x_size = cnv_shape_size(node->x_shape[i]) / images,
                       .y_size = cnv_shape_size(node->y_shape) / images,
                       .first = first};
}

static void concat_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    int64_t first = 0;
    for (int i = 0; i < node->n_inputs; i++) {
        const cnv_slice slice = slice_of(node, i, first);
        const bool there = io->x[i] == io->y + first; /* memory.c, join_storage */
        if (!there) form->fast->slice_forward(io->y, io->x[i], &slice, run);
        first += slice.x_size;
    }
}

static void concat_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    int64_t first = 0;
    for (int i = 0; i < node->n_inputs; i++) {
        const cnv_slice slice = slice_of(node, i, first);
        const bool fresh = i <= CNV_LAST_BIT_INPUT && cnv_is_fresh(io, i);
        const bool there = io->dx[i] == io->dy + first;
        if (io->dx[i] != NULL && !there) form->fast->slice_backward(io->dx[i], io->dy, !fresh, &slice, run);
        first += slice.x_size;
    }
}

const cnv_kernel cnv_kernel_blocked_concat = {
    .joins = true,
    .fresh = true,
    .forward = concat_forward,
    .backward = concat_backward,
};

/* ---- linear */

static cnv_rows rows_of(const cnv_node *node)
{
    const cnv_shape *w = node->x_shape[1];
    return (cnv_rows){.rows = node->x_shape[0]->dim[0], .in = w->dim[1], .out = w->dim[0]};
}

static void linear_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    const cnv_rows rows = rows_of(node);
    form->fast->rows_forward(io->y, io->x[0], io->x[1], io->x[2], &rows, run);
}

static void linear_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_form *form = node->form;
    const cnv_rows rows = rows_of(node);
    if (io->dx[0] != NULL)
        form->fast->rows_backward(io->dx[0], io->dy, io->x[1], !cnv_is_fresh(io, 0), &rows, run);
}

const cnv_kernel cnv_kernel_fast_linear = {
    .fresh = true,
    .forward = linear_forward,
    .backward = linear_backward,
};
