/*
 * grid_sample(x, grid; degree, padding, align_corners, elements)
 *
 * x: N,C,extents   grid: N,output extents,axes   ->   N,C,output extents, for one to three axes
 *
 * The coordinates of a point, the last axis's first, go from -1 to 1 across x, or are indices of
 * elements. An N of 1 serves all images.
 * The nearest element (degree 0) has no derivative by the grid: its gradient is 0.
 */
#include "kernels/portable/grid_sample.h"
#include "plan/op.h"

static cnv_status check_shapes(const cnv_node *node, cnv_error *err)
{
    const cnv_shape *x = node->x_shape[0], *grid = node->x_shape[1];
    int axes = x->ndim - 2;
    if (axes < 1 || axes > CNV_SAMPLE_AXES)
        return cnv_fail(err, CNV_INVALID, "x has %d dimensions (%s), from 3 to %d are possible", x->ndim,
                        cnv_shape_format(x).text, 2 + CNV_SAMPLE_AXES);
    if (grid->ndim != x->ndim || grid->dim[axes + 1] != axes)
        return cnv_fail(err, CNV_INVALID,
                        "the grid has shape %s, x of shape %s needs %d axes of points and %d coordinates",
                        cnv_shape_format(grid).text, cnv_shape_format(x).text, axes, axes);
    if (x->dim[0] != grid->dim[0] && x->dim[0] != 1 && grid->dim[0] != 1)
        return cnv_fail(err, CNV_INVALID, "x has %lld images, but there are %lld grids", (long long)x->dim[0],
                        (long long)grid->dim[0]);
    return CNV_OK;
}

static cnv_status grid_sample_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_shape *x = node->x_shape[0], *grid = node->x_shape[1];
    const int64_t degree = node->params.sample.degree;
    CNV_TRY(check_shapes(node, err));
    if (degree != 0 && degree != 1 && degree != 3) {
        status = cnv_fail(err, CNV_INVALID, "degree is %lld, not 0, 1 or 3", (long long)degree);
        goto done;
    }
    *y = *x;
    y->dim[0] = x->dim[0] > grid->dim[0] ? x->dim[0] : grid->dim[0];
    for (int i = 2; i < y->ndim; i++) y->dim[i] = grid->dim[i - 1];
done:
    return status;
}

static cnv_grid_sample geometry(const cnv_node *node)
{
    const cnv_shape *x = node->x_shape[0], *grid = node->x_shape[1];
    cnv_grid_sample s = {.n = node->y_shape->dim[0],
                         .x_images = x->dim[0],
                         .grids = grid->dim[0],
                         .channels = x->dim[1],
                         .points = 1,
                         .axes = x->ndim - 2,
                         .degree = (int)node->params.sample.degree,
                         .padding = node->params.sample.padding,
                         .corners = node->params.sample.align_corners,
                         .elements = node->params.sample.elements};
    for (int a = 0; a < s.axes; a++) {
        s.extent[a] = x->dim[2 + a];
        s.points *= grid->dim[1 + a];
    }
    return s;
}

static void grid_sample_needs(const cnv_node *node, cnv_needs *needs)
{
    needs->backward_reads = 1u << 1 | (cnv_wants(node, 1) ? 1u << 0 : 0);
}

static void grid_sample_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_grid_sample s = geometry(node);
    cnv_grid_sample_forward(io->y, io->x[0], io->x[1], &s, run);
}

static void grid_sample_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_grid_sample s = geometry(node);
    if (io->dx[0] != NULL) cnv_grid_sample_backward_data(io->dx[0], io->dy, io->x[1], &s, run);
    if (io->dx[1] != NULL && s.degree > 0)
        cnv_grid_sample_backward_grid(io->dx[1], io->dy, io->x[0], io->x[1], &s, run);
}

static const cnv_argument grid_sample_arguments[] = {
    CNV_INPUT(x),
    CNV_INPUT(grid),
    CNV_PARAM(degree, INTEGER, sample.degree),
    CNV_PARAM(padding, PAD_MODE, sample.padding),
    CNV_PARAM(align_corners, FLAG, sample.align_corners),
    CNV_OPTIONAL_PARAM(elements, FLAG, sample.elements, false),
    CNV_END,
};

const cnv_op cnv_op_grid_sample = {
    .name = "grid_sample",
    .arguments = grid_sample_arguments,
    .infer = grid_sample_infer,
    .kernel = {.needs = grid_sample_needs, .forward = grid_sample_forward, .backward = grid_sample_backward},
};
