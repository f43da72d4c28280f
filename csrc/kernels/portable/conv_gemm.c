/*
 * Convolution as matrix products: im2col in strips of output pixels, then cnv_sgemm.
 *
 * Forward, one item is (image, group, strip):   y[OC, strip] = w[OC, K] * columns[K, strip]
 * Backward, one item is (group, block of input channels), for the data gradient of one image, so that no two
 * items write the same gradient:
 *   data      columns[block, strip] = w[OC, block]^T * dy[OC, strip], then col2im, strip after strip
 *   weight    dw[OC, block] += dy[OC, strip] * columns[block, strip]^T, image after image
 * Strips keep the columns in cache and bound the scratch at any picture size.
 */
#include "kernels/portable/conv.h"

#include "runtime/blas.h"

/* The size of the columns of one strip, which are written once and read once by the product: they should stay
 * in the L2 cache in between. Columns of a whole large picture take up to 1.7 times as long. */
#define STRIP_NBYTES ((int64_t)1 << 20)

/* The arithmetic of one forward item, under a millisecond. It shares a 1x1 layer, which has no columns, among
 * threads. */
#define STRIP_FLOPS ((int64_t)64 << 20)

/* The smallest width of a strip: the product packs the weights anew for each strip, and strips of 64 columns
 * make a 512 -> 512 layer 12 to 15 % slower. */
#define STRIP_MIN_WIDTH ((int64_t)128)

/* The rows of a backward product: enough for the GEMM to run near its peak, few enough to make many items. */
#define BLOCK_ROWS ((int64_t)64)

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* The output pixels per strip if the column matrix has `rows` rows and a column costs `flops`. */
static int64_t strip_width(const cnv_conv2d *c, int64_t rows, int64_t flops)
{
    int64_t pixels = cnv_window_outputs(&c->window);
    int64_t width = min64(STRIP_NBYTES / (int64_t)sizeof(float) / rows, STRIP_FLOPS / flops);
    if (width < STRIP_MIN_WIDTH) width = STRIP_MIN_WIDTH;
    if (width >= pixels) return pixels;
    /* strips of equal width, in whole cache lines */
    return min64(ceil_div(ceil_div(pixels, ceil_div(pixels, width)), 16) * 16, pixels);
}

static int64_t forward_width(const cnv_conv2d *c)
{
    int64_t rows = c->ic * cnv_window_taps(&c->window);
    return strip_width(c, rows, 2 * rows * c->oc);
}

static int64_t block_channels(const cnv_conv2d *c)
{
    return min64(ceil_div(BLOCK_ROWS, cnv_window_taps(&c->window)), c->ic);
}

/* The backward strips of an item are computed one after the other, so only their size limits their width. */
static int64_t backward_width(const cnv_conv2d *c)
{
    return strip_width(c, block_channels(c) * cnv_window_taps(&c->window), 1);
}

size_t cnv_conv_gemm_forward_scratch(const cnv_conv2d *c)
{
    if (cnv_conv2d_is_pointwise(c)) return 0;
    return (size_t)(c->ic * cnv_window_taps(&c->window) * forward_width(c)) * sizeof(float);
}

size_t cnv_conv_gemm_backward_scratch(const cnv_conv2d *c)
{
    if (cnv_conv2d_is_pointwise(c)) return 0;
    return (size_t)(block_channels(c) * cnv_window_taps(&c->window) * backward_width(c)) * sizeof(float);
}

typedef struct {
    float *out; /* y, dx or dw; of the inputs below, a pass sets those that it reads */
    const float *x;
    const float *w;
    const float *b;
    const float *dy;
    bool add; /* forward: the numbers of y are kept and added to */
    const cnv_conv2d *c;
    int64_t image; /* weight gradient: the image that is added */
    char *scratch;
    size_t scratch_stride;
} gemm_work;

static float *scratch_of(const gemm_work *work, int worker)
{
    return (float *)(work->scratch + (size_t)worker * work->scratch_stride);
}

/* The columns of `channels` channels of x for a strip, and the floats between two of their rows. */
static const float *columns_of(float *scratch, const float *x, int64_t channels, cnv_span strip,
                               const cnv_conv2d *c, int64_t *row_stride)
{
    if (cnv_conv2d_is_pointwise(c)) {
        *row_stride = cnv_window_outputs(&c->window);
        return x + strip.begin;
    }
    cnv_im2col(scratch, x, channels, strip, &c->window);
    *row_stride = strip.end - strip.begin;
    return scratch;
}

/* y: OC, pixels; only the strip is written. */
static void fill_bias(float *y, const float *b, cnv_span strip, const cnv_conv2d *c)
{
    for (int64_t o = 0; o < c->oc; o++) {
        float *row = y + o * cnv_window_outputs(&c->window);
        for (int64_t p = strip.begin; p < strip.end; p++) row[p] = b[o];
    }
}

static void forward_strip(void *context, int64_t item, int worker)
{
    const gemm_work *work = context;
    const cnv_conv2d *c = work->c;
    int64_t pixels = cnv_window_outputs(&c->window), width = forward_width(c),
            strips = ceil_div(pixels, width);
    int64_t image_group = item / strips, group = image_group % c->groups;
    cnv_span strip = {item % strips * width, min64((item % strips + 1) * width, pixels)};
    float *y = work->out + image_group * c->oc * pixels;
    int64_t rows = c->ic * cnv_window_taps(&c->window), stride;
    const float *columns =
        columns_of(scratch_of(work, worker), work->x + image_group * c->ic * cnv_window_inputs(&c->window),
                   c->ic, strip, c, &stride);
    if (work->b != NULL) fill_bias(y, work->b + group * c->oc, strip, c);
    cnv_sgemm(false, false, c->oc, strip.end - strip.begin, rows, 1.0f, work->w + group * c->oc * rows, rows,
              columns, stride, work->b != NULL || work->add ? 1.0f : 0.0f, y + strip.begin, pixels);
}

void cnv_conv_gemm_forward(float *y, const float *x, const float *w, const float *b, bool add,
                           const cnv_conv2d *c, void *scratch, size_t scratch_stride, cnv_run *run)
{
    gemm_work work = {.out = y,
                      .x = x,
                      .w = w,
                      .b = b,
                      .add = add,
                      .c = c,
                      .scratch = scratch,
                      .scratch_stride = scratch_stride};
    cnv_parallel(run, c->n * c->groups * ceil_div(cnv_window_outputs(&c->window), forward_width(c)),
                 forward_strip, &work);
}

/* The input channels of one backward item. */
typedef struct {
    int64_t group;
    int64_t first; /* the first channel, counted within the group */
    int64_t channels;
    int64_t rows;   /* channels * KH * KW */
    int64_t filter; /* numbers in one filter */
} channel_block;

static channel_block block_of(const cnv_conv2d *c, int64_t item)
{
    int64_t step = block_channels(c), blocks = ceil_div(c->ic, step);
    channel_block block = {.group = item / blocks, .first = item % blocks * step};
    block.channels = min64(step, c->ic - block.first);
    block.rows = block.channels * cnv_window_taps(&c->window);
    block.filter = c->ic * cnv_window_taps(&c->window);
    return block;
}

static int64_t backward_items(const cnv_conv2d *c)
{
    return c->groups * ceil_div(c->ic, block_channels(c));
}

static void backward_data_block(void *context, int64_t item, int worker)
{
    const gemm_work *work = context;
    const cnv_conv2d *c = work->c;
    int64_t image = item / backward_items(c), pixels = cnv_window_outputs(&c->window),
            width = backward_width(c);
    channel_block k = block_of(c, item % backward_items(c));
    const float *w = work->w + k.group * c->oc * k.filter + k.first * cnv_window_taps(&c->window);
    const float *dy = work->dy + (image * c->groups + k.group) * c->oc * pixels;
    float *dx = work->out + ((image * c->groups + k.group) * c->ic + k.first) * cnv_window_inputs(&c->window);
    if (cnv_conv2d_is_pointwise(c)) {
        cnv_sgemm(true, false, k.rows, pixels, c->oc, 1.0f, w, k.filter, dy, pixels, 1.0f, dx, pixels);
        return;
    }
    float *columns = scratch_of(work, worker);
    for (int64_t p = 0; p < pixels; p += width) {
        cnv_span strip = {p, min64(p + width, pixels)};
        int64_t n = strip.end - strip.begin;
        cnv_sgemm(true, false, k.rows, n, c->oc, 1.0f, w, k.filter, dy + p, pixels, 0.0f, columns, n);
        cnv_col2im(dx, columns, k.channels, strip, &c->window);
    }
}

void cnv_conv_gemm_backward_data(float *dx, const float *dy, const float *w, const cnv_conv2d *c,
                                 void *scratch, size_t scratch_stride, cnv_run *run)
{
    gemm_work work = {
        .out = dx, .dy = dy, .w = w, .c = c, .scratch = scratch, .scratch_stride = scratch_stride};
    cnv_parallel(run, c->n * backward_items(c), backward_data_block, &work);
}

static void backward_weight_block(void *context, int64_t item, int worker)
{
    const gemm_work *work = context;
    const cnv_conv2d *c = work->c;
    int64_t pixels = cnv_window_outputs(&c->window), width = backward_width(c), stride;
    channel_block k = block_of(c, item);
    int64_t image_group = work->image * c->groups + k.group;
    const float *x = work->x + (image_group * c->ic + k.first) * cnv_window_inputs(&c->window);
    const float *dy = work->dy + image_group * c->oc * pixels;
    float *dw = work->out + k.group * c->oc * k.filter + k.first * cnv_window_taps(&c->window);
    for (int64_t p = 0; p < pixels; p += width) {
        cnv_span strip = {p, min64(p + width, pixels)};
        const float *columns = columns_of(scratch_of(work, worker), x, k.channels, strip, c, &stride);
        cnv_sgemm(false, true, c->oc, k.rows, strip.end - strip.begin, 1.0f, dy + p, pixels, columns, stride,
                  1.0f, dw, k.filter);
    }
}

void cnv_conv_gemm_backward_weight(float *dw, const float *dy, const float *x, const cnv_conv2d *c,
                                   void *scratch, size_t scratch_stride, cnv_run *run)
{
    gemm_work work = {
        .out = dw, .dy = dy, .x = x, .c = c, .scratch = scratch, .scratch_stride = scratch_stride};
    for (work.image = 0; work.image < c->n; work.image++)
        cnv_parallel(run, backward_items(c), backward_weight_block, &work);
}
