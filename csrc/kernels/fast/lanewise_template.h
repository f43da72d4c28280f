/*
 * Template: the kernels of lanewise.h, which handle each pixel and channel block on its own.
 *
 * Parameter: VEC_ZMM, see vec.h.
 */
#ifndef CNV_FAST_LANEWISE_TEMPLATE_H
#define CNV_FAST_LANEWISE_TEMPLATE_H

#include "kernels/fast/lanes.h"
#include "kernels/fast/lanewise.h"

/* The number of pixels of one item: 64 KiB read and 64 KiB written. */
#define LANEWISE_PIXELS 1024

typedef struct lanewise_call {
    float *y;
    const float *x;
    const cnv_finish *finish;
    const cnv_gate *gate;
    const cnv_picture *p;
    const cnv_slice *slice;
    const uint16_t *bits;
    bool *dead;
    bool accumulate;
    int64_t per_image; /* items of one image of a slice */
} lanewise_call;

static int64_t lanewise_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Transposes 4 x 4 numbers: rows of a become columns of b. */
CNV_INLINE void lanewise_transpose4(float *b, int64_t b_row, const float *a, int64_t a_row, bool add)
{
    __m128 r0 = _mm_loadu_ps(a), r1 = _mm_loadu_ps(a + a_row);
    __m128 r2 = _mm_loadu_ps(a + 2 * a_row), r3 = _mm_loadu_ps(a + 3 * a_row);
    _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
    if (add) {
        r0 = _mm_add_ps(r0, _mm_loadu_ps(b));
        r1 = _mm_add_ps(r1, _mm_loadu_ps(b + b_row));
        r2 = _mm_add_ps(r2, _mm_loadu_ps(b + 2 * b_row));
        r3 = _mm_add_ps(r3, _mm_loadu_ps(b + 3 * b_row));
    }
    _mm_storeu_ps(b, r0);
    _mm_storeu_ps(b + b_row, r1);
    _mm_storeu_ps(b + 2 * b_row, r2);
    _mm_storeu_ps(b + 3 * b_row, r3);
}

/* y[p][c] = x[c][p] for `count` of the `pixels` pixels of a plane; lanes from `channels` on are zero. */
static void lanewise_block_in(float *y, const float *x, int64_t pixels, int64_t channels, int64_t count,
                              bool add)
{
    int64_t p = 0;
    for (; channels == 16 && p + 4 <= count; p += 4)
        for (int64_t c = 0; c < 16; c += 4)
            lanewise_transpose4(y + p * 16 + c, 16, x + c * pixels + p, pixels, add);
    for (; p < count; p++) {
        for (int64_t c = 0; c < 16; c++) {
            const float value = c < channels ? x[c * pixels + p] : 0;
            y[p * 16 + c] = add ? y[p * 16 + c] + value : value;
        }
    }
}

/* y[c][p] = x[p][c] for `count` of the `pixels` pixels of a plane. */
static void lanewise_block_out(float *y, const float *x, int64_t pixels, int64_t channels, int64_t count,
                               bool add)
{
    int64_t p = 0;
    for (; channels == 16 && p + 4 <= count; p += 4)
        for (int64_t c = 0; c < 16; c += 4)
            lanewise_transpose4(y + c * pixels + p, pixels, x + p * 16 + c, 16, add);
    for (; p < count; p++) {
        for (int64_t c = 0; c < channels; c++) {
            const float value = x[p * 16 + c];
            y[c * pixels + p] = add ? y[c * pixels + p] + value : value;
        }
    }
}

/* The place of an item: one block and up to LANEWISE_PIXELS pixels. */
typedef struct lanewise_part {
    int64_t image, block;
    int64_t first, count; /* its pixels */
} lanewise_part;

static lanewise_part lanewise_part_of(const cnv_picture *p, int64_t item)
{
    const int64_t parts = cnv_ceil_div(p->pixels, LANEWISE_PIXELS), blocks = cnv_blocks(p->channels);
    lanewise_part part = {item / parts / blocks, item / parts % blocks, item % parts * LANEWISE_PIXELS, 0};
    part.count = lanewise_min(LANEWISE_PIXELS, p->pixels - part.first);
    return part;
}

static int64_t lanewise_items(const cnv_picture *p)
{
    return p->images * cnv_blocks(p->channels) * cnv_ceil_div(p->pixels, LANEWISE_PIXELS);
}

static void to_blocked_item(void *context, int64_t item, int worker)
{
    const lanewise_call *c = context;
    const cnv_picture *p = c->p;
    const lanewise_part part = lanewise_part_of(p, item);
    const int64_t block = part.image * cnv_blocks(p->channels) + part.block;
    const float *x = c->x + (part.image * p->channels + part.block * 16) * p->pixels + part.first;
    lanewise_block_in(c->y + (block * p->pixels + part.first) * 16, x, p->pixels,
                      lanewise_min(16, p->channels - part.block * 16), part.count, c->accumulate);
    (void)worker;
}

static void to_blocked(float *y, const float *x, bool accumulate, const cnv_picture *p, cnv_run *run)
{
    lanewise_call c = {.y = y, .x = x, .accumulate = accumulate, .p = p};
    cnv_parallel(run, lanewise_items(p), to_blocked_item, &c);
}

static void to_plain_item(void *context, int64_t item, int worker)
{
    const lanewise_call *c = context;
    const cnv_picture *p = c->p;
    const lanewise_part part = lanewise_part_of(p, item);
    const int64_t block = part.image * cnv_blocks(p->channels) + part.block;
    float *y = c->y + (part.image * p->channels + part.block * 16) * p->pixels + part.first;
    lanewise_block_out(y, c->x + (block * p->pixels + part.first) * 16, p->pixels,
                       lanewise_min(16, p->channels - part.block * 16), part.count, c->accumulate);
    (void)worker;
}

static void to_plain(float *y, const float *x, bool accumulate, const cnv_picture *p, cnv_run *run)
{
    lanewise_call c = {.y = y, .x = x, .accumulate = accumulate, .p = p};
    cnv_parallel(run, lanewise_items(p), to_plain_item, &c);
}

static void finish_item(void *context, int64_t item, int worker)
{
    const lanewise_call *c = context;
    const lanewise_part part = lanewise_part_of(c->p, item);
    const int64_t first = (part.image * cnv_blocks(c->p->channels) + part.block) * c->p->pixels + part.first;
    lanes_finish_run(finish_kind_of(c->finish), c->y + first * 16,
                     c->finish->add != NULL ? c->finish->add + first * 16 : NULL,
                     c->finish->bits != NULL ? c->finish->bits + first : NULL, 1, c->x + first * 16, 16,
                     v16_zero(), part.count, c->finish);
    (void)worker;
}

static void finish_run(float *y, const float *x, const cnv_finish *finish, const cnv_picture *p, cnv_run *run)
{
    lanewise_call c = {.y = y, .x = x, .finish = finish, .p = p};
    cnv_parallel(run, lanewise_items(p), finish_item, &c);
}

static void gate_item(void *context, int64_t item, int worker)
{
    const lanewise_call *c = context;
    const lanewise_part part = lanewise_part_of(c->p, item);
    const int64_t first = (part.image * cnv_blocks(c->p->channels) + part.block) * c->p->pixels + part.first;
    const uint16_t *bits = c->gate->bits != NULL ? c->gate->bits + first : NULL;
    const cnv_relu_rule rule = gate_rule(c->gate, part.image);
    float *dx = c->y + first * 16;
    const float *dy = c->x + first * 16;
    if (!c->accumulate) {
        lanes_copy(dx, dy, bits, part.count, 1, c->gate, rule);
        return;
    }
    for (int64_t i = 0; i < part.count; i++) {
        v16 g = v16_load(dy + i * 16);
        if (bits != NULL) g = lanes_gate(g, bits + i, c->gate, rule);
        v16_store(dx + i * 16, v16_add(v16_load(dx + i * 16), g));
    }
    (void)worker;
}

static void gate_run(float *dx, const float *dy, const cnv_gate *gate, bool accumulate, const cnv_picture *p,
                     cnv_run *run)
{
    lanewise_call c = {.y = dx, .x = dy, .gate = gate, .accumulate = accumulate, .p = p};
    cnv_parallel(run, lanewise_items(p), gate_item, &c);
}

static void dead_item(void *context, int64_t image, int worker)
{
    const lanewise_call *c = context;
    const int64_t size = cnv_blocks(c->p->channels) * c->p->pixels;
    const v16 zero = v16_zero();
    bool dead = true;
    for (int64_t i = image * size; i < (image + 1) * size && dead; i++) {
        v16 g = v16_keep(c->bits[i], v16_load(c->x + i * 16));
        dead = (v16_greater(g, zero) | v16_greater(zero, g)) == 0;
    }
    c->dead[image] = dead;
    (void)worker;
}

static void dead_run(bool *dead, const float *dy, const uint16_t *bits, const cnv_picture *p, cnv_run *run)
{
    lanewise_call c = {.dead = dead, .x = dy, .bits = bits, .p = p};
    cnv_parallel(run, p->images, dead_item, &c);
}

/* An item of a slice is LANEWISE_PIXELS pixels of one image, too. */
static void slice_forward_item(void *context, int64_t item, int worker)
{
    const lanewise_call *c = context;
    const cnv_slice *s = c->slice;
    const int64_t image = item / c->per_image, from = item % c->per_image * LANEWISE_PIXELS * 16;
    const int64_t n = lanewise_min(LANEWISE_PIXELS * 16, s->x_size - from);
    memcpy(c->y + image * s->y_size + s->first + from, c->x + image * s->x_size + from,
           (size_t)n * sizeof(float));
    (void)worker;
}

static void slice_forward(float *y, const float *x, const cnv_slice *s, cnv_run *run)
{
    lanewise_call c = {
        .y = y, .x = x, .slice = s, .per_image = cnv_ceil_div(s->x_size, LANEWISE_PIXELS * 16)};
    cnv_parallel(run, s->images * c.per_image, slice_forward_item, &c);
}

static void slice_backward_item(void *context, int64_t item, int worker)
{
    const lanewise_call *c = context;
    const cnv_slice *s = c->slice;
    const int64_t image = item / c->per_image, from = item % c->per_image * LANEWISE_PIXELS * 16;
    const int64_t n = lanewise_min(LANEWISE_PIXELS * 16, s->x_size - from);
    float *dx = c->y + image * s->x_size + from;
    const float *dy = c->x + image * s->y_size + s->first + from;
    for (int64_t i = 0; i < n; i += 16) {
        v16 g = v16_load(dy + i);
        v16_store(dx + i, c->accumulate ? v16_add(v16_load(dx + i), g) : g);
    }
    (void)worker;
}

static void slice_backward(float *dx, const float *dy, bool accumulate, const cnv_slice *s, cnv_run *run)
{
    lanewise_call c = {.y = dx,
                       .x = dy,
                       .accumulate = accumulate,
                       .slice = s,
                       .per_image = cnv_ceil_div(s->x_size, LANEWISE_PIXELS * 16)};
    cnv_parallel(run, s->images * c.per_image, slice_backward_item, &c);
}

#endif
