#include "kernels/pictures/picture.h"

#include <math.h>
#include <string.h>

#define EXPONENT 0x7f800000u

/* The number of partial sums: the compiler computes them as a vector, and they are added in a fixed order. */
#define LANES 8

/* The number of elements that are tested before a search looks whether it can stop. */
#define STRETCH 4096

static uint32_t not_finite(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits & EXPONENT) == EXPONENT;
}

bool cnv_all_finite(const float *x, int64_t n)
{
    for (int64_t begin = 0; begin < n; begin += STRETCH) {
        int64_t end = n - begin < STRETCH ? n : begin + STRETCH;
        uint32_t bad = 0;
        for (int64_t i = begin; i < end; i++) bad |= not_finite(x[i]);
        if (bad) return false;
    }
    return true;
}

static double dot(const float *x, const float *y, int64_t n)
{
    double lane[LANES] = {0.0};
    int64_t whole = n / LANES * LANES;
    for (int64_t i = 0; i < whole; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (double)x[i + j] * y[i + j];
    for (int64_t i = whole; i < n; i++) lane[i - whole] += (double)x[i] * y[i];
    double sum = 0.0;
    for (int j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

void cnv_dots(double *sums, const float *x, const float *y, int64_t batch, int64_t n)
{
    for (int64_t i = 0; i < batch; i++) sums[i] = dot(x + i * n, y + i * n, n);
}

void cnv_affine_forward(float *y, const float *x, const cnv_picture *p, const cnv_affine *line)
{
    for (int64_t plane = 0; plane < p->batch * p->channels; plane++) {
        int64_t c = plane % p->channels;
        int64_t from = line->reversed ? plane - c + p->channels - 1 - c : plane;
        const float slope = line->slope[c];
        const float shift = line->shift ? line->shift[c] : 0.0f;
        const float *source = x + from * p->size;
        float *target = y + plane * p->size;
        if (line->divisor)
            for (int64_t i = 0; i < p->size; i++) target[i] = (slope * source[i] + shift) / line->divisor[c];
        else
            for (int64_t i = 0; i < p->size; i++) target[i] = slope * source[i] + shift;
    }
}

/* Comparisons with NaN are false, so NaN stays. */
static float held(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

static float low_of(const cnv_box *box, int64_t channel)
{
    return box->low ? box->low[channel % box->count] : -INFINITY;
}

static float high_of(const cnv_box *box, int64_t channel)
{
    return box->high ? box->high[channel % box->count] : INFINITY;
}

void cnv_ascend(float *y, const float *z, const float *g, const cnv_picture *p, const float *rate,
                const cnv_box *box)
{
    for (int64_t plane = 0; plane < p->batch * p->channels; plane++) {
        const int64_t c = plane % p->channels, begin = plane * p->size, end = begin + p->size;
        const float low = low_of(box, c), high = high_of(box, c), r = rate[plane / p->channels];
        for (int64_t i = begin; i < end; i++) y[i] = held(z[i] + r * g[i], low, high);
    }
}

void cnv_free_to_move(float *mask, const float *z, const float *g, const cnv_picture *p, const cnv_box *box)
{
    for (int64_t plane = 0; plane < p->batch * p->channels; plane++) {
        const int64_t c = plane % p->channels, begin = plane * p->size, end = begin + p->size;
        const float low = low_of(box, c), high = high_of(box, c);
        for (int64_t i = begin; i < end; i++) {
            const bool stopped = ((z[i] <= low) & (g[i] < 0.0f)) | ((z[i] >= high) & (g[i] > 0.0f));
            mask[i] = stopped ? 0.0f : 1.0f;
        }
    }
}

/* The arrays are restricted parameters, not fields of a struct: only then does gcc know that the seven do not
 * overlap, and vectorizes the loop. */
static void adam_numbers(float *restrict to_z, float *restrict to_mean, float *restrict to_square,
                         const float *restrict z, const float *restrict mean, const float *restrict square,
                         const float *restrict g, int64_t n, const cnv_adam *adam, float low, float high)
{
    const cnv_adam a = *adam;
    for (int64_t i = 0; i < n; i++) {
        const float m = a.keep_mean * mean[i] + a.add_mean * g[i];
        const float v = a.keep_square * square[i] + a.add_square * g[i] * g[i];
        to_mean[i] = m;
        to_square[i] = v;
        to_z[i] = held(z[i] + a.rate * m / (sqrtf(a.scale * v) + a.epsilon), low, high);
    }
}

void cnv_adam_step(const cnv_adam_state *to, const cnv_adam_state *from, const float *g, const cnv_picture *p,
                   const cnv_adam *adam, const cnv_box *box)
{
    for (int64_t plane = 0; plane < p->batch * p->channels; plane++) {
        const int64_t c = plane % p->channels, i = plane * p->size;
        adam_numbers(to->z + i, to->mean + i, to->square + i, from->z + i, from->mean + i, from->square + i,
                     g + i, p->size, adam, low_of(box, c), high_of(box, c));
    }
}
