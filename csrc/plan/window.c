#include "plan/window.h"

static cnv_status check_between(int64_t value, int64_t low, const char *what, int axis, cnv_error *err)
{
    if (value >= low && value <= INT32_MAX) return CNV_OK;
    return cnv_fail(err, CNV_INVALID, "%s %s is %lld, it must lie in %lld..%d", axis == 0 ? "row" : "column",
                    what, (long long)value, (long long)low, INT32_MAX);
}

static cnv_status check_params(const cnv_window_params *window, const int64_t kernel[2], int axis,
                               cnv_error *err)
{
    cnv_status status = CNV_OK;
    CNV_TRY(check_between(kernel[axis], 1, "kernel", axis, err));
    CNV_TRY(check_between(window->stride[axis], 1, "stride", axis, err));
    CNV_TRY(check_between(window->dilation[axis], 1, "dilation", axis, err));
    CNV_TRY(check_between(window->pad[axis], 0, "pad before", axis, err));
    CNV_TRY(check_between(window->pad[axis + 2], 0, "pad after", axis, err));
done:
    return status;
}

static cnv_status infer_axis(const cnv_window_params *window, const int64_t kernel[2], bool ceil_mode,
                             int axis, int64_t extent, int64_t *n_out, cnv_error *err)
{
    cnv_status status = CNV_OK;
    int64_t before = window->pad[axis], after = window->pad[axis + 2], stride = window->stride[axis];
    CNV_TRY(check_params(window, kernel, axis, err));
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
    /* Ceil mode adds one window, unless it would start beyond the picture and the padding before it. */
    if (ceil_mode && room % stride != 0 && *n_out * stride < extent + before) ++*n_out;
done:
    return status;
}

cnv_status cnv_infer_window(const cnv_window_params *window, const int64_t kernel[2], bool ceil_mode,
                            const cnv_shape *x, cnv_shape *y, cnv_error *err)
{
    cnv_status status = CNV_OK;
    for (int axis = 0; axis < 2; axis++)
        CNV_TRY(infer_axis(window, kernel, ceil_mode, axis, x->dim[2 + axis], &y->dim[2 + axis], err));
done:
    return status;
}

/* No sum overflows: each factor is less than 2^31. */
static cnv_status infer_transposed_axis(const cnv_conv_params *conv, const int64_t kernel[2], int axis,
                                        int64_t extent, int64_t *n_out, cnv_error *err)
{
    cnv_status status = CNV_OK;
    const cnv_window_params *window = &conv->window;
    CNV_TRY(check_params(window, kernel, axis, err));
    CNV_TRY(check_between(extent, 1, "extent of x", axis, err));
    CNV_TRY(check_between(conv->output_padding[axis], 0, "output padding", axis, err));
    int64_t reach = (kernel[axis] - 1) * window->dilation[axis] + 1,
            covered = (extent - 1) * window->stride[axis] + reach;
    *n_out = covered - window->pad[axis] - window->pad[axis + 2] + conv->output_padding[axis];
    if (*n_out < 1)
        status = cnv_fail(err, CNV_INVALID,
                          "the windows of %lld %s cover %lld, of which the padding (%lld + %lld) leaves none",
                          (long long)extent, axis == 0 ? "rows" : "columns", (long long)covered,
                          (long long)window->pad[axis], (long long)window->pad[axis + 2]);
done:
    return status;
}

cnv_status cnv_infer_transposed_window(const cnv_conv_params *conv, const int64_t kernel[2],
                                       const cnv_shape *x, cnv_shape *y, cnv_error *err)
{
    cnv_status status = CNV_OK;
    for (int axis = 0; axis < 2; axis++)
        CNV_TRY(infer_transposed_axis(conv, kernel, axis, x->dim[2 + axis], &y->dim[2 + axis], err));
done:
    return status;
}

static cnv_window window_of(const cnv_shape *x, const cnv_shape *y, const cnv_window_params *p,
                            const int64_t kernel[2])
{
    return (cnv_window){.ih = x->dim[2],
                        .iw = x->dim[3],
                        .oh = y->dim[2],
                        .ow = y->dim[3],
                        .kernel = {kernel[0], kernel[1]},
                        .stride = {p->stride[0], p->stride[1]},
                        .pad = {p->pad[0], p->pad[1], p->pad[2], p->pad[3]},
                        .dilation = {p->dilation[0], p->dilation[1]}};
}

cnv_window cnv_conv_window(const cnv_node *node)
{
    return window_of(node->x_shape[0], node->y_shape, &node->params.conv.window, &node->x_shape[1]->dim[2]);
}

cnv_window cnv_transposed_window(const cnv_node *node)
{
    return window_of(node->y_shape, node->x_shape[0], &node->params.conv.window, &node->x_shape[1]->dim[2]);
}

cnv_window cnv_pool_window(const cnv_node *node)
{
    return window_of(node->x_shape[0], node->y_shape, &node->params.pool.window,
                     node->params.pool.window.kernel);
}
