#include "python/sources.h"

#include "python/constant_type.h"
#include "python/convert.h"
#include "python/plan_object.h"

PyObject *cnv_plan_object_input(PyObject *object, PyObject *args, PyObject *kwargs)
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

PyObject *cnv_plan_object_constant(PyObject *object, PyObject *args, PyObject *kwargs)
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
