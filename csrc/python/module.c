/* The module cnnviz._core: its types, and the functions that concern the whole process. */
#include "python/numpy_api.h"

#include <stdlib.h>

#include "cnnviz.h"
#include "python/constant_type.h"
#include "python/convert.h"
#include "python/pictures.h"
#include "python/plan_type.h"
#include "runtime/alloc.h"
#include "runtime/blas.h"
#include "runtime/cpu.h"
#include "runtime/threads.h"

/* None, or a new bytes object with the path or word. */
static int optional_path(PyObject *object, void *result)
{
    if (object != Py_None) return PyUnicode_FSConverter(object, result);
    *(PyObject **)result = NULL;
    return 1;
}

static PyObject *init_blas(PyObject *module, PyObject *args)
{
    PyObject *choice = NULL, *folder = NULL, *result = NULL;
    cnv_error err;
    (void)module;
    if (!PyArg_ParseTuple(args, "O&O&:init_blas", optional_path, &choice, optional_path, &folder)) goto done;
    cnv_status status = cnv_blas_init(choice ? PyBytes_AS_STRING(choice) : NULL,
                                      folder ? PyBytes_AS_STRING(folder) : NULL, &err);
    result = status == CNV_OK ? Py_None : cnv_raise(status, &err);
    Py_XINCREF(result);
done:
    Py_XDECREF(choice);
    Py_XDECREF(folder);
    return result;
}

static PyObject *set_num_threads(PyObject *module, PyObject *n)
{
    cnv_error err;
    int64_t threads;
    (void)module;
    if (cnv_to_int64(n, "n", &threads) < 0) return NULL;
    cnv_status status = cnv_set_num_threads(threads, &err);
    if (status != CNV_OK) return cnv_raise(status, &err);
    Py_RETURN_NONE;
}

static PyObject *get_num_threads(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromLong(cnv_num_threads());
}

static PyObject *config(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return Py_BuildValue("{s:s,s:s,s:s,s:s,s:i}", "blas", cnv_blas_name(), "blas_config", cnv_blas_config(),
                         "cpu", cnv_cpu_features(), "kernels", cnv_cpu_tier_name(), "threads",
                         cnv_num_threads());
}

static PyObject *alloc_calls(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromUnsignedLongLong(cnv_alloc_calls());
}

static PyObject *alloc_fail_at(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"n", "persist", NULL};
    unsigned long long n;
    int persist = 0;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "K|p:alloc_fail_at", names, &n, &persist)) return NULL;
#ifndef CNV_FAULT_INJECTION
    PyErr_SetString(PyExc_RuntimeError,
                    "this build of cnnviz can not make allocations fail: build it with CNNVIZ_FAULTS=1");
    return NULL;
#endif
    cnv_alloc_fail_at(n, persist != 0);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"init_blas", init_blas, METH_VARARGS,
     "init_blas(choice, bundled_dir, /)\n--\n\nChoose the BLAS, once, before any plan exists."},
    {"set_num_threads", set_num_threads, METH_O,
     "set_num_threads(n, /)\n--\n\nSet the number of threads of new plans."},
    {"get_num_threads", get_num_threads, METH_NOARGS,
     "get_num_threads()\n--\n\nReturn the number of threads of new plans."},
    {"config", config, METH_NOARGS,
     "config()\n--\n\nReturn the BLAS, CPU features, kernels and threads in use."},
    {"alloc_calls", alloc_calls, METH_NOARGS,
     "alloc_calls()\n--\n\nReturn the number of allocations of the core."},
    {"alloc_fail_at", (PyCFunction)(void (*)(void))alloc_fail_at, METH_VARARGS | METH_KEYWORDS,
     "alloc_fail_at(n, persist=False)\n--\n\nFault-injection builds only: the n-th allocation from now "
     "fails."},
    {NULL, NULL, 0, NULL},
};

/* Adds a type, whose reference it takes over; NULL, with an exception set, is passed on. */
static int add_type(PyObject *module, const char *name, PyObject *type)
{
    if (!type) return -1;
    if (PyModule_AddObject(module, name, type) == 0) return 0;
    Py_DECREF(type);
    return -1;
}

static int choose_kernels(void)
{
    cnv_error err;
    cnv_status status = cnv_cpu_init(getenv("CNNVIZ_KERNELS"), &err);
    if (status == CNV_OK) return 0;
    cnv_raise(status, &err);
    return -1;
}

static int exec_module(PyObject *module)
{
    if (cnv_import_numpy() < 0) return -1;
    if (choose_kernels() < 0) return -1;
    if (PyModule_AddFunctions(module, cnv_picture_functions) < 0) return -1;
    if (add_type(module, "Constant", cnv_new_constant_type()) < 0) return -1;
    return add_type(module, "Plan", cnv_new_plan_type());
}

/* The module has no state of its own: the types refer to nothing but themselves. The thread pool and the
 * BLAS, which the process shares, guard themselves, so the GIL is not needed. NumPy's C interface rules out
 * sub-interpreters. */
static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, exec_module},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "cnnviz._core",
    .m_doc = "The C core: plans of operators, run forward and backward on float32 arrays.",
    .m_methods = functions,
    .m_slots = module_slots,
};

/* The one exported symbol; the PyMODINIT_FUNC of Python 3.8 would leave it hidden. */
__attribute__((visibility("default"))) PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
