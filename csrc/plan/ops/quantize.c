/*
 * quantize(x; low, high): the integer next to x, halves to even, held within low..high. Any shape. The
 * gradient passes straight through the rounding, where x lies within low..high.
 */
#include "kernels/portable/quantize.h"

#include <math.h>

#include "plan/op.h"

static bool is_end(float number)
{
    return fabsf(number) <= CNV_QUANTIZE_MOST && number == rintf(number);
}

static cnv_status quantize_infer(const cnv_node *node, cnv_shape *y, cnv_error *err)
{
    float low = node->params.clip.low, high = node->params.clip.high;
    if (!is_end(low) || !is_end(high) || low > high)
        return cnv_fail(err, CNV_INVALID, "low %g and high %g must be integers in this order, of at most %g",
                        (double)low, (double)high, (double)CNV_QUANTIZE_MOST);
    return cnv_infer_same(node, y, err);
}

static void quantize_needs(const cnv_node *node, cnv_needs *needs)
{
    (void)node;
    needs->backward_reads = 1u << 0;
}

static void quantize_forward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    cnv_quantize_forward(io->y, io->x[0], cnv_size_of_x(node), node->params.clip.low, node->params.clip.high,
                         run);
}

static void quantize_backward(const cnv_node *node, const cnv_io *io, cnv_run *run)
{
    if (io->dx[0] != NULL)
        cnv_quantize_backward(io->dx[0], io->dy, io->x[0], cnv_size_of_x(node), node->params.clip.low,
                              node->params.clip.high, run);
}

static const cnv_argument quantize_arguments[] = {
    CNV_INPUT(x),
    CNV_PARAM(low, NUMBER, clip.low),
    CNV_PARAM(high, NUMBER, clip.high),
    CNV_END,
};

const cnv_op cnv_op_quantize = {
    .name = "quantize",
    .arguments = quantize_arguments,
    .infer = quantize_infer,
    .elementwise = true,
    .kernel = {.inplace = true,
               .needs = quantize_needs,
               .forward = quantize_forward,
               .backward = quantize_backward},
};
