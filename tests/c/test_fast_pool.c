/* Pooling, gates and conversions of layout of the fast tier against the portable kernels. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fast.h"
#include "kernels/portable/pool.h"

typedef struct row {
    const char *what;
    int64_t images, channels, h, w, kernel, stride, pad, dilation;
    bool ceil;
} row;

static const row rows[] = {
    {"2x2", 2, 32, 14, 12, 2, 2, 0, 1, false},
    {"2x2, a row left over", 1, 16, 7, 9, 2, 2, 0, 1, false},
    {"3x3 stride 2", 1, 37, 13, 15, 3, 2, 0, 1, false},
    {"3x3 stride 2 ceil", 1, 16, 14, 16, 3, 2, 0, 1, true},
    {"3x3 stride 2 pad 1", 1, 16, 112, 30, 3, 2, 1, 1, false},
    {"3x3 stride 1", 1, 16, 6, 7, 3, 1, 1, 1, false},
    {"2x2 dilation 2", 1, 16, 9, 8, 2, 1, 0, 2, false},
    {"5x5 stride 3", 1, 16, 17, 16, 5, 3, 2, 1, true},
    {"16x16", 1, 16, 16, 16, 16, 1, 0, 1, false},
};
#define N_ROWS ((int)(sizeof rows / sizeof *rows))

static int64_t windows(int64_t extent, const row *r)
{
    int64_t room = extent + 2 * r->pad - r->dilation * (r->kernel - 1) - 1;
    int64_t n = (r->ceil ? room + r->stride - 1 : room) / r->stride + 1;
    return r->ceil && (n - 1) * r->stride >= extent + r->pad ? n - 1 : n;
}

static cnv_fast_pool fast_of(const row *r, bool count_pad)
{
    cnv_fast_pool p = {.images = r->images,
                       .channels = r->channels,
                       .ih = r->h,
                       .iw = r->w,
                       .oh = windows(r->h, r),
                       .ow = windows(r->w, r),
                       .kernel = {r->kernel, r->kernel},
                       .stride = {r->stride, r->stride},
                       .dilation = {r->dilation, r->dilation},
                       .pad = {r->pad, r->pad, r->pad, r->pad},
                       .count_include_pad = count_pad};
    return p;
}

static cnv_pool2d portable_of(const row *r, bool count_pad)
{
    cnv_window v = {.ih = r->h,
                    .iw = r->w,
                    .oh = windows(r->h, r),
                    .ow = windows(r->w, r),
                    .kernel = {r->kernel, r->kernel},
                    .stride = {r->stride, r->stride},
                    .dilation = {r->dilation, r->dilation},
                    .pad = {r->pad, r->pad, r->pad, r->pad}};
    return (cnv_pool2d){.planes = r->images * r->channels, .window = v, .count_include_pad = count_pad};
}

/* The largest relative difference between arrays in the two layouts. */
static double disagreement(const float *blocked, const float *plain, const row *r, int64_t pixels)
{
    const int64_t n = r->images * r->channels * pixels;
    float *back = check_guarded(n);
    fast_from_blocked(back, blocked, r->images, r->channels, pixels);
    double error = fast_error(back, plain, n);
    check_unguard(back, n);
    return error;
}

static void test_max(const cnv_fast *t, const row *r, bool accumulate)
{
    const cnv_fast_pool p = fast_of(r, false);
    const cnv_pool2d q = portable_of(r, false);
    const int64_t in = p.ih * p.iw, out = p.oh * p.ow, planes = r->images * r->channels;
    int64_t n_x, n_y, n_dx, n_dy;
    float *x = fast_numbers(planes * in, 1), *y = fast_numbers(planes * out, 2);
    float *dx = fast_numbers(planes * in, 3), *dy = fast_numbers(planes * out, 4);
    for (int64_t i = 0; i < planes * in; i += 7) x[i] = 0.25f; /* ties */
    float *xb = fast_to_blocked(x, r->images, r->channels, in, &n_x);
    float *yb = fast_to_blocked(y, r->images, r->channels, out, &n_y);
    float *dxb = fast_to_blocked(dx, r->images, r->channels, in, &n_dx);
    float *dyb = fast_to_blocked(dy, r->images, r->channels, out, &n_dy);
    uint8_t *index = malloc((size_t)(planes * out)), *winners = malloc((size_t)n_y);
    cnv_run run = fast_run(2);
    if (!accumulate) memset(dx, 0, (size_t)(planes * in) * sizeof *dx);
    cnv_max_pool_forward(y, index, x, &q, &run);
    cnv_max_pool_backward(dx, dy, index, &q, &run);
    t->max_forward(yb, winners, xb, &p, &run);
    t->max_backward(dxb, dyb, winners, accumulate, &p, &run);
    double forward = disagreement(yb, y, r, out), backward = disagreement(dxb, dx, r, in);
    CHECK(forward == 0, "%s max %s forward: %g", t->name, r->what, forward);
    CHECK(backward < 1e-6, "%s max %s backward%s: %g", t->name, r->what, accumulate ? " adding" : "",
          backward);
    free(index);
    free(winners);
    check_unguard(dyb, n_dy);
    check_unguard(dxb, n_dx);
    check_unguard(yb, n_y);
    check_unguard(xb, n_x);
    check_unguard(dy, planes * out);
    check_unguard(dx, planes * in);
    check_unguard(y, planes * out);
    check_unguard(x, planes * in);
}

/* NaN wins, and a window of -inf has a winner inside. */
static void test_max_of_odd_numbers(const cnv_fast *t)
{
    const row r = {"NaN and -inf", 1, 16, 4, 4, 3, 2, 1, 1, false};
    const cnv_fast_pool p = fast_of(&r, false);
    float *x = fast_numbers(256, 1), *y = fast_numbers(p.oh * p.ow * 16, 2);
    uint8_t index[64];
    for (int i = 0; i < 256; i++) x[i] = i % 16 == 0 ? -INFINITY : x[i];
    x[5 * 16 + 3] = NAN;
    cnv_run run = fast_run(1);
    t->max_forward(y, index, x, &p, &run);
    CHECK(isnan(y[3]) && index[3] == 8, "%s: %g from tap %d, NaN is tap 8", t->name, (double)y[3], index[3]);
    CHECK(y[0] == -INFINITY && index[0] == 4, "%s: %g from tap %d, the first inside is 4", t->name,
          (double)y[0], index[0]);
    check_unguard(x, 256);
    check_unguard(y, p.oh * p.ow * 16);
}

static void test_average(const cnv_fast *t, const row *r, bool count_pad)
{
    const cnv_fast_pool p = fast_of(r, count_pad);
    const cnv_pool2d q = portable_of(r, count_pad);
    const int64_t in = p.ih * p.iw, out = p.oh * p.ow, planes = r->images * r->channels;
    int64_t n_x, n_y, n_dx, n_dy;
    float *x = fast_numbers(planes * in, 1), *y = fast_numbers(planes * out, 2);
    float *dx = fast_numbers(planes * in, 3), *dy = fast_numbers(planes * out, 4);
    float *xb = fast_to_blocked(x, r->images, r->channels, in, &n_x);
    float *yb = fast_to_blocked(y, r->images, r->channels, out, &n_y);
    float *dxb = fast_to_blocked(dx, r->images, r->channels, in, &n_dx);
    float *dyb = fast_to_blocked(dy, r->images, r->channels, out, &n_dy);
    cnv_run run = fast_run(2);
    cnv_average_pool_forward(y, x, &q, &run);
    cnv_average_pool_backward(dx, dy, &q, &run);
    t->average_forward(yb, xb, &p, &run);
    t->average_backward(dxb, dyb, true, &p, &run);
    double forward = disagreement(yb, y, r, out), backward = disagreement(dxb, dx, r, in);
    CHECK(forward < 1e-6, "%s average %s forward%s: %g", t->name, r->what, count_pad ? " with padding" : "",
          forward);
    CHECK(backward < 1e-6, "%s average %s backward%s: %g", t->name, r->what, count_pad ? " with padding" : "",
          backward);
    cnv_global_average_pool_forward(y, x, planes, in, &run);
    memset(dx, 0, (size_t)(planes * in) * sizeof *dx);
    cnv_global_average_pool_backward(dx, dy, planes, in, &run);
    float *mean = check_guarded(planes);
    t->mean_forward(mean, xb, &p, &run);
    t->mean_backward(dxb, dy, false, &p, &run);
    forward = fast_error(mean, y, planes);
    backward = disagreement(dxb, dx, r, in);
    CHECK(forward < 1e-6 && backward < 1e-6, "%s mean %s: %g forward, %g backward", t->name, r->what, forward,
          backward);
    check_unguard(mean, planes);
    check_unguard(dyb, n_dy);
    check_unguard(dxb, n_dx);
    check_unguard(yb, n_y);
    check_unguard(xb, n_x);
    check_unguard(dy, planes * out);
    check_unguard(dx, planes * in);
    check_unguard(y, planes * out);
    check_unguard(x, planes * in);
}

/* The largest relative error of the means of channels that each repeat one number. */
static double mean_error(const float *means, int64_t n)
{
    double worst = 0;
    for (int64_t i = 0; i < n; i++)
        worst = fmax(worst, fabs(means[i] / (double)(0.1f * (float)(1 + i % 16)) - 1));
    return worst;
}

/* Means of numbers of one sign, whose rounding errors do not cancel: a float sum is off by 1e-3. */
static void test_large_means(float *means, const cnv_fast *t)
{
    const cnv_fast_pool map = {.images = 1, .channels = 16, .ih = 512, .iw = 509};
    const cnv_fast_pool windows = {.images = 1,
                                   .channels = 16,
                                   .ih = 20,
                                   .iw = 20,
                                   .oh = 5,
                                   .ow = 5,
                                   .kernel = {16, 16},
                                   .stride = {1, 1},
                                   .dilation = {1, 1}};
    const int64_t n = map.ih * map.iw * 16;
    float *x = check_guarded(n), *y = check_guarded(25 * 16);
    for (int64_t i = 0; i < n; i++) x[i] = 0.1f * (float)(1 + i % 16);
    cnv_run run = fast_run(2);
    t->mean_forward(means, x, &map, &run);
    t->average_forward(y, x, &windows, &run);
    double error = mean_error(means, 16);
    CHECK(error < 1e-6, "%s: mean of 512 x 509 is off by %g", t->name, error);
    error = mean_error(y, 25 * 16);
    CHECK(error < 1e-6, "%s: averages of 16 x 16 are off by %g", t->name, error);
    check_unguard(x, n);
    check_unguard(y, 25 * 16);
}

static void test_layout(const cnv_fast *t, int64_t images, int64_t channels, int64_t pixels)
{
    const cnv_picture p = {images, channels, pixels};
    const int64_t n = images * channels * pixels;
    int64_t n_b;
    float *x = fast_numbers(n, 1), *back = fast_numbers(n, 2),
          *expected = fast_to_blocked(x, images, channels, pixels, &n_b);
    float *blocked = check_guarded(n_b);
    cnv_run run = fast_run(2);
    t->to_blocked(blocked, x, false, &p, &run);
    CHECK(memcmp(blocked, expected, (size_t)n_b * sizeof(float)) == 0, "%s: %d x %d to blocked", t->name,
          (int)channels, (int)pixels);
    t->to_blocked(blocked, x, true, &p, &run);
    t->to_plain(back, blocked, false, &p, &run);
    t->to_plain(back, blocked, true, &p, &run);
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; i++) wrong += back[i] != 4 * x[i];
    CHECK(wrong == 0, "%s: %d x %d, adding, there and back: %d differ", t->name, (int)channels, (int)pixels,
          (int)wrong);
    check_unguard(blocked, n_b);
    check_unguard(expected, n_b);
    check_unguard(back, n);
    check_unguard(x, n);
}

static float passed(float g, bool positive, cnv_relu_rule rule, bool dead)
{
    switch (rule) {
    case CNV_RELU_GUIDED:
        return positive && g > 0 ? g : 0;
    case CNV_RELU_DECONV:
        return g > 0 ? g : 0;
    case CNV_RELU_REDIRECTED:
        return dead ? (positive || g > 0 ? g : 0) : positive ? g : 0;
    default:
        return positive ? g : 0;
    }
}

/* The gate on two images, of which the second is dead. */
static void test_gate(const cnv_fast *t, cnv_relu_rule rule, bool accumulate)
{
    const cnv_picture p = {2, 32, 1100};
    const int64_t n = 2 * 32 * 1100;
    float *dy = fast_numbers(n, 1), *dx = fast_numbers(n, 2), *before = fast_numbers(n, 2);
    uint16_t *bits = fast_some_bits(n / 16);
    bool dead[2] = {true, false};
    cnv_run run = fast_run(2);
    for (int64_t i = n / 32; i < n / 16; i++) bits[i] = 0;
    t->dead(dead, dy, bits, &p, &run);
    CHECK(!dead[0] && dead[1], "%s: dead is %d, %d", t->name, dead[0], dead[1]);
    cnv_gate gate = {.bits = bits, .rule = rule, .dead = dead};
    t->gate(dx, dy, &gate, accumulate, &p, &run);
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; i++)
        wrong += dx[i] !=
                 (accumulate ? before[i] : 0) + passed(dy[i], bits[i / 16] >> i % 16 & 1, rule, i >= n / 2);
    CHECK(wrong == 0, "%s: rule %d%s: %lld numbers differ", t->name, (int)rule, accumulate ? " adding" : "",
          (long long)wrong);
    free(bits);
    check_unguard(before, n);
    check_unguard(dx, n);
    check_unguard(dy, n);
}

int main(void)
{
    float means[FAST_TIERS][16];
    for (int t = 0; t < FAST_TIERS; t++) {
        if (!fast_present(fast_tiers[t])) continue;
        for (int i = 0; i < N_ROWS; i++) {
            test_max(fast_tiers[t], &rows[i], false);
            test_max(fast_tiers[t], &rows[i], true);
            test_average(fast_tiers[t], &rows[i], false);
            test_average(fast_tiers[t], &rows[i], true);
        }
        test_max_of_odd_numbers(fast_tiers[t]);
        test_large_means(means[t], fast_tiers[t]);
        CHECK(t == 0 || memcmp(means[t], means[0], sizeof *means) == 0, "means differ between tiers");
        test_layout(fast_tiers[t], 2, 32, 49);
        test_layout(fast_tiers[t], 1, 19, 2050);
        test_layout(fast_tiers[t], 3, 1, 1);
        for (int rule = CNV_RELU_PLAIN; rule <= CNV_RELU_REDIRECTED; rule++) {
            test_gate(fast_tiers[t], (cnv_relu_rule)rule, false);
            test_gate(fast_tiers[t], (cnv_relu_rule)rule, true);
        }
    }
    return check_report();
}
