/* Depthwise convolution and image gradients of the fast tier against naive sums. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fast.h"

#define TOLERANCE 2e-5

typedef struct row {
    const char *what;
    int64_t images, channels, h, w, kernel, stride, pad, dilation;
} row;

static const row rows[] = {
    {"3x3", 2, 32, 15, 17, 3, 1, 1, 1},          {"3x3 odd channels", 1, 19, 9, 40, 3, 1, 1, 1},
    {"3x3 stride 2", 2, 16, 14, 15, 3, 2, 1, 1}, {"3x3 stride 2, even", 1, 16, 112, 20, 3, 2, 1, 1},
    {"5x5 stride 2", 1, 16, 21, 22, 5, 2, 2, 1}, {"3x3 stride 3 dilation 2", 1, 16, 20, 19, 3, 3, 2, 2},
    {"7x7 on 4x4", 1, 16, 4, 4, 7, 1, 3, 1},     {"3x3 no padding", 1, 16, 3, 3, 3, 1, 0, 1},
    {"1x1 stride 2", 1, 16, 5, 5, 1, 2, 0, 1},   {"3x3 in several runs", 1, 16, 3, 130, 3, 1, 1, 1},
    {"3x3 on 7x7", 1, 16, 7, 7, 3, 1, 1, 1},     {"3x3 stride 2, runs", 1, 16, 3, 131, 3, 2, 1, 1},
};
#define N_ROWS ((int)(sizeof rows / sizeof *rows))

static cnv_geometry plane_of(const row *r)
{
    cnv_geometry g = {.images = 1,
                      .ic = 1,
                      .oc = 1,
                      .ih = r->h,
                      .iw = r->w,
                      .kernel = {r->kernel, r->kernel},
                      .stride = {r->stride, r->stride},
                      .pad = {r->pad, r->pad},
                      .dilation = {r->dilation, r->dilation}};
    g.oh = (g.ih + 2 * r->pad - r->dilation * (r->kernel - 1) - 1) / r->stride + 1;
    g.ow = (g.iw + 2 * r->pad - r->dilation * (r->kernel - 1) - 1) / r->stride + 1;
    return g;
}

static cnv_depthwise describe(const row *r, const cnv_geometry *g)
{
    cnv_depthwise d = {.images = r->images,
                       .channels = r->channels,
                       .ih = g->ih,
                       .iw = g->iw,
                       .oh = g->oh,
                       .ow = g->ow,
                       .kernel = {r->kernel, r->kernel},
                       .stride = {r->stride, r->stride},
                       .pad = {r->pad, r->pad},
                       .dilation = {r->dilation, r->dilation}};
    cnv_depthwise_describe(&d);
    return d;
}

static float *pack(const float *w, const cnv_depthwise *d, int64_t *n)
{
    *n = (int64_t)(cnv_depthwise_weights(d) / sizeof(float));
    float *packed = check_guarded(*n);
    cnv_depthwise_pack(packed, w, d);
    return packed;
}

static void test_forward(const cnv_fast *t, const row *r)
{
    const cnv_geometry g = plane_of(r);
    const cnv_depthwise d = describe(r, &g);
    const int64_t planes = r->images * r->channels, in = g.ih * g.iw, out = g.oh * g.ow;
    int64_t n_x, n_y, n_b, n_w, taps = r->kernel * r->kernel;
    float *x = fast_numbers(planes * in, 1), *w = fast_numbers(r->channels * taps, 2),
          *b = fast_numbers(r->channels, 3);
    float *expected = fast_numbers(planes * out, 4), *got = fast_numbers(planes * out, 5);
    float *xb = fast_to_blocked(x, r->images, r->channels, in, &n_x),
          *bias = fast_pad_bias(b, r->channels, &n_b);
    float *y = fast_to_blocked(got, r->images, r->channels, out, &n_y), *packed = pack(w, &d, &n_w);
    uint16_t *bits = malloc((size_t)n_y / 16 * sizeof *bits);
    for (int64_t p = 0; p < planes; p++) {
        const int64_t k = p % r->channels;
        fast_naive_forward(expected + p * out, x + p * in, w + k * taps, b + k, &g);
        for (int64_t i = 0; i < out; i++)
            expected[p * out + i] = fminf(fmaxf(expected[p * out + i], 0), 0.5f);
    }
    cnv_finish finish = {.rectify = true, .high = 0.5f, .bits = bits};
    cnv_run run = fast_run(2);
    t->depthwise_forward(y, xb, packed, bias, &finish, &d, &run);
    fast_from_blocked(got, y, r->images, r->channels, out);
    double error = fast_error(got, expected, planes * out);
    CHECK(error < TOLERANCE, "%s depthwise %s forward: %.2g", t->name, r->what, error);
    int64_t wrong = 0;
    for (int64_t i = 0; i < n_y; i++) wrong += (bits[i / 16] >> (i % 16) & 1) != (y[i] > 0 && y[i] < 0.5f);
    CHECK(wrong == 0, "%s depthwise %s: %lld bits are wrong", t->name, r->what, (long long)wrong);
    free(bits);
    check_unguard(packed, n_w);
    check_unguard(y, n_y);
    check_unguard(bias, n_b);
    check_unguard(xb, n_x);
    check_unguard(got, planes * out);
    check_unguard(expected, planes * out);
    check_unguard(b, r->channels);
    check_unguard(w, r->channels * taps);
    check_unguard(x, planes * in);
}

static void test_backward(const cnv_fast *t, const row *r, bool accumulate, bool gated)
{
    const cnv_geometry g = plane_of(r);
    const cnv_depthwise d = describe(r, &g);
    const int64_t planes = r->images * r->channels, in = g.ih * g.iw, out = g.oh * g.ow;
    const int64_t scratch_size = (int64_t)((cnv_depthwise_backward_scratch(&d) + 63) / 64 * 16);
    int64_t n_dx, n_dy, n_w, taps = r->kernel * r->kernel;
    float *dy = fast_numbers(planes * out, 1), *w = fast_numbers(r->channels * taps, 2);
    float *expected = fast_numbers(planes * in, 3), *before = fast_numbers(planes * in, 4);
    float *got = fast_numbers(planes * in, 5), *scratch = check_guarded(2 * scratch_size);
    float *dyb = fast_to_blocked(dy, r->images, r->channels, out, &n_dy);
    float *dx = fast_to_blocked(before, r->images, r->channels, in, &n_dx), *packed = pack(w, &d, &n_w);
    uint16_t *bits = fast_some_bits(n_dy / 16);
    if (gated) fast_apply_bits(dy, bits, r->images, r->channels, out);
    for (int64_t p = 0; p < planes; p++) {
        fast_naive_backward(expected + p * in, dy + p * out, w + p % r->channels * taps, &g);
        for (int64_t i = 0; i < in && accumulate; i++) expected[p * in + i] += before[p * in + i];
    }
    cnv_gate gate = {.bits = gated ? bits : NULL};
    cnv_run run = fast_run(2);
    t->depthwise_backward(dx, dyb, packed, &gate, accumulate, &d, scratch,
                          (size_t)scratch_size * sizeof(float), &run);
    fast_from_blocked(got, dx, r->images, r->channels, in);
    double error = fast_error(got, expected, planes * in);
    CHECK(error < TOLERANCE, "%s depthwise %s backward%s%s: %.2g", t->name, r->what,
          accumulate ? " adding" : "", gated ? " gated" : "", error);
    free(bits);
    check_unguard(packed, n_w);
    check_unguard(dx, n_dx);
    check_unguard(dyb, n_dy);
    check_unguard(scratch, 2 * scratch_size);
    check_unguard(got, planes * in);
    check_unguard(before, planes * in);
    check_unguard(expected, planes * in);
    check_unguard(w, r->channels * taps);
    check_unguard(dy, planes * out);
}

/* A row as the first layer of a network, with `ic` image channels and the row's channels as outputs. */
static void test_image_gradient(const cnv_fast *t, const row *r, int64_t ic, bool accumulate, bool gated)
{
    cnv_geometry g = plane_of(r);
    g.images = r->images;
    g.ic = ic;
    g.oc = r->channels;
    const int64_t in = g.images * ic * g.ih * g.iw, out = g.images * g.oc * g.oh * g.ow;
    const int64_t n_w = g.oc * ic * r->kernel * r->kernel;
    int64_t n_dy;
    float *dy = fast_numbers(out, 1), *w = fast_numbers(n_w, 2), *expected = fast_numbers(in, 3);
    float *dx = fast_numbers(in, 4), *dyb = fast_to_blocked(dy, g.images, g.oc, g.oh * g.ow, &n_dy);
    uint16_t *bits = fast_some_bits(n_dy / 16);
    if (gated) fast_apply_bits(dy, bits, g.images, g.oc, g.oh * g.ow);
    fast_naive_backward(expected, dy, w, &g);
    for (int64_t i = 0; i < in && accumulate; i++) expected[i] += dx[i];
    cnv_gate gate = {.bits = gated ? bits : NULL};
    cnv_run run = fast_run(2);
    cnv_image_gradient d;
    cnv_image_gradient_describe(&d, &g);
    const int64_t n_packed = (int64_t)(cnv_image_gradient_weights(&d) / sizeof(float));
    const int64_t size = (int64_t)((cnv_image_gradient_scratch(&d) + 63) / 64 * 16);
    float *packed = check_guarded(n_packed), *scratch = check_guarded(2 * size);
    cnv_image_gradient_pack(packed, w, &d);
    t->image_gradient(dx, dyb, packed, &gate, accumulate, &d, scratch, (size_t)size * sizeof(float), &run);
    check_unguard(packed, n_packed);
    check_unguard(scratch, 2 * size);
    double error = fast_error(dx, expected, in);
    CHECK(error < TOLERANCE, "%s image gradient %s, %d channels%s%s: %.2g", t->name, r->what, (int)ic,
          accumulate ? " adding" : "", gated ? " gated" : "", error);
    free(bits);
    check_unguard(dyb, n_dy);
    check_unguard(dx, in);
    check_unguard(expected, in);
    check_unguard(w, n_w);
    check_unguard(dy, out);
}

int main(void)
{
    for (int t = 0; t < FAST_TIERS; t++) {
        if (!fast_present(fast_tiers[t])) continue;
        for (int i = 0; i < N_ROWS; i++) {
            test_forward(fast_tiers[t], &rows[i]);
            test_backward(fast_tiers[t], &rows[i], false, true);
            test_backward(fast_tiers[t], &rows[i], true, false);
            for (int64_t ic = 1; ic <= 4; ic++)
                test_image_gradient(fast_tiers[t], &rows[i], ic, ic == 2, ic == 3);
        }
    }
    return check_report();
}
