#include "kernels/portable/unary.h"

#include <math.h>

#include "kernels/split.h"

#define SQRT_HALF 0.70710678118654752440
#define INV_SQRT_TWO_PI 0.39894228040143267794
#define TWO_OVER_SQRT_PI 1.12837916709551257390

/* Takes exponentials of non-positive numbers only, which do not overflow. */
static double sigmoid(double x)
{
    double e = exp(-fabs(x));
    return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

static double hard_sigmoid(double x, double alpha, double beta)
{
    double line = alpha * x + beta;
    return line < 0.0 ? 0.0 : line > 1.0 ? 1.0 : line; /* NaN stays NaN */
}

static double hard_sigmoid_slope(double x, double alpha, double beta)
{
    double line = alpha * x + beta;
    return line > 0.0 && line < 1.0 ? alpha : 0.0;
}

/* The functions are computed in double, because float32 would lose digits where terms cancel. */
static double value(double x, const cnv_unary *f)
{
    switch (f->op) {
    case CNV_SIGMOID:
        return sigmoid(x);
    case CNV_TANH:
        return tanh(x);
    case CNV_EXP:
        return exp(x);
    case CNV_LOG:
        return log(x);
    case CNV_SQRT:
        return sqrt(x);
    case CNV_NEG:
        return -x;
    case CNV_ABS:
        return fabs(x);
    case CNV_ERF:
        return erf(x);
    case CNV_SOFTPLUS:
        return fmax(x, 0.0) + log1p(exp(-fabs(x)));
    case CNV_ELU:
        return x > 0.0 ? x : f->alpha * expm1(x);
    case CNV_SELU:
        return f->beta * (x > 0.0 ? x : f->alpha * expm1(x));
    case CNV_HARD_SIGMOID:
        return hard_sigmoid(x, f->alpha, f->beta);
    case CNV_HARD_SWISH:
        return x * hard_sigmoid(x, 1.0 / 6.0, 0.5);
    case CNV_SILU:
        return x * sigmoid(x);
    case CNV_GELU:
        return 0.5 * x * (1.0 + erf(x * SQRT_HALF));
    }
    return x;
}

/* The derivative. v is the output if cnv_unary_reads_y(f->op), else the input. */
static double slope(double v, const cnv_unary *f)
{
    switch (f->op) {
    case CNV_SIGMOID:
        return v * (1.0 - v);
    case CNV_TANH:
        return 1.0 - v * v;
    case CNV_EXP:
        return v;
    case CNV_LOG:
        return 1.0 / v;
    case CNV_SQRT:
        return 0.5 / v;
    case CNV_NEG:
        return -1.0;
    case CNV_ABS:
        return v > 0.0 ? 1.0 : v < 0.0 ? -1.0 : 0.0;
    case CNV_ERF:
        return TWO_OVER_SQRT_PI * exp(-v * v);
    case CNV_SOFTPLUS:
        return sigmoid(v);
    case CNV_ELU:
        return v > 0.0 ? 1.0 : f->alpha * exp(v);
    case CNV_SELU:
        return f->beta * (v > 0.0 ? 1.0 : f->alpha * exp(v));
    case CNV_HARD_SIGMOID:
        return hard_sigmoid_slope(v, f->alpha, f->beta);
    case CNV_HARD_SWISH:
        return hard_sigmoid(v, 1.0 / 6.0, 0.5) + v * hard_sigmoid_slope(v, 1.0 / 6.0, 0.5);
    case CNV_SILU:
        return sigmoid(v) * (1.0 + v * (1.0 - sigmoid(v)));
    case CNV_GELU:
        return 0.5 * (1.0 + erf(v * SQRT_HALF)) + v * INV_SQRT_TWO_PI * exp(-0.5 * v * v);
    }
    return 1.0;
}

typedef struct {
    float *out;
    const float *at;
    const float *dy;
    const cnv_unary *f;
} unary_work;

static void forward_range(void *context, int64_t begin, int64_t end, int worker)
{
    const unary_work *work = context;
    for (int64_t i = begin; i < end; i++) work->out[i] = (float)value(work->at[i], work->f);
    (void)worker;
}

static void backward_range(void *context, int64_t begin, int64_t end, int worker)
{
    const unary_work *work = context;
    for (int64_t i = begin; i < end; i++) work->out[i] += (float)(work->dy[i] * slope(work->at[i], work->f));
    (void)worker;
}

/* An item has CNV_GRAIN / 16 elements, because most of the functions cost some 16 additions. */
void cnv_unary_forward(float *y, const float *x, int64_t n, const cnv_unary *f, cnv_run *run)
{
    unary_work work = {.out = y, .at = x, .f = f};
    cnv_parallel_range(run, n, CNV_GRAIN / 16, forward_range, &work);
}

void cnv_unary_backward(float *dx, const float *dy, const float *at, int64_t n, const cnv_unary *f,
                        cnv_run *run)
{
    unary_work work = {.out = dx, .at = at, .dy = dy, .f = f};
    cnv_parallel_range(run, n, CNV_GRAIN / 16, backward_range, &work);
}
