#include "kernels/portable/quantize.h"

#include <stddef.h>

#include "kernels/split.h"

/* Added to a number of at most CNV_QUANTIZE_MOST, it leaves no bit for a fraction: the sum is rounded to an
 * integer, halves to even. Compilers turn this into vector code, rintf into a call. */
#define ROUNDER 12582912.0f

typedef struct {
    float *out;
    const float *x;
    const float *dy; /* of the backward pass */
    float low;
    float high;
} quantize_work;

static void forward_range(void *context, int64_t begin, int64_t end, int worker)
{
    const quantize_work *work = context;
    const float low = work->low, high = work->high;
    for (int64_t i = begin; i < end; i++) {
        float v = work->x[i];
        v = v < low ? low : v;
        v = v > high ? high : v;
        work->out[i] = (v + ROUNDER) - ROUNDER;
    }
    (void)worker;
}

static void backward_range(void *context, int64_t begin, int64_t end, int worker)
{
    const quantize_work *work = context;
    const float low = work->low, high = work->high;
    for (int64_t i = begin; i < end; i++) {
        float v = work->x[i];
        work->out[i] += ((v >= low) & (v <= high)) ? work->dy[i] : 0.0f;
    }
    (void)worker;
}

void cnv_quantize_forward(float *y, const float *x, int64_t n, float low, float high, cnv_run *run)
{
    quantize_work work = {.out = y, .x = x, .low = low, .high = high};
    cnv_parallel_range(run, n, CNV_GRAIN, forward_range, &work);
}

void cnv_quantize_backward(float *dx, const float *dy, const float *x, int64_t n, float low, float high,
                           cnv_run *run)
{
    quantize_work work = {.out = dx, .x = x, .dy = dy, .low = low, .high = high};
    cnv_parallel_range(run, n, CNV_GRAIN, backward_range, &work);
}
