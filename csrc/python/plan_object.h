/* The object of the type Plan: a plan of the core, its life and its lock. */
#ifndef CNV_PYTHON_PLAN_OBJECT_H
#define CNV_PYTHON_PLAN_OBJECT_H

#include "python/numpy_api.h"

#include <stdatomic.h>

#include "cnnviz.h"

typedef struct plan_object {
    PyObject_HEAD cnv_plan *plan;
    atomic_bool busy; /* true while a method runs, perhaps without the GIL: no other may enter */
    PyObject *inputs; /* arrays of the last forward, which backward may read; NULL before */
} plan_object;

/* Slots of the type. */
PyObject *cnv_plan_object_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
void cnv_plan_object_dealloc(PyObject *object);
int cnv_plan_object_traverse(PyObject *object, visitproc visit, void *arg);
int cnv_plan_object_clear(PyObject *object);

/* The object as a Plan, borrowed; NULL, without an exception, when it is none. */
plan_object *cnv_plan_object_of(PyObject *object);

/* Every method that touches the plan runs between these two. Entering fails, with a RuntimeError, while
 * another thread is inside. */
int cnv_plan_enter(plan_object *self);
void cnv_plan_leave(plan_object *self);

#endif
