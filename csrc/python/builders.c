/* The builder methods of Plan: one table of arguments and one method per operator. */
#include <stddef.h>

#include "python/arguments.h"
#include "python/constant_type.h"
#include "python/convert.h"
#include "python/plan_type.h"

#define PARAM(member) offsetof(cnv_params, member)

static const cnv_argument unary[] = {{.name = "x", .kind = CNV_ARG_VALUE}, {.name = NULL}};

static const cnv_argument binary[] = {
    {.name = "a", .kind = CNV_ARG_VALUE}, {.name = "b", .kind = CNV_ARG_VALUE}, {.name = NULL}};

static const cnv_argument conv2d_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "w", .kind = CNV_ARG_VALUE},
    {.name = "b", .kind = CNV_ARG_OPTIONAL_VALUE, .optional = true},
    {.name = "stride", .kind = CNV_ARG_INTEGERS, .offset = PARAM(stride), .count = 2, .optional = true},
    {.name = "pads", .kind = CNV_ARG_INTEGERS, .offset = PARAM(pad), .count = 4, .optional = true},
    {.name = "dilation", .kind = CNV_ARG_INTEGERS, .offset = PARAM(dilation), .count = 2, .optional = true},
    {.name = "groups", .kind = CNV_ARG_INTEGER, .offset = PARAM(groups), .optional = true},
    {.name = NULL}};

static const cnv_argument linear_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "w", .kind = CNV_ARG_VALUE},
    {.name = "b", .kind = CNV_ARG_OPTIONAL_VALUE, .optional = true},
    {.name = NULL}};

static const cnv_argument batch_norm_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "scale", .kind = CNV_ARG_VALUE},
    {.name = "bias", .kind = CNV_ARG_VALUE},
    {.name = "mean", .kind = CNV_ARG_VALUE},
    {.name = "var", .kind = CNV_ARG_VALUE},
    {.name = "epsilon", .kind = CNV_ARG_NUMBER, .offset = PARAM(epsilon)},
    {.name = NULL}};

static const cnv_argument leaky_relu_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "slope", .kind = CNV_ARG_NUMBER, .offset = PARAM(alpha)},
    {.name = NULL}};

static const cnv_argument prelu_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE}, {.name = "slope", .kind = CNV_ARG_VALUE}, {.name = NULL}};

static const cnv_argument clip_arguments[] = {{.name = "x", .kind = CNV_ARG_VALUE},
                                              {.name = "low", .kind = CNV_ARG_NUMBER, .offset = PARAM(low)},
                                              {.name = "high", .kind = CNV_ARG_NUMBER, .offset = PARAM(high)},
                                              {.name = NULL}};

static const cnv_argument pool_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "kernel", .kind = CNV_ARG_INTEGERS, .offset = PARAM(kernel), .count = 2},
    {.name = "stride", .kind = CNV_ARG_INTEGERS, .offset = PARAM(stride), .count = 2},
    {.name = "pads", .kind = CNV_ARG_INTEGERS, .offset = PARAM(pad), .count = 4, .optional = true},
    {.name = "dilation", .kind = CNV_ARG_INTEGERS, .offset = PARAM(dilation), .count = 2, .optional = true},
    {.name = "ceil_mode", .kind = CNV_ARG_FLAG, .offset = PARAM(ceil_mode), .optional = true},
    {.name = NULL}};

static const cnv_argument average_pool_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "kernel", .kind = CNV_ARG_INTEGERS, .offset = PARAM(kernel), .count = 2},
    {.name = "stride", .kind = CNV_ARG_INTEGERS, .offset = PARAM(stride), .count = 2},
    {.name = "pads", .kind = CNV_ARG_INTEGERS, .offset = PARAM(pad), .count = 4, .optional = true},
    {.name = "dilation", .kind = CNV_ARG_INTEGERS, .offset = PARAM(dilation), .count = 2, .optional = true},
    {.name = "ceil_mode", .kind = CNV_ARG_FLAG, .offset = PARAM(ceil_mode), .optional = true},
    {.name = "count_include_pad", .kind = CNV_ARG_FLAG, .offset = PARAM(count_include_pad), .optional = true},
    {.name = NULL}};

static const cnv_argument lrn_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "size", .kind = CNV_ARG_INTEGER, .offset = PARAM(size)},
    {.name = "alpha", .kind = CNV_ARG_NUMBER, .offset = PARAM(alpha)},
    {.name = "beta", .kind = CNV_ARG_NUMBER, .offset = PARAM(beta)},
    {.name = "bias", .kind = CNV_ARG_NUMBER, .offset = PARAM(bias)},
    {.name = NULL}};

static const cnv_argument concat_arguments[] = {{.name = "xs", .kind = CNV_ARG_VALUES},
                                                {.name = "axis", .kind = CNV_ARG_AXIS, .offset = PARAM(axis)},
                                                {.name = NULL}};

static const cnv_argument softmax_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "axis", .kind = CNV_ARG_AXIS, .offset = PARAM(axis)},
    {.name = NULL}};

static const cnv_argument reshape_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "shape", .kind = CNV_ARG_SHAPE, .offset = PARAM(shape)},
    {.name = NULL}};

static const cnv_argument transpose_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "perm", .kind = CNV_ARG_SHAPE, .offset = PARAM(shape)},
    {.name = NULL}};

static const cnv_argument pad_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "before", .kind = CNV_ARG_PER_AXIS, .offset = PARAM(before)},
    {.name = "after", .kind = CNV_ARG_PER_AXIS, .offset = PARAM(after)},
    {.name = "mode", .kind = CNV_ARG_PAD_MODE, .offset = PARAM(mode), .optional = true},
    {.name = "value", .kind = CNV_ARG_NUMBER, .offset = PARAM(alpha), .optional = true},
    {.name = NULL}};

static const cnv_argument slice_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "start", .kind = CNV_ARG_PER_AXIS, .offset = PARAM(before)},
    {.name = "shape", .kind = CNV_ARG_SHAPE, .offset = PARAM(shape)},
    {.name = "step", .kind = CNV_ARG_PER_AXIS, .offset = PARAM(after)},
    {.name = NULL}};

static const cnv_argument reduce_arguments[] = {
    {.name = "x", .kind = CNV_ARG_VALUE},
    {.name = "axes", .kind = CNV_ARG_AXES, .offset = PARAM(shape)},
    {.name = "keepdims", .kind = CNV_ARG_FLAG, .offset = PARAM(keepdims)},
    {.name = NULL}};

/* The defaults of every optional argument. */
static cnv_call start_call(const plan_object *self, const char *method)
{
    cnv_call call;
    call.method = method;
    call.plan = self->plan;
    call.params = (cnv_params){.stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
    return call;
}

/* Reads the arguments and appends the operator; the method's name is the operator's. */
PyObject *cnv_append_operator(PyObject *object, PyObject *args, PyObject *kwargs, const char *op,
                              const cnv_argument *table)
{
    plan_object *self = (plan_object *)object;
    cnv_call call = start_call(self, op);
    cnv_value_id value;
    cnv_error err;
    cnv_status status;
    PyObject *id = NULL;
    if (cnv_plan_enter(self) < 0) return NULL;
    if (cnv_read_arguments(&call, table, args, kwargs) < 0) goto done;
    status = cnv_plan_add(self->plan, op, call.inputs, call.n_inputs, &call.params, call.name, &value, &err);
    id = status == CNV_OK ? PyLong_FromLong(value) : cnv_raise(status, &err);
done:
    cnv_plan_leave(self);
    return id;
}

static PyObject *plan_conv2d(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "conv2d", conv2d_arguments);
}

static PyObject *plan_linear(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "linear", linear_arguments);
}

static PyObject *plan_matmul(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "matmul", binary);
}

static PyObject *plan_batch_norm(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "batch_norm", batch_norm_arguments);
}

static PyObject *plan_relu(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "relu", unary);
}

static PyObject *plan_leaky_relu(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "leaky_relu", leaky_relu_arguments);
}

static PyObject *plan_prelu(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "prelu", prelu_arguments);
}

static PyObject *plan_clip(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "clip", clip_arguments);
}

static PyObject *plan_max_pool(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "max_pool", pool_arguments);
}

static PyObject *plan_average_pool(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "average_pool", average_pool_arguments);
}

static PyObject *plan_global_average_pool(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "global_average_pool", unary);
}

static PyObject *plan_global_max_pool(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "global_max_pool", unary);
}

static PyObject *plan_lrn(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "lrn", lrn_arguments);
}

static PyObject *plan_concat(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "concat", concat_arguments);
}

static PyObject *plan_softmax(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "softmax", softmax_arguments);
}

static PyObject *plan_log_softmax(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "log_softmax", softmax_arguments);
}

static PyObject *plan_reshape(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "reshape", reshape_arguments);
}

static PyObject *plan_transpose(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "transpose", transpose_arguments);
}

static PyObject *plan_pad(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "pad", pad_arguments);
}

static PyObject *plan_slice(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "slice", slice_arguments);
}

static PyObject *plan_reduce_mean(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "reduce_mean", reduce_arguments);
}

static PyObject *plan_reduce_sum(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return cnv_append_operator(self, args, kwargs, "reduce_sum", reduce_arguments);
}

static PyObject *plan_input(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"shape", "name", NULL};
    plan_object *self = (plan_object *)object;
    PyObject *extents, *text;
    cnv_shape shape;
    const char *name;
    cnv_value_id value;
    cnv_error err;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O$O:input", names, &extents, &text)) return NULL;
    if (cnv_to_shape(extents, "input(): argument 'shape'", &shape) < 0) return NULL;
    if (cnv_to_text(text, "input(): argument 'name'", &name) < 0) return NULL;
    if (cnv_plan_enter(self) < 0) return NULL;
    cnv_status status = cnv_plan_input(self->plan, &shape, name, &value, &err);
    cnv_plan_leave(self);
    return status == CNV_OK ? PyLong_FromLong(value) : cnv_raise(status, &err);
}

static PyObject *plan_constant(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"constant", "name", NULL};
    plan_object *self = (plan_object *)object;
    PyObject *weights, *text;
    const char *name;
    cnv_value_id value;
    cnv_error err;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O$O:constant", names, &weights, &text)) return NULL;
    if (cnv_to_text(text, "constant(): argument 'name'", &name) < 0) return NULL;
    cnv_constant *borrowed = cnv_constant_of(weights);
    if (!borrowed)
        return PyErr_Format(PyExc_TypeError, "constant(): argument 'constant' must be a Constant, not %.100s",
                            Py_TYPE(weights)->tp_name);
    if (cnv_plan_enter(self) < 0) return NULL;
    cnv_status status = cnv_plan_constant(self->plan, borrowed, name, &value, &err);
    cnv_plan_leave(self);
    return status == CNV_OK ? PyLong_FromLong(value) : cnv_raise(status, &err);
}

PyMethodDef cnv_plan_builders[] = {
    {"conv2d", (PyCFunction)(void (*)(void))plan_conv2d, METH_VARARGS | METH_KEYWORDS,
     "conv2d($self, x, w, b=None, *, stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1), groups=1, "
     "name)\n--\n\n"},
    {"linear", (PyCFunction)(void (*)(void))plan_linear, METH_VARARGS | METH_KEYWORDS,
     "linear($self, x, w, b=None, *, name)\n--\n\n"},
    {"matmul", (PyCFunction)(void (*)(void))plan_matmul, METH_VARARGS | METH_KEYWORDS,
     "matmul($self, a, b, *, name)\n--\n\n"},
    {"batch_norm", (PyCFunction)(void (*)(void))plan_batch_norm, METH_VARARGS | METH_KEYWORDS,
     "batch_norm($self, x, scale, bias, mean, var, *, epsilon, name)\n--\n\n"},
    {"relu", (PyCFunction)(void (*)(void))plan_relu, METH_VARARGS | METH_KEYWORDS,
     "relu($self, x, *, name)\n--\n\n"},
    {"leaky_relu", (PyCFunction)(void (*)(void))plan_leaky_relu, METH_VARARGS | METH_KEYWORDS,
     "leaky_relu($self, x, *, slope, name)\n--\n\n"},
    {"prelu", (PyCFunction)(void (*)(void))plan_prelu, METH_VARARGS | METH_KEYWORDS,
     "prelu($self, x, slope, *, name)\n--\n\n"},
    {"clip", (PyCFunction)(void (*)(void))plan_clip, METH_VARARGS | METH_KEYWORDS,
     "clip($self, x, *, low, high, name)\n--\n\n"},
    {"max_pool", (PyCFunction)(void (*)(void))plan_max_pool, METH_VARARGS | METH_KEYWORDS,
     "max_pool($self, x, *, kernel, stride, pads=(0, 0, 0, 0), dilation=(1, 1), ceil_mode=False, "
     "name)\n--\n\n"},
    {"average_pool", (PyCFunction)(void (*)(void))plan_average_pool, METH_VARARGS | METH_KEYWORDS,
     "average_pool($self, x, *, kernel, stride, pads=(0, 0, 0, 0), dilation=(1, 1), ceil_mode=False, "
     "count_include_pad=False, name)\n--\n\n"},
    {"global_average_pool", (PyCFunction)(void (*)(void))plan_global_average_pool,
     METH_VARARGS | METH_KEYWORDS, "global_average_pool($self, x, *, name)\n--\n\n"},
    {"global_max_pool", (PyCFunction)(void (*)(void))plan_global_max_pool, METH_VARARGS | METH_KEYWORDS,
     "global_max_pool($self, x, *, name)\n--\n\n"},
    {"lrn", (PyCFunction)(void (*)(void))plan_lrn, METH_VARARGS | METH_KEYWORDS,
     "lrn($self, x, *, size, alpha, beta, bias, name)\n--\n\n"},
    {"concat", (PyCFunction)(void (*)(void))plan_concat, METH_VARARGS | METH_KEYWORDS,
     "concat($self, xs, *, axis, name)\n--\n\n"},
    {"softmax", (PyCFunction)(void (*)(void))plan_softmax, METH_VARARGS | METH_KEYWORDS,
     "softmax($self, x, *, axis, name)\n--\n\n"},
    {"log_softmax", (PyCFunction)(void (*)(void))plan_log_softmax, METH_VARARGS | METH_KEYWORDS,
     "log_softmax($self, x, *, axis, name)\n--\n\n"},
    {"reshape", (PyCFunction)(void (*)(void))plan_reshape, METH_VARARGS | METH_KEYWORDS,
     "reshape($self, x, *, shape, name)\n--\n\n"},
    {"transpose", (PyCFunction)(void (*)(void))plan_transpose, METH_VARARGS | METH_KEYWORDS,
     "transpose($self, x, *, perm, name)\n--\n\n"},
    {"pad", (PyCFunction)(void (*)(void))plan_pad, METH_VARARGS | METH_KEYWORDS,
     "pad($self, x, *, before, after, mode='constant', value=0.0, name)\n--\n\n"},
    {"slice", (PyCFunction)(void (*)(void))plan_slice, METH_VARARGS | METH_KEYWORDS,
     "slice($self, x, *, start, shape, step, name)\n--\n\n"},
    {"reduce_mean", (PyCFunction)(void (*)(void))plan_reduce_mean, METH_VARARGS | METH_KEYWORDS,
     "reduce_mean($self, x, *, axes, keepdims, name)\n--\n\n"},
    {"reduce_sum", (PyCFunction)(void (*)(void))plan_reduce_sum, METH_VARARGS | METH_KEYWORDS,
     "reduce_sum($self, x, *, axes, keepdims, name)\n--\n\n"},
    {"input", (PyCFunction)(void (*)(void))plan_input, METH_VARARGS | METH_KEYWORDS,
     "input($self, shape, *, name)\n--\n\n"},
    {"constant", (PyCFunction)(void (*)(void))plan_constant, METH_VARARGS | METH_KEYWORDS,
     "constant($self, constant, *, name)\n--\n\n"},
    {NULL, NULL, 0, NULL},
};
