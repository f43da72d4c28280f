/*
 * The choice between the direct loop and the GEMM, which depends on the shape alone, and the bias gradient.
 */
#include "kernels/portable/conv.h"

size_t cnv_conv2d_forward_scratch(const cnv_conv2d *c)
{
    return cnv_conv2d_is_depthwise(c) ? 0 : cnv_conv_gemm_forward_scratch(c);
}

size_t cnv_conv2d_backward_data_scratch(const cnv_conv2d *c)
{
    return cnv_conv2d_is_depthwise(c) ? 0 : cnv_conv_gemm_backward_scratch(c);
}

size_t cnv_conv2d_backward_weight_scratch(const cnv_conv2d *c)
{
    return cnv_conv2d_backward_data_scratch(c);
}

void cnv_conv2d_forward(float *y, const float *x, const float *w, const float *b, const cnv_conv2d *c,
                        void *scratch, size_t scratch_stride, cnv_run *run)
{
    if (cnv_conv2d_is_depthwise(c))
        cnv_conv_depthwise_forward(y, x, w, b, false, c, run);
    else
        cnv_conv_gemm_forward(y, x, w, b, false, c, scratch, scratch_stride, run);
}

void cnv_conv2d_forward_add(float *y, const float *x, const float *w, const cnv_conv2d *c, void *scratch,
                            size_t scratch_stride, cnv_run *run)
{
    if (cnv_conv2d_is_depthwise(c))
        cnv_conv_depthwise_forward(y, x, w, NULL, true, c, run);
    else
        cnv_conv_gemm_forward(y, x, w, NULL, true, c, scratch, scratch_stride, run);
}

void cnv_conv2d_backward_data(float *dx, const float *dy, const float *w, const cnv_conv2d *c, void *scratch,
                              size_t scratch_stride, cnv_run *run)
{
    if (cnv_conv2d_is_depthwise(c))
        cnv_conv_depthwise_backward_data(dx, dy, w, c, run);
    else
        cnv_conv_gemm_backward_data(dx, dy, w, c, scratch, scratch_stride, run);
}

void cnv_conv2d_backward_weight(float *dw, const float *dy, const float *x, const cnv_conv2d *c,
                                void *scratch, size_t scratch_stride, cnv_run *run)
{
    if (cnv_conv2d_is_depthwise(c))
        cnv_conv_depthwise_backward_weight(dw, dy, x, c, run);
    else
        cnv_conv_gemm_backward_weight(dw, dy, x, c, scratch, scratch_stride, run);
}

typedef struct {
    float *db;
    const float *dy;
    const cnv_conv2d *c;
} bias_work;

static void bias_channel(void *context, int64_t channel, int worker)
{
    const bias_work *work = context;
    const cnv_conv2d *c = work->c;
    int64_t pixels = cnv_window_outputs(&c->window);
    double sum = 0.0;
    for (int64_t n = 0; n < c->n; n++) {
        const float *plane = work->dy + (n * c->groups * c->oc + channel) * pixels;
        for (int64_t p = 0; p < pixels; p++) sum += plane[p];
    }
    work->db[channel] += (float)sum;
    (void)worker;
}

void cnv_conv2d_backward_bias(float *db, const float *dy, const cnv_conv2d *c, cnv_run *run)
{
    bias_work work = {db, dy, c};
    cnv_parallel(run, c->groups * c->oc, bias_channel, &work);
}
