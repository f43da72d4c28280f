#include "kernels/portable/grid_sample.h"

#include <math.h>

#include "kernels/split.h"

#define AXIS_TAPS 4
#define MOST_TAPS 64 /* of a point, AXIS_TAPS on each of three axes */

/* The points whose taps are found together; each channel then goes through them in a row. */
#define TILE 16

/* The channels of one item of the gradient of x, for which the taps of all points are found once. */
#define CHANNEL_BLOCK 32

/* The free parameter of the cubic (Keys 1981, eq. 4). */
#define CUBIC_A (-0.75f)

/* A position so far away, in elements, stands for all that lie further, and for those that are no number. */
#define FAR 1073741824.0f

typedef struct {
    int n;
    int64_t index[AXIS_TAPS]; /* -1: beyond x, in zeros */
    float weight[AXIS_TAPS];
    float slope[AXIS_TAPS]; /* derivative of the weight by the coordinate */
} axis_taps;

typedef struct {
    int n; /* the taps that lie on x */
    int64_t offset[MOST_TAPS];
    float weight[MOST_TAPS];
    float slope[CNV_SAMPLE_AXES][MOST_TAPS]; /* derivative by the coordinate of each axis */
} point_taps;

/* The element of an axis that stands at index i, or -1 for a zero. */
static int64_t element(int64_t i, int64_t extent, const cnv_grid_sample *s)
{
    if (i >= 0 && i < extent) return i;
    if (s->padding == CNV_PAD_CONSTANT) return -1;
    if (s->padding == CNV_PAD_EDGE || extent == 1) return i < 0 ? 0 : extent - 1;
    /* Reflected at the centre of the outermost element, which is not repeated, or at its edge. */
    int64_t period = s->corners ? 2 * (extent - 1) : 2 * extent;
    int64_t at = i % period;
    if (at < 0) at += period;
    return at < extent ? at : period - at - (s->corners ? 0 : 1);
}

/* Keys 1981, eq. 4, at a distance, and its derivative. */
static float cubic(float d, float *slope)
{
    if (d <= 1.0f) {
        *slope = (3.0f * (CUBIC_A + 2.0f) * d - 2.0f * (CUBIC_A + 3.0f)) * d;
        return ((CUBIC_A + 2.0f) * d - (CUBIC_A + 3.0f)) * d * d + 1.0f;
    }
    *slope = CUBIC_A * ((3.0f * d - 10.0f) * d + 8.0f);
    return CUBIC_A * (((d - 5.0f) * d + 8.0f) * d - 4.0f);
}

/* The weights of the taps from floor(position) - 1 on, or from floor(position) on, at fraction t behind it.
 */
static void weigh(axis_taps *taps, float t, float scale, int degree)
{
    if (degree == 1) {
        taps->weight[0] = 1.0f - t;
        taps->weight[1] = t;
        taps->slope[0] = -scale;
        taps->slope[1] = scale;
        return;
    }
    for (int k = 0; k < AXIS_TAPS; k++) {
        float signed_distance = t - (float)(k - 1), slope;
        taps->weight[k] = cubic(fabsf(signed_distance), &slope);
        taps->slope[k] = signed_distance < 0.0f ? -slope * scale : slope * scale;
    }
}

static axis_taps taps_of(float coordinate, int64_t extent, const cnv_grid_sample *s)
{
    axis_taps taps = {.n = s->degree + 1};
    float length = (float)extent, scale = (s->corners ? length - 1.0f : length) / 2.0f, position;
    if (s->elements) scale = 1.0f;
    position = s->elements  ? coordinate
               : s->corners ? (coordinate + 1.0f) / 2.0f * (length - 1.0f)
                            : ((coordinate + 1.0f) * length - 1.0f) / 2.0f;
    if (!(position > -FAR)) position = -FAR;
    if (position > FAR) position = FAR;
    float first = s->degree == 0 ? nearbyintf(position) : floorf(position);
    if (s->degree == 0)
        taps.weight[0] = 1.0f;
    else
        weigh(&taps, position - first, scale, s->degree);
    for (int k = 0; k < taps.n; k++)
        taps.index[k] = element((int64_t)first + k - (s->degree == 3), extent, s);
    return taps;
}

/* Adds the tap that is tap[a] of each axis a to those of a point, unless it lies beyond x. */
static void add_tap(point_taps *point, const axis_taps *taps, const int *tap, const cnv_grid_sample *s)
{
    int64_t offset = 0;
    float weight = 1.0f;
    for (int a = 0; a < s->axes; a++) {
        if (taps[a].index[tap[a]] < 0) return;
        offset = offset * s->extent[a] + taps[a].index[tap[a]];
        weight *= taps[a].weight[tap[a]];
    }
    point->offset[point->n] = offset;
    point->weight[point->n] = weight;
    for (int a = 0; a < s->axes; a++) {
        float slope = taps[a].slope[tap[a]];
        for (int b = 0; b < s->axes; b++)
            if (b != a) slope *= taps[b].weight[tap[b]];
        point->slope[a][point->n] = slope;
    }
    point->n++;
}

/* Finds the taps of a point, whose coordinates are a row of the grid. */
static void find_taps(point_taps *point, const float *row, const cnv_grid_sample *s)
{
    axis_taps taps[CNV_SAMPLE_AXES];
    int tap[CNV_SAMPLE_AXES] = {0}, a = 0;
    for (; a < s->axes; a++) taps[a] = taps_of(row[s->axes - 1 - a], s->extent[a], s);
    point->n = 0;
    while (a >= 0) {
        add_tap(point, taps, tap, s);
        for (a = s->axes - 1; a >= 0 && ++tap[a] == taps[a].n; a--) tap[a] = 0;
    }
}

static int64_t plane_of(const cnv_grid_sample *s)
{
    int64_t size = 1;
    for (int a = 0; a < s->axes; a++) size *= s->extent[a];
    return size;
}

/* A rough number of operations for a point of a channel. */
static int64_t cost_of(const cnv_grid_sample *s)
{
    int64_t taps = 2;
    for (int a = 0; a < s->axes; a++) taps *= s->degree + 1;
    return taps;
}

typedef struct {
    float *out; /* y, dx or dgrid; of the inputs below, a pass sets those that it reads */
    const float *x;
    const float *grid;
    const float *dy;
    const cnv_grid_sample *s;
} sample_work;

/* The first point of a tile of all images' points, the number of its points, and their taps. */
typedef struct {
    int64_t first;
    int64_t n;
    point_taps taps[TILE];
} tile;

static void find_tile(tile *t, int64_t image, int64_t first, const sample_work *work)
{
    const cnv_grid_sample *s = work->s;
    const float *grid = work->grid + (s->grids == 1 ? 0 : image) * s->points * s->axes;
    t->first = first;
    t->n = s->points - first < TILE ? s->points - first : TILE;
    for (int64_t p = 0; p < t->n; p++) find_taps(&t->taps[p], grid + (first + p) * s->axes, s);
}

static int64_t tiles_of(const cnv_grid_sample *s)
{
    return (s->points + TILE - 1) / TILE;
}

static void forward_tiles(void *context, int64_t begin, int64_t end, int worker)
{
    const sample_work *work = context;
    const cnv_grid_sample *s = work->s;
    const int64_t plane = plane_of(s);
    tile t;
    for (int64_t i = begin; i < end; i++) {
        int64_t image = i / tiles_of(s);
        find_tile(&t, image, i % tiles_of(s) * TILE, work);
        for (int64_t c = 0; c < s->channels; c++) {
            const float *x = work->x + ((s->x_images == 1 ? 0 : image) * s->channels + c) * plane;
            float *y = work->out + (image * s->channels + c) * s->points + t.first;
            for (int64_t p = 0; p < t.n; p++) {
                const point_taps *point = &t.taps[p];
                float sum = 0.0f;
                for (int k = 0; k < point->n; k++) sum += point->weight[k] * x[point->offset[k]];
                y[p] = sum;
            }
        }
    }
    (void)worker;
}

void cnv_grid_sample_forward(float *y, const float *x, const float *grid, const cnv_grid_sample *s,
                             cnv_run *run)
{
    sample_work work = {.out = y, .x = x, .grid = grid, .s = s};
    cnv_parallel_range(run, s->n * tiles_of(s), cnv_grain_of(TILE * s->channels * cost_of(s)), forward_tiles,
                       &work);
}

/* Adds the gradients of one output image to some channels of the image of x that it reads. */
static void scatter(float *dx, int64_t image, int64_t first, int64_t end, const sample_work *work)
{
    const cnv_grid_sample *s = work->s;
    const int64_t plane = plane_of(s);
    tile t;
    for (int64_t from = 0; from < s->points; from += TILE) {
        find_tile(&t, image, from, work);
        for (int64_t c = first; c < end; c++) {
            const float *dy = work->dy + (image * s->channels + c) * s->points + from;
            for (int64_t p = 0; p < t.n; p++) {
                const point_taps *point = &t.taps[p];
                for (int k = 0; k < point->n; k++)
                    dx[(c - first) * plane + point->offset[k]] += point->weight[k] * dy[p];
            }
        }
    }
}

static int64_t blocks_of(const cnv_grid_sample *s)
{
    return (s->channels + CHANNEL_BLOCK - 1) / CHANNEL_BLOCK;
}

static void data_block(void *context, int64_t item, int worker)
{
    const sample_work *work = context;
    const cnv_grid_sample *s = work->s;
    int64_t image = item / blocks_of(s), first = item % blocks_of(s) * CHANNEL_BLOCK,
            end = first + CHANNEL_BLOCK < s->channels ? first + CHANNEL_BLOCK : s->channels;
    float *dx = work->out + (image * s->channels + first) * plane_of(s);
    if (s->x_images == s->n)
        scatter(dx, image, first, end, work);
    else
        for (int64_t n = 0; n < s->n; n++) scatter(dx, n, first, end, work);
    (void)worker;
}

void cnv_grid_sample_backward_data(float *dx, const float *dy, const float *grid, const cnv_grid_sample *s,
                                   cnv_run *run)
{
    sample_work work = {.out = dx, .grid = grid, .dy = dy, .s = s};
    cnv_parallel(run, s->x_images * blocks_of(s), data_block, &work);
}

/* Adds the gradients of one output image to those of the coordinates of a tile's points. */
static void add_slopes(double sums[TILE][CNV_SAMPLE_AXES], int64_t image, const tile *t,
                       const sample_work *work)
{
    const cnv_grid_sample *s = work->s;
    const int64_t plane = plane_of(s);
    for (int64_t c = 0; c < s->channels; c++) {
        const float *x = work->x + ((s->x_images == 1 ? 0 : image) * s->channels + c) * plane;
        const float *dy = work->dy + (image * s->channels + c) * s->points + t->first;
        for (int64_t p = 0; p < t->n; p++) {
            const point_taps *point = &t->taps[p];
            for (int a = 0; a < s->axes; a++) {
                float slope = 0.0f;
                for (int k = 0; k < point->n; k++) slope += point->slope[a][k] * x[point->offset[k]];
                sums[p][a] += (double)slope * dy[p];
            }
        }
    }
}

static void grid_tiles(void *context, int64_t begin, int64_t end, int worker)
{
    const sample_work *work = context;
    const cnv_grid_sample *s = work->s;
    tile t;
    for (int64_t i = begin; i < end; i++) {
        double sums[TILE][CNV_SAMPLE_AXES] = {{0.0}};
        int64_t image = i / tiles_of(s);
        find_tile(&t, image, i % tiles_of(s) * TILE, work);
        if (s->grids == s->n)
            add_slopes(sums, image, &t, work);
        else
            for (int64_t n = 0; n < s->n; n++) add_slopes(sums, n, &t, work);
        float *dgrid = work->out + (image * s->points + t.first) * s->axes;
        for (int64_t p = 0; p < t.n; p++)
            for (int a = 0; a < s->axes; a++) dgrid[p * s->axes + s->axes - 1 - a] += (float)sums[p][a];
    }
    (void)worker;
}

void cnv_grid_sample_backward_grid(float *dgrid, const float *dy, const float *x, const float *grid,
                                   const cnv_grid_sample *s, cnv_run *run)
{
    sample_work work = {.out = dgrid, .x = x, .grid = grid, .dy = dy, .s = s};
    cnv_parallel_range(run, s->grids * tiles_of(s), cnv_grain_of(TILE * s->channels * cost_of(s) * s->axes),
                       grid_tiles, &work);
}
