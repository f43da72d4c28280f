/*
 * Template: the kernels of winograd.h, 3x3 convolution as products of transformed tiles.
 *
 * Parameter: VEC_ZMM, see vec.h. It sets the extents of a tile of the products, see tile_steps.h.
 */
#ifndef CNV_FAST_WINOGRAD_TEMPLATE_H
#define CNV_FAST_WINOGRAD_TEMPLATE_H

#include "kernels/fast/lanes.h"
#include "kernels/fast/tile_shapes.h"
#include "kernels/fast/winograd.h"
#include "kernels/fast/winograd_transform_template.h"

typedef struct winograd_call {
    float *y;
    const float *x, *weights, *bias;
    const cnv_finish *finish;
    finish_kind kind;
    const cnv_gate *gate;
    const cnv_winograd *d;
    float *shared;
    char *scratch;
    size_t scratch_stride;
    int64_t first;                  /* the first tile of the V in `shared` */
    int64_t count;                  /* the number of its tiles */
    int64_t holds[CNV_MAX_THREADS]; /* 1 + the group of output blocks whose U a worker's scratch holds */
} winograd_call;

/* U of some output blocks. */
typedef struct winograd_u {
    const float *first;
    int64_t position; /* floats between two positions */
} winograd_u;

/* The place of a tile. */
typedef struct winograd_place {
    int64_t image;
    int64_t y, x; /* row and column of its first pixel in y */
} winograd_place;

static winograd_place winograd_place_of(const cnv_winograd *d, int64_t tile)
{
    const int64_t per_image = d->tiles[0] * d->tiles[1];
    winograd_place place = {tile / per_image, tile % per_image / d->tiles[1] * d->m,
                            tile % d->tiles[1] * d->m};
    return place;
}

/* Copies n x n pixels from row y, column x of a plane on through the gate, with zeros outside the plane. */
static void winograd_copy_patch(float *to, const float *plane, const uint16_t *bits, int64_t y, int64_t x,
                                int64_t n, const cnv_winograd *d, const cnv_gate *gate, cnv_relu_rule rule)
{
    const int64_t begin = x < 0 ? -x : 0, end = x + n > d->xw ? d->xw - x : n;
    for (int64_t i = 0; i < n; i++, to += n * 16) {
        if (y + i < 0 || y + i >= d->xh || end <= begin) {
            lanes_clear(to, n);
            continue;
        }
        const int64_t at = (y + i) * d->xw + x;
        lanes_clear(to, begin);
        lanes_copy(to + begin * 16, plane + (at + begin) * 16, bits != NULL ? bits + at + begin : NULL,
                   end - begin, 1, gate, rule);
        lanes_clear(to + end * 16, n - end);
    }
}

/* Makes V of tiles first..first+count-1 for channel blocks begin..end-1; v: the first tile's column in V. */
static void winograd_in(float *v, int64_t tiles, int64_t first, int64_t count, int64_t begin, int64_t end,
                        const winograd_call *c)
{
    const cnv_winograd *d = c->d;
    const int64_t n = d->m + 2, blocks = cnv_blocks(d->ic), plane = d->xh * d->xw;
    const int64_t position = cnv_winograd_position(blocks, tiles);
    float patch[WINOGRAD_POINTS * WINOGRAD_POINTS * 16];
    for (int64_t b = begin; b < end; b++) {
        for (int64_t t = 0; t < count; t++) {
            const winograd_place place = winograd_place_of(d, first + t);
            const int64_t y = place.y - d->pad[0], x = place.x - d->pad[1];
            const int64_t at = (place.image * blocks + b) * plane;
            const bool inside = y >= 0 && x >= 0 && y + n <= d->xh && x + n <= d->xw;
            const float *from = c->x + (at + y * d->xw + x) * 16;
            int64_t row = d->xw * 16;
            if (!inside || c->gate->bits != NULL) {
                winograd_copy_patch(patch, c->x + at * 16, c->gate->bits != NULL ? c->gate->bits + at : NULL,
                                    y, x, n, d, c->gate, gate_rule(c->gate, place.image));
                from = patch;
                row = n * 16;
            }
            winograd_tile_in(v + (b * tiles + t) * 16, position, from, row, n);
        }
    }
}

CNV_INLINE void winograd_weights_of(float *u, int64_t position, const float *w, const cnv_winograd *d,
                                    int64_t begin, int64_t end, bool backward, int64_t n)
{
    const int64_t per_out = backward ? 9 : d->ic * 9, per_in = backward ? d->oc * 9 : 9;
    for (int64_t b = begin; b < end; b++) {
        const int64_t lanes = d->oc - b * 16 < 16 ? d->oc - b * 16 : 16;
        const float *from = w + b * 16 * per_out;
        for (int64_t c = 0; c < d->ic; c++, from += per_in, u += 16) {
            v16 kernels[9];
            if (backward && c + LANES_AHEAD < d->ic) lanes_fetch(from + LANES_AHEAD * per_in, 9);
            weights_kernels(kernels, from, per_out, lanes);
            weights_transform(u, position, kernels, backward, n);
        }
    }
}

/* Makes U of output blocks begin..end-1 from O,I,3,3, with `position` floats between two positions. */
static void winograd_weights(float *u, int64_t position, const float *w, const cnv_winograd *d, int64_t begin,
                             int64_t end)
{
    if (d->m == 4 && d->backward)
        winograd_weights_of(u, position, w, d, begin, end, true, 6);
    else if (d->m == 4)
        winograd_weights_of(u, position, w, d, begin, end, false, 6);
    else if (d->backward)
        winograd_weights_of(u, position, w, d, begin, end, true, 4);
    else
        winograd_weights_of(u, position, w, d, begin, end, false, 4);
}

/* Makes U of all output blocks. */
static void winograd_pack(float *packed, const float *w, const cnv_winograd *d)
{
    const int64_t blocks = cnv_blocks(d->oc);
    winograd_weights(packed, cnv_winograd_position(blocks, d->ic), w, d, 0, blocks);
}

CNV_INLINE void winograd_tile(int64_t blocks, int64_t pixels, const tile_walk *walk, const float *x,
                              float *out)
{
    if (blocks > 1)
        tile_blocked_2((int)pixels, walk, x, x + TILE_HALF * 16, out);
    else
        tile_blocked_1((int)pixels, walk, x, x + TILE_HALF * 16, out);
}

/* Makes M of `count` tiles of a V of `tiles` tiles for the `outs` output blocks of u. While a product runs,
 * the weights of the next one are prefetched into L2. */
static void winograd_multiply(float *m, const float *v, int64_t tiles, int64_t count, winograd_u u,
                              int64_t outs, const winograd_call *c)
{
    static const int32_t here[1] = {0};
    const cnv_winograd *d = c->d;
    const int64_t points = (d->m + 2) * (d->m + 2), slab = d->ic * 16;
    const int64_t v_position = cnv_winograd_position(cnv_blocks(d->ic), tiles);
    const int64_t m_position = cnv_winograd_position(d->group, d->chunk);
    tile_walk walk = {.w_block = slab,
                      .channels = d->ic,
                      .end = cnv_blocks(d->ic),
                      .x_block = tiles * 16,
                      .taps = 1,
                      .offset = here,
                      .out_pixel = 16,
                      .out_block = d->chunk * 16};
    for (int64_t p = 0; p < points; p++) {
        for (int64_t b = 0; b < outs; b += TILE_BLOCKS) {
            const int64_t blocks = outs - b < TILE_BLOCKS ? outs - b : TILE_BLOCKS;
            const int64_t runs = cnv_ceil_div(count, tile_pixels(blocks));
            const bool more = b + TILE_BLOCKS < outs;
            const int64_t left = more ? outs - b - TILE_BLOCKS : p + 1 < points ? outs : 0;
            walk.w = u.first + p * u.position + b * slab;
            tile_want(&walk, more ? walk.w + TILE_BLOCKS * slab : u.first + (p + 1) * u.position, left, runs);
            for (int64_t r = 0, t = 0; r < runs; r++) {
                const int64_t stop = (r + 1) * count / runs;
                winograd_tile(blocks, stop - t, &walk, v + p * v_position + t * 16,
                              m + p * m_position + (b * d->chunk + t) * 16);
                tile_wanted_less(&walk);
                t = stop;
            }
        }
    }
}

/* Writes the pixels of tiles first..first+count-1 for output blocks begin..end-1 from M. */
static void winograd_out(const float *m, int64_t first, int64_t count, int64_t begin, int64_t end,
                         const winograd_call *c)
{
    const cnv_winograd *d = c->d;
    const int64_t n = d->m + 2, blocks = cnv_blocks(d->oc), plane = d->yh * d->yw;
    const int64_t position = cnv_winograd_position(d->group, d->chunk);
    float pixels[16 * 16];
    for (int64_t b = begin; b < end; b++) {
        const v16 bias = c->bias != NULL ? v16_load(c->bias + b * 16) : v16_zero();
        for (int64_t t = 0; t < count; t++) {
            const winograd_place place = winograd_place_of(d, first + t);
            const int64_t rows = d->yh - place.y < d->m ? d->yh - place.y : d->m;
            const int64_t cols = d->yw - place.x < d->m ? d->yw - place.x : d->m;
            winograd_tile_out(pixels, m + ((b - begin) * d->chunk + t) * 16, position, n);
            for (int64_t i = 0; i < rows; i++) {
                const int64_t q = (place.image * blocks + b) * plane + (place.y + i) * d->yw + place.x;
                lanes_finish_run(c->kind, c->y + q * 16,
                                 c->finish->add != NULL ? c->finish->add + q * 16 : NULL,
                                 c->finish->bits != NULL ? c->finish->bits + q : NULL, 1,
                                 pixels + i * d->m * 16, 16, bias, cols, c->finish);
            }
        }
    }
}

/* The part of a U of all output blocks that belongs to a group. */
static winograd_u winograd_part(const float *u, int64_t group, const cnv_winograd *d)
{
    winograd_u part = {u + group * d->group * d->ic * 16, cnv_winograd_position(cnv_blocks(d->oc), d->ic)};
    return part;
}

/* Computes the output blocks of a group for tiles whose V is made. */
static void winograd_group(float *m, const float *v, int64_t tiles, int64_t first, int64_t count,
                           winograd_u u, int64_t group, const winograd_call *c)
{
    const int64_t blocks = cnv_blocks(c->d->oc), begin = group * c->d->group;
    const int64_t end = begin + c->d->group < blocks ? begin + c->d->group : blocks;
    winograd_multiply(m, v, tiles, count, u, end - begin, c);
    winograd_out(m, first, count, begin, end, c);
}

/* Computes a block of tiles from x to y. */
static void winograd_local_item(void *context, int64_t item, int worker)
{
    const winograd_call *c = context;
    const cnv_winograd *d = c->d;
    const int64_t all = d->images * d->tiles[0] * d->tiles[1], first = item * d->block;
    const int64_t count = all - first < d->block ? all - first : d->block;
    const int64_t groups = cnv_ceil_div(cnv_blocks(d->oc), d->group);
    const float *u = d->packed ? c->weights : c->shared;
    float *v = (float *)(c->scratch + (size_t)worker * c->scratch_stride);
    float *m = v + (d->m + 2) * (d->m + 2) * cnv_winograd_position(cnv_blocks(d->ic), d->block);
    winograd_in(v, d->block, first, count, 0, cnv_blocks(d->ic), c);
    for (int64_t g = 0; g < groups; g++)
        winograd_group(m, v, d->block, first, count, winograd_part(u, g, d), g, c);
}

/* Makes one output block of the U that workers share. */
static void winograd_weights_item(void *context, int64_t item, int worker)
{
    const winograd_call *c = context;
    const cnv_winograd *d = c->d;
    (void)worker;
    winograd_weights(c->shared + item * d->ic * 16, cnv_winograd_position(cnv_blocks(d->oc), d->ic),
                     c->weights, d, item, item + 1);
}

/* Makes `part` tiles of one channel block of the shared V. */
static void winograd_in_item(void *context, int64_t item, int worker)
{
    const winograd_call *c = context;
    const cnv_winograd *d = c->d;
    const int64_t parts = cnv_ceil_div(c->count, d->part), block = item / parts;
    const int64_t from = item % parts * d->part,
                  count = c->count - from < d->part ? c->count - from : d->part;
    (void)worker;
    winograd_in(c->shared + from * 16, d->block, c->first + from, count, block, block + 1, c);
}

/* The U of a group: the packed one, or one made in the worker's scratch unless the scratch holds it. */
static winograd_u winograd_u_of(float *made, int64_t group, int worker, winograd_call *c)
{
    const cnv_winograd *d = c->d;
    if (d->packed) return winograd_part(c->weights, group, d);
    const int64_t begin = group * d->group, blocks = cnv_blocks(d->oc);
    const int64_t end = begin + d->group < blocks ? begin + d->group : blocks;
    winograd_u u = {made, cnv_winograd_position(d->group, d->ic)};
    if (c->holds[worker] != group + 1) winograd_weights(made, u.position, c->weights, d, begin, end);
    c->holds[worker] = group + 1;
    return u;
}

/* Computes a group of output blocks for `chunk` tiles of the shared V. The chunks of a group are
 * consecutive. */
static void winograd_group_item(void *context, int64_t item, int worker)
{
    winograd_call *c = context;
    const cnv_winograd *d = c->d;
    const int64_t chunks = cnv_ceil_div(c->count, d->chunk), group = item / chunks;
    const int64_t from = item % chunks * d->chunk;
    const int64_t count = c->count - from < d->chunk ? c->count - from : d->chunk;
    float *m = (float *)(c->scratch + (size_t)worker * c->scratch_stride);
    float *made = m + (d->m + 2) * (d->m + 2) * cnv_winograd_position(d->group, d->chunk);
    winograd_group(m, c->shared + from * 16, d->block, c->first + from, count,
                   winograd_u_of(made, group, worker, c), group, c);
}

static void winograd_run(float *y, const float *x, const float *weights, const float *bias,
                         const cnv_finish *finish, const cnv_gate *gate, const cnv_winograd *d, float *shared,
                         void *scratch, size_t scratch_stride, cnv_run *run)
{
    winograd_call c = {.y = y,
                       .x = x,
                       .weights = weights,
                       .bias = bias,
                       .finish = finish,
                       .gate = gate,
                       .d = d,
                       .shared = shared,
                       .scratch = scratch,
                       .scratch_stride = scratch_stride};
    c.kind = finish_kind_of(finish);
    const int64_t all = d->images * d->tiles[0] * d->tiles[1];
    const int64_t groups = cnv_ceil_div(cnv_blocks(d->oc), d->group);
    if (!d->shared) {
        if (!d->packed) cnv_parallel(run, cnv_blocks(d->oc), winograd_weights_item, &c);
        cnv_parallel(run, cnv_ceil_div(all, d->block), winograd_local_item, &c);
        return;
    }
    for (c.first = 0; c.first < all; c.first += d->block) {
        c.count = all - c.first < d->block ? all - c.first : d->block;
        cnv_parallel(run, cnv_ceil_div(c.count, d->part) * cnv_blocks(d->ic), winograd_in_item, &c);
        cnv_parallel(run, cnv_ceil_div(c.count, d->chunk) * groups, winograd_group_item, &c);
    }
}

#endif
