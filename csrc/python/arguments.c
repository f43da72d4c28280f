#include "python/arguments.h"

#include "python/convert.h"

const char *const cnv_pad_mode_names[] = {"constant", "reflect", "edge"};

bool cnv_is_positional(const cnv_argument *argument)
{
    return argument->name && argument->kind <= CNV_ARG_VALUES;
}

/* The index of a keyword in the table; the index after the last for `name`; -1 for an unknown keyword. */
static int find_keyword(const cnv_argument *table, PyObject *keyword)
{
    int i = 0;
    for (; table[i].name; i++)
        if (PyUnicode_CompareWithASCIIString(keyword, table[i].name) == 0) return i;
    return PyUnicode_CompareWithASCIIString(keyword, "name") == 0 ? i : -1;
}

/* Sorts the objects of a call by the index of their argument; borrowed. */
static int sort_arguments(const cnv_call *call, const cnv_argument *table, PyObject *args, PyObject *kwargs,
                          PyObject **found)
{
    PyObject *keyword, *object;
    Py_ssize_t position = 0, given = PyTuple_GET_SIZE(args) - 1;
    for (Py_ssize_t i = 0; i < given; i++) {
        if (!cnv_is_positional(&table[i])) {
            PyErr_Format(PyExc_TypeError, "%s() takes %zd positional arguments, not %zd", call->method, i,
                         given);
            return -1;
        }
        found[i] = PyTuple_GET_ITEM(args, i + 1);
    }
    while (kwargs && PyDict_Next(kwargs, &position, &keyword, &object)) {
        int i = find_keyword(table, keyword);
        if (i < 0 || found[i]) {
            PyErr_Format(PyExc_TypeError, i < 0 ? "%s() has no argument %R" : "%s() got argument %R twice",
                         call->method, keyword);
            return -1;
        }
        found[i] = object;
    }
    return 0;
}

static int read_inputs(cnv_call *call, PyObject *object, const char *what)
{
    cnv_value_id *values;
    int n, failed = -1;
    if (cnv_to_values(object, what, &values, &n) < 0) return -1;
    if (n <= CNV_MANY) {
        for (int i = 0; i < n; i++) call->inputs[i] = values[i];
        call->n_inputs = n;
        failed = 0;
    } else {
        PyErr_Format(PyExc_ValueError, "%s has %d values, at most %d are possible", what, n, CNV_MANY);
    }
    PyMem_Free(values);
    return failed;
}

static int read_exactly(PyObject *object, const char *what, int64_t *numbers, int count)
{
    int n;
    if (cnv_to_int64s(object, what, numbers, count, &n) < 0) return -1;
    if (n == count) return 0;
    PyErr_Format(PyExc_ValueError, "%s has %d elements, not %d", what, n, count);
    return -1;
}

/* The number of dimensions of the first input; -1 with an exception when it is no value of the plan. */
static int first_ndim(const cnv_call *call)
{
    const cnv_shape *shape = call->n_inputs > 0 ? cnv_plan_shape(call->plan, call->inputs[0]) : NULL;
    if (shape) return shape->ndim;
    PyErr_Format(PyExc_ValueError, "%s(): the first input is no value of the plan", call->method);
    return -1;
}

static int read_axes(const cnv_call *call, PyObject *object, const char *what, cnv_shape *flags)
{
    int64_t axes[CNV_MAX_NDIM];
    int n, ndim = first_ndim(call);
    if (ndim < 0 || cnv_to_int64s(object, what, axes, CNV_MAX_NDIM, &n) < 0) return -1;
    *flags = (cnv_shape){.ndim = ndim};
    for (int i = 0; i < n; i++) {
        if (axes[i] < 0 || axes[i] >= ndim || flags->dim[axes[i]]) {
            PyErr_Format(PyExc_ValueError, "%s has %lld twice or outside 0..%d", what, (long long)axes[i],
                         ndim - 1);
            return -1;
        }
        flags->dim[axes[i]] = 1;
    }
    return 0;
}

static int read_pad_mode(PyObject *object, const char *what, cnv_pad_mode *mode)
{
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s must be a str, not %.100s", what, Py_TYPE(object)->tp_name);
        return -1;
    }
    for (int i = 0; i < 3; i++) {
        if (PyUnicode_CompareWithASCIIString(object, cnv_pad_mode_names[i]) != 0) continue;
        *mode = (cnv_pad_mode)i;
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "%s is %R, not one of constant, reflect, edge", what, object);
    return -1;
}

static int read_axis(PyObject *object, const char *what, int *axis)
{
    int64_t number;
    if (cnv_to_int64(object, what, &number) < 0) return -1;
    if (number >= 0 && number < CNV_MAX_NDIM) {
        *axis = (int)number;
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "%s is %lld, not in 0..%d", what, (long long)number, CNV_MAX_NDIM - 1);
    return -1;
}

static int read_flag(PyObject *object, const char *what, bool *flag)
{
    if (!PyBool_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s must be a bool, not %.100s", what, Py_TYPE(object)->tp_name);
        return -1;
    }
    *flag = object == Py_True;
    return 0;
}

static int read_one(cnv_call *call, const cnv_argument *argument, PyObject *object)
{
    char what[96];
    void *to = (char *)&call->params + argument->offset;
    PyOS_snprintf(what, sizeof what, "%s(): argument '%s'", call->method, argument->name);
    switch (argument->kind) {
    case CNV_ARG_OPTIONAL_VALUE:
        if (object == Py_None) {
            call->inputs[call->n_inputs++] = CNV_NONE;
            return 0;
        }
        return cnv_to_value(object, what, &call->inputs[call->n_inputs++]);
    case CNV_ARG_VALUE:
        return cnv_to_value(object, what, &call->inputs[call->n_inputs++]);
    case CNV_ARG_VALUES:
        return read_inputs(call, object, what);
    case CNV_ARG_INTEGERS:
        return read_exactly(object, what, to, argument->count);
    case CNV_ARG_INTEGER:
        return cnv_to_int64(object, what, to);
    case CNV_ARG_AXIS:
        return read_axis(object, what, to);
    case CNV_ARG_NUMBER:
        return cnv_to_float(object, what, to);
    case CNV_ARG_FLAG:
        return read_flag(object, what, to);
    case CNV_ARG_SHAPE:
        return cnv_to_shape(object, what, to);
    case CNV_ARG_AXES:
        return read_axes(call, object, what, to);
    case CNV_ARG_PER_AXIS: {
        int ndim = first_ndim(call);
        return ndim < 0 ? -1 : read_exactly(object, what, to, ndim);
    }
    case CNV_ARG_PAD_MODE:
        return read_pad_mode(object, what, to);
    }
    return -1;
}

static int read_name(cnv_call *call, PyObject *object)
{
    char what[96];
    PyOS_snprintf(what, sizeof what, "%s(): argument 'name'", call->method);
    return cnv_to_text(object, what, &call->name);
}

int cnv_read_arguments(cnv_call *call, const cnv_argument *table, PyObject *args, PyObject *kwargs)
{
    PyObject *found[CNV_MAX_ARGUMENTS] = {NULL};
    int i = 0;
    call->n_inputs = 0;
    cnv_params_defaults(table, &call->params);
    if (sort_arguments(call, table, args, kwargs, found) < 0) return -1;
    for (; table[i].name; i++) {
        if (found[i] && read_one(call, &table[i], found[i]) < 0) return -1;
        if (!found[i] && table[i].kind == CNV_ARG_OPTIONAL_VALUE) call->inputs[call->n_inputs++] = CNV_NONE;
        if (found[i] || table[i].optional) continue;
        PyErr_Format(PyExc_TypeError, "%s() needs argument '%s'", call->method, table[i].name);
        return -1;
    }
    if (found[i]) return read_name(call, found[i]);
    PyErr_Format(PyExc_TypeError, "%s() needs argument 'name'", call->method);
    return -1;
}
