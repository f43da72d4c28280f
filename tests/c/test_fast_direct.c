/* Direct convolution of the fast tier against naive sums, with each instruction set of the CPU. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fast.h"
#include "kernels/fast/direct.h"

/* The largest error of a float32 sum, relative to the largest result. */
#define TOLERANCE 2e-5

typedef struct row {
    const char *what;
    cnv_geometry g; /* oh and ow follow */
} row;

#define IMAGES(n, c, h, w, o) .images = n, .ic = c, .ih = h, .iw = w, .oc = o
#define SQUARE(k, s, p) .kernel = {k, k}, .stride = {s, s}, .pad = {p, p}, .dilation = {1, 1}

static const row rows[] = {
    {"3x3", {IMAGES(2, 32, 15, 17, 48), SQUARE(3, 1, 1)}},
    {"3x3 odd channels", {IMAGES(1, 19, 9, 13, 37), SQUARE(3, 1, 1)}},
    {"3x3 on 7x7", {IMAGES(2, 32, 7, 7, 64), SQUARE(3, 1, 1)}},
    {"3x3 on 5x3", {IMAGES(1, 16, 5, 3, 16), SQUARE(3, 1, 1)}},
    {"3x3 on 1x1", {IMAGES(1, 17, 1, 1, 16), SQUARE(3, 1, 1)}},
    {"3x3 wide", {IMAGES(1, 64, 3, 101, 16), SQUARE(3, 1, 1)}},
    {"3x3 many strips", {IMAGES(1, 96, 60, 56, 16), SQUARE(3, 1, 1)}},
    {"3x3 stride 2", {IMAGES(2, 32, 14, 15, 32), SQUARE(3, 2, 1)}},
    {"3x3 stride 2 no pad", {IMAGES(1, 3, 31, 29, 64), SQUARE(3, 2, 0)}},
    {"7x7 stride 2", {IMAGES(2, 3, 30, 33, 64), SQUARE(7, 2, 3)}},
    {"11x11 stride 4", {IMAGES(1, 3, 47, 51, 20), SQUARE(11, 4, 2)}},
    {"3x3 stride 3,2 dilation 1,2",
     {IMAGES(1, 16, 20, 22, 16), .kernel = {3, 3}, .stride = {3, 2}, .pad = {1, 2}, .dilation = {1, 2}}},
    {"5x5 dilation 2",
     {IMAGES(1, 20, 16, 15, 33), .kernel = {5, 5}, .stride = {1, 1}, .pad = {4, 4}, .dilation = {2, 2}}},
    {"1x3", {IMAGES(1, 32, 8, 9, 16), .kernel = {1, 3}, .stride = {1, 1}, .pad = {0, 1}, .dilation = {1, 1}}},
    {"1x1", {IMAGES(2, 64, 13, 13, 48), SQUARE(1, 1, 0)}},
    {"1x1 odd channels", {IMAGES(1, 24, 10, 11, 10), SQUARE(1, 1, 0)}},
    {"1x1 last block of twelve", {IMAGES(1, 28, 5, 9, 28), SQUARE(1, 1, 0)}},
    {"1x1 deep", {IMAGES(1, 1100, 9, 9, 40), SQUARE(1, 1, 0)}},
    {"1x1 in two parts", {IMAGES(1, 2500, 4, 9, 40), SQUARE(1, 1, 0)}},
    {"3x3 in parts, stride 2", {IMAGES(1, 500, 6, 19, 24), SQUARE(3, 2, 1)}},
    {"3x3 in parts backward, stride 2", {IMAGES(1, 24, 5, 19, 1400), SQUARE(3, 2, 1)}},
    {"1x1 stride 2", {IMAGES(2, 32, 14, 13, 64), SQUARE(1, 2, 0)}},
    {"2x2 no pad", {IMAGES(1, 16, 6, 6, 16), SQUARE(2, 1, 0)}},
    {"4x4 stride 2", {IMAGES(1, 16, 6, 7, 16), SQUARE(4, 2, 1)}},
};
#define N_ROWS ((int)(sizeof rows / sizeof *rows))

static cnv_geometry geometry_of(const row *r)
{
    cnv_geometry g = r->g;
    g.oh = (g.ih + 2 * g.pad[0] - g.dilation[0] * (g.kernel[0] - 1) - 1) / g.stride[0] + 1;
    g.ow = (g.iw + 2 * g.pad[1] - g.dilation[1] * (g.kernel[1] - 1) - 1) / g.stride[1] + 1;
    return g;
}

/* Runs one description with two workers, whose scratch is exactly as large as it must be. */
static void run_with(const cnv_fast *t, float *y, const float *x, const float *weights, const float *bias,
                     const cnv_finish *finish, const cnv_gate *gate, const cnv_direct *d)
{
    const int64_t stride = (int64_t)((cnv_direct_scratch(d) + 63) / 64 * 16);
    float *scratch = check_guarded(2 * stride);
    cnv_run run = fast_run(2);
    t->direct(y, x, weights, bias, finish, gate, d, scratch, (size_t)stride * sizeof(float), &run);
    check_unguard(scratch, 2 * stride);
}

/* Runs one description with packed weights and with plain weights, which must give the same bits. */
static void run_direct(const cnv_fast *t, float *y, const float *x, const float *w, const float *bias,
                       const cnv_finish *finish, const cnv_gate *gate, const cnv_direct *d, const char *what)
{
    const int64_t n_packed = (int64_t)(cnv_direct_weights(d) / sizeof(float)), n_y = d->images * d->y_image;
    float *packed = check_guarded(n_packed), *again = check_guarded(n_y);
    cnv_direct plain = *d;
    plain.packed = false;
    memcpy(again, y, (size_t)n_y * sizeof *y);
    cnv_direct_pack(packed, w, d);
    run_with(t, y, x, packed, bias, finish, gate, d);
    if (!d->planar) {
        run_with(t, again, x, w, bias, finish, gate, &plain);
        CHECK(memcmp(again, y, (size_t)n_y * sizeof *y) == 0, "%s %s%s: plain weights give other bits",
              t->name, what, d->backward ? " backward" : "");
    }
    check_unguard(again, n_y);
    check_unguard(packed, n_packed);
}

typedef struct ending {
    const char *what;
    bool adds, rectifies;
    float high;
} ending;

static const ending endings[] = {
    {"", false, false, INFINITY},          {" relu", false, true, INFINITY}, {" clip", false, true, 4},
    {" added relu", true, true, INFINITY}, {" added clip", true, true, 4},
};
#define N_ENDINGS ((int)(sizeof endings / sizeof *endings))

static float ended(float sum, float add, const ending *e)
{
    if (e->adds) sum += add;
    if (e->rectifies && !(sum > 0)) sum = 0;
    return e->rectifies && sum > e->high ? e->high : sum;
}

/* The forward pass with one kind of finish, and the bits that it writes. */
static void test_forward(const cnv_fast *t, const row *r, const ending *e)
{
    const cnv_geometry g = geometry_of(r);
    const bool planar = g.ic <= 4;
    const int64_t in = g.images * g.ic * g.ih * g.iw, plane = g.oh * g.ow, out = g.images * g.oc * plane;
    int64_t n_x, n_y, n_add, n_bias;
    float *x = fast_numbers(in, 1), *w = fast_numbers(g.oc * g.ic * g.kernel[0] * g.kernel[1], 2);
    float *b = fast_numbers(g.oc, 3), *add = fast_numbers(out, 4), *expected = fast_numbers(out, 5);
    float *y = fast_to_blocked(expected, g.images, g.oc, plane, &n_y), *got = fast_numbers(out, 6);
    float *xb = planar ? x : fast_to_blocked(x, g.images, g.ic, g.ih * g.iw, &n_x);
    float *addb = fast_to_blocked(add, g.images, g.oc, plane, &n_add),
          *bias = fast_pad_bias(b, g.oc, &n_bias);
    uint16_t *bits = malloc((size_t)n_y / 16 * sizeof *bits);
    cnv_direct d;
    fast_naive_forward(expected, x, w, b, &g);
    for (int64_t i = 0; i < out; i++) expected[i] = ended(expected[i], add[i], e);
    cnv_finish finish = {
        .add = e->adds ? addb : NULL, .rectify = e->rectifies, .high = e->high, .bits = bits};
    cnv_gate gate = {0};
    cnv_direct_forward(&d, &g, planar);
    run_direct(t, y, xb, w, bias, &finish, &gate, &d, r->what);
    fast_from_blocked(got, y, g.images, g.oc, plane);
    double error = fast_error(got, expected, out);
    CHECK(error < TOLERANCE, "%s %s forward%s: %.2g", t->name, r->what, e->what, error);
    int64_t wrong = 0;
    for (int64_t i = 0; i < n_y && e->rectifies; i++)
        wrong += (bits[i / 16] >> (i % 16) & 1) != (y[i] > 0 && y[i] < e->high);
    CHECK(wrong == 0, "%s %s%s: %lld bits are wrong", t->name, r->what, e->what, (long long)wrong);
    free(bits);
    check_unguard(bias, n_bias);
    check_unguard(addb, n_add);
    if (!planar) check_unguard(xb, n_x);
    check_unguard(got, out);
    check_unguard(y, n_y);
    check_unguard(expected, out);
    check_unguard(add, out);
    check_unguard(b, g.oc);
    check_unguard(w, g.oc * g.ic * g.kernel[0] * g.kernel[1]);
    check_unguard(x, in);
}

/* Zeroes all channels but one of the first image, as in the gradient of one class's score. */
static void leave_one_channel(float *dy, const cnv_geometry *g)
{
    const int64_t plane = g->oh * g->ow, kept = (g->oc - 1) / 2;
    memset(dy, 0, (size_t)(kept * plane) * sizeof *dy);
    memset(dy + (kept + 1) * plane, 0, (size_t)((g->oc - kept - 1) * plane) * sizeof *dy);
}

/* The gradient of the input, overwritten or added, with and without a gate, of all channels or of one. */
static void test_backward(const cnv_fast *t, const row *r, bool accumulate, bool gated, bool sparse)
{
    const cnv_geometry g = geometry_of(r);
    const int64_t plane = g.ih * g.iw, in = g.images * g.ic * plane, out = g.images * g.oc * g.oh * g.ow;
    const int64_t n_w = g.oc * g.ic * g.kernel[0] * g.kernel[1];
    int64_t n_dy, n_dx;
    float *dy = fast_numbers(out, 1), *w = fast_numbers(n_w, 2), *before = fast_numbers(in, 3);
    float *expected = fast_numbers(in, 4), *got = fast_numbers(in, 5);
    if (sparse) leave_one_channel(dy, &g);
    float *dyb = fast_to_blocked(dy, g.images, g.oc, g.oh * g.ow, &n_dy);
    float *dx = fast_to_blocked(before, g.images, g.ic, plane, &n_dx);
    uint16_t *bits = fast_some_bits(n_dy / 16);
    if (gated) fast_apply_bits(dy, bits, g.images, g.oc, g.oh * g.ow);
    fast_naive_backward(expected, dy, w, &g);
    for (int64_t i = 0; i < in && accumulate; i++) expected[i] += before[i];
    cnv_finish finish = {.accumulate = accumulate};
    cnv_gate gate = {.bits = gated ? bits : NULL};
    for (int64_t phase = 0; phase < g.stride[0] * g.stride[1]; phase++) {
        cnv_direct d;
        cnv_direct_backward(&d, &g, phase, gated);
        if (d.rows * d.cols > 0) run_direct(t, dx, dyb, w, NULL, &finish, &gate, &d, r->what);
    }
    fast_from_blocked(got, dx, g.images, g.ic, plane);
    double error = fast_error(got, expected, in);
    CHECK(error < TOLERANCE, "%s %s backward%s%s%s: %.2g", t->name, r->what, accumulate ? " adding" : "",
          gated ? " gated" : "", sparse ? " sparse" : "", error);
    free(bits);
    check_unguard(dx, n_dx);
    check_unguard(dyb, n_dy);
    check_unguard(got, in);
    check_unguard(expected, in);
    check_unguard(before, in);
    check_unguard(w, n_w);
    check_unguard(dy, out);
}

/* A gradient of NaN reaches the input, even if the other gradients of its block are zero. */
static void test_nan(const cnv_fast *t, const row *r)
{
    const cnv_geometry g = geometry_of(r);
    const int64_t in = g.images * cnv_blocks(g.ic) * 16 * g.ih * g.iw;
    const int64_t out = g.images * cnv_blocks(g.oc) * 16 * g.oh * g.ow;
    const int64_t n_w = g.oc * g.ic * g.kernel[0] * g.kernel[1];
    float *dy = check_guarded(out), *dx = fast_numbers(in, 1), *w = fast_numbers(n_w, 2);
    cnv_finish finish = {0};
    cnv_gate gate = {0};
    int64_t found = 0;
    memset(dy, 0, (size_t)out * sizeof *dy);
    dy[(g.oh * g.ow / 2) * 16] = NAN;
    for (int64_t phase = 0; phase < g.stride[0] * g.stride[1]; phase++) {
        cnv_direct d;
        cnv_direct_backward(&d, &g, phase, false);
        if (d.rows * d.cols > 0) run_direct(t, dx, dy, w, NULL, &finish, &gate, &d, r->what);
    }
    for (int64_t i = 0; i < in; i++) found += isnan(dx[i]);
    CHECK(found > 0, "%s %s: a gradient of NaN got lost", t->name, r->what);
    check_unguard(w, n_w);
    check_unguard(dx, in);
    check_unguard(dy, out);
}

/* The two instruction sets give the same bits. */
static void test_same_bits(const row *r)
{
    const cnv_geometry g = geometry_of(r);
    const bool planar = g.ic <= 4;
    const int64_t in = g.images * g.ic * g.ih * g.iw, out = g.images * cnv_blocks(g.oc) * 16 * g.oh * g.ow;
    int64_t n_x;
    float *x = fast_numbers(in, 1), *w = fast_numbers(g.oc * g.ic * g.kernel[0] * g.kernel[1], 2);
    float *xb = planar ? x : fast_to_blocked(x, g.images, g.ic, g.ih * g.iw, &n_x);
    float *y[2] = {fast_numbers(out, 3), fast_numbers(out, 4)};
    cnv_finish finish = {0};
    cnv_gate gate = {0};
    cnv_direct d;
    cnv_direct_forward(&d, &g, planar);
    for (int i = 0; i < 2; i++) run_direct(fast_tiers[i], y[i], xb, w, NULL, &finish, &gate, &d, r->what);
    CHECK(memcmp(y[0], y[1], (size_t)out * sizeof(float)) == 0, "%s: avx2 and avx512 differ", r->what);
    check_unguard(y[0], out);
    check_unguard(y[1], out);
    if (!planar) check_unguard(xb, n_x);
    check_unguard(w, g.oc * g.ic * g.kernel[0] * g.kernel[1]);
    check_unguard(x, in);
}

/* A tile of several pixels gives each pixel the bits that it has in a picture of one pixel. */
static void test_tiles_alone(const cnv_fast *t, int64_t ic, int64_t oc, int64_t pixels)
{
    cnv_geometry row = {.images = 1, .ic = ic, .ih = 1, .iw = pixels, .oc = oc, .oh = 1, .ow = pixels};
    for (int a = 0; a < 2; a++) row.kernel[a] = row.stride[a] = row.dilation[a] = 1;
    cnv_geometry one = row;
    one.images = pixels;
    one.iw = one.ow = 1;
    int64_t n_x, n_y;
    float *x = fast_numbers(ic * pixels, 1), *w = fast_numbers(oc * ic, 2),
          *alone = fast_numbers(ic * pixels, 3);
    float *y[2] = {fast_numbers(oc * pixels, 4), fast_numbers(oc * pixels, 5)};
    for (int64_t c = 0; c < ic; c++)
        for (int64_t p = 0; p < pixels; p++) alone[p * ic + c] = x[c * pixels + p];
    for (int i = 0; i < 2; i++) {
        const cnv_geometry *g = i == 0 ? &row : &one;
        cnv_finish finish = {0};
        cnv_gate gate = {0};
        cnv_direct d;
        cnv_direct_forward(&d, g, false);
        float *xb = fast_to_blocked(i == 0 ? x : alone, g->images, ic, g->iw, &n_x);
        float *yb = fast_to_blocked(y[i], g->images, oc, g->iw, &n_y);
        run_direct(t, yb, xb, w, NULL, &finish, &gate, &d, "tiles");
        fast_from_blocked(y[i], yb, g->images, oc, g->iw);
        check_unguard(yb, n_y);
        check_unguard(xb, n_x);
    }
    int64_t wrong = 0;
    for (int64_t c = 0; c < oc; c++)
        for (int64_t p = 0; p < pixels; p++) wrong += y[0][c * pixels + p] != y[1][p * oc + c];
    CHECK(wrong == 0, "%s %d to %d channels: %d of %d pixels have other bits alone", t->name, (int)ic,
          (int)oc, (int)wrong, (int)(oc * pixels));
    check_unguard(y[1], oc * pixels);
    check_unguard(y[0], oc * pixels);
    check_unguard(alone, ic * pixels);
    check_unguard(w, oc * ic);
    check_unguard(x, ic * pixels);
}

int main(void)
{
    for (int t = 0; t < FAST_TIERS; t++) {
        if (!fast_present(fast_tiers[t])) continue;
        test_tiles_alone(fast_tiers[t], 40, 64, 44); /* full tiles, and a last channel block of eight */
        test_tiles_alone(fast_tiers[t], 32, 24, 31); /* and a narrow last output block */
    }
    for (int i = 0; i < N_ROWS; i++) {
        for (int t = 0; t < FAST_TIERS; t++) {
            if (!fast_present(fast_tiers[t])) continue;
            for (int e = 0; e < N_ENDINGS; e++) test_forward(fast_tiers[t], &rows[i], &endings[e]);
            test_backward(fast_tiers[t], &rows[i], false, false, false);
            test_backward(fast_tiers[t], &rows[i], true, true, false);
            test_backward(fast_tiers[t], &rows[i], false, false, true);
            test_backward(fast_tiers[t], &rows[i], true, true, true);
            test_nan(fast_tiers[t], &rows[i]);
        }
        if (fast_present(fast_tiers[0]) && fast_present(fast_tiers[1])) test_same_bits(&rows[i]);
    }
    return check_report();
}
