#include "kernels/portable/binary.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "kernels/split.h"

/* Functions that are inlined with a constant op, so that each operator has its own loops. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE float apply(cnv_binary_op op, float a, float b)
{
    switch (op) {
    case CNV_ADD:
        return a + b;
    case CNV_SUB:
        return a - b;
    case CNV_MUL:
        return a * b;
    case CNV_DIV:
        return a / b;
    case CNV_MIN:
        return a < b || a != a ? a : b;
    case CNV_MAX:
        return a > b || a != a ? a : b;
    case CNV_POW:
        return powf(a, b);
    case CNV_GREATER:
        return a > b ? 1.0f : 0.0f;
    case CNV_EQUAL:
        return a == b ? 1.0f : 0.0f;
    case CNV_MASKED:
        return b != 0.0f ? a : 0.0f;
    }
    return 0.0f;
}

/* The derivative with respect to a (to_a) or b. */
ALWAYS_INLINE double slope(cnv_binary_op op, bool to_a, double a, double b)
{
    switch (op) {
    case CNV_ADD:
        return 1.0;
    case CNV_SUB:
        return to_a ? 1.0 : -1.0;
    case CNV_MUL:
        return to_a ? b : a;
    case CNV_DIV:
        return to_a ? 1.0 / b : -a / (b * b);
    case CNV_MIN:
        return a == b ? 0.5 : (a < b) == to_a ? 1.0 : 0.0;
    case CNV_MAX:
        return a == b ? 0.5 : (a > b) == to_a ? 1.0 : 0.0;
    case CNV_POW:
        if (to_a) return b == 0.0 ? 0.0 : b * pow(a, b - 1.0);
        return a == 0.0 ? 0.0 : pow(a, b) * log(a);
    case CNV_GREATER:
    case CNV_EQUAL:
        return 0.0;
    case CNV_MASKED:
        return to_a && b != 0.0 ? 1.0 : 0.0;
    }
    return 0.0;
}

/* A row of the output: the arrays at its first element, and their steps from element to element. */
typedef struct {
    float *out; /* y, da or db */
    const float *dy;
    const float *a;
    const float *b;
    int64_t y_step;
    int64_t a_step;
    int64_t b_step;
    int64_t n;
} row;

/* Steps are nearly always 1 or 0; each pair of these has a loop that the compiler can vectorize. */
ALWAYS_INLINE void forward_loops(cnv_binary_op op, const row *r)
{
    float *y = r->out;
    const float *a = r->a, *b = r->b;
    if (r->a_step == 1 && r->b_step == 1)
        for (int64_t i = 0; i < r->n; i++) y[i] = apply(op, a[i], b[i]);
    else if (r->a_step == 1 && r->b_step == 0)
        for (int64_t i = 0; i < r->n; i++) y[i] = apply(op, a[i], b[0]);
    else if (r->a_step == 0 && r->b_step == 1)
        for (int64_t i = 0; i < r->n; i++) y[i] = apply(op, a[0], b[i]);
    else
        for (int64_t i = 0; i < r->n; i++) y[i] = apply(op, a[i * r->a_step], b[i * r->b_step]);
}

static void forward_row(cnv_binary_op op, const row *r)
{
    switch (op) {
    case CNV_ADD:
        forward_loops(CNV_ADD, r);
        break;
    case CNV_SUB:
        forward_loops(CNV_SUB, r);
        break;
    case CNV_MUL:
        forward_loops(CNV_MUL, r);
        break;
    case CNV_DIV:
        forward_loops(CNV_DIV, r);
        break;
    case CNV_MIN:
        forward_loops(CNV_MIN, r);
        break;
    case CNV_MAX:
        forward_loops(CNV_MAX, r);
        break;
    case CNV_POW:
        forward_loops(CNV_POW, r);
        break;
    case CNV_GREATER:
        forward_loops(CNV_GREATER, r);
        break;
    case CNV_EQUAL:
        forward_loops(CNV_EQUAL, r);
        break;
    case CNV_MASKED:
        forward_loops(CNV_MASKED, r);
        break;
    }
}

/* dy times the derivative at element i of the row. Operands that the derivative does not read may be NULL. */
ALWAYS_INLINE double term(cnv_binary_op op, bool to_a, const row *r, int64_t i)
{
    bool sum = op == CNV_ADD || op == CNV_SUB, product = op == CNV_MUL || op == CNV_MASKED;
    double a = sum || (product && to_a) ? 0.0 : r->a[i * r->a_step];
    double b = sum || (product && !to_a) ? 0.0 : r->b[i * r->b_step];
    return r->dy[i * r->y_step] * slope(op, to_a, a, b);
}

ALWAYS_INLINE void add_loop(cnv_binary_op op, bool to_a, const row *r)
{
    int64_t step = to_a ? r->a_step : r->b_step;
    for (int64_t i = 0; i < r->n; i++) r->out[i * step] += (float)term(op, to_a, r, i);
}

ALWAYS_INLINE double sum_loop(cnv_binary_op op, bool to_a, const row *r)
{
    double sum = 0.0;
    for (int64_t i = 0; i < r->n; i++) sum += term(op, to_a, r, i);
    return sum;
}

/* Adds each term to its element of out if sum is NULL, otherwise all terms to *sum. */
ALWAYS_INLINE void backward_loops(cnv_binary_op op, bool to_a, const row *r, double *sum)
{
    if (sum != NULL)
        *sum += to_a ? sum_loop(op, true, r) : sum_loop(op, false, r);
    else if (to_a)
        add_loop(op, true, r);
    else
        add_loop(op, false, r);
}

static void backward_row(cnv_binary_op op, bool to_a, const row *r, double *sum)
{
    switch (op) {
    case CNV_ADD:
        backward_loops(CNV_ADD, to_a, r, sum);
        break;
    case CNV_SUB:
        backward_loops(CNV_SUB, to_a, r, sum);
        break;
    case CNV_MUL:
        backward_loops(CNV_MUL, to_a, r, sum);
        break;
    case CNV_DIV:
        backward_loops(CNV_DIV, to_a, r, sum);
        break;
    case CNV_MIN:
        backward_loops(CNV_MIN, to_a, r, sum);
        break;
    case CNV_MAX:
        backward_loops(CNV_MAX, to_a, r, sum);
        break;
    case CNV_POW:
        backward_loops(CNV_POW, to_a, r, sum);
        break;
    case CNV_GREATER:
    case CNV_EQUAL:
        break;
    case CNV_MASKED:
        backward_loops(CNV_MASKED, to_a, r, sum);
        break;
    }
}

typedef struct {
    cnv_binary_op op;
    bool to_a;
    float *out;
    const float *dy;
    const float *a;
    const float *b;
    const cnv_broadcast *shape;
    cnv_fold fold; /* backward: the axes along which the operand was broadcast */
} binary_work;

/* base + offset, or NULL if base is NULL. */
static const float *at(const float *base, int64_t offset)
{
    return base != NULL ? base + offset : NULL;
}

static row row_at(const binary_work *work, cnv_stretch s)
{
    int last = work->shape->ndim - 1;
    row r = {.dy = at(work->dy, s.y), .a = at(work->a, s.a), .b = at(work->b, s.b), .y_step = 1, .n = s.n};
    r.a_step = work->shape->a[last];
    r.b_step = work->shape->b[last];
    r.out = work->out + (work->dy == NULL ? s.y : work->to_a ? s.a : s.b);
    return r;
}

static void elementwise_range(void *context, int64_t begin, int64_t end, int worker)
{
    const binary_work *work = context;
    for (int64_t i = begin; i < end;) {
        cnv_stretch s = cnv_broadcast_stretch(work->shape, i, end);
        row r = row_at(work, s);
        if (work->dy == NULL)
            forward_row(work->op, &r);
        else
            backward_row(work->op, work->to_a, &r, NULL);
        i += s.n;
    }
    (void)worker;
}

/* Adds to elements begin..end-1 of an operand that was broadcast the terms of all of its copies. */
static void fold_range(void *context, int64_t begin, int64_t end, int worker)
{
    const binary_work *work = context;
    const cnv_fold *f = &work->fold;
    int last = f->dropped.ndim - 1;
    row r = {.y_step = f->dropped.y[last], .a_step = f->dropped.a[last], .b_step = f->dropped.b[last]};
    for (int64_t i = begin; i < end; i++) {
        cnv_stretch kept = cnv_broadcast_stretch(&f->kept, i, i + 1);
        double sum = 0.0;
        for (int64_t j = 0; j < f->n_dropped; j += r.n) {
            cnv_stretch s = cnv_broadcast_stretch(&f->dropped, j, f->n_dropped);
            r.dy = work->dy + kept.y + s.y;
            r.a = at(work->a, kept.a + s.a);
            r.b = at(work->b, kept.b + s.b);
            r.n = s.n;
            backward_row(work->op, work->to_a, &r, &sum);
        }
        work->out[work->to_a ? kept.a : kept.b] += (float)sum;
    }
    (void)worker;
}

void cnv_binary_forward(cnv_binary_op op, float *y, const float *a, const float *b,
                        const cnv_broadcast *shape, cnv_run *run)
{
    binary_work work = {.op = op, .out = y, .a = a, .b = b, .shape = shape};
    cnv_parallel_range(run, cnv_broadcast_size(shape), CNV_GRAIN, elementwise_range, &work);
}

static void backward(binary_work *work, cnv_run *run)
{
    work->fold = cnv_fold_of(work->shape, work->to_a);
    if (work->fold.n_dropped == 1)
        cnv_parallel_range(run, work->fold.n_kept, CNV_GRAIN, elementwise_range, work);
    else
        cnv_parallel_range(run, work->fold.n_kept, cnv_grain_of(work->fold.n_dropped), fold_range, work);
}

void cnv_binary_backward_a(cnv_binary_op op, float *da, const float *dy, const float *a, const float *b,
                           const cnv_broadcast *shape, cnv_run *run)
{
    binary_work work = {.op = op, .to_a = true, .out = da, .dy = dy, .a = a, .b = b, .shape = shape};
    backward(&work, run);
}

void cnv_binary_backward_b(cnv_binary_op op, float *db, const float *dy, const float *a, const float *b,
                           const cnv_broadcast *shape, cnv_run *run)
{
    binary_work work = {.op = op, .to_a = false, .out = db, .dy = dy, .a = a, .b = b, .shape = shape};
    backward(&work, run);
}
