/*
 * GF/s of each fast kernel on one thread, beside the FMA peak of the same run. Rates count the operations of
 * the direct sum, whatever the algorithm, and are medians of interleaved rounds. "plain": every run packs the
 * weights.
 *
 *     python tests/bench/kernels.py [--cc clang] [--tier avx2]
 */
#define _POSIX_C_SOURCE 199309L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/fast/fast.h"

double bench_peak_avx2(void);
double bench_peak_avx512(void);

#define ROUNDS 15
#define MAX_CASES 64

typedef struct bench {
    const char *what;
    cnv_geometry g;
    bool backward;
    int64_t m;  /* rows of a Winograd tile; 0 for direct convolution */
    bool plain; /* the weights are not packed */
} bench;

#define LAYER(c, o, h, k, s)    \
    {.images = 1,               \
     .ic = c,                   \
     .ih = h,                   \
     .iw = h,                   \
     .oc = o,                   \
     .kernel = {k, k},          \
     .stride = {s, s},          \
     .pad = {(k) / 2, (k) / 2}, \
     .dilation = {1, 1}}

static const bench benches[] = {
    {"3x3 64 @56", LAYER(64, 64, 56, 3, 1), false, 0, false},
    {"3x3 128 @28", LAYER(128, 128, 28, 3, 1), false, 0, false},
    {"3x3 256 @14", LAYER(256, 256, 14, 3, 1), false, 0, false},
    {"3x3 512 @7", LAYER(512, 512, 7, 3, 1), false, 0, false},
    {"3x3 64 @56", LAYER(64, 64, 56, 3, 1), true, 0, false},
    {"3x3 16-64 @55", LAYER(16, 64, 55, 3, 1), false, 0, false},
    {"3x3 48-192 @13", LAYER(48, 192, 13, 3, 1), false, 0, false},
    {"3x3 s2 128-256 @28", LAYER(128, 256, 28, 3, 2), false, 0, false},
    {"3x3 s2 128-256 @28", LAYER(128, 256, 28, 3, 2), true, 0, false},
    {"7x7 s2 3-64 @224", LAYER(3, 64, 224, 7, 2), false, 0, false},
    {"3x3 3-64 @224", LAYER(3, 64, 224, 3, 1), false, 0, false},
    {"1x1 64-256 @56", LAYER(64, 256, 56, 1, 1), false, 0, false},
    {"1x1 256-64 @56", LAYER(256, 64, 56, 1, 1), false, 0, false},
    {"1x1 512-128 @28", LAYER(512, 128, 28, 1, 1), false, 0, false},
    {"1x1 1024-256 @14", LAYER(1024, 256, 14, 1, 1), false, 0, false},
    {"1x1 512-2048 @7", LAYER(512, 2048, 7, 1, 1), false, 0, false},
    {"1x1 s2 256-512 @56", LAYER(256, 512, 56, 1, 2), false, 0, false},
    {"1x1 s2 256-512 @56", LAYER(256, 512, 56, 1, 2), true, 0, false},
    {"3x3 64 @224", LAYER(64, 64, 224, 3, 1), false, 4, false},
    {"3x3 64-128 @112", LAYER(64, 128, 112, 3, 1), false, 4, false},
    {"3x3 128 @112", LAYER(128, 128, 112, 3, 1), false, 4, false},
    {"3x3 256 @56", LAYER(256, 256, 56, 3, 1), false, 4, false},
    {"3x3 512 @28", LAYER(512, 512, 28, 3, 1), false, 4, false},
    {"3x3 512 @28", LAYER(512, 512, 28, 3, 1), false, 2, false},
    {"3x3 512 @14", LAYER(512, 512, 14, 3, 1), false, 4, false},
    {"3x3 512 @14", LAYER(512, 512, 14, 3, 1), false, 2, false},
    {"3x3 64 @56", LAYER(64, 64, 56, 3, 1), false, 4, false},
    {"3x3 128 @28", LAYER(128, 128, 28, 3, 1), false, 4, false},
    {"3x3 128 @28", LAYER(128, 128, 28, 3, 1), false, 2, false},
    {"3x3 256 @14", LAYER(256, 256, 14, 3, 1), false, 4, false},
    {"3x3 256 @14", LAYER(256, 256, 14, 3, 1), false, 2, false},
    {"3x3 512 @7", LAYER(512, 512, 7, 3, 1), false, 4, false},
    {"3x3 512 @7", LAYER(512, 512, 7, 3, 1), false, 2, false},
    {"3x3 16-64 @55", LAYER(16, 64, 55, 3, 1), false, 4, false},
    {"3x3 48-192 @13", LAYER(48, 192, 13, 3, 1), false, 4, false},
    {"3x3 48-192 @13", LAYER(48, 192, 13, 3, 1), false, 2, false},
    {"3x3 64-256 @13", LAYER(64, 256, 13, 3, 1), false, 4, false},
    {"3x3 64-256 @13", LAYER(64, 256, 13, 3, 1), false, 2, false},
    {"3x3 64 @56", LAYER(64, 64, 56, 3, 1), true, 4, false},
    {"3x3 256 @56 plain", LAYER(256, 256, 56, 3, 1), false, 4, true},
    {"3x3 512 @28 plain", LAYER(512, 512, 28, 3, 1), false, 4, true},
    {"3x3 512 @14 plain", LAYER(512, 512, 14, 3, 1), false, 2, true},
    {"3x3 512 @7 plain", LAYER(512, 512, 7, 3, 1), false, 2, true},
    {"3x3 512 @7 plain", LAYER(512, 512, 7, 3, 1), true, 2, true},
    {"3x3 s2 256-512 @14", LAYER(256, 512, 14, 3, 2), true, 0, false},
    {"3x3 s2 256-512 @14 plain", LAYER(256, 512, 14, 3, 2), true, 0, true},
    {"1x1 1024-256 @14 plain", LAYER(1024, 256, 14, 1, 1), false, 0, true},
};
#define N_BENCHES ((int)(sizeof benches / sizeof *benches))

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *block(size_t nbytes)
{
    float *p = aligned_alloc(64, (nbytes + 63) / 64 * 64 + 64);
    if (p == NULL) abort();
    for (size_t i = 0; i < nbytes / sizeof(float); i++) p[i] = (float)(i % 17) * 0.01f;
    return p;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return values[n / 2];
}

typedef struct prepared {
    cnv_geometry g;
    int64_t passes;
    cnv_direct *d;
    cnv_winograd wino;
    int64_t m;
    float *shared;
    float **packed;
    float *x, *y;
    void *scratch;
    double flops;
} prepared;

static void prepare_winograd(prepared *p, const bench *b)
{
    cnv_winograd_describe(&p->wino, &p->g, b->m, b->backward, !b->plain);
    p->packed = malloc(sizeof *p->packed);
    p->packed[0] = block(cnv_winograd_weights(&p->wino));
    p->x = block((size_t)cnv_blocked_size(p->wino.ic, p->wino.xh, p->wino.xw) * sizeof(float));
    p->y = block((size_t)cnv_blocked_size(p->wino.oc, p->wino.yh, p->wino.yw) * sizeof(float));
    p->shared = block(cnv_winograd_shared(&p->wino));
    p->scratch = block(cnv_winograd_scratch(&p->wino));
}

static prepared prepare(const bench *b)
{
    prepared p = {.g = b->g, .m = b->m};
    cnv_geometry *g = &p.g;
    g->oh = (g->ih + 2 * g->pad[0] - g->kernel[0]) / g->stride[0] + 1;
    g->ow = (g->iw + 2 * g->pad[1] - g->kernel[1]) / g->stride[1] + 1;
    p.flops = 2.0 * (double)(g->oc * g->ic * g->kernel[0] * g->kernel[1] * g->oh * g->ow);
    if (b->m != 0) {
        prepare_winograd(&p, b);
        return p;
    }
    p.passes = b->backward ? g->stride[0] * g->stride[1] : 1;
    p.d = calloc((size_t)p.passes, sizeof *p.d);
    p.packed = calloc((size_t)p.passes, sizeof *p.packed);
    const size_t w_nbytes = (size_t)(g->oc * g->ic * g->kernel[0] * g->kernel[1]) * sizeof(float);
    float *w = block(w_nbytes);
    size_t scratch = 0;
    for (int64_t i = 0; i < p.passes; i++) {
        if (b->backward)
            cnv_direct_backward(&p.d[i], g, i, false);
        else
            cnv_direct_forward(&p.d[i], g, g->ic <= 4);
        p.d[i].packed = !b->plain;
        p.packed[i] = block(b->plain ? w_nbytes : cnv_direct_weights(&p.d[i]));
        if (!b->plain) cnv_direct_pack(p.packed[i], w, &p.d[i]);
        if (cnv_direct_scratch(&p.d[i]) > scratch) scratch = cnv_direct_scratch(&p.d[i]);
    }
    free(w);
    p.x = block((size_t)(p.d[0].x_image) * sizeof(float));
    p.y = block((size_t)(p.d[0].y_image) * sizeof(float));
    p.scratch = block(scratch);
    return p;
}

static double run_once(const prepared *p, bool wide)
{
    cnv_run run = {.threads = 1};
    cnv_finish finish = {0};
    cnv_gate gate = {0};
    const cnv_fast *fast = wide ? &cnv_fast_avx512 : &cnv_fast_avx2;
    double start = now();
    if (p->m != 0)
        fast->winograd(p->y, p->x, p->packed[0], NULL, &finish, &gate, &p->wino, p->shared, p->scratch, 0,
                       &run);
    for (int64_t i = 0; i < p->passes; i++)
        fast->direct(p->y, p->x, p->packed[i], NULL, &finish, &gate, &p->d[i], p->scratch, 0, &run);
    return p->flops / (now() - start) * 1e-9;
}

int main(int argc, char **argv)
{
    const bool wide = argc < 2 || strcmp(argv[1], "avx2") != 0;
    prepared p[N_BENCHES];
    double rates[N_BENCHES][ROUNDS], peaks[ROUNDS];
    for (int i = 0; i < N_BENCHES; i++) p[i] = prepare(&benches[i]);
    for (int r = 0; r < ROUNDS; r++) {
        peaks[r] = wide ? bench_peak_avx512() : bench_peak_avx2();
        for (int i = 0; i < N_BENCHES; i++) {
            run_once(&p[i], wide);
            rates[i][r] = run_once(&p[i], wide);
        }
    }
    const double peak = median(peaks, ROUNDS);
    printf("FMA peak %.1f (best %.1f)\n", peak, peaks[ROUNDS - 1]);
    for (int i = 0; i < N_BENCHES; i++) {
        double rate = median(rates[i], ROUNDS);
        const char *algorithm = benches[i].m == 4 ? "F4" : benches[i].m == 2 ? "F2" : "direct";
        printf("%-24s %-6s %-8s %7.1f GF/s  %4.0f %% of peak; best %4.0f %%\n", benches[i].what, algorithm,
               benches[i].backward ? "backward" : "forward", rate, 100 * rate / peak,
               100 * rates[i][ROUNDS - 1] / peaks[ROUNDS - 1]);
    }
    return 0;
}
