#include "kernels/portable/rectifier.h"

#include "kernels/split.h"

typedef struct {
    float *y;
    uint8_t *mask;
    uint8_t *above;
    const float *x;
    float slope;
    float low;
    float high;
} forward_work;

/* Sets bits begin..end-1 where x > 0. begin is a multiple of 8, because ranges are multiples of 64. */
static void mask_positive(uint8_t *mask, const float *x, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i += 8) {
        int64_t n = end - i < 8 ? end - i : 8;
        unsigned bits = 0;
        for (int64_t k = 0; k < n; k++) bits |= (unsigned)(x[i + k] > 0.0f) << k;
        mask[i / 8] = (uint8_t)bits;
    }
}

static void mask_clip(const forward_work *work, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i += 8) {
        int64_t n = end - i < 8 ? end - i : 8;
        unsigned inside = 0, above = 0;
        for (int64_t k = 0; k < n; k++) {
            float z = work->x[i + k];
            inside |= (unsigned)(z > work->low && z < work->high) << k;
            above |= (unsigned)(z >= work->high) << k;
        }
        work->mask[i / 8] = (uint8_t)inside;
        work->above[i / 8] = (uint8_t)above;
    }
}

/* Here and below a comparison with NaN is false, so that NaN reaches the output. */
static void relu_range(void *context, int64_t begin, int64_t end, int worker)
{
    const forward_work *work = context;
    if (work->mask != NULL) mask_positive(work->mask, work->x, begin, end);
    for (int64_t i = begin; i < end; i++) work->y[i] = work->x[i] < 0.0f ? 0.0f : work->x[i];
    (void)worker;
}

static void leaky_relu_range(void *context, int64_t begin, int64_t end, int worker)
{
    const forward_work *work = context;
    if (work->mask != NULL) mask_positive(work->mask, work->x, begin, end);
    for (int64_t i = begin; i < end; i++) {
        float z = work->x[i];
        work->y[i] = z < 0.0f ? work->slope * z : z;
    }
    (void)worker;
}

static void clip_range(void *context, int64_t begin, int64_t end, int worker)
{
    const forward_work *work = context;
    if (work->mask != NULL) mask_clip(work, begin, end);
    for (int64_t i = begin; i < end; i++) {
        float z = work->x[i] < work->low ? work->low : work->x[i];
        work->y[i] = z > work->high ? work->high : z;
    }
    (void)worker;
}

void cnv_relu_forward(float *y, uint8_t *mask, const float *x, int64_t n, cnv_run *run)
{
    forward_work work = {.y = y, .mask = mask, .x = x};
    cnv_parallel_range(run, n, CNV_GRAIN, relu_range, &work);
}

void cnv_leaky_relu_forward(float *y, uint8_t *mask, const float *x, float slope, int64_t n, cnv_run *run)
{
    forward_work work = {.y = y, .mask = mask, .x = x, .slope = slope};
    cnv_parallel_range(run, n, CNV_GRAIN, leaky_relu_range, &work);
}

void cnv_clip_forward(float *y, uint8_t *mask, uint8_t *above, const float *x, float low, float high,
                      int64_t n, cnv_run *run)
{
    forward_work work = {.y = y, .mask = mask, .above = above, .x = x, .low = low, .high = high};
    cnv_parallel_range(run, n, CNV_GRAIN, clip_range, &work);
}

typedef struct {
    float *dx;
    const float *dy;
    const uint8_t *mask;
    const uint8_t *above; /* NULL if there is no upper bound */
    float slope;
    int64_t size;
} backward_work;

static void plain_range(void *context, int64_t begin, int64_t end, int worker)
{
    const backward_work *work = context;
    for (int64_t i = begin; i < end; i++) work->dx[i] += cnv_mask_bit(work->mask, i) ? work->dy[i] : 0.0f;
    (void)worker;
}

static void leaky_range(void *context, int64_t begin, int64_t end, int worker)
{
    const backward_work *work = context;
    for (int64_t i = begin; i < end; i++)
        work->dx[i] += cnv_mask_bit(work->mask, i) ? work->dy[i] : work->slope * work->dy[i];
    (void)worker;
}

static void guided_range(void *context, int64_t begin, int64_t end, int worker)
{
    const backward_work *work = context;
    for (int64_t i = begin; i < end; i++)
        work->dx[i] += cnv_mask_bit(work->mask, i) && work->dy[i] > 0.0f ? work->dy[i] : 0.0f;
    (void)worker;
}

static void deconv_range(void *context, int64_t begin, int64_t end, int worker)
{
    const backward_work *work = context;
    for (int64_t i = begin; i < end; i++) work->dx[i] += work->dy[i] > 0.0f ? work->dy[i] : 0.0f;
    (void)worker;
}

static bool plain_blocks_all(const backward_work *work, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++)
        if (work->dy[i] != 0.0f && cnv_mask_bit(work->mask, i)) return false;
    return true;
}

/* One batch element. If plain blocks it, z is at or beyond a bound wherever g is not 0, and `above` says
 * which. */
static void redirected_element(void *context, int64_t element, int worker)
{
    const backward_work *work = context;
    int64_t begin = element * work->size, end = begin + work->size;
    if (!plain_blocks_all(work, begin, end)) {
        plain_range(context, begin, end, worker);
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        float g = work->dy[i];
        bool above = work->above != NULL && cnv_mask_bit(work->above, i);
        work->dx[i] += above ? (g > 0.0f ? 0.0f : g) : (g < 0.0f ? 0.0f : g);
    }
}

/* The backward pass of relu and clip, and of leaky_relu for the rules that do not read its slope. */
static void rectify_backward(backward_work *work, int64_t n, cnv_relu_rule rule, cnv_run *run)
{
    switch (rule) {
    case CNV_RELU_PLAIN:
        cnv_parallel_range(run, n, CNV_GRAIN, plain_range, work);
        break;
    case CNV_RELU_GUIDED:
        cnv_parallel_range(run, n, CNV_GRAIN, guided_range, work);
        break;
    case CNV_RELU_DECONV:
        cnv_parallel_range(run, n, CNV_GRAIN, deconv_range, work);
        break;
    case CNV_RELU_REDIRECTED:
        cnv_parallel(run, n / work->size, redirected_element, work);
        break;
    }
}

void cnv_relu_backward(float *dx, const float *dy, const uint8_t *mask, int64_t n, int64_t size,
                       cnv_relu_rule rule, cnv_run *run)
{
    backward_work work = {.dx = dx, .dy = dy, .mask = mask, .size = size};
    rectify_backward(&work, n, rule, run);
}

void cnv_leaky_relu_backward(float *dx, const float *dy, const uint8_t *mask, float slope, int64_t n,
                             cnv_relu_rule rule, cnv_run *run)
{
    backward_work work = {.dx = dx, .dy = dy, .mask = mask, .slope = slope};
    if (rule == CNV_RELU_PLAIN || rule == CNV_RELU_REDIRECTED)
        cnv_parallel_range(run, n, CNV_GRAIN, leaky_range, &work);
    else
        rectify_backward(&work, n, rule, run);
}

void cnv_clip_backward(float *dx, const float *dy, const uint8_t *mask, const uint8_t *above, int64_t n,
                       int64_t size, cnv_relu_rule rule, cnv_run *run)
{
    backward_work work = {.dx = dx, .dy = dy, .mask = mask, .above = above, .size = size};
    rectify_backward(&work, n, rule, run);
}
