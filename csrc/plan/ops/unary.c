/*
 * sigmoid(x), tanh(x), exp(x), ...: functions of each element, any shape. Each operator is a function, its
 * derivative and a row. alpha and beta are the ONNX attributes of that name; selu's beta is ONNX's gamma.
 *
 * At a kink (abs at 0, the ends of hard sigmoid) the derivative is 0, and at the steps of sign and of the
 * roundings too. That of detach is 0 by design: no gradient passes it.
 */
#include <math.h>

#include "kernels/portable/unary.h"
#include "plan/op.h"

#define SQRT_HALF 0.70710678118654752440
#define INV_SQRT_TWO_PI 0.39894228040143267794
#define TWO_OVER_SQRT_PI 1.12837916709551257390

/* Infers the shape of the functions with parameters. */
static cnv_status unary_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    if (!isfinite(node->params.unary.alpha) || !isfinite(node->params.unary.beta))
        return cnv_fail(err, CNV_INVALID, "alpha %g and beta %g must be finite",
                        (double)node->params.unary.alpha, (double)node->params.unary.beta);
    return cnv_infer_same(node, y, err);
}

static const cnv_unary *function_of(const cnv_node *node)
{
    return node->op->variant;
}

static void unary_needs(const cnv_node *node, cnv_needs *needs)
{
    needs->backward_reads = function_of(node)->slope_of_y ? CNV_READS_Y : 1u << 0;
}

static void unary_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_unary_params *p = &node->params.unary;
    cnv_unary_forward(io->y, io->x[0], cnv_size_of_x(node), function_of(node), p->alpha, p->beta, run);
}

static void unary_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    const cnv_unary_params *p = &node->params.unary;
    const cnv_unary *f = function_of(node);
    const float *at = f->slope_of_y ? io->y : io->x[0];
    if (io->dx[0] != NULL)
        cnv_unary_backward(io->dx[0], io->dy, at, cnv_size_of_x(node), f, p->alpha, p->beta, run);
}

static const cnv_argument alpha_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(alpha, NUMBER, unary.alpha),
    CNV_END,
};

static const cnv_argument gamma_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(alpha, NUMBER, unary.alpha),
    CNV_PARAM(gamma, NUMBER, unary.beta),
    CNV_END,
};

static const cnv_argument beta_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(alpha, NUMBER, unary.alpha),
    CNV_PARAM(beta, NUMBER, unary.beta),
    CNV_END,
};

/* The row of an operator; what follows its arguments are the members of its cnv_unary. */
#define ROW(operator, infer_, arguments_, ...)      \
    const cnv_op cnv_op_##operator = {              \
        .name = #operator,                          \
        .arguments = arguments_,                    \
        .infer = infer_,                            \
        .elementwise = true,                        \
        .variant = &(const cnv_unary){__VA_ARGS__}, \
        .kernel = {.inplace = true,                 \
                   .needs = unary_needs,            \
                   .forward = unary_forward,        \
                   .backward = unary_backward},     \
    }
#define PLAIN(operator, ...) ROW(operator, cnv_infer_same, cnv_arguments_x, __VA_ARGS__)

/* Takes exponentials of non-positive numbers only, which do not overflow. */
static double sigmoid(double x)
{
    double e = exp(-fabs(x));
    return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

static double sigmoid_slope(double y)
{
    return y * (1.0 - y);
}

PLAIN(sigmoid, .value = sigmoid, .slope = sigmoid_slope, .slope_of_y = true);

static double tanh_slope(double y)
{
    return 1.0 - y * y;
}

PLAIN(tanh, .value = tanh, .slope = tanh_slope, .slope_of_y = true);

static double exp_slope(double y)
{
    return y;
}

PLAIN(exp, .value = exp, .slope = exp_slope, .slope_of_y = true);

static double log_slope(double x)
{
    return 1.0 / x;
}

PLAIN(log, .value = log, .slope = log_slope);

static double sqrt_slope(double y)
{
    return 0.5 / y;
}

PLAIN(sqrt, .value = sqrt, .slope = sqrt_slope, .slope_of_y = true);

static double neg(double x)
{
    return -x;
}

static double neg_slope(double x)
{
    (void)x;
    return -1.0;
}

PLAIN(neg, .value = neg, .slope = neg_slope);

static double abs_slope(double x)
{
    return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0;
}

PLAIN(abs, .value = fabs, .slope = abs_slope);

static double no_slope(double x)
{
    (void)x;
    return 0.0;
}

/* NaN stays NaN. */
static double sign(double x)
{
    return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x;
}

PLAIN(sign, .value = sign, .slope = no_slope);
PLAIN(floor, .value = floor, .slope = no_slope);
PLAIN(ceil, .value = ceil, .slope = no_slope);
PLAIN(round, .value = rint, .slope = no_slope); /* half to even */

PLAIN(sin, .value = sin, .slope = cos);

static double cos_slope(double x)
{
    return -sin(x);
}

PLAIN(cos, .value = cos, .slope = cos_slope);

static double tan_slope(double y)
{
    return 1.0 + y * y;
}

PLAIN(tan, .value = tan, .slope = tan_slope, .slope_of_y = true);

static double atan_slope(double x)
{
    return 1.0 / (1.0 + x * x);
}

PLAIN(atan, .value = atan, .slope = atan_slope);

static double erf_slope(double x)
{
    return TWO_OVER_SQRT_PI * exp(-x * x);
}

PLAIN(erf, .value = erf, .slope = erf_slope);

/* log(1 + exp(x)) */
static double softplus(double x)
{
    return fmax(x, 0.0) + log1p(exp(-fabs(x)));
}

PLAIN(softplus, .value = softplus, .slope = sigmoid);

/* x sigmoid(x) */
static double silu(double x)
{
    return x * sigmoid(x);
}

static double silu_slope(double x)
{
    return sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x)));
}

PLAIN(silu, .value = silu, .slope = silu_slope);

/* x (1 + erf(x / sqrt 2)) / 2 */
static double gelu(double x)
{
    return 0.5 * x * (1.0 + erf(x * SQRT_HALF));
}

static double gelu_slope(double x)
{
    return 0.5 * (1.0 + erf(x * SQRT_HALF)) + x * INV_SQRT_TWO_PI * exp(-0.5 * x * x);
}

PLAIN(gelu, .value = gelu, .slope = gelu_slope);

/* alpha x + beta, clipped to 0..1 */
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

ROW(hard_sigmoid, unary_infer, beta_arguments, .value_with = hard_sigmoid, .slope_with = hard_sigmoid_slope);

/* x times hard sigmoid with 1/6 and 1/2 */
static double hard_swish(double x)
{
    return x * hard_sigmoid(x, 1.0 / 6.0, 0.5);
}

static double hard_swish_slope(double x)
{
    return hard_sigmoid(x, 1.0 / 6.0, 0.5) + x * hard_sigmoid_slope(x, 1.0 / 6.0, 0.5);
}

PLAIN(hard_swish, .value = hard_swish, .slope = hard_swish_slope);

/* beta (x > 0: x, else alpha (exp(x) - 1)) */
static double selu(double x, double alpha, double beta)
{
    return beta * (x > 0.0 ? x : alpha * expm1(x));
}

static double selu_slope(double x, double alpha, double beta)
{
    return beta * (x > 0.0 ? 1.0 : alpha * exp(x));
}

ROW(selu, unary_infer, gamma_arguments, .value_with = selu, .slope_with = selu_slope);

/* x > 0: x, else alpha (exp(x) - 1) */
static double elu(double x, double alpha, double beta)
{
    (void)beta;
    return x > 0.0 ? x : alpha * expm1(x);
}

static double elu_slope(double x, double alpha, double beta)
{
    (void)beta;
    return x > 0.0 ? 1.0 : alpha * exp(x);
}

ROW(elu, unary_infer, alpha_arguments, .value_with = elu, .slope_with = elu_slope);

/* x > 0: x, else alpha (exp(x / alpha) - 1), for alpha other than 0 */
static double celu(double x, double alpha, double beta)
{
    (void)beta;
    return x > 0.0 ? x : alpha * expm1(x / alpha);
}

static double celu_slope(double x, double alpha, double beta)
{
    (void)beta;
    return x > 0.0 ? 1.0 : exp(x / alpha);
}

static cnv_status celu_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    if (node->params.unary.alpha == 0.0f)
        return cnv_fail(err, CNV_INVALID, "alpha is 0: the function divides by it");
    return unary_infer(node, y, err);
}

ROW(celu, celu_infer, alpha_arguments, .value_with = celu, .slope_with = celu_slope);

static double same(double x)
{
    return x;
}

PLAIN(detach, .value = same, .slope = no_slope);
