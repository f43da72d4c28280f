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
