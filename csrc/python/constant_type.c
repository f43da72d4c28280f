/* The type Constant: an array that plans read, which lives until the last plan that reads it is freed. */
#include "python/constant_type.h"

#include "python/convert.h"

/* A Constant is not tracked by the garbage collector: it refers only to an array that the core shares with
 * plans. */
typedef struct {
    PyObject_HEAD cnv_constant *constant;
    PyArrayObject *array; /* borrowed: the constant owns the reference */
} constant_object;

/* Called by the core when the last plan is freed, in the dealloc of a Plan or Constant, so that the GIL is
 * held. */
static void release_array(void *owner)
{
    Py_DECREF((PyObject *)owner);
}

static PyObject *constant_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"array", NULL};
    PyObject *array;
    cnv_shape shape;
    cnv_error err;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Constant", names, &array)) return NULL;
    if (cnv_check_array(array, "array", NULL) < 0) return NULL;
    if (cnv_array_shape((PyArrayObject *)array, "array", &shape) < 0) return NULL;
    constant_object *self = (constant_object *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    cnv_status status = cnv_constant_new(PyArray_DATA((PyArrayObject *)array), &shape, release_array, array,
                                         &self->constant, &err);
    if (status != CNV_OK) {
        Py_DECREF(self);
        return cnv_raise(status, &err);
    }
    Py_INCREF(array);
    self->array = (PyArrayObject *)array;
    return (PyObject *)self;
}

static void constant_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    cnv_constant_release(((constant_object *)object)->constant);
    type->tp_free(object);
    Py_DECREF(type);
}

cnv_constant *cnv_constant_of(PyObject *object)
{
    /* The type can not be subclassed, so its own dealloc identifies it without a look into module state. */
    if (Py_TYPE(object)->tp_dealloc != constant_dealloc) return NULL;
    return ((constant_object *)object)->constant;
}

static PyObject *get_array(PyObject *object, void *closure)
{
    PyObject *array = (PyObject *)((constant_object *)object)->array;
    (void)closure;
    Py_INCREF(array);
    return array;
}

static PyObject *get_shape(PyObject *object, void *closure)
{
    cnv_shape shape;
    (void)closure;
    if (cnv_array_shape(((constant_object *)object)->array, "array", &shape) < 0) return NULL;
    return cnv_from_shape(&shape);
}

static PyObject *get_packed_nbytes(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromSize_t(cnv_constant_packed_nbytes(((constant_object *)object)->constant));
}

static PyObject *constant_changed(PyObject *object, PyObject *unused)
{
    (void)unused;
    cnv_constant_changed(((constant_object *)object)->constant);
    Py_RETURN_NONE;
}

static PyGetSetDef getters[] = {
    {"array", get_array, NULL, "The array.", NULL},
    {"shape", get_shape, NULL, "The shape of the array.", NULL},
    {"packed_nbytes", get_packed_nbytes, NULL, "Bytes of the packed weights that kernels have made so far.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"changed", constant_changed, METH_NOARGS,
     "changed($self)\n--\n\nSay that `array` was written to: the next pass packs its weights "
     "anew."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "Constant(array)\n--\n\nWeights that any number of plans read: a C-contiguous float32 array."},
    {Py_tp_new, constant_new},
    {Py_tp_dealloc, constant_dealloc},
    {Py_tp_getset, getters},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "cnnviz._core.Constant",
    .basicsize = sizeof(constant_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

PyObject *cnv_new_constant_type(void)
{
    return PyType_FromSpec(&spec);
}
