#include "kernels/portable/roi_align.h"

#include <math.h>

#include "kernels/window.h"

/* The channels of one item, for which the samples of a region are found once. */
#define CHANNEL_BLOCK 16

/* The samples of a bin along an axis are at most so many times the extent of x: enough for every region up to
 * that size, and a bound for regions made of huge numbers. */
#define MOST_SAMPLES 16

/* The elements on both sides of a sample along one axis, and the weight of the second. */
typedef struct {
    bool inside;
    int64_t low;
    int64_t high;
    float weight;
} axis_sample;

/* A region along one axis. */
typedef struct {
    float start;
    float bin;       /* extent of a bin */
    int64_t samples; /* of a bin */
} axis_region;

typedef struct {
    float *out; /* y or dx */
    const float *x;
    const float *regions;
    const float *index;
    const float *dy;
    const cnv_roi_align *s;
    char *scratch;
    size_t scratch_stride;
} roi_work;

static axis_region region_of(const roi_work *work, int64_t region, int axis)
{
    const cnv_roi_align *s = work->s;
    const float *box = work->regions + region * 4 + (1 - axis);
    float offset = s->half_pixel ? 0.5f : 0.0f;
    float start = box[0] * s->scale - offset, extent = box[2] * s->scale - offset - start;
    if (!s->half_pixel && !(extent >= 1.0f)) extent = 1.0f;
    axis_region found = {.start = start, .bin = extent / (float)s->bins[axis], .samples = s->samples};
    if (s->samples == 0) {
        float count = ceilf(found.bin), most = (float)(MOST_SAMPLES * (s->extent[axis] + 1));
        found.samples = count > 0.0f ? (int64_t)(count < most ? count : most) : 0;
    }
    return found;
}

static axis_sample sample_at(const axis_region *region, int64_t bin, int64_t i, int64_t extent)
{
    float at =
        region->start + (float)bin * region->bin + ((float)i + 0.5f) * region->bin / (float)region->samples;
    axis_sample found = {.inside = at >= -1.0f && at <= (float)extent};
    if (!found.inside) return found;
    if (at < 0.0f) at = 0.0f;
    found.low = (int64_t)at;
    if (found.low >= extent - 1) {
        found.low = found.high = extent - 1;
        return found;
    }
    found.high = found.low + 1;
    found.weight = at - (float)found.low;
    return found;
}

static int64_t image_of(const roi_work *work, int64_t region)
{
    float index = work->index[region], last = (float)(work->s->images - 1);
    if (!(index > 0.0f)) return 0;
    return index < last ? (int64_t)index : work->s->images - 1;
}

/* The weights of the elements of one axis in each bin, which a worker keeps in its scratch: of a mean. */
typedef struct {
    cnv_span *spans; /* the elements with a weight, of each bin */
    float *weights;  /* bins, extent */
} axis_weights;

size_t cnv_roi_align_scratch(const cnv_roi_align *s)
{
    size_t nbytes = 0;
    for (int a = 0; a < 2 && !s->maximum; a++)
        nbytes += (size_t)s->bins[a] * (sizeof(cnv_span) + (size_t)s->extent[a] * sizeof(float));
    return nbytes;
}

static void lay_weights(axis_weights weights[2], const roi_work *work, int worker)
{
    const cnv_roi_align *s = work->s;
    char *at = work->scratch + (size_t)worker * work->scratch_stride;
    weights[0].spans = (cnv_span *)at;
    weights[1].spans = weights[0].spans + s->bins[0];
    weights[0].weights = (float *)(weights[1].spans + s->bins[1]);
    weights[1].weights = weights[0].weights + s->bins[0] * s->extent[0];
}

static void find_weights(axis_weights *weights, const axis_region *region, int64_t bins, int64_t extent)
{
    for (int64_t bin = 0; bin < bins; bin++) {
        float *of_bin = weights->weights + bin * extent;
        cnv_span *span = &weights->spans[bin];
        *span = (cnv_span){extent, 0};
        for (int64_t i = 0; i < extent; i++) of_bin[i] = 0.0f;
        for (int64_t i = 0; i < region->samples; i++) {
            axis_sample sample = sample_at(region, bin, i, extent);
            if (!sample.inside) continue;
            of_bin[sample.low] += (1.0f - sample.weight) / (float)region->samples;
            of_bin[sample.high] += sample.weight / (float)region->samples;
            if (sample.low < span->begin) span->begin = sample.low;
            if (sample.high >= span->end) span->end = sample.high + 1;
        }
    }
}

static float mean_of(const float *x, const float *rows, const float *columns, cnv_span down, cnv_span right,
                     int64_t width)
{
    float sum = 0.0f;
    for (int64_t i = down.begin; i < down.end; i++) {
        if (rows[i] == 0.0f) continue;
        float line = 0.0f;
        for (int64_t j = right.begin; j < right.end; j++) line += columns[j] * x[i * width + j];
        sum += rows[i] * line;
    }
    return sum;
}

static void spread(float *dx, float dy, const float *rows, const float *columns, cnv_span down,
                   cnv_span right, int64_t width)
{
    for (int64_t i = down.begin; i < down.end; i++) {
        if (rows[i] == 0.0f) continue;
        for (int64_t j = right.begin; j < right.end; j++) dx[i * width + j] += rows[i] * columns[j] * dy;
    }
}

/* The channels of an item: those of a region or of an image. */
typedef struct {
    int64_t first;
    int64_t end;
} channel_block;

static int64_t blocks_of(const cnv_roi_align *s)
{
    return (s->channels + CHANNEL_BLOCK - 1) / CHANNEL_BLOCK;
}

static channel_block block_of(const cnv_roi_align *s, int64_t item)
{
    channel_block block = {item % blocks_of(s) * CHANNEL_BLOCK, 0};
    block.end = block.first + CHANNEL_BLOCK < s->channels ? block.first + CHANNEL_BLOCK : s->channels;
    return block;
}

/* Means of a region, or their gradients where dx is given. */
static void means(const roi_work *work, int64_t region, channel_block block, float *dx, int worker)
{
    const cnv_roi_align *s = work->s;
    const int64_t plane = s->extent[0] * s->extent[1], bins = s->bins[0] * s->bins[1];
    axis_weights w[2];
    lay_weights(w, work, worker);
    for (int a = 0; a < 2; a++) {
        axis_region along = region_of(work, region, a);
        find_weights(&w[a], &along, s->bins[a], s->extent[a]);
    }
    for (int64_t item = block.first * bins; item < block.end * bins; item++) {
        int64_t c = item / bins, i = item % bins / s->bins[1], j = item % bins % s->bins[1],
                to = region * s->channels * bins + item;
        const float *rows = w[0].weights + i * s->extent[0], *columns = w[1].weights + j * s->extent[1];
        cnv_span down = w[0].spans[i], right = w[1].spans[j];
        if (dx != NULL) {
            spread(dx + (c - block.first) * plane, work->dy[to], rows, columns, down, right, s->extent[1]);
        } else {
            const float *x = work->x + (image_of(work, region) * s->channels + c) * plane;
            work->out[to] = mean_of(x, rows, columns, down, right, s->extent[1]);
        }
    }
}

/* The largest product of an element and its weight, for each channel of a block. */
typedef struct {
    bool found;
    float best[CHANNEL_BLOCK];
    float weight[CHANNEL_BLOCK];
    int64_t at[CHANNEL_BLOCK];
} winners;

static void contest(winners *w, const float *x, int64_t channels, int64_t plane, int64_t at, float weight)
{
    for (int64_t c = 0; c < channels; c++) {
        float value = weight * x[c * plane + at];
        if (w->found && !(value > w->best[c])) continue;
        w->best[c] = value;
        w->weight[c] = weight;
        w->at[c] = at;
    }
    w->found = true;
}

static winners winners_of(const roi_work *work, const axis_region along[2], int64_t bin, const float *x,
                          int64_t channels)
{
    const cnv_roi_align *s = work->s;
    const int64_t width = s->extent[1], plane = s->extent[0] * width;
    winners w = {.found = false};
    for (int64_t i = 0; i < along[0].samples; i++) {
        axis_sample row = sample_at(&along[0], bin / s->bins[1], i, s->extent[0]);
        for (int64_t j = 0; j < along[1].samples; j++) {
            axis_sample column = sample_at(&along[1], bin % s->bins[1], j, width);
            bool inside = row.inside && column.inside;
            float down = row.weight, right = column.weight, on = inside ? 1.0f : 0.0f;
            contest(&w, x, channels, plane, row.low * width + column.low,
                    on * (1.0f - down) * (1.0f - right));
            contest(&w, x, channels, plane, row.low * width + column.high, on * (1.0f - down) * right);
            contest(&w, x, channels, plane, row.high * width + column.low, on * down * (1.0f - right));
            contest(&w, x, channels, plane, row.high * width + column.high, on * down * right);
        }
    }
    return w;
}

/* Maxima of a region, or their gradients where dx is given. */
static void maxima(const roi_work *work, int64_t region, channel_block block, float *dx)
{
    const cnv_roi_align *s = work->s;
    const int64_t plane = s->extent[0] * s->extent[1], bins = s->bins[0] * s->bins[1];
    const axis_region along[2] = {region_of(work, region, 0), region_of(work, region, 1)};
    const float *x = work->x + (image_of(work, region) * s->channels + block.first) * plane;
    for (int64_t bin = 0; bin < bins; bin++) {
        winners w = winners_of(work, along, bin, x, block.end - block.first);
        for (int64_t c = 0; c < block.end - block.first; c++) {
            int64_t to = (region * s->channels + block.first + c) * bins + bin;
            if (dx == NULL)
                work->out[to] = w.found ? w.best[c] : 0.0f;
            else if (w.found)
                dx[c * plane + w.at[c]] += w.weight[c] * work->dy[to];
        }
    }
}

static void pool_region(const roi_work *work, int64_t region, channel_block block, float *dx, int worker)
{
    if (work->s->maximum)
        maxima(work, region, block, dx);
    else
        means(work, region, block, dx, worker);
}

static void forward_region(void *context, int64_t item, int worker)
{
    const roi_work *work = context;
    pool_region(work, item / blocks_of(work->s), block_of(work->s, item), NULL, worker);
}

void cnv_roi_align_forward(float *y, const float *x, const float *regions, const float *index,
                           const cnv_roi_align *s, void *scratch, size_t scratch_stride, cnv_run *run)
{
    roi_work work = {.out = y,
                     .x = x,
                     .regions = regions,
                     .index = index,
                     .s = s,
                     .scratch = scratch,
                     .scratch_stride = scratch_stride};
    cnv_parallel(run, s->regions * blocks_of(s), forward_region, &work);
}

/* The gradients of some channels of an image, in the order of its regions. */
static void backward_image(void *context, int64_t item, int worker)
{
    const roi_work *work = context;
    const cnv_roi_align *s = work->s;
    const int64_t image = item / blocks_of(s);
    channel_block block = block_of(s, item);
    float *dx = work->out + (image * s->channels + block.first) * s->extent[0] * s->extent[1];
    for (int64_t region = 0; region < s->regions; region++)
        if (image_of(work, region) == image) pool_region(work, region, block, dx, worker);
}

void cnv_roi_align_backward(float *dx, const float *dy, const float *x, const float *regions,
                            const float *index, const cnv_roi_align *s, void *scratch, size_t scratch_stride,
                            cnv_run *run)
{
    roi_work work = {.out = dx,
                     .x = x,
                     .regions = regions,
                     .index = index,
                     .dy = dy,
                     .s = s,
                     .scratch = scratch,
                     .scratch_stride = scratch_stride};
    cnv_parallel(run, s->images * blocks_of(s), backward_image, &work);
}
