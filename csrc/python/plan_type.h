#ifndef CNV_PYTHON_PLAN_TYPE_H
#define CNV_PYTHON_PLAN_TYPE_H

#include "python/numpy_api.h"

#include <stdatomic.h>

#include "cnnviz.h"
#include "python/arguments.h"

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

/* What every builder method does: reads its arguments by the table, appends the operator and returns the id.
 */
PyObject *cnv_append_operator(PyObject *plan, PyObject *args, PyObject *kwargs, const char *op,
                              const cnv_argument *table);

/* One method per operator, input and constant; the elementwise operators have a table of their own. Both end
 * with an empty entry. */
extern PyMethodDef cnv_plan_builders[];
extern PyMethodDef cnv_plan_elementwise_builders[];

#endif
