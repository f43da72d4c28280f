/*
 * Transposed convolution, where its passes are more than another pass of the convolution that it transposes.
 */
#include "kernels/portable/conv.h"
#include "kernels/split.h"

typedef struct {
    float *y;
    const float *b;
    int64_t channels;
    int64_t pixels;
} fill_work;

static void fill_planes(void *context, int64_t begin, int64_t end, int worker)
{
    const fill_work *work = context;
    for (int64_t plane = begin; plane < end; plane++) {
        float *y = work->y + plane * work->pixels,
              bias = work->b != NULL ? work->b[plane % work->channels] : 0.0f;
        for (int64_t p = 0; p < work->pixels; p++) y[p] = bias;
    }
    (void)worker;
}

void cnv_conv_transpose2d_forward(float *y, const float *x, const float *w, const float *b,
                                  const cnv_conv2d *c, void *scratch, size_t scratch_stride, cnv_run *run)
{
    fill_work work = {y, b, c->groups * c->ic, cnv_window_inputs(&c->window)};
    cnv_parallel_range(run, c->n * work.channels, cnv_grain_of(work.pixels), fill_planes, &work);
    cnv_conv2d_backward_data(y, x, w, c, scratch, scratch_stride, run);
}

void cnv_conv_transpose2d_backward_bias(float *db, const float *dy, const cnv_conv2d *c, cnv_run *run)
{
    /* A convolution whose outputs are the inputs of c: the bias gradient reads no more of it. */
    const cnv_conv2d of_y = {
        .n = c->n, .groups = c->groups, .oc = c->ic, .window = {.oh = c->window.ih, .ow = c->window.iw}};
    cnv_conv2d_backward_bias(db, dy, &of_y, run);
}
