/*
 * The direct convolution kernel, for the instruction set of the file that includes this one.
 */
#ifndef CNV_FAST_DIRECT_IMPL_H
#define CNV_FAST_DIRECT_IMPL_H

#include "kernels/fast/direct.h"
#include "kernels/fast/lanes.h"
#include "kernels/fast/tile_shapes.h"
#include "kernels/fast/weights_template.h"

/* Weights that tiles may walk along again and again: they share L2 with the copy of a strip. */
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
    int64_t holds[CNV_MAX_THREADS];  /* 1 + the strip, over all images, that a worker's scratch is about */
    int64_t n_live[CNV_MAX_THREADS]; /* how many of its channel blocks are not all zero */
} direct_call;

/* The part of 0..count-1, counted from `first` in steps of `step`, that lies in 0..extent-1. */
typedef struct direct_span {
    int64_t begin, end;
} direct_span;

static direct_span direct_inside(int64_t first, int64_t step, int64_t count, int64_t extent)
{
    direct_span s = {0, count};
    if (first < 0) s.begin = cnv_ceil_div(-first, step);
    if (s.begin > count) s.begin = count;
    int64_t end = first < extent ? (extent - 1 - first) / step + 1 : 0;
    if (s.end > end) s.end = end;
    if (s.end < s.begin) s.end = s.begin;
    return s;
}

/* One row of one phase of one channel block: zeros, pixels, zeros. src_row is NULL in the padding. */
static void direct_copy_row(float *to, const float *src_row, const uint16_t *bits, int64_t first,
                            const cnv_direct *d, const cnv_gate *gate, cnv_relu_rule rule)
{
    direct_span in = direct_inside(first, d->stride[1], d->pitch, d->xw);
    if (src_row == NULL) in.begin = in.end = d->pitch;
    lanes_clear(to, in.begin);
    if (in.end > in.begin) {
        const int64_t at = first + in.begin * d->stride[1];
        lanes_copy(to + in.begin * 16, src_row + at * 16, bits != NULL ? bits + at : NULL, in.end - in.begin,
                   d->stride[1], gate, rule);
    }
    lanes_clear(to + in.end * 16, d->pitch - in.end);
}

/* Eight numbers: the first, the third, ... of sixteen, of which the last is read for nothing. */
CNV_INLINE __m256 direct_every_second(const float *from)
{
    const __m256 mixed = _mm256_shuffle_ps(_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8), 0x88);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xd8));
}

static void direct_copy_planar_row(float *to, const float *src_row, int64_t first, const cnv_direct *d)
{
    direct_span in = direct_inside(first, d->stride[1], d->pitch, d->xw);
    if (src_row == NULL) in.begin = in.end = d->pitch;
    int64_t i = 0;
    for (; i < in.begin; i++) to[i] = 0;
    if (d->stride[1] == 2)
        for (; i + 8 <= in.end && first + i * 2 + 16 <= d->xw; i += 8)
            _mm256_storeu_ps(to + i, direct_every_second(src_row + first + i * 2));
    for (; i < in.end; i++) to[i] = src_row[first + i * d->stride[1]];
    for (; i < d->pitch; i++) to[i] = 0;
}

/* Copies what grid rows from `row` on read of one image. */
static void direct_copy_strip(float *to, const direct_call *c, int64_t image, int64_t row)
{
    const cnv_direct *d = c->d;
    const int64_t plane = d->xh * d->xw, lanes = d->planar ? 1 : 16;
    const int64_t planes = d->planar ? d->ic : cnv_blocks(d->ic);
    const float *x = c->x + image * d->x_image;
    const uint16_t *bits = c->gate->bits != NULL ? c->gate->bits + image * planes * plane : NULL;
    const cnv_relu_rule rule = gate_rule(c->gate, image);
    for (int64_t b = 0; b < planes; b++, x += plane * lanes) {
        const uint16_t *block_bits = bits != NULL ? bits + b * plane : NULL;
        for (int64_t p = 0; p < d->phases; p++) {
            const int64_t col = d->first[1] + d->phase[p][1];
            for (int64_t r = 0; r < d->phase_rows; r++, to += d->pitch * lanes) {
                const int64_t at = d->first[0] + d->phase[p][0] + (row + r) * d->stride[0];
                const bool inside = at >= 0 && at < d->xh;
                const float *src = inside ? x + at * d->xw * lanes : NULL;
                if (d->planar)
                    direct_copy_planar_row(to, src, col, d);
                else
                    direct_copy_row(to, src, inside && bits != NULL ? block_bits + at * d->xw : NULL, col, d,
                                    c->gate, rule);
            }
        }
    }
}

/* Lists the channel blocks of a strip that hold anything but zeros. The gradient of one class's score has all
 * but one of a convolutional classifier's channels zero; in others the first pixel answers. */
static int64_t direct_live(int32_t *live, const float *x, int64_t x_block, int64_t pixels,
                           const cnv_direct *d)
{
    int64_t count = 0;
    for (int64_t b = 0; b < cnv_blocks(d->ic); b++) {
        const float *at = x + b * x_block, *end = at + pixels * 16;
        while (at < end && !v16_any(v16_load(at))) at += 16;
        if (at < end) live[count++] = (int32_t)b;
    }
    return count;
}

/* Where a run of results goes. */
typedef struct direct_out {
    float *y; /* the image's */
    const float *add;
    uint16_t *bits;
    int64_t block;
} direct_out;

/* Finishes `count` pixels of `blocks` blocks that a tile has left in sums, [pixel][block][16]. */
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

/* How the tiles of a row finish: in registers, but for the rare sum that has two things added to it. Whether
 * they do. What is not the last part of a sum leaves it in y. */
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

/* One row of `cols` grid pixels, the first of which is pixel `at` of y, from x on. */
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

/* Two rows that are at most half a tile wide, as one tile; pixels between them are computed and dropped. */
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

/* Whether two rows make one tile. */
static bool direct_pairs(int64_t blocks, const cnv_direct *d)
{
    return d->cols <= TILE_HALF && TILE_HALF + d->cols <= tile_pixels(blocks);
}

/* A part of the sums of output blocks from `block` on, for grid rows row..end-1 (in place: pixels). x is what
 * `row` reads. */
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

/* The whole sums, in as many parts as keep the weights of one in L2 while all rows walk along them. */
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

/* How many tiles grid rows row..end-1 are cut into. */
static int64_t direct_tiles(int64_t blocks, int64_t row, int64_t end, const cnv_direct *d)
{
    const int64_t pixels = tile_pixels(blocks);
    if (d->in_place) return cnv_ceil_div(end - row, pixels);
    if (d->seamless) return cnv_ceil_div((end - row) * d->cols, pixels);
    if (direct_pairs(blocks, d)) return cnv_ceil_div(end - row, 2);
    return (end - row) * cnv_ceil_div(d->cols, pixels);
}

/* The first output block of the item that a worker is likely to take after this one; none, all blocks. */
static int64_t direct_next(int64_t item, const direct_call *c)
{
    item += c->threads;
    return item < c->items ? item % c->groups * c->d->group : cnv_blocks(c->d->oc);
}

/* Finds the weights of `blocks` output blocks, or packs them into `made` where they come plain. Where they
 * come packed, `tiles` tiles ask for those of the blocks from `next` on, unless these are likely to have been
 * walked along before and to be in L2 still. */
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

/* What a strip reads: x itself, or the worker's copy; backward also which blocks count. */
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
        if (!d->in_place) direct_copy_strip(copy, c, image, row);
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
