#include "python/passes.h"

#include <time.h>

#include "python/convert.h"
#include "python/plan_object.h"

/* A pass that signals may interrupt: it runs without the GIL, and takes the GIL at times to ask for signals.
 */
typedef struct {
    PyThreadState *thread;
    int64_t asked_ns;
} poller;

/* POLL_NS is the shortest time between two questions for signals: four fit into the 0.2 s in which Ctrl-C
 * must be answered, and a program whose other threads hold the GIL, up to 5 ms each time, loses a tenth at
 * worst. */
#define POLL_NS 50000000

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool poll_signals(void *owner)
{
    poller *poll = owner;
    if (now_ns() - poll->asked_ns < POLL_NS) return false;
    PyEval_RestoreThread(poll->thread);
    bool raised = PyErr_CheckSignals() != 0;
    poll->thread = PyEval_SaveThread();
    poll->asked_ns = now_ns();
    return raised;
}

/* Reads packed_nbytes; None leaves *nbytes as it is. */
static int to_budget(PyObject *object, size_t *nbytes)
{
    int64_t number;
    if (object == Py_None) return 0;
    if (cnv_to_int64(object, "packed_nbytes", &number) < 0) return -1;
    *nbytes = (size_t)number;
    if (number >= 0) return 0;
    PyErr_Format(PyExc_ValueError, "packed_nbytes is %lld, it must be 0 or more", (long long)number);
    return -1;
}

static int prepare(plan_object *self, PyObject *keep, PyObject *seeds, PyObject *wrt, PyObject *packed,
                   const cnv_plan *shares)
{
    cnv_request request = {.threads = cnv_num_threads(), .packed_nbytes = SIZE_MAX, .shares = shares};
    cnv_value_id *keeps = NULL, *seed_ids = NULL, *wrts = NULL;
    cnv_error err;
    cnv_status status;
    int failed = -1;
    if (keep && cnv_to_values(keep, "keep", &keeps, &request.n_keep) < 0) goto done;
    if (seeds && cnv_to_values(seeds, "seeds", &seed_ids, &request.n_seeds) < 0) goto done;
    if (wrt && cnv_to_values(wrt, "wrt", &wrts, &request.n_wrt) < 0) goto done;
    if (packed && to_budget(packed, &request.packed_nbytes) < 0) goto done;
    request.keep = keeps;
    request.seeds = seed_ids;
    request.wrt = wrts;
    Py_BEGIN_ALLOW_THREADS;
    status = cnv_plan_prepare(self->plan, &request, &err);
    Py_END_ALLOW_THREADS;
    if (status != CNV_OK) cnv_raise(status, &err);
    failed = status == CNV_OK ? 0 : -1;
done:
    PyMem_Free(keeps);
    PyMem_Free(seed_ids);
    PyMem_Free(wrts);
    return failed;
}

PyObject *cnv_plan_object_prepare(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"keep", "seeds", "wrt", "packed_nbytes", "shares", NULL};
    plan_object *self = (plan_object *)object, *shares = NULL;
    PyObject *keep = NULL, *seeds = NULL, *wrt = NULL, *packed = NULL, *other = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOOO:prepare", names, &keep, &seeds, &wrt, &packed,
                                     &other))
        return NULL;
    if (other != Py_None && !(shares = cnv_plan_object_of(other)))
        return PyErr_Format(PyExc_TypeError, "shares must be a Plan, not %.100s", Py_TYPE(other)->tp_name);
    if (shares == self) shares = NULL;
    if (cnv_plan_enter(self) < 0) return NULL;
    int failed = shares ? cnv_plan_enter(shares) : 0;
    if (!failed) {
        failed = prepare(self, keep, seeds, wrt, packed, shares ? shares->plan : NULL);
        if (shares) cnv_plan_leave(shares);
    }
    cnv_plan_leave(self);
    if (failed) return NULL;
    Py_RETURN_NONE;
}

/* Checks the i-th input and returns its data; NULL with an exception. */
static const float *input_data(const cnv_plan *plan, int i, PyObject *array)
{
    char what[256];
    cnv_value_id value = cnv_plan_input_value(plan, i);
    PyOS_snprintf(what, sizeof what, "input %d (%.200s)", i, cnv_plan_name(plan, value));
    if (cnv_check_array(array, what, cnv_plan_shape(plan, value)) < 0) return NULL;
    return PyArray_DATA((PyArrayObject *)array);
}

static int forward(plan_object *self, PyObject *inputs)
{
    int n = cnv_plan_n_inputs(self->plan);
    cnv_error err;
    cnv_status status;
    const float **data = NULL;
    int failed = -1;
    if (PyTuple_GET_SIZE(inputs) != n) {
        PyErr_Format(PyExc_ValueError, "inputs has %zd arrays, the plan has %d inputs",
                     PyTuple_GET_SIZE(inputs), n);
        return -1;
    }
    data = PyMem_New(const float *, n > 0 ? n : 1);
    if (!data) {
        PyErr_NoMemory();
        return -1;
    }
    for (int i = 0; i < n; i++)
        if (!(data[i] = input_data(self->plan, i, PyTuple_GET_ITEM(inputs, i)))) goto done;
    poller poll = {.asked_ns = now_ns()};
    poll.thread = PyEval_SaveThread();
    status = cnv_plan_forward(self->plan, data, poll_signals, &poll, &err);
    PyEval_RestoreThread(poll.thread);
    if (status == CNV_OK) {
        Py_INCREF(inputs);
        Py_XSETREF(self->inputs, inputs);
        failed = 0;
    } else {
        cnv_raise(status, &err);
    }
done:
    PyMem_Free(data);
    return failed;
}

PyObject *cnv_plan_object_forward(PyObject *object, PyObject *inputs)
{
    plan_object *self = (plan_object *)object;
    if (PyArray_Check(inputs) || !PySequence_Check(inputs)) {
        PyErr_Format(PyExc_TypeError, "inputs must be a sequence of arrays, not %.100s",
                     Py_TYPE(inputs)->tp_name);
        return NULL;
    }
    PyObject *tuple = PySequence_Tuple(inputs);
    if (!tuple) return NULL;
    int failed = cnv_plan_enter(self);
    if (!failed) {
        failed = forward(self, tuple);
        cnv_plan_leave(self);
    }
    Py_DECREF(tuple);
    if (failed) return NULL;
    Py_RETURN_NONE;
}

static int to_relu_rule(PyObject *object, cnv_relu_rule *rule)
{
    static const char *const names[] = {"plain", "guided", "deconv", "redirected"};
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "relu must be a str, not %.100s", Py_TYPE(object)->tp_name);
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        if (PyUnicode_CompareWithASCIIString(object, names[i]) != 0) continue;
        *rule = (cnv_relu_rule)i;
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "relu is %R, not one of plain, guided, deconv, redirected", object);
    return -1;
}

/* Checks a cotangent and writes its data at the index of its seed. */
static int place_cotangent(const cnv_plan *plan, PyObject *key, PyObject *array, const float **data)
{
    char what[256];
    cnv_value_id value;
    if (cnv_to_value(key, "a key of cotangents", &value) < 0) return -1;
    int seed = cnv_plan_seed_index(plan, value);
    if (seed < 0) {
        PyErr_Format(PyExc_ValueError,
                     "cotangents has value %d, which is no seed: name it in prepare(seeds=...)", (int)value);
        return -1;
    }
    PyOS_snprintf(what, sizeof what, "the cotangent of value %d (%.200s)", (int)value,
                  cnv_plan_name(plan, value));
    if (cnv_check_array(array, what, cnv_plan_shape(plan, value)) < 0) return -1;
    data[seed] = PyArray_DATA((PyArrayObject *)array);
    return 0;
}

/* Runs backward; items is a list of pairs, which keeps the arrays alive. */
static int backward(plan_object *self, PyObject *items, cnv_relu_rule rule)
{
    int n_seeds = cnv_plan_n_seeds(self->plan);
    const float **data = PyMem_Calloc(n_seeds > 0 ? (size_t)n_seeds : 1, sizeof *data);
    cnv_error err;
    cnv_status status;
    int failed = -1;
    if (!data) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items); i++) {
        PyObject *pair = PyList_GET_ITEM(items, i);
        if (place_cotangent(self->plan, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1), data) < 0)
            goto done;
    }
    poller poll = {.asked_ns = now_ns()};
    poll.thread = PyEval_SaveThread();
    status = cnv_plan_backward(self->plan, data, rule, poll_signals, &poll, &err);
    PyEval_RestoreThread(poll.thread);
    if (status != CNV_OK) cnv_raise(status, &err);
    failed = status == CNV_OK ? 0 : -1;
done:
    PyMem_Free(data);
    return failed;
}

PyObject *cnv_plan_object_backward(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"cotangents", "relu", NULL};
    plan_object *self = (plan_object *)object;
    PyObject *cotangents, *relu = NULL;
    cnv_relu_rule rule = CNV_RELU_PLAIN;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$O:backward", names, &cotangents, &relu)) return NULL;
    if (relu && to_relu_rule(relu, &rule) < 0) return NULL;
    if (!PyDict_Check(cotangents)) {
        PyErr_Format(PyExc_TypeError, "cotangents must be a dict, not %.100s", Py_TYPE(cotangents)->tp_name);
        return NULL;
    }
    PyObject *items = PyDict_Items(cotangents);
    if (!items) return NULL;
    int failed = cnv_plan_enter(self);
    if (!failed) {
        failed = backward(self, items, rule);
        cnv_plan_leave(self);
    }
    Py_DECREF(items);
    if (failed) return NULL;
    Py_RETURN_NONE;
}
