#include "kernels/lbfgs.h"

#include "kernels/picture.h"

/* Sums are kept apart in so many lanes, always in this order, for the compiler to put side by side. */
#define LANES 8

/* A pair counts when s'y is more than this share of y'y: below it, it says nothing but rounding. */
#define LEAST_CURVATURE 1e-10

static double dot(const float *x, const float *y, int64_t n)
{
    double sum;
    cnv_dots(&sum, x, y, 1, n);
    return sum;
}

/* The sum of x * y where the mask is 1. */
static double masked_dot(const float *x, const float *y, const float *mask, int64_t n)
{
    double lane[LANES] = {0.0};
    int64_t whole = n / LANES * LANES;
    for (int64_t i = 0; i < whole; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (double)x[i + j] * y[i + j] * mask[i + j];
    for (int64_t i = whole; i < n; i++) lane[i - whole] += (double)x[i] * y[i] * mask[i];
    double sum = 0.0;
    for (int j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

/* d += a * x where the mask is 1; d is 0 elsewhere. */
static void add_masked(float *restrict d, float a, const float *x, const float *mask, int64_t n)
{
    for (int64_t i = 0; i < n; i++) d[i] += a * x[i] * mask[i];
}

bool cnv_lbfgs_product(float *d, const float *g, const float *mask, int64_t n, const cnv_pairs *pairs)
{
    double curvature[CNV_MAX_PAIRS], along[CNV_MAX_PAIRS]; /* s'y, 0 for a pair left out; s'd / s'y */
    double gamma = 0.0;
    for (int i = 0; i < pairs->count; i++) {
        double sy = masked_dot(pairs->s[i], pairs->y[i], mask, n);
        double yy = masked_dot(pairs->y[i], pairs->y[i], mask, n);
        curvature[i] = sy > LEAST_CURVATURE * yy ? sy : 0.0;
        if (curvature[i] > 0.0) gamma = sy / yy;
    }
    if (gamma == 0.0) return false;
    for (int64_t i = 0; i < n; i++) d[i] = g[i] * mask[i];
    for (int i = pairs->count - 1; i >= 0; i--) {
        if (curvature[i] == 0.0) continue;
        along[i] = dot(pairs->s[i], d, n) / curvature[i];
        add_masked(d, (float)-along[i], pairs->y[i], mask, n);
    }
    for (int64_t i = 0; i < n; i++) d[i] *= (float)gamma;
    for (int i = 0; i < pairs->count; i++) {
        if (curvature[i] == 0.0) continue;
        double against = dot(pairs->y[i], d, n) / curvature[i];
        add_masked(d, (float)(along[i] - against), pairs->s[i], mask, n);
    }
    return true;
}
