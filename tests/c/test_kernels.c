/* Portable convolution, transposed too, and pooling on guarded arrays, against loops written as the
 * definition reads: a kernel that reads or writes beyond its arrays ends the program. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kernels/portable/conv.h"
#include "kernels/portable/pool.h"
#include "runtime/blas.h"

/* groups, channels per group in and out, picture, kernel, stride, pads (top, left, bottom, right), dilation
 */
typedef struct {
    int64_t n, groups, ic, oc, ih, iw, kh, kw, stride[2], pad[4], dilation[2];
} conv_case;

static const conv_case convs[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, {1, 1}, {0, 0, 0, 0}, {1, 1}},
    {1, 1, 2, 3, 1, 1, 3, 3, {1, 1}, {1, 1, 1, 1}, {1, 1}},
    {2, 1, 3, 4, 7, 5, 3, 3, {1, 1}, {1, 1, 1, 1}, {1, 1}},
    {1, 1, 2, 2, 2, 3, 5, 6, {1, 1}, {2, 1, 3, 4}, {1, 1}},
    {2, 1, 3, 5, 9, 8, 3, 2, {2, 3}, {0, 1, 2, 1}, {1, 1}},
    {1, 1, 2, 3, 9, 9, 2, 2, {4, 5}, {0, 0, 0, 0}, {1, 1}},
    {1, 1, 2, 3, 11, 10, 3, 3, {1, 1}, {2, 3, 1, 0}, {2, 3}},
    {2, 3, 2, 2, 6, 5, 3, 3, {1, 1}, {1, 0, 0, 1}, {1, 1}},
    {2, 5, 1, 1, 6, 7, 3, 3, {1, 1}, {1, 1, 1, 1}, {1, 1}},
    {1, 3, 1, 2, 9, 8, 3, 3, {2, 2}, {0, 1, 1, 0}, {1, 1}},
    {1, 2, 1, 1, 8, 9, 3, 2, {1, 2}, {3, 0, 1, 5}, {3, 2}},
    {2, 1, 7, 9, 4, 5, 1, 1, {1, 1}, {0, 0, 0, 0}, {1, 1}},
    {1, 1, 3, 4, 5, 5, 1, 1, {2, 2}, {0, 0, 0, 0}, {1, 1}},
    {1, 1, 3, 2, 4, 4, 1, 1, {1, 1}, {1, 1, 0, 0}, {1, 1}},
    {1, 1, 70, 5, 3, 5, 1, 1, {1, 1}, {0, 0, 0, 0}, {1, 1}},
    {1, 1, 19, 3, 7, 6, 3, 3, {1, 1}, {1, 1, 1, 1}, {1, 1}},
    {1, 1, 2, 3, 48, 47, 30, 30, {1, 1}, {1, 0, 0, 2}, {1, 1}}, /* several strips in each direction */
};

static int64_t outputs(int64_t extent, int64_t taps, int64_t stride, int64_t pads, int64_t dilation)
{
    return (extent + pads - (taps - 1) * dilation - 1) / stride + 1;
}

static cnv_conv2d geometry(const conv_case *row)
{
    return (cnv_conv2d){
        .n = row->n,
        .groups = row->groups,
        .ic = row->ic,
        .oc = row->oc,
        .window = {.ih = row->ih,
                   .iw = row->iw,
                   .oh =
                       outputs(row->ih, row->kh, row->stride[0], row->pad[0] + row->pad[2], row->dilation[0]),
                   .ow =
                       outputs(row->iw, row->kw, row->stride[1], row->pad[1] + row->pad[3], row->dilation[1]),
                   .kernel = {row->kh, row->kw},
                   .stride = {row->stride[0], row->stride[1]},
                   .pad = {row->pad[0], row->pad[1]},
                   .dilation = {row->dilation[0], row->dilation[1]}},
    };
}

/* The array to which a product of the other two is added: y, x or w. */
typedef enum { FORWARD, DATA, WEIGHT } direction;

/* Adds the products of all pairs of a y and one of its terms x * w to the array `to`. */
static void reference(direction to, double *x, double *w, double *y, const cnv_conv2d *c)
{
    int64_t taps = cnv_window_taps(&c->window), filter = c->ic * taps,
            pixels = cnv_window_outputs(&c->window);
    for (int64_t i = 0; i < c->n * c->groups * c->oc * pixels * filter; i++) {
        int64_t at_y = i / filter, k = i % filter, plane = at_y / pixels, o = plane % (c->groups * c->oc);
        int64_t channel = plane / (c->groups * c->oc) * c->groups * c->ic + o / c->oc * c->ic + k / taps;
        int64_t row = at_y % pixels / c->window.ow * c->window.stride[0] - c->window.pad[0] +
                      k % taps / c->window.kernel[1] * c->window.dilation[0];
        int64_t column = at_y % c->window.ow * c->window.stride[1] - c->window.pad[1] +
                         k % c->window.kernel[1] * c->window.dilation[1];
        if (row < 0 || row >= c->window.ih || column < 0 || column >= c->window.iw) continue;
        int64_t at_x = (channel * c->window.ih + row) * c->window.iw + column, at_w = o * filter + k;
        if (to == FORWARD) y[at_y] += x[at_x] * w[at_w];
        if (to == DATA) x[at_x] += y[at_y] * w[at_w];
        if (to == WEIGHT) w[at_w] += y[at_y] * x[at_x];
    }
}

/* The same numbers in a guarded block of floats, and in double. */
typedef struct {
    float *guarded;
    double *exact;
    int64_t n;
} array;

static array new_array(int64_t n, uint64_t seed)
{
    array a = {check_guarded(n), calloc((size_t)n, sizeof(double)), n};
    if (a.exact == NULL) abort();
    if (seed != 0) check_fill(a.guarded, n, seed);
    for (int64_t i = 0; i < n && seed != 0; i++) a.exact[i] = a.guarded[i];
    return a;
}

static void free_array(array *a)
{
    check_unguard(a->guarded, a->n);
    free(a->exact);
}

static bool agrees(const array *a)
{
    double worst = 0.0, size = 1e-30;
    for (int64_t i = 0; i < a->n; i++) {
        double error = fabs(a->guarded[i] - a->exact[i]);
        if (!(error <= worst)) worst = isnan(error) ? INFINITY : error;
        if (fabs(a->exact[i]) > size) size = fabs(a->exact[i]);
    }
    return worst <= 1e-5 * size;
}

/* Scratch of exactly the size that the kernel states; the workers' shares are whole cache lines apart. */
typedef struct {
    float *block;
    int64_t n;
    size_t stride;
} workspace;

static workspace new_workspace(size_t nbytes, int threads)
{
    workspace s = {.stride = (nbytes + 63) / 64 * 64};
    s.n = (int64_t)((s.stride * (size_t)(threads - 1) + nbytes) / sizeof(float));
    s.block = check_guarded(s.n);
    return s;
}

enum { THREADS = 3 };

static void check_conv(const conv_case *row, int number)
{
    cnv_conv2d c = geometry(row);
    cnv_run run = {.threads = THREADS};
    int64_t x_size = c.n * c.groups * c.ic * cnv_window_inputs(&c.window),
            w_size = c.groups * c.oc * c.ic * cnv_window_taps(&c.window);
    array x = new_array(x_size, 1), w = new_array(w_size, 2),
          dy = new_array(c.n * c.groups * c.oc * cnv_window_outputs(&c.window), 3);
    array y = new_array(dy.n, 0), dx = new_array(x_size, 4), dw = new_array(w_size, 5);
    workspace f = new_workspace(cnv_conv2d_forward_scratch(&c), THREADS);
    workspace d = new_workspace(cnv_conv2d_backward_data_scratch(&c), THREADS);
    workspace g = new_workspace(cnv_conv2d_backward_weight_scratch(&c), THREADS);
    cnv_conv2d_forward(y.guarded, x.guarded, w.guarded, NULL, &c, f.block, f.stride, &run);
    cnv_conv2d_backward_data(dx.guarded, dy.guarded, w.guarded, &c, d.block, d.stride, &run);
    cnv_conv2d_backward_weight(dw.guarded, dy.guarded, x.guarded, &c, g.block, g.stride, &run);
    reference(FORWARD, x.exact, w.exact, y.exact, &c);
    reference(DATA, dx.exact, w.exact, dy.exact, &c);
    reference(WEIGHT, x.exact, dw.exact, dy.exact, &c);
    CHECK(agrees(&y), "convolution %d: output", number);
    CHECK(agrees(&dx), "convolution %d: data gradient, added to its array", number);
    CHECK(agrees(&dw), "convolution %d: weight gradient, added to its array", number);
    array *arrays[] = {&x, &w, &dy, &y, &dx, &dw};
    for (int i = 0; i < 6; i++) free_array(arrays[i]);
    check_unguard(f.block, f.n);
    check_unguard(d.block, d.n);
    check_unguard(g.block, g.n);
}

/* The transposed convolution from y to x, whose results the same reference adds to arrays that hold numbers.
 */
static void check_conv_transpose(const conv_case *row, int number)
{
    cnv_conv2d c = geometry(row);
    cnv_run run = {.threads = THREADS};
    int64_t planes = c.n * c.groups * c.ic, pixels = cnv_window_inputs(&c.window);
    array y = new_array(c.n * c.groups * c.oc * cnv_window_outputs(&c.window), 1), dy = new_array(y.n, 5);
    array w = new_array(c.groups * c.oc * c.ic * cnv_window_taps(&c.window), 2);
    array b = new_array(c.groups * c.ic, 3), db = new_array(b.n, 6);
    array x = new_array(planes * pixels, 0), dx = new_array(x.n, 4);
    workspace f = new_workspace(cnv_conv2d_forward_scratch(&c), THREADS);
    workspace d = new_workspace(cnv_conv2d_backward_data_scratch(&c), THREADS);
    cnv_conv_transpose2d_forward(x.guarded, y.guarded, w.guarded, b.guarded, &c, d.block, d.stride, &run);
    cnv_conv2d_forward_add(dy.guarded, dx.guarded, w.guarded, &c, f.block, f.stride, &run);
    cnv_conv_transpose2d_backward_bias(db.guarded, dx.guarded, &c, &run);
    for (int64_t i = 0; i < x.n; i++) x.exact[i] = b.exact[i / pixels % b.n];
    for (int64_t i = 0; i < x.n; i++) db.exact[i / pixels % b.n] += dx.exact[i];
    reference(DATA, x.exact, w.exact, y.exact, &c);
    reference(FORWARD, dx.exact, w.exact, dy.exact, &c);
    CHECK(agrees(&x), "transposed convolution %d: output", number);
    CHECK(agrees(&dy), "transposed convolution %d: data gradient, added to its array", number);
    CHECK(agrees(&db), "transposed convolution %d: bias gradient, added to its array", number);
    array *arrays[] = {&y, &dy, &w, &b, &db, &x, &dx};
    for (int i = 0; i < 7; i++) free_array(arrays[i]);
    check_unguard(f.block, f.n);
    check_unguard(d.block, d.n);
}

/* planes, picture, outputs, kernel, stride, pads, dilation, count_include_pad */
static const cnv_pool2d pools[] = {
    {1, {1, 1, 1, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}}, false},
    {3, {6, 7, 3, 3, {2, 2}, {2, 2}, {0, 0, 0, 0}, {1, 1}}, false},
    {2, {7, 7, 4, 4, {3, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}}, true},
    /* ceil mode: the last window exceeds the picture */
    {1, {6, 6, 3, 3, {3, 3}, {2, 2}, {0, 0, 0, 0}, {1, 1}}, false},
    {2, {6, 6, 3, 3, {3, 3}, {2, 2}, {0, 0, 0, 0}, {1, 1}}, true},
    {2, {9, 8, 8, 4, {3, 2}, {1, 2}, {2, 1, 1, 2}, {2, 3}}, false},
    {1, {1, 1, 1, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}}, true},
    {1, {17, 18, 1, 1, {17, 18}, {1, 1}, {0, 0, 0, 0}, {1, 1}}, false},
    {1, {1, 2, 2, 3, {1, 1}, {1, 1}, {1, 0, 0, 1}, {1, 1}}, false}, /* windows in the padding */
};

/* The weight of each input in one output, an average or a maximum. */
static void window_weights(double *weight, const double *x, bool average, const cnv_pool2d *p, int64_t oh,
                           int64_t ow)
{
    int64_t best = -1, count = 0;
    memset(weight, 0, (size_t)(cnv_window_inputs(&p->window)) * sizeof *weight);
    for (int64_t k = 0; k < cnv_window_taps(&p->window); k++) {
        int64_t r =
            oh * p->window.stride[0] - p->window.pad[0] + k / p->window.kernel[1] * p->window.dilation[0];
        int64_t s =
            ow * p->window.stride[1] - p->window.pad[1] + k % p->window.kernel[1] * p->window.dilation[1];
        bool inside = r >= 0 && r < p->window.ih && s >= 0 && s < p->window.iw;
        bool padded = r < p->window.ih + p->window.pad[2] && s < p->window.iw + p->window.pad[3];
        count += p->count_include_pad ? padded : inside;
        if (!inside) continue;
        if (average) weight[r * p->window.iw + s] = 1.0;
        if (best < 0 || x[r * p->window.iw + s] > x[best]) best = r * p->window.iw + s;
    }
    for (int64_t i = 0; i < cnv_window_inputs(&p->window) && average; i++)
        weight[i] /= count > 0 ? (double)count : 1.0;
    if (!average && best >= 0) weight[best] = 1.0;
}

static void pool_reference(double *y, double *dx, const double *x, const double *dy, bool average,
                           const cnv_pool2d *p)
{
    int64_t size = cnv_window_inputs(&p->window), pixels = cnv_window_outputs(&p->window);
    double *weight = malloc((size_t)size * sizeof *weight);
    if (weight == NULL) abort();
    for (int64_t o = 0; o < p->planes * pixels; o++) {
        const double *plane = x + o / pixels * size;
        bool seen = false;
        window_weights(weight, plane, average, p, o % pixels / p->window.ow, o % p->window.ow);
        for (int64_t i = 0; i < size; i++) {
            if (weight[i] == 0.0) continue;
            seen = true;
            y[o] += weight[i] * plane[i];
            dx[o / pixels * size + i] += weight[i] * dy[o];
        }
        if (!seen && !average) y[o] = -INFINITY;
    }
    free(weight);
}

static bool same_output(const array *y)
{
    for (int64_t i = 0; i < y->n; i++) {
        bool same =
            isinf(y->exact[i]) ? y->guarded[i] == y->exact[i] : fabs(y->guarded[i] - y->exact[i]) <= 1e-6;
        if (!same) return false;
    }
    return true;
}

static void check_pool(const cnv_pool2d *p, bool average, int number)
{
    cnv_run run = {.threads = THREADS};
    int64_t n_out = p->planes * cnv_window_outputs(&p->window);
    array x = new_array(p->planes * cnv_window_inputs(&p->window), 1), dy = new_array(n_out, 2);
    array y = new_array(n_out, 0), dx = new_array(x.n, 3);
    /* rounded up to whole floats: fewer than four bytes are not guarded */
    int64_t index_size = (n_out * (int64_t)cnv_max_pool_index_nbytes(p) + 3) / 4;
    float *index = check_guarded(index_size);
    if (average) {
        cnv_average_pool_forward(y.guarded, x.guarded, p, &run);
        cnv_average_pool_backward(dx.guarded, dy.guarded, p, &run);
    } else {
        cnv_max_pool_forward(y.guarded, index, x.guarded, p, &run);
        cnv_max_pool_backward(dx.guarded, dy.guarded, index, p, &run);
    }
    pool_reference(y.exact, dx.exact, x.exact, dy.exact, average, p);
    CHECK(same_output(&y), "%s pool %d: output", average ? "average" : "max", number);
    CHECK(agrees(&dx), "%s pool %d: gradient, added to its array", average ? "average" : "max", number);
    array *arrays[] = {&x, &dy, &y, &dx};
    for (int i = 0; i < 4; i++) free_array(arrays[i]);
    check_unguard(index, index_size);
}

int main(void)
{
    cnv_error err;
    CHECK(cnv_blas_init("builtin", NULL, &err) == CNV_OK, "%s", err.message);
    for (int i = 0; i < (int)(sizeof convs / sizeof convs[0]); i++) check_conv(&convs[i], i);
    for (int i = 0; i < (int)(sizeof convs / sizeof convs[0]); i++) check_conv_transpose(&convs[i], i);
    for (int i = 0; i < (int)(sizeof pools / sizeof pools[0]); i++) {
        check_pool(&pools[i], false, i);
        check_pool(&pools[i], true, i);
    }
    return check_report();
}
