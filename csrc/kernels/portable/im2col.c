/*
 * im2col and its adjoint for a range of output pixels.
 */
#include <string.h>

#include "kernels/portable/conv.h"

/* One tap of one output row: the input row, or NULL in the padding, and the output columns inside. */
typedef struct {
    const float *row;
    cnv_span inside;
    int64_t offset; /* output column ow reads input column ow * stride + offset */
    int64_t stride;
} tap_row;

static cnv_span clamp(cnv_span span, int64_t begin, int64_t end)
{
    if (span.begin < begin) span.begin = begin;
    if (span.end > end) span.end = end;
    if (span.begin > span.end) span.begin = span.end = begin;
    return span;
}

static void gather_row(float *out, const tap_row *tap, int64_t ow0, int64_t ow1)
{
    if (tap->row == NULL) {
        memset(out, 0, (size_t)(ow1 - ow0) * sizeof *out);
        return;
    }
    cnv_span in = clamp(tap->inside, ow0, ow1);
    for (int64_t ow = ow0; ow < in.begin; ow++) out[ow - ow0] = 0.0f;
    if (tap->stride == 1 && in.end > in.begin)
        memcpy(out + (in.begin - ow0), tap->row + in.begin + tap->offset,
               (size_t)(in.end - in.begin) * sizeof *out);
    else
        for (int64_t ow = in.begin; ow < in.end; ow++)
            out[ow - ow0] = tap->row[ow * tap->stride + tap->offset];
    for (int64_t ow = in.end; ow < ow1; ow++) out[ow - ow0] = 0.0f;
}

static void scatter_row(float *row, const float *in, const tap_row *tap, int64_t ow0, int64_t ow1)
{
    cnv_span inside = clamp(tap->inside, ow0, ow1);
    for (int64_t ow = inside.begin; ow < inside.end; ow++)
        row[ow * tap->stride + tap->offset] += in[ow - ow0];
}

/* The output columns of row oh that are in the pixel range. */
static cnv_span columns_of_row(int64_t oh, cnv_span pixels, int64_t ow)
{
    return clamp((cnv_span){pixels.begin - oh * ow, pixels.end - oh * ow}, 0, ow);
}

void cnv_im2col(float *columns, const float *x, int64_t channels, cnv_span pixels, const cnv_window *v)
{
    int64_t taps = cnv_window_taps(v);
    for (int64_t k = 0; k < channels * taps; k++) {
        int64_t r = k % taps / v->kernel[1], s = k % taps % v->kernel[1];
        const float *plane = x + k / taps * cnv_window_inputs(v);
        tap_row tap = {NULL, {0, 0}, s * v->dilation[1] - v->pad[1], v->stride[1]};
        tap.inside = cnv_outputs_inside(v->iw, v->ow, tap.stride, tap.offset);
        for (int64_t oh = pixels.begin / v->ow; oh * v->ow < pixels.end; oh++) {
            int64_t ih = oh * v->stride[0] - v->pad[0] + r * v->dilation[0];
            cnv_span span = columns_of_row(oh, pixels, v->ow);
            tap.row = ih >= 0 && ih < v->ih ? plane + ih * v->iw : NULL;
            gather_row(columns, &tap, span.begin, span.end);
            columns += span.end - span.begin;
        }
    }
}

void cnv_col2im(float *dx, const float *columns, int64_t channels, cnv_span pixels, const cnv_window *v)
{
    int64_t taps = cnv_window_taps(v);
    for (int64_t k = 0; k < channels * taps; k++) {
        int64_t r = k % taps / v->kernel[1], s = k % taps % v->kernel[1];
        float *plane = dx + k / taps * cnv_window_inputs(v);
        tap_row tap = {NULL, {0, 0}, s * v->dilation[1] - v->pad[1], v->stride[1]};
        tap.inside = cnv_outputs_inside(v->iw, v->ow, tap.stride, tap.offset);
        for (int64_t oh = pixels.begin / v->ow; oh * v->ow < pixels.end; oh++) {
            int64_t ih = oh * v->stride[0] - v->pad[0] + r * v->dilation[0];
            cnv_span span = columns_of_row(oh, pixels, v->ow);
            if (ih >= 0 && ih < v->ih) scatter_row(plane + ih * v->iw, columns, &tap, span.begin, span.end);
            columns += span.end - span.begin;
        }
    }
}
