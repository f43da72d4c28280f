/*
 * Batch normalisation with given statistics, and local response normalisation across channels. Backward adds.
 *
 * x, y, dx, dy: N,C,size, where size is the product of the axes after the channels
 */
#ifndef CNV_KERNELS_NORM_H
#define CNV_KERNELS_NORM_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/threads.h"

/* y = (x - mean) * scale / sqrt(var + epsilon) + bias, per channel */
typedef struct cnv_batch_norm {
    int64_t n;
    int64_t channels;
    int64_t size;
    const float *scale; /* [channels], as are the next three */
    const float *bias;
    const float *mean;
    const float *var;
    float epsilon;
} cnv_batch_norm;

/* y may be x. */
void cnv_batch_norm_forward(float *y, const float *x, const cnv_batch_norm *s, cnv_run *run);
void cnv_batch_norm_backward_data(float *dx, const float *dy, const cnv_batch_norm *s, cnv_run *run);
/* Each output may be NULL; x is read for dscale and dvar only. The images are summed in order. */
void cnv_batch_norm_backward_channels(float *dscale, float *dbias, float *dmean, float *dvar, const float *dy,
                                      const float *x, const cnv_batch_norm *s, cnv_run *run);

/* y[c] = x[c] / (k + alpha / window * sum over j of x[j]^2)^beta, where j are the `window` channels that
 * begin (window - 1) / 2, rounded down, before c (the ONNX operator; Krizhevsky et al. 2012, sec. 3.3). */
typedef struct cnv_lrn {
    int64_t n;
    int64_t channels;
    int64_t size;
    int64_t window;
    float alpha;
    float beta;
    float k;
} cnv_lrn;

void cnv_lrn_forward(float *y, const float *x, const cnv_lrn *s, cnv_run *run);
size_t cnv_lrn_backward_scratch(const cnv_lrn *s);
void cnv_lrn_backward(float *dx, const float *dy, const float *x, const cnv_lrn *s, void *scratch,
                      size_t scratch_stride, cnv_run *run);

#endif
