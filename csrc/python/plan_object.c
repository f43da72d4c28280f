#include "python/plan_object.h"

#include "python/convert.h"

PyObject *cnv_plan_object_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    cnv_error err;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Plan", names)) return NULL;
    plan_object *self = (plan_object *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    cnv_status status = cnv_plan_new(&self->plan, &err);
    if (status == CNV_OK) return (PyObject *)self;
    Py_DECREF(self);
    return cnv_raise(status, &err);
}

int cnv_plan_object_traverse(PyObject *object, visitproc visit, void *arg)
{
#if PY_VERSION_HEX >= 0x03090000
    Py_VISIT(Py_TYPE(object));
#endif
    Py_VISIT(((plan_object *)object)->inputs);
    return 0;
}

int cnv_plan_object_clear(PyObject *object)
{
    Py_CLEAR(((plan_object *)object)->inputs);
    return 0;
}

void cnv_plan_object_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    cnv_plan_object_clear(object);
    cnv_plan_free(((plan_object *)object)->plan);
    type->tp_free(object);
    Py_DECREF(type);
}

plan_object *cnv_plan_object_of(PyObject *object)
{
    /* The type can not be subclassed, so its own dealloc identifies it without a look into module state. */
    return Py_TYPE(object)->tp_dealloc == cnv_plan_object_dealloc ? (plan_object *)object : NULL;
}

int cnv_plan_enter(plan_object *self)
{
    if (!atomic_exchange(&self->busy, true)) return 0;
    PyErr_SetString(PyExc_RuntimeError,
                    "the plan is in use by another thread; each thread needs a plan of its own");
    return -1;
}

void cnv_plan_leave(plan_object *self)
{
    atomic_store(&self->busy, false);
}
