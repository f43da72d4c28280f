/*
 * Template: the kernel of direct.h, direct convolution by strips of rows.
 *
 * Parameter: VEC_ZMM, see vec.h. It sets the extents of a tile, see tile_steps.h.
 */
#ifndef CNV_FAST_DIRECT_TEMPLATE_H
#define CNV_FAST_DIRECT_TEMPLATE_H

#include "kernels/fast/direct.h"
#include "kernels/fast/direct_strip_template.h"
#include "kernels/fast/lanes.h"
#include "kernels/fast/tile_shapes.h"

/* The size of the weights of one part of a sum, which tiles read again and again: they share L2 with a
 * strip's copy. */
#define DIRECT_PART_NBYTES (256 << 10)

typedef struct direct_call {
    float *y;
    const float *x, *weights, *bias;
    const cnv_finish *finish;
    finish_kind kind;
    const cnv_gate *gate;
    const cnv_direct *d;
    char *scratch;
    size_t scratch_stride;
    int64_t strips, groups, items;
    int threads;
    int64_t holds[CNV_MAX_THREADS];  /* 1 + the strip, over all images, that a worker's scratch holds */
    int64_t n_live[CNV_MAX_THREADS]; /* the number of channel blocks of that strip that are not all zero */
} direct_call;

/* Packs sixteen channels of sixteen outputs, forward: rows of 16 * taps neighbours become columns. */
static void direct_weights_forward(float *to, const float *w, const cnv_direct *d)
{
    const int64_t taps = d->kernel_size;
    v16 columns[4];
    for (int64_t j = 0; j < 16 * taps; j += 4) {
        lanes_columns(columns, w + j, d->ic * taps);
        for (int k = 0; k < 4; k++) v16_store(to + ((j + k) % taps * 16 + (j + k) / taps) * 16, columns[k]);
    }
}

/* Packs one channel, its taps `to_tap` floats apart: lane l is the output l * gap floats further on. */
static void direct_weights_channel(float *to, int64_t to_tap, const float *w, int64_t gap, int64_t lanes,
                                   const cnv_direct *d)
{
    for (int64_t t = 0; t < d->taps; t++, to += to_tap) {
        const float *from = w + d->tap[t];
        if (gap == 1 && lanes == 16)
            v16_store(to, v16_load(from));
        else
            for (int64_t l = 0; l < 16; l++) to[l] = l < lanes ? from[l * gap] : 0;
    }
}

/* Packs the weights of output blocks begin..end-1 with the same result as cnv_direct_pack. */
static void direct_weights(float *packed, const float *w, const cnv_direct *d, int64_t begin, int64_t end)
{
    const int64_t per_out = d->backward ? d->kernel_size : d->ic * d->kernel_size;
    const int64_t per_in = d->backward ? d->oc * d->kernel_size : d->kernel_size;
    for (int64_t b = begin; b < end; b++) {
        const int64_t lanes = d->oc - b * 16 < 16 ? d->oc - b * 16 : 16;
        for (int64_t c0 = 0; c0 < d->ic; c0 += 16) {
            const int64_t channels = d->ic - c0 < 16 ? d->ic - c0 : 16;
            const float *from = w + b * 16 * per_out + c0 * per_in;
            if (!d->backward && channels == 16 && lanes == 16)
                direct_weights_forward(packed, from, d);
            else
                for (int64_t c = 0; c < channels; c++) {
                    if (d->backward && c0 + c + LANES_AHEAD < d->ic && lanes == 16)
                        lanes_fetch(from + (c + LANES_AHEAD) * per_in, d->kernel_size);
                    direct_weights_channel(packed + c * 16, channels * 16, from + c * per_in, per_out, lanes,
                                           d);
                }
            packed += channels * d->taps * 16;
        }
    }
}

/* The arrays that a run of results is written to. */
typedef struct direct_out {
    float *y; /* this and the next two begin with the image's first block */
    const float *add;
    uint16_t *bits;
    int64_t block; /* the output block */
} direct_out;

/* Finishes `count` pixels of `blocks` output blocks from sums, [pixel][block][16]. */
static void direct_finish(const direct_out *out, const float *sums, int64_t blocks, int64_t at, int64_t count,
                          const direct_call *c)
{
    const int64_t plane = c->d->yh * c->d->yw, step = c->d->step[1];
    for (int64_t b = 0; b < blocks; b++) {
        const int64_t q = (out->block + b) * plane + at;
        lanes_finish_run(c->kind, out->y + q * 16, out->add != NULL ? out->add + q * 16 : NULL,
                         out->bits != NULL ? out->bits + q : NULL, step, sums + b * 16, blocks * 16,
                         v16_zero(), count, c->finish);
    }
}

CNV_INLINE void direct_tile(bool planar, int64_t blocks, int64_t pixels, const tile_walk *walk,
                            const float *x0, const float *x1, float *out)
{
    if (planar && blocks > 1)
        tile_planar_2((int)pixels, walk, x0, x1, out);
    else if (planar)
        tile_planar_1((int)pixels, walk, x0, x1, out);
#if TILE_PIXELS_2 == 3
    else if (blocks > 1 && walk->narrow)
        tile_narrow_2((int)pixels, walk, x0, x1, out);
#endif
    else if (blocks > 1)
        tile_blocked_2((int)pixels, walk, x0, x1, out);
    else
        tile_blocked_1((int)pixels, walk, x0, x1, out);
}

/* Sets the finish of the tiles of a row and returns whether they finish their sums in registers: all do,
 * except in the rare case of two summands. A part of a sum that is not the last leaves the sum in y. */
static bool direct_finish_in_tiles(tile_walk *walk, int64_t blocks, bool last, const direct_call *c)
{
    const cnv_finish *f = c->finish;
    const bool straight = !last || !f->accumulate || f->add == NULL;
    walk->rectifier = last && straight && f->rectify ? f : NULL;
    walk->out_pixel = straight ? c->d->step[1] * 16 : blocks * 16;
    walk->out_block = straight ? c->d->yh * c->d->yw * 16 : 16;
    walk->bits_block = c->d->yh * c->d->yw;
    return straight;
}

/* Computes one row of `cols` grid pixels, which begins with pixel `at` of y and reads from x on. */
static void direct_row(direct_out *out, tile_walk *walk, int64_t blocks, const float *x, int64_t at,
                       int64_t cols, bool last, const direct_call *c)
{
    const cnv_direct *d = c->d;
    const int64_t gap = d->planar ? 1 : 16, step = d->step[1], first = out->block * d->yh * d->yw;
    float sums[TILE_PIXELS * TILE_BLOCKS * 16];
    const bool straight = direct_finish_in_tiles(walk, blocks, last, c), partial = walk->begin > 0;
    const float *add = !last || !straight ? NULL : c->finish->accumulate ? out->y : out->add;
    const int64_t tiles = cnv_ceil_div(cols, tile_pixels(blocks)), few = cols / tiles, wider = cols % tiles;
    for (int64_t t = 0, q = first + at; t < tiles; t++) {
        const int64_t pixels = t < wider ? few + 1 : few;
        walk->partial = partial ? out->y + q * 16 : NULL;
        walk->add = add != NULL ? add + q * 16 : NULL;
        walk->bits = out->bits != NULL ? out->bits + q : NULL;
        direct_tile(d->planar, blocks, pixels, walk, x, x + TILE_HALF * gap,
                    straight ? out->y + q * 16 : sums);
        tile_wanted_less(walk);
        if (!straight) direct_finish(out, sums, blocks, q - first, pixels, c);
        x += pixels * gap;
        q += pixels * step;
    }
}

/* Computes two rows of at most half a tile as one tile; the pixels between them are computed and dropped. */
static void direct_row_pair(const direct_out *out, tile_walk *walk, int64_t blocks, const float *x,
                            int64_t row, const direct_call *c)
{
    const cnv_direct *d = c->d;
    const int64_t gap = d->planar ? 1 : 16, at = (d->origin[0] + row * d->step[0]) * d->yw + d->origin[1];
    float sums[TILE_PIXELS * TILE_BLOCKS * 16];
    walk->out_pixel = blocks * 16;
    walk->out_block = 16;
    walk->rectifier = NULL;
    walk->add = walk->partial = NULL;
    direct_tile(d->planar, blocks, TILE_HALF + d->cols, walk, x, x + d->pitch * gap, sums);
    tile_wanted_less(walk);
    direct_finish(out, sums, blocks, at, d->cols, c);
    direct_finish(out, sums + TILE_HALF * blocks * 16, blocks, at + d->step[0] * d->yw, d->cols, c);
}

/* Whether two rows are computed as one tile. */
static bool direct_pairs(int64_t blocks, const cnv_direct *d)
{
    return d->cols <= TILE_HALF && TILE_HALF + d->cols <= tile_pixels(blocks);
}

/* Computes one part of the sums of out->block and the blocks after it for grid rows row..end-1 (in place:
 * pixels). x is the first input of `row`. */
static void direct_rows(direct_out *out, tile_walk *walk, int64_t blocks, const float *x, int64_t row,
                        int64_t end, bool last, const direct_call *c)
{
    const cnv_direct *d = c->d;
    if (d->in_place || d->seamless) {
        const int64_t width = d->in_place ? 1 : d->cols;
        direct_row(out, walk, blocks, x, row * width, (end - row) * width, last, c);
        return;
    }
    const int64_t row_size = d->pitch * (d->planar ? 1 : 16);
    for (int64_t r = row; r < end; r++, x += row_size) {
        if (r + 1 < end && direct_pairs(blocks, d)) {
            direct_row_pair(out, walk, blocks, x, r, c);
            r++;
            x += row_size;
        } else {
            const int64_t at = (d->origin[0] + r * d->step[0]) * d->yw + d->origin[1];
            direct_row(out, walk, blocks, x, at, d->cols, last, c);
        }
    }
}

/* Computes the whole sums, in parts whose weights stay in L2 while all rows read them. */
static void direct_blocks(direct_out *out, tile_walk *walk, int64_t blocks, const float *x, int64_t row,
                          int64_t end, const direct_call *c)
{
    const int64_t count = walk->end, nbytes = count * walk->taps * blocks * 16 * 16 * (int64_t)sizeof(float);
    const bool whole = c->finish->accumulate || c->d->planar || direct_pairs(blocks, c->d);
    int64_t parts = whole ? 1 : cnv_ceil_div(nbytes, DIRECT_PART_NBYTES);
    if (parts > count) parts = count;
    if (parts < 1) parts = 1;
    for (int64_t part = 0; part < parts; part++) {
        walk->begin = part * count / parts;
        walk->end = (part + 1) * count / parts;
        direct_rows(out, walk, blocks, x, row, end, part + 1 == parts, c);
    }
    walk->begin = 0;
}

/* The number of tiles that grid rows row..end-1 are cut into. */
static int64_t direct_tiles(int64_t blocks, int64_t row, int64_t end, const cnv_direct *d)
{
    const int64_t pixels = tile_pixels(blocks);
    if (d->in_place) return cnv_ceil_div(end - row, pixels);
    if (d->seamless) return cnv_ceil_div((end - row) * d->cols, pixels);
    if (direct_pairs(blocks, d)) return cnv_ceil_div(end - row, 2);
    return (end - row) * cnv_ceil_div(d->cols, pixels);
}

/* The first output block of a worker's probable next item; the number of blocks if there is none. */
static int64_t direct_next(int64_t item, const direct_call *c)
{
    item += c->threads;
    return item < c->items ? item % c->groups * c->d->group : cnv_blocks(c->d->oc);
}

/* Points walk->w at the packed weights of `blocks` output blocks. Plain weights are packed into `made`. If
 * the weights are packed, the next `tiles` tiles prefetch those of the blocks from `next` on, unless these
 * have probably been read before and are still in L2. */
static void direct_point_weights(tile_walk *walk, float *made, int64_t block, int64_t blocks, int64_t next,
                                 int64_t tiles, const direct_call *c)
{
    const int64_t all = cnv_blocks(c->d->oc);
    const bool stay = next <= block && all * walk->w_block * (int64_t)sizeof(float) <= DIRECT_PART_NBYTES;
    if (c->d->packed) {
        walk->w = c->weights + block * walk->w_block;
        tile_want(walk, c->weights + next * walk->w_block, stay ? 0 : all - next, tiles);
    } else {
        direct_weights(made, c->weights, c->d, block, block + blocks);
        walk->w = made;
    }
}

/* The input of a strip, x itself or the worker's copy; backward also the list of blocks that are not zero. */
static const float *direct_input(tile_walk *walk, direct_call *c, int64_t strip, int worker)
{
    const cnv_direct *d = c->d;
    const int64_t image = strip / c->strips, row = strip % c->strips * d->strip;
    const int64_t left = d->cols - row, whole = d->phases * d->phase_rows * d->pitch;
    const int64_t pixels = !d->in_place ? whole : left < d->strip ? left : d->strip;
    char *scratch = c->scratch + (size_t)worker * c->scratch_stride;
    int32_t *live = (int32_t *)scratch;
    float *copy = (float *)(scratch + cnv_direct_list(d));
    const float *x = d->in_place ? c->x + image * d->x_image + row * 16 : copy;
    walk->x_block = (d->in_place ? d->xh * d->xw : whole) * 16;
    if (c->holds[worker] != strip + 1) {
        if (!d->in_place) direct_copy_strip(copy, c->x, c->gate, d, image, row);
        if (d->backward) c->n_live[worker] = direct_live(live, x, walk->x_block, pixels, d);
    }
    c->holds[worker] = strip + 1;
    walk->live = d->backward ? live : NULL;
    walk->end = d->backward ? c->n_live[worker] : cnv_blocks(d->ic);
    return x;
}

static void direct_item(void *context, int64_t item, int worker)
{
    direct_call *c = context;
    const cnv_direct *d = c->d;
    const int64_t group = item % c->groups, strip = item / c->groups;
    const int64_t image = strip / c->strips, row = strip % c->strips * d->strip;
    const int64_t extent = d->in_place ? d->cols : d->rows;
    const int64_t end = row + d->strip < extent ? row + d->strip : extent;
    const int64_t y_blocks = cnv_blocks(d->oc), plane = d->yh * d->yw;
    const int64_t channels = d->planar ? 1 : d->ic;
    tile_walk walk = {
        .w_block = channels * d->taps * 16, .channels = channels, .taps = d->taps, .offset = d->offset};
    const float *x = direct_input(&walk, c, strip, worker);
    char *scratch = c->scratch + (size_t)worker * c->scratch_stride;
    float *made = (float *)(scratch + cnv_direct_list(d) + cnv_direct_copy(d));
    direct_out out = {.y = c->y + image * d->y_image};
    if (c->finish->add != NULL) out.add = c->finish->add + image * y_blocks * plane * 16;
    if (c->finish->bits != NULL) out.bits = c->finish->bits + image * y_blocks * plane;
    const int64_t last = (group + 1) * d->group < y_blocks ? (group + 1) * d->group : y_blocks;
    for (out.block = group * d->group; out.block < last; out.block += TILE_BLOCKS) {
        const int64_t blocks = last - out.block < TILE_BLOCKS ? last - out.block : TILE_BLOCKS;
        const int64_t next = out.block + TILE_BLOCKS < last ? out.block + TILE_BLOCKS : direct_next(item, c);
        direct_point_weights(&walk, made, out.block, blocks, next, direct_tiles(blocks, row, end, d), c);
        walk.narrow = d->oc <= (out.block + blocks) * 16 - 8;
        walk.start = c->bias != NULL ? c->bias + out.block * 16 : NULL;
        direct_blocks(&out, &walk, blocks, x, row, end, c);
    }
}

static void direct_run(float *y, const float *x, const float *weights, const float *bias,
                       const cnv_finish *finish, const cnv_gate *gate, const cnv_direct *d, void *scratch,
                       size_t scratch_stride, cnv_run *run)
{
    if (d->rows == 0 || d->cols == 0) return;
    direct_call c = {.y = y,
                     .x = x,
                     .weights = weights,
                     .bias = bias,
                     .finish = finish,
                     .gate = gate,
                     .d = d,
                     .scratch = scratch,
                     .scratch_stride = scratch_stride,
                     .threads = run->threads};
    c.kind = finish_kind_of(finish);
    c.strips = cnv_ceil_div(d->in_place ? d->cols : d->rows, d->strip);
    c.groups = cnv_ceil_div(cnv_blocks(d->oc), d->group);
    c.items = d->images * c.strips * c.groups;
    cnv_parallel(run, c.items, direct_item, &c);
}

#endif
