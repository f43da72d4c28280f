#include "kernels/pictures/variation.h"

#include <math.h>
#include <stddef.h>

/* The number of partial sums: the compiler computes them as a vector, and they are added in a fixed order. */
#define LANES 8

/* The derivative of |step| or of step^2. */
static inline float slope(float step, int power)
{
    return power == 2 ? 2.0f * step : (float)((step > 0.0f) - (step < 0.0f));
}

/* The sum of |to - from| to the power. */
static inline double differences(const float *to, const float *from, int64_t n, int power)
{
    double lane[LANES] = {0.0}, sum = 0.0;
    const int64_t whole = n / LANES * LANES;
    for (int64_t i = 0; i < whole; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            const double step = to[i + j] - from[i + j];
            lane[j] += power == 2 ? step * step : fabs(step);
        }
    }
    for (int64_t i = whole; i < n; i++) {
        const double step = to[i] - from[i];
        lane[i - whole] += power == 2 ? step * step : fabs(step);
    }
    for (int j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

/* d += scale * slope(to - from), where d is a row of dx. */
static inline void add_slopes(float *restrict d, const float *to, const float *from, int64_t n, int power,
                              float scale)
{
    for (int64_t i = 0; i < n; i++) d[i] += scale * slope(to[i] - from[i], power);
}

/* Computes one row of dx, and returns the sum of the row's horizontal differences and of those to the row
 * above. It is inlined for each power, so that loops do not test the power. */
static inline double vary_row(float *d, const float *x, const float *above, const float *below, int64_t n,
                              int power, float scale)
{
    double sum = differences(x + 1, x, n - 1, power);
    for (int64_t i = 0; i < n; i++) d[i] = 0.0f;
    add_slopes(d + 1, x + 1, x, n - 1, power, scale);
    add_slopes(d, x + 1, x, n - 1, power, -scale);
    if (below) add_slopes(d, below, x, n, power, -scale);
    if (!above) return sum;
    add_slopes(d, x, above, n, power, scale);
    return sum + differences(x, above, n, power);
}

double cnv_total_variation(float *dx, const float *x, int64_t planes, int64_t rows, int64_t columns,
                           int power, float scale)
{
    double sum = 0.0;
    for (int64_t row = 0; row < planes * rows; row++) {
        const float *here = x + row * columns;
        const float *above = row % rows > 0 ? here - columns : NULL;
        const float *below = row % rows < rows - 1 ? here + columns : NULL;
        float *d = dx + row * columns;
        sum += power == 2 ? vary_row(d, here, above, below, columns, 2, scale)
                          : vary_row(d, here, above, below, columns, 1, scale);
    }
    return sum;
}
