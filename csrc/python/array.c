#include "python/array.h"

#include <stdatomic.h>

#include "runtime/alloc.h"

/* The sizes of blocks that are kept. The C library keeps the pages of smaller ones itself, and above them a
 * network takes so long that new pages do not matter. Between them lie pictures of 75 to 600 pixels a side.
 */
#define SMALLEST ((size_t)64 << 10)
#define LARGEST ((size_t)4 << 20)
/* SLOTS is the number of blocks that are kept: a step of Adam has six results, and its callers hold two more.
 */
#define SLOTS 8

/* The cache line in front of the numbers. */
typedef union {
    size_t nbytes;
    char line[CNV_ALIGNMENT];
} block;

static _Atomic(block *) idle[SLOTS];
static atomic_uint next_slot;

/* A thread owns the block that it has exchanged out of a slot, so no lock is needed, with or without the GIL.
 */
static block *take(size_t nbytes)
{
    for (int i = 0; i < SLOTS; i++) {
        block *found = atomic_exchange(&idle[i], NULL);
        if (!found) continue;
        if (found->nbytes == nbytes) return found;
        cnv_free(atomic_exchange(&idle[i], found));
    }
    return NULL;
}

static void keep(block *b)
{
    for (int i = 0; i < SLOTS; i++) {
        block *none = NULL;
        if (atomic_compare_exchange_strong(&idle[i], &none, b)) return;
    }
    /* All slots are full, perhaps of sizes that are no longer used: the next call frees another slot's block.
     */
    cnv_free(atomic_exchange(&idle[atomic_fetch_add(&next_slot, 1) % SLOTS], b));
}

static void give_back(PyObject *capsule)
{
    keep(PyCapsule_GetPointer(capsule, NULL));
}

/* A capsule that owns a block of nbytes bytes. */
static PyObject *new_owner(size_t nbytes)
{
    block *b = take(nbytes);
    if (!b) b = cnv_alloc(1, sizeof *b + nbytes);
    if (!b) return PyErr_Format(PyExc_MemoryError, "out of memory: an array takes %zu bytes", nbytes);
    b->nbytes = nbytes;
    PyObject *owner = PyCapsule_New(b, NULL, give_back);
    if (!owner) cnv_free(b);
    return owner;
}

PyObject *cnv_new_array(int ndim, const npy_intp *dim)
{
    size_t nbytes = sizeof(float);
    for (int i = 0; i < ndim; i++)
        if (!cnv_mul_size(nbytes, (size_t)dim[i], &nbytes)) return PyErr_NoMemory();
    if (nbytes < SMALLEST || nbytes > LARGEST) return PyArray_SimpleNew(ndim, dim, NPY_FLOAT32);
    PyObject *owner = new_owner(nbytes);
    if (!owner) return NULL;
    block *b = PyCapsule_GetPointer(owner, NULL);
    PyObject *array = PyArray_SimpleNewFromData(ndim, dim, NPY_FLOAT32, b + 1);
    if (!array) {
        Py_DECREF(owner);
        return NULL;
    }
    if (PyArray_SetBaseObject((PyArrayObject *)array, owner) < 0) Py_CLEAR(array); /* owner is gone too */
    return array;
}
