#include "python/plan_type.h"

#include "python/builders.h"
#include "python/passes.h"
#include "python/plan_object.h"
#include "python/reading.h"
#include "python/sources.h"

static PyMethodDef methods[] = {
    {"prepare", (PyCFunction)(void (*)(void))cnv_plan_object_prepare, METH_VARARGS | METH_KEYWORDS,
     "prepare($self, *, keep=(), seeds=(), wrt=(), packed_nbytes=None, shares=None)\n--\n\n"
     "Fix the values that passes compute."},
    {"forward", cnv_plan_object_forward, METH_O, "forward($self, inputs, /)\n--\n\nRun forward."},
    {"backward", (PyCFunction)(void (*)(void))cnv_plan_object_backward, METH_VARARGS | METH_KEYWORDS,
     "backward($self, cotangents, *, relu='plain')\n--\n\nRun backward from the cotangents of seeds."},
    {"shape", cnv_plan_object_shape, METH_O, "shape($self, value, /)\n--\n\nThe shape of a value."},
    {"read", cnv_plan_object_read, METH_O, "read($self, value, /)\n--\n\nA copy of a kept value."},
    {"gradient", cnv_plan_object_gradient, METH_O,
     "gradient($self, value, /)\n--\n\nA copy of the gradient of a value."},
    {"describe", cnv_plan_object_describe, METH_NOARGS,
     "describe($self)\n--\n\nMemory by purpose, and the kernel and times of each node."},
    {"input", (PyCFunction)(void (*)(void))cnv_plan_object_input, METH_VARARGS | METH_KEYWORDS,
     "input($self, shape, *, name)\n--\n\nAppend an input; return the id of its value."},
    {"constant", (PyCFunction)(void (*)(void))cnv_plan_object_constant, METH_VARARGS | METH_KEYWORDS,
     "constant($self, constant, *, name)\n--\n\nAppend a Constant; return the id of its value."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "Plan()\n--\n\nOne network for one input shape: build, prepare once, then forward and backward."},
    {Py_tp_new, cnv_plan_object_new},
    {Py_tp_dealloc, cnv_plan_object_dealloc},
    {Py_tp_traverse, cnv_plan_object_traverse},
    {Py_tp_clear, cnv_plan_object_clear},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "cnnviz._core.Plan",
    .basicsize = sizeof(plan_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

PyObject *cnv_new_plan_type(void)
{
    PyObject *type = PyType_FromSpec(&spec);
    if (type && cnv_add_builders(type) < 0) Py_CLEAR(type);
    return type;
}
