/* Winograd convolution of the fast tier against naive sums, with each instruction set of the CPU. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fast.h"
#include "kernels/fast/winograd.h"

/* The largest error, relative to the largest result, of F(4x4,3x3) on weights and pixels of one magnitude. */
#define TOLERANCE 2e-5

typedef struct row {
    const char *what;
    int64_t images, ic, h, w, oc, pad;
} row;

static const row rows[] = {
    {"tile by tile", 1, 16, 8, 8, 16, 1},
    {"odd extents", 2, 32, 15, 17, 48, 1},
    {"odd channels", 1, 19, 9, 13, 37, 1},
    {"7x7", 2, 64, 7, 7, 96, 1},
    {"one pixel", 1, 16, 1, 1, 16, 1},
    {"one row", 1, 16, 1, 30, 16, 1},
    {"no padding", 1, 16, 12, 11, 16, 0},
    {"full padding", 1, 16, 6, 7, 16, 2},
    {"large, in blocks of tiles", 1, 16, 120, 118, 24, 1},
    {"V shared, several times", 3, 256, 57, 49, 16, 1},
};
#define N_ROWS ((int)(sizeof rows / sizeof *rows))

static cnv_geometry geometry_of(const row *r)
{
    cnv_geometry g = {.images = r->images,
                      .ic = r->ic,
                      .ih = r->h,
                      .iw = r->w,
                      .oc = r->oc,
                      .kernel = {3, 3},
                      .stride = {1, 1},
                      .pad = {r->pad, r->pad},
                      .dilation = {1, 1}};
    g.oh = r->h + 2 * r->pad - 2;
    g.ow = r->w + 2 * r->pad - 2;
    return g;
}

/* G of Lavin and Gray 2016, for the points 0, 1, -1, 2, -2, infinity and 0, 1, -1, infinity. */
static const double g4[6][3] = {{1.0 / 4, 0, 0},
                                {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                {0, 0, 1}};
static const double g2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

/* (G w G^T)[i][j]; w is 3x3, read backwards when flipped. */
static double transformed(const float *w, bool flipped, int64_t m, int64_t i, int64_t j)
{
    const double *left = m == 4 ? g4[i] : g2[i], *right = m == 4 ? g4[j] : g2[j];
    double sum = 0;
    for (int64_t r = 0; r < 3; r++)
        for (int64_t s = 0; s < 3; s++) sum += left[r] * right[s] * w[flipped ? 8 - r * 3 - s : r * 3 + s];
    return sum;
}

/* The transformed weights against their definition in double, lanes past the channels included. */
static void test_weights(const cnv_fast *t, const row *r, int64_t m, bool backward)
{
    const cnv_geometry g = geometry_of(r);
    cnv_winograd d;
    cnv_winograd_describe(&d, &g, m, backward, true);
    const int64_t n_u = (int64_t)(cnv_winograd_weights(&d) / sizeof(float)), n_w = g.oc * g.ic * 9;
    const int64_t position = cnv_winograd_position(cnv_blocks(d.oc), d.ic), n = m + 2;
    float *w = fast_numbers(n_w, 2), *u = check_guarded(n_u);
    double worst = 0;
    t->winograd_pack(u, w, &d);
    for (int64_t p = 0; p < n * n; p++) {
        for (int64_t o = 0; o < cnv_blocks(d.oc) * 16; o++) {
            for (int64_t c = 0; c < d.ic; c++) {
                const float *kernel = w + (backward ? c * d.oc + o : o * d.ic + c) * 9;
                const double expected = o < d.oc ? transformed(kernel, backward, m, p / n, p % n) : 0;
                const double got = (double)u[p * position + (o / 16 * d.ic + c) * 16 + o % 16];
                if (!(fabs(got - expected) <= worst)) worst = fabs(got - expected);
            }
        }
    }
    CHECK(worst < 5e-7, "%s F%d %s weights%s: %.2g", t->name, (int)m, r->what, backward ? " backward" : "",
          worst);
    check_unguard(u, n_u);
    check_unguard(w, n_w);
}

static void run_with(const cnv_fast *t, float *y, const float *x, const float *weights, const float *bias,
                     const cnv_finish *finish, const cnv_gate *gate, const cnv_winograd *d)
{
    const int64_t n_shared = (int64_t)(cnv_winograd_shared(d) / sizeof(float));
    const int64_t stride = (int64_t)((cnv_winograd_scratch(d) + 63) / 64 * 16);
    float *scratch = check_guarded(2 * stride), *shared = check_guarded(n_shared + 1);
    cnv_run run = fast_run(2);
    t->winograd(y, x, weights, bias, finish, gate, d, shared, scratch, (size_t)stride * sizeof(float), &run);
    check_unguard(scratch, 2 * stride);
    check_unguard(shared, n_shared + 1);
}

/* Runs with packed weights and with plain weights, which must give the same bits. */
static void run_winograd(const cnv_fast *t, float *y, const float *x, const float *w, const float *bias,
                         const cnv_finish *finish, const cnv_gate *gate, const cnv_geometry *g, int64_t m,
                         bool backward)
{
    cnv_winograd d, plain;
    cnv_winograd_describe(&d, g, m, backward, true);
    cnv_winograd_describe(&plain, g, m, backward, false);
    const int64_t n_packed = (int64_t)(cnv_winograd_weights(&d) / sizeof(float));
    const int64_t n_y = d.images * cnv_blocked_size(d.oc, d.yh, d.yw);
    float *packed = check_guarded(n_packed), *again = check_guarded(n_y);
    memcpy(again, y, (size_t)n_y * sizeof *y);
    t->winograd_pack(packed, w, &d);
    run_with(t, y, x, packed, bias, finish, gate, &d);
    run_with(t, again, x, w, bias, finish, gate, &plain);
    CHECK(memcmp(again, y, (size_t)n_y * sizeof *y) == 0, "%s F%d of %d channels%s: plain weights differ",
          t->name, (int)m, (int)d.ic, backward ? " backward" : "");
    check_unguard(again, n_y);
    check_unguard(packed, n_packed);
}

static void test_forward(const cnv_fast *t, const row *r, int64_t m, bool rectify)
{
    const cnv_geometry g = geometry_of(r);
    const int64_t in = g.images * g.ic * g.ih * g.iw, plane = g.oh * g.ow, out = g.images * g.oc * plane;
    const int64_t n_w = g.oc * g.ic * 9;
    int64_t n_x, n_y, n_add, n_bias;
    float *x = fast_numbers(in, 1), *w = fast_numbers(n_w, 2);
    float *b = fast_numbers(g.oc, 3), *add = fast_numbers(out, 4), *expected = fast_numbers(out, 5);
    float *y = fast_to_blocked(expected, g.images, g.oc, plane, &n_y), *got = fast_numbers(out, 6);
    float *xb = fast_to_blocked(x, g.images, g.ic, g.ih * g.iw, &n_x);
    float *addb = fast_to_blocked(add, g.images, g.oc, plane, &n_add),
          *bias = fast_pad_bias(b, g.oc, &n_bias);
    uint16_t *bits = malloc((size_t)n_y / 16 * sizeof *bits);
    fast_naive_forward(expected, x, w, b, &g);
    for (int64_t i = 0; i < out && rectify; i++) {
        expected[i] += add[i];
        if (!(expected[i] > 0)) expected[i] = 0;
    }
    cnv_finish finish = {.add = rectify ? addb : NULL, .rectify = rectify, .high = INFINITY, .bits = bits};
    cnv_gate gate = {0};
    run_winograd(t, y, xb, w, bias, &finish, &gate, &g, m, false);
    fast_from_blocked(got, y, g.images, g.oc, plane);
    double error = fast_error(got, expected, out);
    CHECK(error < TOLERANCE, "%s F%d %s forward%s: %.2g", t->name, (int)m, r->what,
          rectify ? " rectified" : "", error);
    int64_t wrong = 0;
    for (int64_t i = 0; i < n_y && rectify; i++) wrong += (bits[i / 16] >> (i % 16) & 1) != (y[i] > 0);
    CHECK(wrong == 0, "%s F%d %s: %lld bits disagree with y > 0", t->name, (int)m, r->what, (long long)wrong);
    free(bits);
    check_unguard(bias, n_bias);
    check_unguard(addb, n_add);
    check_unguard(xb, n_x);
    check_unguard(got, out);
    check_unguard(y, n_y);
    check_unguard(expected, out);
    check_unguard(add, out);
    check_unguard(b, g.oc);
    check_unguard(w, n_w);
    check_unguard(x, in);
}

static void test_backward(const cnv_fast *t, const row *r, int64_t m, bool accumulate, bool gated)
{
    const cnv_geometry g = geometry_of(r);
    const int64_t plane = g.ih * g.iw, in = g.images * g.ic * plane, out = g.images * g.oc * g.oh * g.ow;
    const int64_t n_w = g.oc * g.ic * 9;
    int64_t n_dy, n_dx;
    float *dy = fast_numbers(out, 1), *w = fast_numbers(n_w, 2), *before = fast_numbers(in, 3);
    float *expected = fast_numbers(in, 4), *got = fast_numbers(in, 5);
    float *dyb = fast_to_blocked(dy, g.images, g.oc, g.oh * g.ow, &n_dy);
    float *dx = fast_to_blocked(before, g.images, g.ic, plane, &n_dx);
    uint16_t *bits = fast_some_bits(n_dy / 16);
    if (gated) fast_apply_bits(dy, bits, g.images, g.oc, g.oh * g.ow);
    fast_naive_backward(expected, dy, w, &g);
    for (int64_t i = 0; i < in && accumulate; i++) expected[i] += before[i];
    cnv_finish finish = {.accumulate = accumulate};
    cnv_gate gate = {.bits = gated ? bits : NULL};
    run_winograd(t, dx, dyb, w, NULL, &finish, &gate, &g, m, true);
    fast_from_blocked(got, dx, g.images, g.ic, plane);
    double error = fast_error(got, expected, in);
    CHECK(error < TOLERANCE, "%s F%d %s backward%s%s: %.2g", t->name, (int)m, r->what,
          accumulate ? " adding" : "", gated ? " gated" : "", error);
    free(bits);
    check_unguard(dx, n_dx);
    check_unguard(dyb, n_dy);
    check_unguard(got, in);
    check_unguard(expected, in);
    check_unguard(before, in);
    check_unguard(w, n_w);
    check_unguard(dy, out);
}

/* Both instruction sets give the same bits, and an image alone has the bits that it has in a batch. */
static void test_same_bits(const row *r, int64_t m)
{
    const cnv_geometry batch = geometry_of(r);
    cnv_geometry one = batch;
    one.images = 1;
    const int64_t in = batch.images * cnv_blocked_size(batch.ic, batch.ih, batch.iw);
    const int64_t image = cnv_blocked_size(batch.oc, batch.oh, batch.ow), out = batch.images * image;
    const int64_t n_w = batch.oc * batch.ic * 9;
    float *x = fast_numbers(in, 1), *w = fast_numbers(n_w, 2);
    float *y[3] = {fast_numbers(out, 3), fast_numbers(out, 4), fast_numbers(image, 5)};
    cnv_finish finish = {0};
    cnv_gate gate = {0};
    for (int i = 0; i < 2; i++)
        run_winograd(fast_tiers[i], y[i], x, w, NULL, &finish, &gate, &batch, m, false);
    run_winograd(fast_tiers[1], y[2], x, w, NULL, &finish, &gate, &one, m, false);
    CHECK(memcmp(y[0], y[1], (size_t)out * sizeof(float)) == 0, "F%d %s: avx2 and avx512 differ", (int)m,
          r->what);
    CHECK(memcmp(y[1], y[2], (size_t)image * sizeof(float)) == 0, "F%d %s: an image differs in a batch",
          (int)m, r->what);
    for (int i = 0; i < 3; i++) check_unguard(y[i], i < 2 ? out : image);
    check_unguard(w, n_w);
    check_unguard(x, in);
}

int main(void)
{
    for (int i = 0; i < N_ROWS; i++) {
        for (int64_t m = 2; m <= 4; m += 2) {
            for (int t = 0; t < FAST_TIERS; t++) {
                if (!fast_present(fast_tiers[t])) continue;
                test_weights(fast_tiers[t], &rows[i], m, false);
                test_weights(fast_tiers[t], &rows[i], m, true);
                test_forward(fast_tiers[t], &rows[i], m, false);
                test_forward(fast_tiers[t], &rows[i], m, true);
                test_backward(fast_tiers[t], &rows[i], m, false, false);
                test_backward(fast_tiers[t], &rows[i], m, true, true);
            }
            if (fast_present(fast_tiers[0]) && fast_present(fast_tiers[1])) test_same_bits(&rows[i], m);
        }
    }
    return check_report();
}
