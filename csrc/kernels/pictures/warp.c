#include "kernels/pictures/warp.h"

#include <string.h>

/* The number of pixels of a row whose coordinates are computed together, for all planes. */
#define CHUNK 64

/* The four pixels of x that each pixel reads: the offset of the upper left one, and the weights. */
typedef struct chunk {
    int32_t at[CHUNK];
    float weight[4][CHUNK];
} chunk;

void cnv_roll(float *y, const float *x, const cnv_planes *p, int64_t down, int64_t right)
{
    const size_t left = (size_t)(p->columns - right) * sizeof *x, wrapped = (size_t)right * sizeof *x;
    for (int64_t row = 0; row < p->count * p->rows; row++) {
        const int64_t i = row % p->rows, to = i + down < p->rows ? row + down : row + down - p->rows;
        const float *from = x + row * p->columns;
        memcpy(y + to * p->columns + right, from, left);
        memcpy(y + to * p->columns, from + p->columns - right, wrapped);
    }
}

/* x clipped to 0..last; NaN gives 0. */
static inline double held(double x, double last)
{
    x = x > 0.0 ? x : 0.0;
    return x > last ? last : x;
}

/* The first of the two neighbours of a coordinate, so that both are inside: at the last pixel the second has
 * all the weight. The coordinate is not negative, so truncation rounds it down. */
static inline double first_of(double place, double last)
{
    const double whole = (double)(int32_t)place;
    return whole < last ? whole : last;
}

/* Computes the coordinates in double: in float32 they, and the weights, are off by up to 1e-5 pixels. */
static void find(chunk *c, const cnv_planes *p, const cnv_place *row, const cnv_place *column, int64_t i,
                 int64_t begin, int32_t n)
{
    const double bottom = (double)(p->rows - 1), last_top = bottom > 0.0 ? bottom - 1.0 : 0.0;
    const double end = (double)(p->columns - 1), last_left = end > 0.0 ? end - 1.0 : 0.0;
    const double i_row = row->offset + row->by_row * (double)i;
    const double i_column = column->offset + column->by_row * (double)i;
    for (int32_t k = 0; k < n; k++) {
        const double j = (double)begin + k;
        const double y = held(i_row + row->by_column * j, bottom);
        const double x = held(i_column + column->by_column * j, end);
        const double top = first_of(y, last_top), left = first_of(x, last_left);
        const float lower = (float)(y - top), right = (float)(x - left);
        c->at[k] = (int32_t)(top * (end + 1.0) + left);
        c->weight[0][k] = (1.0f - lower) * (1.0f - right);
        c->weight[1][k] = (1.0f - lower) * right;
        c->weight[2][k] = lower * (1.0f - right);
        c->weight[3][k] = lower * right;
    }
}

/* The offsets of the neighbours on the right and below; 0 if a plane has one column or one row. */
static inline int64_t step_right(const cnv_planes *p)
{
    return p->columns > 1 ? 1 : 0;
}

static inline int64_t step_down(const cnv_planes *p)
{
    return p->rows > 1 ? p->columns : 0;
}

static void read_chunk(float *y, const float *x, const cnv_planes *p, const chunk *c, int32_t n)
{
    const int64_t size = p->rows * p->columns, right = step_right(p), down = step_down(p);
    for (int64_t plane = 0; plane < p->count; plane++, x += size, y += size) {
        for (int32_t k = 0; k < n; k++) {
            const float *at = x + c->at[k];
            y[k] = c->weight[0][k] * at[0] + c->weight[1][k] * at[right] + c->weight[2][k] * at[down] +
                   c->weight[3][k] * at[down + right];
        }
    }
}

/* Planes are the inner loop: neighbouring pixels of one plane add to the same numbers, one after the
 * other. */
static void spread_chunk(float *dx, const float *dy, const cnv_planes *p, const chunk *c, int32_t n)
{
    const int64_t size = p->rows * p->columns, right = step_right(p), down = step_down(p);
    for (int32_t k = 0; k < n; k++) {
        const float w0 = c->weight[0][k], w1 = c->weight[1][k], w2 = c->weight[2][k], w3 = c->weight[3][k];
        for (int64_t plane = 0; plane < p->count; plane++) {
            const float d = dy[plane * size + k];
            float *at = dx + plane * size + c->at[k];
            at[0] += w0 * d;
            at[right] += w1 * d;
            at[down] += w2 * d;
            at[down + right] += w3 * d;
        }
    }
}

static inline int32_t chunk_at(const cnv_planes *p, int64_t begin)
{
    return (int32_t)(p->columns - begin < CHUNK ? p->columns - begin : CHUNK);
}

void cnv_resample(float *y, const float *x, const cnv_planes *p, const cnv_place *row,
                  const cnv_place *column)
{
    chunk c;
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t begin = 0; begin < p->columns; begin += CHUNK) {
            const int32_t n = chunk_at(p, begin);
            find(&c, p, row, column, i, begin, n);
            read_chunk(y + i * p->columns + begin, x, p, &c, n);
        }
}

void cnv_resample_adjoint(float *dx, const float *dy, const cnv_planes *p, const cnv_place *row,
                          const cnv_place *column)
{
    chunk c;
    memset(dx, 0, (size_t)(p->count * p->rows * p->columns) * sizeof *dx);
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t begin = 0; begin < p->columns; begin += CHUNK) {
            const int32_t n = chunk_at(p, begin);
            find(&c, p, row, column, i, begin, n);
            spread_chunk(dx, dy + i * p->columns + begin, p, &c, n);
        }
}
