/*
 * The checks that operators of several families make.
 */
#include "plan/op.h"

#include <stdio.h>

cnv_shape_text cnv_shape_format(const cnv_shape *shape)
{
    cnv_shape_text out = {"scalar"};
    size_t used = 0;
    for (int i = 0; i < shape->ndim && used < sizeof out.text; i++)
        used += (size_t)snprintf(out.text + used, sizeof out.text - used, i ? " x %lld" : "%lld",
                                 (long long)shape->dim[i]);
    return out;
}

cnv_status cnv_check_ndim(const cnv_node *node, int i, const char *what, int ndim, cnv_error *err)
{
    if (node->x_shape[i]->ndim == ndim) return CNV_OK;
    return cnv_fail(err, CNV_INVALID, "%s has %d dimensions (%s), not %d", what, node->x_shape[i]->ndim,
                    cnv_shape_format(node->x_shape[i]).text, ndim);
}

cnv_status cnv_check_axis(const cnv_node *node, int axis, cnv_error *err)
{
    int ndim = node->x_shape[0]->ndim;
    if (axis >= 0 && axis < ndim) return CNV_OK;
    return cnv_fail(err, CNV_INVALID, "axis is %d, but x has %d dimensions (%s)", axis, ndim,
                    cnv_shape_format(node->x_shape[0]).text);
}

cnv_status cnv_broadcast_shape(const cnv_shape *a, const cnv_shape *b, cnv_shape *y, cnv_error *err)
{
    y->ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
    for (int i = 1; i <= y->ndim; i++) {
        int64_t da = i <= a->ndim ? a->dim[a->ndim - i] : 1, db = i <= b->ndim ? b->dim[b->ndim - i] : 1;
        if (da != db && da != 1 && db != 1)
            return cnv_fail(err, CNV_INVALID, "shapes %s and %s do not broadcast", cnv_shape_format(a).text,
                            cnv_shape_format(b).text);
        y->dim[y->ndim - i] = da > db ? da : db;
    }
    return CNV_OK;
}

cnv_status cnv_infer_same(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    *y = *node->x_shape[0];
    (void)err;
    return CNV_OK;
}

static cnv_status check_between(int64_t value, int64_t low, const char *what, int axis, cnv_error *err)
{
    if (value >= low && value <= INT32_MAX) return CNV_OK;
    return cnv_fail(err, CNV_INVALID, "%s %s is %lld, it must lie in %lld..%d", axis == 0 ? "row" : "column",
                    what, (long long)value, (long long)low, INT32_MAX);
}

cnv_status cnv_infer_window(const cnv_window_params *window, const int64_t kernel[2], bool ceil_mode,
                            int axis, int64_t extent, int64_t *n_out, cnv_error *err)
{
    cnv_status status = CNV_OK;
    int64_t before = window->pad[axis], after = window->pad[axis + 2], stride = window->stride[axis];
    CNV_TRY(check_between(kernel[axis], 1, "kernel", axis, err));
    CNV_TRY(check_between(stride, 1, "stride", axis, err));
    CNV_TRY(check_between(window->dilation[axis], 1, "dilation", axis, err));
    CNV_TRY(check_between(before, 0, "pad before", axis, err));
    CNV_TRY(check_between(after, 0, "pad after", axis, err));
    int64_t reach = (kernel[axis] - 1) * window->dilation[axis] + 1, room = extent + before + after - reach;
    if (room < 0) {
        status =
            cnv_fail(err, CNV_INVALID,
                     "kernel %lld with dilation %lld spans %lld %s, but the picture has %lld with padding "
                     "(%lld + %lld + %lld)",
                     (long long)kernel[axis], (long long)window->dilation[axis], (long long)reach,
                     axis == 0 ? "rows" : "columns", (long long)(extent + before + after), (long long)before,
                     (long long)extent, (long long)after);
        goto done;
    }
    *n_out = room / stride + 1;
    /* ceil mode: one more window, unless it would start beyond the picture and the padding before it */
    if (ceil_mode && room % stride != 0 && *n_out * stride < extent + before) ++*n_out;
done:
    return status;
}
