#include "python/builders.h"

#include "plan/table.h"
#include "python/arguments.h"
#include "python/convert.h"
#include "python/plan_object.h"
#include "python/signature.h"

typedef struct {
    PyObject_HEAD const cnv_op *op;
} builder_object;

static const cnv_op *op_of(PyObject *builder)
{
    return ((builder_object *)builder)->op;
}

/* Reads the arguments, which begin with the plan, and appends the operator. */
static PyObject *append(plan_object *self, const cnv_op *op, PyObject *args, PyObject *kwargs)
{
    cnv_call call;
    cnv_value_id value;
    cnv_error err;
    cnv_status status;
    PyObject *id = NULL;
    call.method = op->name;
    call.plan = self->plan;
    if (cnv_plan_enter(self) < 0) return NULL;
    if (cnv_read_arguments(&call, op->arguments, args, kwargs) < 0) goto done;
    status =
        cnv_plan_add(self->plan, op->name, call.inputs, call.n_inputs, &call.params, call.name, &value, &err);
    id = status == CNV_OK ? PyLong_FromLong(value) : cnv_raise(status, &err);
done:
    cnv_plan_leave(self);
    return id;
}

static PyObject *builder_call(PyObject *builder, PyObject *args, PyObject *kwargs)
{
    const cnv_op *op = op_of(builder);
    plan_object *self = PyTuple_GET_SIZE(args) > 0 ? cnv_plan_object_of(PyTuple_GET_ITEM(args, 0)) : NULL;
    if (self) return append(self, op, args, kwargs);
    return PyErr_Format(PyExc_TypeError, "%s() is a method of Plan: its first argument must be a Plan",
                        op->name);
}

static PyObject *builder_get(PyObject *builder, PyObject *plan, PyObject *type)
{
    (void)type;
    if (plan) return PyMethod_New(builder, plan);
    Py_INCREF(builder);
    return builder;
}

static PyObject *builder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    return PyErr_Format(PyExc_TypeError, "%s can not be made: there is one for each operator", type->tp_name);
}

static PyObject *builder_repr(PyObject *builder)
{
    return PyUnicode_FromFormat("<method '%s' of 'cnnviz._core.Plan' objects>", op_of(builder)->name);
}

static void builder_dealloc(PyObject *builder)
{
    PyTypeObject *type = Py_TYPE(builder);
    type->tp_free(builder);
    Py_DECREF(type);
}

static PyObject *get_name(PyObject *builder, void *closure)
{
    (void)closure;
    return PyUnicode_FromString(op_of(builder)->name);
}

static PyObject *get_qualname(PyObject *builder, void *closure)
{
    (void)closure;
    return PyUnicode_FromFormat("Plan.%s", op_of(builder)->name);
}

static PyObject *get_doc(PyObject *builder, void *closure)
{
    (void)closure;
    return PyUnicode_FromFormat("Append the operator %s; return the id of its value.", op_of(builder)->name);
}

static PyObject *get_text_signature(PyObject *builder, void *closure)
{
    (void)closure;
    return cnv_signature(op_of(builder)->arguments);
}

static PyObject *get_elementwise(PyObject *builder, void *closure)
{
    (void)closure;
    return PyBool_FromLong(op_of(builder)->elementwise);
}

/* A str tells pickle to look the method up by its qualified name. */
static PyObject *builder_reduce(PyObject *builder, PyObject *unused)
{
    (void)unused;
    return get_qualname(builder, NULL);
}

static PyGetSetDef getters[] = {
    {"__name__", get_name, NULL, NULL, NULL},
    {"__qualname__", get_qualname, NULL, NULL, NULL},
    {"__doc__", get_doc, NULL, NULL, NULL},
    {"__text_signature__", get_text_signature, NULL, NULL, NULL},
    {"elementwise", get_elementwise, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"__reduce__", builder_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, builder_new},   {Py_tp_dealloc, builder_dealloc},
    {Py_tp_call, builder_call}, {Py_tp_descr_get, builder_get},
    {Py_tp_repr, builder_repr}, {Py_tp_getset, getters},
    {Py_tp_methods, methods},   {0, NULL},
};

/* As a method descriptor, plan.relu(...) is called without a bound method in between. */
static PyType_Spec spec = {
    .name = "cnnviz._core.Builder",
    .basicsize = sizeof(builder_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = slots,
};

static bool fits(const cnv_op *op)
{
    int n = 1; /* name */
    for (const cnv_argument *a = op->arguments; a->name; a++) n++;
    if (n <= CNV_MAX_ARGUMENTS) return true;
    PyErr_Format(PyExc_SystemError, "%s has %d arguments, at most %d are read", op->name, n,
                 CNV_MAX_ARGUMENTS);
    return false;
}

static int add_builder(PyObject *plan_type, PyTypeObject *type, const cnv_op *op)
{
    if (!fits(op)) return -1;
    PyObject *builder = type->tp_alloc(type, 0);
    if (!builder) return -1;
    ((builder_object *)builder)->op = op;
    int failed = PyObject_SetAttrString(plan_type, op->name, builder);
    Py_DECREF(builder);
    return failed;
}

int cnv_add_builders(PyObject *plan_type)
{
    PyObject *type = PyType_FromSpec(&spec);
    int failed = type ? 0 : -1;
    for (const cnv_op *const *op = cnv_ops; *op && !failed; op++)
        failed = add_builder(plan_type, (PyTypeObject *)type, *op);
    Py_XDECREF(type);
    return failed;
}
