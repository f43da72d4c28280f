#include "python/convert.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "python/array.h"

PyObject *cnv_raise(cnv_status status, const cnv_error *err)
{
    if (status == CNV_INTERRUPTED && PyErr_Occurred()) return NULL;
    PyObject *type = status == CNV_INVALID       ? PyExc_ValueError
                     : status == CNV_NO_MEMORY   ? PyExc_MemoryError
                     : status == CNV_INTERRUPTED ? PyExc_KeyboardInterrupt
                                                 : PyExc_RuntimeError;
    /* A message may be cut inside a character of a name: that must not raise a UnicodeDecodeError. */
    PyObject *text = PyUnicode_DecodeUTF8(err->message, (Py_ssize_t)strlen(err->message), "replace");
    if (text) PyErr_SetObject(type, text);
    Py_XDECREF(text);
    return NULL;
}

static int wrong_type(PyObject *object, const char *what, const char *wanted)
{
    PyErr_Format(PyExc_TypeError, "%s must be %s, not %.100s", what, wanted, Py_TYPE(object)->tp_name);
    return -1;
}

int cnv_to_int64(PyObject *object, const char *what, int64_t *number)
{
    if (!PyIndex_Check(object)) return wrong_type(object, what, "an integer");
    PyObject *integer = PyNumber_Index(object);
    if (!integer) return -1;
    long long value = PyLong_AsLongLong(integer);
    Py_DECREF(integer);
    if (value == -1 && PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "%s does not fit in 64 bits", what);
        return -1;
    }
    *number = value;
    return 0;
}

int cnv_to_float(PyObject *object, const char *what, float *number)
{
    double value = PyFloat_AsDouble(object);
    if (value == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) return -1;
        PyErr_Clear();
        return wrong_type(object, what, "a number");
    }
    *number = (float)value;
    return 0;
}

int cnv_to_text(PyObject *object, const char *what, const char **text)
{
    Py_ssize_t length;
    if (!PyUnicode_Check(object)) return wrong_type(object, what, "a str");
    *text = PyUnicode_AsUTF8AndSize(object, &length);
    if (!*text) return -1;
    if (strlen(*text) == (size_t)length) return 0;
    PyErr_Format(PyExc_ValueError, "%s has a NUL character: %R", what, object);
    return -1;
}

int cnv_to_value(PyObject *object, const char *what, cnv_value_id *value)
{
    int64_t id;
    if (cnv_to_int64(object, what, &id) < 0) return -1;
    if (id < 0 || id > INT32_MAX) {
        PyErr_Format(PyExc_ValueError, "%s is %lld, which is no value of a plan", what, (long long)id);
        return -1;
    }
    *value = (cnv_value_id)id;
    return 0;
}

/* The elements in a new tuple, which an element's own __index__ can not change as it can a list. A str, bytes
 * or a mapping is refused. */
static PyObject *to_tuple(PyObject *object, const char *what, const char *wanted)
{
    PyObject *tuple = NULL;
    if (PySequence_Check(object) && !PyUnicode_Check(object) && !PyBytes_Check(object)) {
        tuple = PySequence_Tuple(object);
        if (tuple || !PyErr_ExceptionMatches(PyExc_TypeError)) return tuple;
    }
    wrong_type(object, what, wanted);
    return NULL;
}

int cnv_to_int64s(PyObject *object, const char *what, int64_t *numbers, int most, int *n)
{
    int failed = -1;
    PyObject *tuple = to_tuple(object, what, "a sequence of integers");
    if (!tuple) return -1;
    Py_ssize_t length = PyTuple_GET_SIZE(tuple);
    if (length > most) {
        PyErr_Format(PyExc_ValueError, "%s has %zd elements, at most %d are possible", what, length, most);
        goto done;
    }
    for (Py_ssize_t i = 0; i < length; i++)
        if (cnv_to_int64(PyTuple_GET_ITEM(tuple, i), what, &numbers[i]) < 0) goto done;
    *n = (int)length;
    failed = 0;
done:
    Py_DECREF(tuple);
    return failed;
}

int cnv_to_values(PyObject *object, const char *what, cnv_value_id **values, int *n)
{
    int failed = -1;
    cnv_value_id *made = NULL;
    PyObject *tuple = to_tuple(object, what, "a sequence of value ids");
    if (!tuple) return -1;
    Py_ssize_t length = PyTuple_GET_SIZE(tuple);
    if (length > INT_MAX) {
        PyErr_Format(PyExc_ValueError, "%s has too many elements", what);
        goto done;
    }
    made = PyMem_New(cnv_value_id, length > 0 ? length : 1);
    if (!made) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t i = 0; i < length; i++)
        if (cnv_to_value(PyTuple_GET_ITEM(tuple, i), what, &made[i]) < 0) goto done;
    *values = made;
    *n = (int)length;
    made = NULL;
    failed = 0;
done:
    PyMem_Free(made);
    Py_DECREF(tuple);
    return failed;
}

int cnv_to_shape(PyObject *object, const char *what, cnv_shape *shape)
{
    *shape = (cnv_shape){0};
    return cnv_to_int64s(object, what, shape->dim, CNV_MAX_NDIM, &shape->ndim);
}

/* "(1, 3, 224, 224)" */
static void write_shape(char *text, size_t room, const npy_intp *dim, int ndim)
{
    size_t used = (size_t)snprintf(text, room, "(");
    for (int i = 0; i < ndim && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, i ? ", %lld" : "%lld", (long long)dim[i]);
    if (used < room) snprintf(text + used, room - used, ")");
}

static int check_shape(PyArrayObject *array, const char *what, const cnv_shape *shape)
{
    char is[256], wanted[256];
    npy_intp dim[CNV_MAX_NDIM];
    bool same = PyArray_NDIM(array) == shape->ndim;
    for (int i = 0; i < shape->ndim; i++) {
        dim[i] = (npy_intp)shape->dim[i];
        if (same && PyArray_DIM(array, i) != dim[i]) same = false;
    }
    if (same) return 0;
    write_shape(is, sizeof is, PyArray_DIMS(array), PyArray_NDIM(array));
    write_shape(wanted, sizeof wanted, dim, shape->ndim);
    PyErr_Format(PyExc_ValueError, "%s has shape %s, not %s", what, is, wanted);
    return -1;
}

int cnv_check_array(PyObject *object, const char *what, const cnv_shape *shape)
{
    if (!PyArray_Check(object)) return wrong_type(object, what, "a numpy.ndarray");
    PyArrayObject *array = (PyArrayObject *)object;
    if (PyArray_TYPE(array) != NPY_FLOAT32 || !PyArray_ISNOTSWAPPED(array)) {
        PyErr_Format(PyExc_TypeError, "%s must be of dtype float32, not %S", what, PyArray_DESCR(array));
        return -1;
    }
    if (!PyArray_IS_C_CONTIGUOUS(array) || !PyArray_ISALIGNED(array)) {
        PyErr_Format(PyExc_ValueError, "%s must be C-contiguous and aligned", what);
        return -1;
    }
    return shape ? check_shape(array, what, shape) : 0;
}

int cnv_array_shape(PyArrayObject *array, const char *what, cnv_shape *shape)
{
    int ndim = PyArray_NDIM(array);
    *shape = (cnv_shape){0};
    if (ndim > CNV_MAX_NDIM) {
        PyErr_Format(PyExc_ValueError, "%s has %d dimensions, at most %d are possible", what, ndim,
                     CNV_MAX_NDIM);
        return -1;
    }
    shape->ndim = ndim;
    for (int i = 0; i < ndim; i++) shape->dim[i] = PyArray_DIM(array, i);
    return 0;
}

PyObject *cnv_from_shape(const cnv_shape *shape)
{
    PyObject *tuple = PyTuple_New(shape->ndim);
    for (int i = 0; tuple && i < shape->ndim; i++) {
        PyObject *extent = PyLong_FromLongLong(shape->dim[i]);
        if (!extent) Py_CLEAR(tuple);
        if (extent) PyTuple_SET_ITEM(tuple, i, extent);
    }
    return tuple;
}

PyObject *cnv_from_data(const float *data, const cnv_shape *shape)
{
    npy_intp dim[CNV_MAX_NDIM];
    for (int i = 0; i < shape->ndim; i++) dim[i] = (npy_intp)shape->dim[i];
    PyObject *array = cnv_new_array(shape->ndim, dim);
    if (array)
        memcpy(PyArray_DATA((PyArrayObject *)array), data, (size_t)cnv_shape_size(shape) * sizeof *data);
    return array;
}
