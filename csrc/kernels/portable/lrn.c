/*
 * Local response normalisation. With t = k + alpha / window * sum of x^2 over the window of c:
 *
 *     y[c] = x[c] * t[c]^-beta
 *     dx[c] = dy[c] * t[c]^-beta - 2 alpha beta / window * x[c] * sum of r[j],   r = dy * x * t^(-beta - 1)
 *
 * over the channels j whose window holds c: the window of c, mirrored.
 */
#include <math.h>

#include "kernels/portable/norm.h"
#include "kernels/split.h"

/* The number of pixels that are handled together: a cache line of each channel. */
#define PIXELS 16

typedef struct {
    float *out;
    const float *x;
    const float *dy;
    const cnv_lrn *s;
    char *scratch;
    size_t scratch_stride;
} lrn_work;

/* All channels of one image at n neighbouring pixels; `base` is the offset of the first one. */
typedef struct {
    int64_t base;
    int64_t n;
} pixels;

static int64_t blocks_per_image(const cnv_lrn *s)
{
    return (s->size + PIXELS - 1) / PIXELS;
}

static pixels pixels_of(const cnv_lrn *s, int64_t block)
{
    int64_t image = block / blocks_per_image(s), first = block % blocks_per_image(s) * PIXELS;
    return (pixels){image * s->channels * s->size + first,
                    s->size - first < PIXELS ? s->size - first : PIXELS};
}

/* Computes t of channel c, in double because the power that follows magnifies rounding. */
static void window_squares(double *t, const float *x, int64_t c, pixels p, const cnv_lrn *s)
{
    int64_t first = c - (s->window - 1) / 2, last = first + s->window - 1;
    if (first < 0) first = 0;
    if (last > s->channels - 1) last = s->channels - 1;
    for (int64_t i = 0; i < p.n; i++) t[i] = 0.0;
    for (int64_t j = first; j <= last; j++) {
        const float *row = x + p.base + j * s->size;
        for (int64_t i = 0; i < p.n; i++) t[i] += (double)row[i] * row[i];
    }
    for (int64_t i = 0; i < p.n; i++) t[i] = s->k + s->alpha / (double)s->window * t[i];
}

static void forward_range(void *context, int64_t begin, int64_t end, int worker)
{
    const lrn_work *work = context;
    const cnv_lrn *s = work->s;
    double t[PIXELS];
    for (int64_t block = begin; block < end; block++) {
        pixels p = pixels_of(s, block);
        for (int64_t c = 0; c < s->channels; c++) {
            const float *x = work->x + p.base + c * s->size;
            window_squares(t, work->x, c, p, s);
            for (int64_t i = 0; i < p.n; i++)
                work->out[p.base + c * s->size + i] = (float)(x[i] * pow(t[i], -s->beta));
        }
    }
    (void)worker;
}

/* Adds the first term of dx and leaves r of all channels in ratio: channels, PIXELS. */
static void own_term(double *ratio, const lrn_work *work, pixels p)
{
    const cnv_lrn *s = work->s;
    double t[PIXELS];
    for (int64_t c = 0; c < s->channels; c++) {
        int64_t at = p.base + c * s->size;
        window_squares(t, work->x, c, p, s);
        for (int64_t i = 0; i < p.n; i++) {
            double passed = work->dy[at + i] * pow(t[i], -s->beta);
            work->out[at + i] += (float)passed;
            ratio[c * PIXELS + i] = passed * work->x[at + i] / t[i];
        }
    }
}

static void neighbour_term(const double *ratio, const lrn_work *work, pixels p)
{
    const cnv_lrn *s = work->s;
    double factor = 2.0 * s->alpha * s->beta / (double)s->window;
    for (int64_t c = 0; c < s->channels; c++) {
        int64_t last = c + (s->window - 1) / 2, first = last - s->window + 1, at = p.base + c * s->size;
        double sum[PIXELS] = {0};
        if (first < 0) first = 0;
        if (last > s->channels - 1) last = s->channels - 1;
        for (int64_t j = first; j <= last; j++)
            for (int64_t i = 0; i < p.n; i++) sum[i] += ratio[j * PIXELS + i];
        for (int64_t i = 0; i < p.n; i++) work->out[at + i] -= (float)(factor * work->x[at + i] * sum[i]);
    }
}

static void backward_range(void *context, int64_t begin, int64_t end, int worker)
{
    const lrn_work *work = context;
    double *ratio = (double *)(work->scratch + (size_t)worker * work->scratch_stride);
    for (int64_t block = begin; block < end; block++) {
        pixels p = pixels_of(work->s, block);
        own_term(ratio, work, p);
        neighbour_term(ratio, work, p);
    }
}

/* The number of blocks of pixels in one item: a power costs some 30 additions. */
static int64_t grain(const cnv_lrn *s)
{
    return cnv_grain_of(PIXELS * s->channels * 32);
}

void cnv_lrn_forward(float *y, const float *x, const cnv_lrn *s, cnv_run *run)
{
    lrn_work work = {.out = y, .x = x, .s = s};
    cnv_parallel_range(run, s->n * blocks_per_image(s), grain(s), forward_range, &work);
}

size_t cnv_lrn_backward_scratch(const cnv_lrn *s)
{
    return (size_t)(s->channels * PIXELS) * sizeof(double);
}

void cnv_lrn_backward(float *dx, const float *dy, const float *x, const cnv_lrn *s, void *scratch,
                      size_t scratch_stride, cnv_run *run)
{
    lrn_work work = {
        .out = dx, .x = x, .dy = dy, .s = s, .scratch = scratch, .scratch_stride = scratch_stride};
    cnv_parallel_range(run, s->n * blocks_per_image(s), grain(s), backward_range, &work);
}
