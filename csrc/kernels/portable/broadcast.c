#include "kernels/portable/broadcast.h"

/* Stride of `axis`, counted among the ndim axes of the output, in an array that may have fewer. */
static int64_t stride_of(const cnv_shape *array, int ndim, int axis)
{
    int own = axis - (ndim - array->ndim);
    if (own < 0 || array->dim[own] == 1) return 0;
    int64_t stride = 1;
    for (int i = own + 1; i < array->ndim; i++) stride *= array->dim[i];
    return stride;
}

static void append_axis(cnv_broadcast *shape, int64_t dim, int64_t y, int64_t a, int64_t b)
{
    int last = shape->ndim - 1;
    if (last >= 0 && shape->y[last] == y * dim && shape->a[last] == a * dim && shape->b[last] == b * dim) {
        shape->dim[last] *= dim;
    } else {
        last = shape->ndim++;
        shape->dim[last] = dim;
    }
    shape->y[last] = y;
    shape->a[last] = a;
    shape->b[last] = b;
}

/* Gives a scalar one axis of extent 1. */
static void ensure_axis(cnv_broadcast *shape)
{
    if (shape->ndim == 0) append_axis(shape, 1, 0, 0, 0);
}

cnv_broadcast cnv_broadcast_of(const cnv_shape *y, const cnv_shape *a, const cnv_shape *b)
{
    cnv_broadcast out = {.ndim = 0};
    for (int i = 0; i < y->ndim; i++)
        if (y->dim[i] > 1)
            append_axis(&out, y->dim[i], stride_of(y, y->ndim, i), stride_of(a, y->ndim, i),
                        stride_of(b, y->ndim, i));
    ensure_axis(&out);
    return out;
}

int64_t cnv_broadcast_size(const cnv_broadcast *shape)
{
    int64_t size = 1;
    for (int i = 0; i < shape->ndim; i++) size *= shape->dim[i];
    return size;
}

cnv_stretch cnv_broadcast_stretch(const cnv_broadcast *shape, int64_t begin, int64_t end)
{
    cnv_stretch s = {0, 0, 0, shape->dim[shape->ndim - 1] - begin % shape->dim[shape->ndim - 1]};
    if (s.n > end - begin) s.n = end - begin;
    for (int i = shape->ndim - 1; i >= 0; i--) {
        int64_t index = begin % shape->dim[i];
        s.y += index * shape->y[i];
        s.a += index * shape->a[i];
        s.b += index * shape->b[i];
        begin /= shape->dim[i];
    }
    return s;
}

cnv_fold cnv_fold_of(const cnv_broadcast *shape, bool to_a)
{
    cnv_fold fold = {.kept = {.ndim = 0}, .dropped = {.ndim = 0}};
    for (int i = 0; i < shape->ndim; i++) {
        bool dropped = (to_a ? shape->a[i] : shape->b[i]) == 0;
        append_axis(dropped ? &fold.dropped : &fold.kept, shape->dim[i], shape->y[i], shape->a[i],
                    shape->b[i]);
    }
    ensure_axis(&fold.kept);
    ensure_axis(&fold.dropped);
    fold.n_kept = cnv_broadcast_size(&fold.kept);
    fold.n_dropped = cnv_broadcast_size(&fold.dropped);
    return fold;
}
