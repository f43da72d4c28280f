/* The builder methods of elementwise operators; the others are in builders.c. */
#include <stddef.h>

#include "python/plan_type.h"

static const cnv_argument unary[] = {{.name = "x", .kind = CNV_ARG_VALUE}, {.name = NULL}};

static const cnv_argument binary[] = {
    {.name = "a", .kind = CNV_ARG_VALUE}, {.name = "b", .kind = CNV_ARG_VALUE}, {.name = NULL}};

static const cnv_argument elu_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "alpha", .kind = CNV_ARG_NUMBER, .offset = offsetof(cnv_params, alpha)},
    {.name = NULL}};

static const cnv_argument selu_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "alpha", .kind = CNV_ARG_NUMBER, .offset = offsetof(cnv_params, alpha)},
    {.name = "gamma", .kind = CNV_ARG_NUMBER, .offset = offsetof(cnv_params, beta)},
    {.name = NULL}};

static const cnv_argument hard_sigmoid_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "alpha", .kind = CNV_ARG_NUMBER, .offset = offsetof(cnv_params, alpha)},
    {.name = "beta", .kind = CNV_ARG_NUMBER, .offset = offsetof(cnv_params, beta)},
    {.name = NULL}};

static PyObject *plan_add(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "add", binary);
}

static PyObject *plan_sub(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "sub", binary);
}

static PyObject *plan_mul(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "mul", binary);
}

static PyObject *plan_div(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "div", binary);
}

static PyObject *plan_min(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "min", binary);
}

static PyObject *plan_max(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "max", binary);
}

static PyObject *plan_pow(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "pow", binary);
}

static PyObject *plan_sigmoid(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "sigmoid", unary);
}

static PyObject *plan_tanh(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "tanh", unary);
}

static PyObject *plan_exp(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "exp", unary);
}

static PyObject *plan_log(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "log", unary);
}

static PyObject *plan_sqrt(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "sqrt", unary);
}

static PyObject *plan_neg(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "neg", unary);
}

static PyObject *plan_abs(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "abs", unary);
}

static PyObject *plan_erf(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "erf", unary);
}

static PyObject *plan_softplus(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "softplus", unary);
}

static PyObject *plan_hard_swish(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "hard_swish", unary);
}

static PyObject *plan_silu(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "silu", unary);
}

static PyObject *plan_gelu(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "gelu", unary);
}

static PyObject *plan_elu(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "elu", elu_arguments);
}

static PyObject *plan_selu(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "selu", selu_arguments);
}

static PyObject *plan_hard_sigmoid(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "hard_sigmoid", hard_sigmoid_arguments);
}

PyMethodDef cnv_plan_elementwise_builders[] = {
    {"add", (PyCFunction)(void (*)(void))plan_add, METH_VARARGS | METH_KEYWORDS,
     "add($self, a, b, *, name)\n--\n\n"},
    {"sub", (PyCFunction)(void (*)(void))plan_sub, METH_VARARGS | METH_KEYWORDS,
     "sub($self, a, b, *, name)\n--\n\n"},
    {"mul", (PyCFunction)(void (*)(void))plan_mul, METH_VARARGS | METH_KEYWORDS,
     "mul($self, a, b, *, name)\n--\n\n"},
    {"div", (PyCFunction)(void (*)(void))plan_div, METH_VARARGS | METH_KEYWORDS,
     "div($self, a, b, *, name)\n--\n\n"},
    {"min", (PyCFunction)(void (*)(void))plan_min, METH_VARARGS | METH_KEYWORDS,
     "min($self, a, b, *, name)\n--\n\n"},
    {"max", (PyCFunction)(void (*)(void))plan_max, METH_VARARGS | METH_KEYWORDS,
     "max($self, a, b, *, name)\n--\n\n"},
    {"pow", (PyCFunction)(void (*)(void))plan_pow, METH_VARARGS | METH_KEYWORDS,
     "pow($self, a, b, *, name)\n--\n\n"},
    {"sigmoid", (PyCFunction)(void (*)(void))plan_sigmoid, METH_VARARGS | METH_KEYWORDS,
     "sigmoid($self, x, *, name)\n--\n\n"},
    {"tanh", (PyCFunction)(void (*)(void))plan_tanh, METH_VARARGS | METH_KEYWORDS,
     "tanh($self, x, *, name)\n--\n\n"},
    {"exp", (PyCFunction)(void (*)(void))plan_exp, METH_VARARGS | METH_KEYWORDS,
     "exp($self, x, *, name)\n--\n\n"},
    {"log", (PyCFunction)(void (*)(void))plan_log, METH_VARARGS | METH_KEYWORDS,
     "log($self, x, *, name)\n--\n\n"},
    {"sqrt", (PyCFunction)(void (*)(void))plan_sqrt, METH_VARARGS | METH_KEYWORDS,
     "sqrt($self, x, *, name)\n--\n\n"},
    {"neg", (PyCFunction)(void (*)(void))plan_neg, METH_VARARGS | METH_KEYWORDS,
     "neg($self, x, *, name)\n--\n\n"},
    {"abs", (PyCFunction)(void (*)(void))plan_abs, METH_VARARGS | METH_KEYWORDS,
     "abs($self, x, *, name)\n--\n\n"},
    {"erf", (PyCFunction)(void (*)(void))plan_erf, METH_VARARGS | METH_KEYWORDS,
     "erf($self, x, *, name)\n--\n\n"},
    {"softplus", (PyCFunction)(void (*)(void))plan_softplus, METH_VARARGS | METH_KEYWORDS,
     "softplus($self, x, *, name)\n--\n\n"},
    {"hard_swish", (PyCFunction)(void (*)(void))plan_hard_swish, METH_VARARGS | METH_KEYWORDS,
     "hard_swish($self, x, *, name)\n--\n\n"},
    {"silu", (PyCFunction)(void (*)(void))plan_silu, METH_VARARGS | METH_KEYWORDS,
     "silu($self, x, *, name)\n--\n\n"},
    {"gelu", (PyCFunction)(void (*)(void))plan_gelu, METH_VARARGS | METH_KEYWORDS,
     "gelu($self, x, *, name)\n--\n\n"},
    {"elu", (PyCFunction)(void (*)(void))plan_elu, METH_VARARGS | METH_KEYWORDS,
     "elu($self, x, *, alpha, name)\n--\n\n"},
    {"selu", (PyCFunction)(void (*)(void))plan_selu, METH_VARARGS | METH_KEYWORDS,
     "selu($self, x, *, alpha, gamma, name)\n--\n\n"},
    {"hard_sigmoid", (PyCFunction)(void (*)(void))plan_hard_sigmoid, METH_VARARGS | METH_KEYWORDS,
     "hard_sigmoid($self, x, *, alpha, beta, name)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};
