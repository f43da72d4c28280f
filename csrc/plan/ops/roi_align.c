/*
 * roi_align(x, regions, index; bins, samples, scale, half_pixel, maximum)
 *
 * x: N,C,H,W   regions: R,4 (left, top, right, bottom)   index: R, the image of each   ->   R,C,bins
 *
 * Regions and indices are taken as they are: the gradient by them is 0.
 */
#include <math.h>

#include "kernels/portable/roi_align.h"
#include "plan/op.h"

/* Of a bin along an axis. Networks take 1 to 4; their square is work that no size of a file bounds. */
#define MOST_SAMPLES 256

static cnv_status check_regions(const cnv_node *node, cnv_error *err)
{
    const cnv_shape *regions = node->x_shape[1], *index = node->x_shape[2];
    if (regions->ndim != 2 || regions->dim[1] != 4)
        return cnv_fail(err, CNV_INVALID, "the regions have shape %s, expected 4 numbers each",
                        cnv_shape_format(regions).text);
    if (index->ndim != 1 || index->dim[0] != regions->dim[0])
        return cnv_fail(err, CNV_INVALID, "the index has shape %s, but there are %lld regions",
                        cnv_shape_format(index).text, (long long)regions->dim[0]);
    return CNV_OK;
}

static cnv_status roi_align_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_roi_params *p = &node->params.roi;
    CNV_TRY(cnv_check_ndim(node, 0, "x", 4, err));
    CNV_TRY(check_regions(node, err));
    if (p->bins[0] < 1 || p->bins[1] < 1 || p->bins[0] > INT32_MAX || p->bins[1] > INT32_MAX) {
        status = cnv_fail(err, CNV_INVALID, "there are %lld x %lld bins", (long long)p->bins[0],
                          (long long)p->bins[1]);
        goto done;
    }
    if (p->samples < 0 || p->samples > MOST_SAMPLES || !isfinite(p->scale)) {
        status = cnv_fail(err, CNV_INVALID, "samples is %lld and scale is %g, expected 0..%d and a number",
                          (long long)p->samples, (double)p->scale, MOST_SAMPLES);
        goto done;
    }
    *y = (cnv_shape){4, {node->x_shape[1]->dim[0], node->x_shape[0]->dim[1], p->bins[0], p->bins[1]}};
done:
    return status;
}

static cnv_roi_align geometry(const cnv_node *node)
{
    const cnv_shape *x = node->x_shape[0];
    const cnv_roi_params *p = &node->params.roi;
    return (cnv_roi_align){.images = x->dim[0],
                           .channels = x->dim[1],
                           .extent = {x->dim[2], x->dim[3]},
                           .regions = node->x_shape[1]->dim[0],
                           .bins = {p->bins[0], p->bins[1]},
                           .samples = p->samples,
                           .scale = p->scale,
                           .half_pixel = p->half_pixel,
                           .maximum = p->maximum};
}

static void roi_align_needs(const cnv_node *node, cnv_needs *needs)
{
    cnv_roi_align s = geometry(node);
    needs->forward_scratch = needs->backward_scratch = cnv_roi_align_scratch(&s);
    needs->backward_reads = 1u << 1 | 1u << 2 | (s.maximum ? 1u << 0 : 0);
}

static void roi_align_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_roi_align s = geometry(node);
    cnv_roi_align_forward(io->y, io->x[0], io->x[1], io->x[2], &s, io->scratch, io->scratch_stride, run);
}

static void roi_align_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_roi_align s = geometry(node);
    if (io->dx[0] != NULL)
        cnv_roi_align_backward(io->dx[0], io->dy, io->x[0], io->x[1], io->x[2], &s, io->scratch,
                               io->scratch_stride, run);
}

static const cnv_argument roi_align_arguments[] = {
    CNV_INPUT(x),
    CNV_INPUT(regions),
    CNV_INPUT(index),
    CNV_PARAM(bins, INTEGERS, roi.bins),
    CNV_PARAM(samples, INTEGER, roi.samples),
    CNV_PARAM(scale, NUMBER, roi.scale),
    CNV_PARAM(half_pixel, FLAG, roi.half_pixel),
    CNV_PARAM(maximum, FLAG, roi.maximum),
    CNV_END,
};

const cnv_op cnv_op_roi_align = {
    .name = "roi_align",
    .arguments = roi_align_arguments,
    .infer = roi_align_infer,
    .kernel = {.needs = roi_align_needs, .forward = roi_align_forward, .backward = roi_align_backward},
};
