#include "kernels/pictures/lbfgs.h"

#include "kernels/pictures/picture.h"

/* The number of partial sums: the compiler computes them as a vector, and they are added in a fixed order. */
#define LANES 8

/* The smallest s'y / y'y of a pair that is used: below it the curvature is rounding noise. */
#define LEAST_CURVATURE 1e-10

static double dot(const float *x, const float *y, int64_t n)
{
    double sum;
    cnv_dots(&sum, x, y, 1, n);
    return sum;
}

/* The partial sums of s'y, y'y and s'd over the elements whose mask is 1; d is 0 elsewhere. */
typedef struct {
    double sy[LANES], yy[LANES], sd[LANES];
} pair_sums;

static inline void add_products(pair_sums *sums, const float *s, const float *y, const float *d,
                                const float *mask, int lanes)
{
    for (int j = 0; j < lanes; j++) {
        const double free_y = (double)y[j] * mask[j];
        sums->sy[j] += s[j] * free_y;
        sums->yy[j] += y[j] * free_y;
        sums->sd[j] += (double)s[j] * d[j];
    }
}

static double total(const double *lane)
{
    double sum = 0.0;
    for (int j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

/* Computes the three sums in one pass, because the pairs, some 12 MB, do not fit into a core's caches. */
static void measure(pair_sums *sums, const float *s, const float *y, const float *d, const float *mask,
                    int64_t n)
{
    const int64_t whole = n / LANES * LANES;
    pair_sums kept = {{0.0}, {0.0}, {0.0}};
    for (int64_t i = 0; i < whole; i += LANES) add_products(&kept, s + i, y + i, d + i, mask + i, LANES);
    add_products(&kept, s + whole, y + whole, d + whole, mask + whole, (int)(n - whole));
    *sums = kept;
}

/* d += a * x where the mask is 1; d is 0 elsewhere. */
static void add_masked(float *restrict d, float a, const float *x, const float *mask, int64_t n)
{
    for (int64_t i = 0; i < n; i++) d[i] += a * x[i] * mask[i];
}

bool cnv_lbfgs_product(float *d, const float *g, const float *mask, int64_t n, const cnv_pairs *pairs)
{
    double curvature[CNV_MAX_PAIRS], along[CNV_MAX_PAIRS]; /* s'y, or 0 for an unused pair; s'd / s'y */
    double gamma = 0.0;                                    /* s'y / y'y of the newest pair that is used */
    for (int64_t i = 0; i < n; i++) d[i] = g[i] * mask[i];
    for (int i = pairs->count - 1; i >= 0; i--) {
        pair_sums sums;
        measure(&sums, pairs->s[i], pairs->y[i], d, mask, n);
        const double sy = total(sums.sy), yy = total(sums.yy);
        curvature[i] = sy > LEAST_CURVATURE * yy ? sy : 0.0;
        if (curvature[i] == 0.0) continue;
        if (gamma == 0.0) gamma = sy / yy;
        along[i] = total(sums.sd) / sy;
        add_masked(d, (float)-along[i], pairs->y[i], mask, n);
    }
    if (gamma == 0.0) return false;
    for (int64_t i = 0; i < n; i++) d[i] *= (float)gamma;
    for (int i = 0; i < pairs->count; i++) {
        if (curvature[i] == 0.0) continue;
        double against = dot(pairs->y[i], d, n) / curvature[i];
        add_masked(d, (float)(along[i] - against), pairs->s[i], mask, n);
    }
    return true;
}
