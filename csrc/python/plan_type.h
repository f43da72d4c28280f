#ifndef CNV_PYTHON_PLAN_TYPE_H
#define CNV_PYTHON_PLAN_TYPE_H

#include "python/numpy_api.h"

#include <stdatomic.h>

#include "cnnviz.h"

typedef struct {
    PyObject_HEAD cnv_plan *plan;
    atomic_bool busy; /* a method is running, perhaps without the GIL: no other may enter */
    PyObject *inputs; /* the arrays of the last forward, which backward may read; NULL before */
} plan_object;

/* The type Plan, new. */
PyObject *cnv_new_plan_type(void);

/* Every method that touches the plan runs between these two. Entering fails, with a RuntimeError, while
 * another thread is inside. */
int cnv_plan_enter(plan_object *self);
void cnv_plan_leave(plan_object *self);

/* builders.c: input, constant, and one method per operator; ends with an empty entry. */
extern PyMethodDef cnv_plan_builders[];

#endif
