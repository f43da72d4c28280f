#include "fast.h"

#include <math.h>
#include <stdlib.h>

#include "check.h"

float *fast_to_blocked(const float *x, int64_t n, int64_t c, int64_t pixels, int64_t *size)
{
    const int64_t blocks = cnv_blocks(c);
    *size = n * blocks * pixels * 16;
    float *y = check_guarded(*size);
    for (int64_t i = 0; i < *size; i++) y[i] = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < c; k++)
            for (int64_t p = 0; p < pixels; p++)
                y[((i * blocks + k / 16) * pixels + p) * 16 + k % 16] = x[(i * c + k) * pixels + p];
    return y;
}

void fast_from_blocked(float *y, const float *x, int64_t n, int64_t c, int64_t pixels)
{
    const int64_t blocks = cnv_blocks(c);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < c; k++)
            for (int64_t p = 0; p < pixels; p++)
                y[(i * c + k) * pixels + p] = x[((i * blocks + k / 16) * pixels + p) * 16 + k % 16];
}

float *fast_pad_bias(const float *bias, int64_t c, int64_t *size)
{
    return fast_to_blocked(bias, 1, c, 1, size);
}

/* The sum of output o,i,j over input channels and taps. */
static double output_at(const float *x, const float *w, const cnv_geometry *g, int64_t o, int64_t i,
                        int64_t j)
{
    double sum = 0;
    for (int64_t c = 0; c < g->ic; c++) {
        for (int64_t r = 0; r < g->kernel[0]; r++) {
            for (int64_t s = 0; s < g->kernel[1]; s++) {
                int64_t y = i * g->stride[0] - g->pad[0] + r * g->dilation[0];
                int64_t z = j * g->stride[1] - g->pad[1] + s * g->dilation[1];
                if (y < 0 || y >= g->ih || z < 0 || z >= g->iw) continue;
                sum += (double)x[(c * g->ih + y) * g->iw + z] *
                       w[((o * g->ic + c) * g->kernel[0] + r) * g->kernel[1] + s];
            }
        }
    }
    return sum;
}

void fast_naive_forward(float *y, const float *x, const float *w, const float *b, const cnv_geometry *g)
{
    for (int64_t n = 0; n < g->images; n++, x += g->ic * g->ih * g->iw)
        for (int64_t o = 0; o < g->oc; o++)
            for (int64_t i = 0; i < g->oh; i++)
                for (int64_t j = 0; j < g->ow; j++)
                    *y++ = (float)(output_at(x, w, g, o, i, j) + (b != NULL ? (double)b[o] : 0.0));
}

/* Adds the cotangent of output o,i,j times the weights of its window to dx. */
static void scatter(double *dx, double dy, const float *w, const cnv_geometry *g, int64_t o, int64_t i,
                    int64_t j)
{
    for (int64_t c = 0; c < g->ic; c++) {
        for (int64_t r = 0; r < g->kernel[0]; r++) {
            for (int64_t s = 0; s < g->kernel[1]; s++) {
                int64_t y = i * g->stride[0] - g->pad[0] + r * g->dilation[0];
                int64_t z = j * g->stride[1] - g->pad[1] + s * g->dilation[1];
                if (y < 0 || y >= g->ih || z < 0 || z >= g->iw) continue;
                dx[(c * g->ih + y) * g->iw + z] +=
                    dy * w[((o * g->ic + c) * g->kernel[0] + r) * g->kernel[1] + s];
            }
        }
    }
}

void fast_naive_backward(float *dx, const float *dy, const float *w, const cnv_geometry *g)
{
    const int64_t size = g->ic * g->ih * g->iw;
    double *sum = malloc((size_t)size * sizeof(double));
    if (sum == NULL) abort();
    for (int64_t n = 0; n < g->images; n++) {
        for (int64_t i = 0; i < size; i++) sum[i] = 0;
        for (int64_t o = 0; o < g->oc; o++)
            for (int64_t i = 0; i < g->oh; i++)
                for (int64_t j = 0; j < g->ow; j++) scatter(sum, *dy++, w, g, o, i, j);
        for (int64_t i = 0; i < size; i++) *dx++ = (float)sum[i];
    }
    free(sum);
}

double fast_error(const float *a, const float *b, int64_t n)
{
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        double distance = fabs((double)a[i] - b[i]);
        if (!(distance <= worst)) worst = isnan(distance) ? INFINITY : distance;
        if (fabs((double)b[i]) > largest) largest = fabs((double)b[i]);
    }
    return worst == 0 ? 0 : worst / (largest > 0 ? largest : 1);
}

float *fast_numbers(int64_t n, uint64_t seed)
{
    float *block = check_guarded(n);
    check_fill(block, n, seed);
    return block;
}

uint16_t *fast_some_bits(int64_t n)
{
    uint16_t *bits = malloc((size_t)n * sizeof *bits);
    if (bits == NULL) abort();
    for (int64_t i = 0; i < n; i++) bits[i] = (uint16_t)(i * 40503);
    return bits;
}

void fast_apply_bits(float *dy, const uint16_t *bits, int64_t n, int64_t c, int64_t pixels)
{
    for (int64_t i = 0; i < n * c * pixels; i++) {
        const int64_t k = i / pixels % c, image = i / pixels / c;
        if (!(bits[(image * cnv_blocks(c) + k / 16) * pixels + i % pixels] >> (k % 16) & 1)) dy[i] = 0;
    }
}

const cnv_fast *const fast_tiers[FAST_TIERS] = {&cnv_fast_avx2, &cnv_fast_avx512};

bool fast_present(const cnv_fast *tier)
{
    if (tier == &cnv_fast_avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}

cnv_run fast_run(int threads)
{
    cnv_run run = {.threads = threads};
    return run;
}
