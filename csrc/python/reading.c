#include "python/reading.h"

#include "python/convert.h"
#include "python/plan_object.h"

static const cnv_shape *known_shape(const cnv_plan *plan, PyObject *object, cnv_value_id *value)
{
    if (cnv_to_value(object, "value", value) < 0) return NULL;
    const cnv_shape *shape = cnv_plan_shape(plan, *value);
    if (!shape) PyErr_Format(PyExc_ValueError, "value is %d, which the plan does not have", (int)*value);
    return shape;
}

static PyObject *shape_of(const cnv_plan *plan, PyObject *object)
{
    cnv_value_id value;
    const cnv_shape *shape = known_shape(plan, object, &value);
    return shape ? cnv_from_shape(shape) : NULL;
}

static PyObject *numbers_of(const cnv_plan *plan, PyObject *object)
{
    cnv_value_id value;
    const cnv_shape *shape = known_shape(plan, object, &value);
    if (!shape) return NULL;
    const float *data = cnv_plan_read(plan, value);
    if (data) return cnv_from_data(data, shape);
    return PyErr_Format(PyExc_ValueError,
                        "%s can not be read: call forward first, and name it in prepare(keep=...)",
                        cnv_plan_name(plan, value));
}

static PyObject *gradient_of(const cnv_plan *plan, PyObject *object)
{
    cnv_value_id value;
    const cnv_shape *shape = known_shape(plan, object, &value);
    if (!shape) return NULL;
    const float *data = cnv_plan_gradient(plan, value);
    if (data) return cnv_from_data(data, shape);
    return PyErr_Format(PyExc_ValueError,
                        "%s has no gradient: call backward first, and name it in prepare(wrt=...)",
                        cnv_plan_name(plan, value));
}

static PyObject *memory_dict(const cnv_plan *plan)
{
    cnv_plan_memory memory;
    cnv_plan_memory_of(plan, &memory);
    return Py_BuildValue("{s:n,s:n,s:n,s:n,s:n,s:n}", "values", (Py_ssize_t)memory.values_nbytes, "gradients",
                         (Py_ssize_t)memory.gradients_nbytes, "saved", (Py_ssize_t)memory.saved_nbytes,
                         "scratch", (Py_ssize_t)memory.scratch_nbytes, "arena",
                         (Py_ssize_t)memory.arena_nbytes, "packed", (Py_ssize_t)memory.packed_nbytes);
}

static PyObject *node_dict(const cnv_plan *plan, int i)
{
    cnv_node_info info;
    cnv_plan_node_info(plan, i, &info);
    return Py_BuildValue("{s:s,s:s,s:i,s:N,s:N,s:N,s:s,s:n,s:n,s:n,s:d,s:d}", "name", info.name, "op",
                         info.op, "value", (int)info.value, "shape",
                         cnv_from_shape(cnv_plan_shape(plan, info.value)), "forward",
                         PyBool_FromLong(info.forward), "backward", PyBool_FromLong(info.backward), "kernel",
                         info.kernel, "saved_nbytes", (Py_ssize_t)info.saved_nbytes, "scratch_nbytes",
                         (Py_ssize_t)info.scratch_nbytes, "packed_nbytes", (Py_ssize_t)info.packed_nbytes,
                         "forward_seconds", info.forward_seconds, "backward_seconds", info.backward_seconds);
}

static PyObject *description(const cnv_plan *plan, PyObject *unused)
{
    int n = cnv_plan_n_nodes(plan);
    PyObject *memory = memory_dict(plan);
    PyObject *nodes = PyList_New(n);
    (void)unused;
    for (int i = 0; nodes && i < n; i++) {
        PyObject *node = node_dict(plan, i);
        if (!node) Py_CLEAR(nodes);
        if (node) PyList_SET_ITEM(nodes, i, node);
    }
    if (memory && nodes) return Py_BuildValue("{s:N,s:N}", "memory", memory, "nodes", nodes);
    Py_XDECREF(memory);
    Py_XDECREF(nodes);
    return NULL;
}

/* Calls `at` while no other thread is inside the plan. */
static PyObject *look(PyObject *object, PyObject *argument, PyObject *(*at)(const cnv_plan *, PyObject *))
{
    plan_object *self = (plan_object *)object;
    if (cnv_plan_enter(self) < 0) return NULL;
    PyObject *seen = at(self->plan, argument);
    cnv_plan_leave(self);
    return seen;
}

PyObject *cnv_plan_object_shape(PyObject *self, PyObject *value)
{
    return look(self, value, shape_of);
}

PyObject *cnv_plan_object_read(PyObject *self, PyObject *value)
{
    return look(self, value, numbers_of);
}

PyObject *cnv_plan_object_gradient(PyObject *self, PyObject *value)
{
    return look(self, value, gradient_of);
}

PyObject *cnv_plan_object_describe(PyObject *self, PyObject *unused)
{
    return look(self, unused, description);
}
