#include "python/signature.h"

#include "python/arguments.h"

static PyObject *integers(const cnv_argument *argument)
{
    PyObject *tuple = PyTuple_New(argument->count);
    for (int i = 0; tuple && i < argument->count; i++) {
        PyObject *number = PyLong_FromLongLong(argument->defaults[i]);
        if (!number) Py_CLEAR(tuple);
        if (number) PyTuple_SET_ITEM(tuple, i, number);
    }
    return tuple;
}

/* The default of an optional argument, new. */
static PyObject *default_of(const cnv_argument *argument)
{
    switch (argument->kind) {
    case CNV_ARG_INTEGERS:
        return integers(argument);
    case CNV_ARG_INTEGER:
        return PyLong_FromLongLong(argument->defaults[0]);
    case CNV_ARG_NUMBER:
        return PyFloat_FromDouble((double)argument->defaults[0]);
    case CNV_ARG_FLAG:
        return PyBool_FromLong(argument->defaults[0] != 0);
    case CNV_ARG_PAD_MODE:
        return PyUnicode_FromString(cnv_pad_mode_names[argument->defaults[0]]);
    default:
        Py_INCREF(Py_None);
        return Py_None;
    }
}

/* ", x" or ", stride=(1, 1)", new. */
static PyObject *parameter(const cnv_argument *argument)
{
    if (!argument->optional) return PyUnicode_FromFormat(", %s", argument->name);
    PyObject *value = default_of(argument);
    PyObject *text = value ? PyUnicode_FromFormat(", %s=%R", argument->name, value) : NULL;
    Py_XDECREF(value);
    return text;
}

PyObject *cnv_signature(const cnv_argument *table)
{
    PyObject *text = PyUnicode_FromString("($self");
    bool keywords = false;
    for (const cnv_argument *argument = table; text && argument->name; argument++) {
        if (!keywords && !cnv_is_positional(argument)) {
            PyUnicode_AppendAndDel(&text, PyUnicode_FromString(", *"));
            keywords = true;
        }
        PyUnicode_AppendAndDel(&text, parameter(argument));
    }
    PyUnicode_AppendAndDel(&text, PyUnicode_FromString(keywords ? ", name)" : ", *, name)"));
    return text;
}
