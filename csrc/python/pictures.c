#include "python/pictures.h"

#include "kernels/pictures/lbfgs.h"
#include "kernels/pictures/picture.h"
#include "kernels/pictures/variation.h"
#include "kernels/pictures/warp.h"
#include "python/array.h"
#include "python/convert.h"

static const float *numbers(PyObject *array)
{
    return PyArray_DATA((PyArrayObject *)array);
}

static PyObject *new_like(PyObject *array)
{
    return cnv_new_array(PyArray_NDIM((PyArrayObject *)array), PyArray_DIMS((PyArrayObject *)array));
}

/* Reads the extents of a float32 array with a batch axis and, if `channels`, a channel axis. */
static int read_picture(PyObject *object, const char *what, bool channels, cnv_picture *p)
{
    if (cnv_check_array(object, what, NULL) < 0) return -1;
    PyArrayObject *array = (PyArrayObject *)object;
    int ndim = PyArray_NDIM(array), axes = channels ? 2 : 1;
    if (ndim < axes || PyArray_SIZE(array) == 0) {
        PyErr_Format(PyExc_ValueError, "%s must have at least %d axes and one number", what, axes);
        return -1;
    }
    p->batch = PyArray_DIM(array, 0);
    p->channels = channels ? PyArray_DIM(array, 1) : 1;
    p->size = PyArray_SIZE(array) / (p->batch * p->channels);
    return 0;
}

/* Checks that `object` is a float32 array shaped as `like`. */
static int same_shape(PyObject *object, const char *what, PyObject *like)
{
    cnv_shape shape;
    if (cnv_array_shape((PyArrayObject *)like, what, &shape) < 0) return -1;
    return cnv_check_array(object, what, &shape);
}

/* Checks that `object` is a float32 array of `count` numbers, or of 1 if `broadcasts`, and counts them. */
static int read_numbers(PyObject *object, const char *what, int64_t count, bool broadcasts, int64_t *found)
{
    if (cnv_check_array(object, what, NULL) < 0) return -1;
    *found = PyArray_SIZE((PyArrayObject *)object);
    if (*found == count || (broadcasts && *found == 1)) return 0;
    PyErr_Format(PyExc_ValueError, "%s has %lld numbers, not %lld", what, (long long)*found,
                 (long long)count);
    return -1;
}

/* Reads None or a pair (low, high), whose arrays the box borrows. */
static int read_box(PyObject *bounds, const cnv_picture *p, cnv_box *box)
{
    PyObject *low, *high;
    int64_t lows, highs;
    *box = (cnv_box){.count = 1};
    if (bounds == Py_None) return 0;
    if (!PyTuple_Check(bounds) || PyTuple_GET_SIZE(bounds) != 2) {
        PyErr_SetString(PyExc_TypeError, "bounds must be None or a pair of arrays (low, high)");
        return -1;
    }
    low = PyTuple_GET_ITEM(bounds, 0);
    high = PyTuple_GET_ITEM(bounds, 1);
    if (read_numbers(low, "the lower bound", p->channels, true, &lows) < 0) return -1;
    if (read_numbers(high, "the upper bound", lows, false, &highs) < 0) return -1;
    *box = (cnv_box){numbers(low), numbers(high), lows};
    return 0;
}

static PyObject *all_finite(PyObject *module, PyObject *x)
{
    bool finite;
    (void)module;
    if (cnv_check_array(x, "x", NULL) < 0) return NULL;
    Py_BEGIN_ALLOW_THREADS;
    finite = cnv_all_finite(numbers(x), PyArray_SIZE((PyArrayObject *)x));
    Py_END_ALLOW_THREADS;
    return PyBool_FromLong(finite);
}

static PyObject *dots(PyObject *module, PyObject *args)
{
    PyObject *x, *y;
    cnv_picture p;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO:dots", &x, &y)) return NULL;
    if (read_picture(x, "x", false, &p) < 0 || same_shape(y, "y", x) < 0) return NULL;
    npy_intp batch = p.batch;
    PyObject *sums = PyArray_SimpleNew(1, &batch, NPY_FLOAT64);
    if (!sums) return NULL;
    double *data = PyArray_DATA((PyArrayObject *)sums);
    Py_BEGIN_ALLOW_THREADS;
    cnv_dots(data, numbers(x), numbers(y), p.batch, p.size);
    Py_END_ALLOW_THREADS;
    return sums;
}

static PyObject *affine(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"x", "slope", "shift", "divisor", "reverse", "overwrite", NULL};
    PyObject *x, *slope, *shift = Py_None, *divisor = Py_None;
    int reverse = 0, overwrite = 0;
    int64_t found;
    cnv_picture p;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|OOpp:affine", names, &x, &slope, &shift, &divisor,
                                     &reverse, &overwrite))
        return NULL;
    if (read_picture(x, "x", true, &p) < 0) return NULL;
    if (read_numbers(slope, "slope", p.channels, false, &found) < 0) return NULL;
    if (shift != Py_None && read_numbers(shift, "shift", p.channels, false, &found) < 0) return NULL;
    if (divisor != Py_None && read_numbers(divisor, "divisor", p.channels, false, &found) < 0) return NULL;
    PyObject *y = overwrite && !reverse && PyArray_ISWRITEABLE((PyArrayObject *)x) ? x : new_like(x);
    if (!y) return NULL;
    if (y == x) Py_INCREF(y);
    const cnv_affine line = {.slope = numbers(slope),
                             .shift = shift == Py_None ? NULL : numbers(shift),
                             .divisor = divisor == Py_None ? NULL : numbers(divisor),
                             .reversed = reverse != 0};
    float *data = PyArray_DATA((PyArrayObject *)y);
    Py_BEGIN_ALLOW_THREADS;
    cnv_affine_forward(data, numbers(x), &p, &line);
    Py_END_ALLOW_THREADS;
    return y;
}

static PyObject *ascend(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"z", "g", "rate", "bounds", NULL};
    PyObject *z, *g, *rate, *bounds = Py_None;
    int64_t found;
    cnv_picture p;
    cnv_box box;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|O:ascend", names, &z, &g, &rate, &bounds))
        return NULL;
    if (read_picture(z, "z", true, &p) < 0 || same_shape(g, "g", z) < 0) return NULL;
    if (read_numbers(rate, "rate", p.batch, false, &found) < 0 || read_box(bounds, &p, &box) < 0) return NULL;
    PyObject *y = new_like(z);
    if (!y) return NULL;
    float *data = PyArray_DATA((PyArrayObject *)y);
    Py_BEGIN_ALLOW_THREADS;
    cnv_ascend(data, numbers(z), numbers(g), &p, numbers(rate), &box);
    Py_END_ALLOW_THREADS;
    return y;
}

/* Returns the tuple of the next z, mean and square. */
static PyObject *run_adam(PyObject *const from[3], const float *g, const cnv_picture *p, const cnv_adam *adam,
                          const cnv_box *box)
{
    float *data[6];
    PyObject *made = PyTuple_New(3);
    if (!made) return NULL;
    for (int i = 0; i < 3; i++) {
        PyObject *array = new_like(from[i]);
        if (!array) {
            Py_DECREF(made);
            return NULL;
        }
        PyTuple_SET_ITEM(made, i, array);
        data[i] = PyArray_DATA((PyArrayObject *)array);
        data[3 + i] = PyArray_DATA((PyArrayObject *)from[i]);
    }
    const cnv_adam_state to = {data[0], data[1], data[2]}, here = {data[3], data[4], data[5]};
    Py_BEGIN_ALLOW_THREADS;
    cnv_adam_step(&to, &here, g, p, adam, box);
    Py_END_ALLOW_THREADS;
    return made;
}

static PyObject *adam_step(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"z",     "mean", "square", "g",       "bounds", "beta1",
                            "beta2", "rate", "scale",  "epsilon", NULL};
    PyObject *from[3], *g, *bounds;
    double beta1, beta2, rate, scale, epsilon;
    cnv_picture p;
    cnv_box box;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOO$ddddd:adam_step", names, &from[0], &from[1],
                                     &from[2], &g, &bounds, &beta1, &beta2, &rate, &scale, &epsilon))
        return NULL;
    if (read_picture(from[0], "z", true, &p) < 0 || read_box(bounds, &p, &box) < 0) return NULL;
    if (same_shape(from[1], "mean", from[0]) < 0 || same_shape(from[2], "square", from[0]) < 0) return NULL;
    if (same_shape(g, "g", from[0]) < 0) return NULL;
    const cnv_adam adam = {
        .keep_mean = (float)beta1,
        .add_mean = (float)(1.0 - beta1),
        .keep_square = (float)beta2,
        .add_square = (float)(1.0 - beta2),
        .rate = (float)rate,
        .scale = (float)scale,
        .epsilon = (float)epsilon,
    };
    return run_adam(from, numbers(g), &p, &adam, &box);
}

static PyObject *free_to_move(PyObject *module, PyObject *args)
{
    PyObject *z, *g, *bounds;
    cnv_picture p;
    cnv_box box;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOO:free_to_move", &z, &g, &bounds)) return NULL;
    if (read_picture(z, "z", true, &p) < 0 || same_shape(g, "g", z) < 0) return NULL;
    if (read_box(bounds, &p, &box) < 0) return NULL;
    PyObject *mask = new_like(z);
    if (!mask) return NULL;
    float *data = PyArray_DATA((PyArrayObject *)mask);
    Py_BEGIN_ALLOW_THREADS;
    cnv_free_to_move(data, numbers(z), numbers(g), &p, &box);
    Py_END_ALLOW_THREADS;
    return mask;
}

/* Reads at most CNV_MAX_PAIRS arrays shaped as `like`. `vectors` borrows from the returned tuple, not from
 * the given list, which other threads could change while the product runs without the GIL. */
static PyObject *read_vectors(PyObject *object, const char *what, PyObject *like, const float **vectors)
{
    PyObject *tuple = PySequence_Tuple(object);
    if (!tuple) return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    int failed = count > CNV_MAX_PAIRS ? -1 : 0;
    if (failed) PyErr_Format(PyExc_ValueError, "%s has %zd arrays, not up to %d", what, count, CNV_MAX_PAIRS);
    for (Py_ssize_t i = 0; !failed && i < count; i++) {
        PyObject *vector = PyTuple_GET_ITEM(tuple, i);
        failed = same_shape(vector, what, like);
        if (!failed) vectors[i] = numbers(vector);
    }
    if (failed) Py_CLEAR(tuple);
    return tuple;
}

static PyObject *run_lbfgs(PyObject *g, PyObject *mask, const cnv_pairs *pairs)
{
    PyObject *d = new_like(g);
    if (!d) return NULL;
    float *data = PyArray_DATA((PyArrayObject *)d);
    int64_t n = PyArray_SIZE((PyArrayObject *)g);
    bool usable;
    Py_BEGIN_ALLOW_THREADS;
    usable = cnv_lbfgs_product(data, numbers(g), numbers(mask), n, pairs);
    Py_END_ALLOW_THREADS;
    if (usable) return d;
    Py_DECREF(d);
    Py_RETURN_NONE;
}

static PyObject *lbfgs_product(PyObject *module, PyObject *args)
{
    PyObject *g, *mask, *s, *y, *s_held = NULL, *y_held = NULL, *result = NULL;
    cnv_pairs pairs;
    cnv_picture p;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOO:lbfgs_product", &g, &mask, &s, &y)) return NULL;
    if (read_picture(g, "g", false, &p) < 0 || same_shape(mask, "free", g) < 0) return NULL;
    if (!(s_held = read_vectors(s, "s", g, pairs.s))) goto done;
    if (!(y_held = read_vectors(y, "y", g, pairs.y))) goto done;
    pairs.count = (int)PyTuple_GET_SIZE(s_held);
    if (pairs.count == PyTuple_GET_SIZE(y_held))
        result = run_lbfgs(g, mask, &pairs);
    else
        PyErr_Format(PyExc_ValueError, "s has %zd arrays and y has %zd, they must have as many as each other",
                     PyTuple_GET_SIZE(s_held), PyTuple_GET_SIZE(y_held));
done:
    Py_XDECREF(s_held);
    Py_XDECREF(y_held);
    return result;
}

static PyObject *total_variation(PyObject *module, PyObject *args)
{
    PyObject *x, *result = NULL;
    int power;
    double scale;
    (void)module;
    if (!PyArg_ParseTuple(args, "Oid:total_variation", &x, &power, &scale)) return NULL;
    if (cnv_check_array(x, "x", NULL) < 0) return NULL;
    if (power != 1 && power != 2) return PyErr_Format(PyExc_ValueError, "power is %d, not 1 or 2", power);
    if (PyArray_NDIM((PyArrayObject *)x) != 4 || PyArray_SIZE((PyArrayObject *)x) == 0)
        return PyErr_Format(PyExc_ValueError, "x must have 4 axes and at least one number");
    npy_intp *dim = PyArray_DIMS((PyArrayObject *)x), batch = dim[0], size = dim[1] * dim[2] * dim[3];
    PyObject *sums = PyArray_SimpleNew(1, &batch, NPY_FLOAT64), *dx = new_like(x);
    if (!sums || !dx) goto done;
    double *sum = PyArray_DATA((PyArrayObject *)sums);
    float *d = PyArray_DATA((PyArrayObject *)dx);
    Py_BEGIN_ALLOW_THREADS;
    for (npy_intp i = 0; i < batch; i++)
        sum[i] = cnv_total_variation(d + i * size, numbers(x) + i * size, dim[1], dim[2], dim[3], power,
                                     (float)scale);
    Py_END_ALLOW_THREADS;
    result = PyTuple_Pack(2, sums, dx);
done:
    Py_XDECREF(sums);
    Py_XDECREF(dx);
    return result;
}

static int read_planes(PyObject *x, cnv_planes *p)
{
    if (cnv_check_array(x, "x", NULL) < 0) return -1;
    PyArrayObject *array = (PyArrayObject *)x;
    if (PyArray_NDIM(array) != 4 || PyArray_SIZE(array) == 0 ||
        PyArray_DIM(array, 2) > INT32_MAX / PyArray_DIM(array, 3)) {
        PyErr_SetString(PyExc_ValueError,
                        "x must have 4 axes, at least one number, and planes of below 2^31 numbers");
        return -1;
    }
    *p = (cnv_planes){PyArray_DIM(array, 0) * PyArray_DIM(array, 1), PyArray_DIM(array, 2),
                      PyArray_DIM(array, 3)};
    return 0;
}

static PyObject *roll(PyObject *module, PyObject *args)
{
    PyObject *x;
    Py_ssize_t down, right;
    cnv_planes p;
    (void)module;
    if (!PyArg_ParseTuple(args, "Onn:roll", &x, &down, &right) || read_planes(x, &p) < 0) return NULL;
    PyObject *y = new_like(x);
    if (!y) return NULL;
    float *data = PyArray_DATA((PyArrayObject *)y);
    down = (down % p.rows + p.rows) % p.rows;
    right = (right % p.columns + p.columns) % p.columns;
    Py_BEGIN_ALLOW_THREADS;
    cnv_roll(data, numbers(x), &p, down, right);
    Py_END_ALLOW_THREADS;
    return y;
}

static PyObject *resample(PyObject *module, PyObject *args)
{
    PyObject *x;
    cnv_planes p;
    cnv_place row, column;
    int adjoint;
    (void)module;
    if (!PyArg_ParseTuple(args, "O(ddd)(ddd)p:resample", &x, &row.offset, &row.by_row, &row.by_column,
                          &column.offset, &column.by_row, &column.by_column, &adjoint))
        return NULL;
    if (read_planes(x, &p) < 0) return NULL;
    PyObject *y = new_like(x);
    if (!y) return NULL;
    float *data = PyArray_DATA((PyArrayObject *)y);
    Py_BEGIN_ALLOW_THREADS;
    (adjoint ? cnv_resample_adjoint : cnv_resample)(data, numbers(x), &p, &row, &column);
    Py_END_ALLOW_THREADS;
    return y;
}

PyMethodDef cnv_picture_functions[] = {
    {"all_finite", all_finite, METH_O, "all_finite(x, /)\n--\n\nWhether no number is NaN or infinite."},
    {"dots", dots, METH_VARARGS, "dots(x, y, /)\n--\n\nThe inner product of each image, in float64."},
    {"affine", (PyCFunction)(void (*)(void))affine, METH_VARARGS | METH_KEYWORDS,
     "affine(x, slope, shift=None, divisor=None, reverse=False, overwrite=False)\n--\n\n(slope * x + shift) "
     "/ divisor, for each channel."},
    {"ascend", (PyCFunction)(void (*)(void))ascend, METH_VARARGS | METH_KEYWORDS,
     "ascend(z, g, rate, bounds=None)\n--\n\nz + rate * g, clipped to the bounds."},
    {"adam_step", (PyCFunction)(void (*)(void))adam_step, METH_VARARGS | METH_KEYWORDS,
     "adam_step(z, mean, square, g, bounds, *, beta1, beta2, rate, scale, epsilon)\n--\n\n"
     "A step of Adam: the next z, mean and square."},
    {"free_to_move", free_to_move, METH_VARARGS,
     "free_to_move(z, g, bounds, /)\n--\n\n0 where z is at a bound and g points beyond it, else 1."},
    {"lbfgs_product", lbfgs_product, METH_VARARGS,
     "lbfgs_product(g, free, s, y, /)\n--\n\nThe inverse Hessian of the pairs (s, y) times g; None without a "
     "usable pair."},
    {"total_variation", total_variation, METH_VARARGS,
     "total_variation(x, power, scale, /)\n--\n\nThe total variation of each image, and scale times its "
     "gradient."},
    {"roll", roll, METH_VARARGS,
     "roll(x, down, right, /)\n--\n\nRoll planes; pixels that leave on one side enter on the other."},
    {"resample", resample, METH_VARARGS,
     "resample(x, row, column, adjoint, /)\n--\n\nResample planes through an affine map, or the adjoint."},
    {NULL, NULL, 0, NULL},
};
