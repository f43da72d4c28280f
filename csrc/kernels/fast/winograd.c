#include "kernels/fast/winograd.h"

/* The size of V and M of an item that makes both: half of a 2 MiB L2; weights stream through the rest. */
#define LOCAL_NBYTES (1 << 20)

/* The size of a V that workers make together, which may spill to L3; that of an item's M, which should
 * not. */
#define SHARED_NBYTES (8 << 20)
#define M_NBYTES (1 << 20)

/* The largest U that a pass makes as a whole at its beginning: more than U of the largest layers of few
 * channels in use. Of a larger U workers make parts, even if V has to leave L2 for it. */
#define MADE_AT_ONCE_NBYTES ((size_t)16 << 20)

/* The number of output blocks of an item: V is read again for every 64 channels, not for every 32. */
#define GROUP 4

/* The largest U that every item reads as a whole: it stays in L2, or nearly. */
#define SMALL_U_NBYTES (512 << 10)

/* The workers share V if an image has fewer than ITEMS items. Each item then reads U anew, so tiles are cut
 * only until there are SHARED_ITEMS items, an even share for a few threads. */
#define ITEMS 8
#define SHARED_ITEMS 4

/* The unit of tiles: nearly a multiple of the tile widths of tile_steps.h. */
#define QUANTUM 14

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t whole_quanta(int64_t tiles)
{
    return max64(tiles / QUANTUM, 1) * QUANTUM;
}

/* The number of tiles of `nbytes` each that fit into `budget`, at least one unit and at most `tiles`. */
static int64_t tiles_within(int64_t budget, int64_t nbytes, int64_t tiles)
{
    return min64(whole_quanta(budget / nbytes), tiles);
}

/* The size of equal parts of n of at most `largest` each. */
static int64_t even(int64_t n, int64_t largest)
{
    return cnv_ceil_div(n, cnv_ceil_div(n, largest));
}

/* The number of tiles of an item if each share of the tiles is combined with `others` groups or blocks. */
static int64_t tiles_of_item(int64_t tiles, int64_t largest, int64_t others)
{
    int64_t items = cnv_ceil_div(tiles, largest);
    while (items * others < SHARED_ITEMS && tiles > items * QUANTUM) items *= 2;
    return cnv_ceil_div(tiles, items);
}

bool cnv_winograd_fits(const cnv_geometry *g)
{
    return g->kernel[0] == 3 && g->kernel[1] == 3 && g->stride[0] == 1 && g->stride[1] == 1 &&
           g->dilation[0] == 1 && g->dilation[1] == 1 && g->pad[0] <= 2 && g->pad[1] <= 2;
}

static int64_t v_size(const cnv_winograd *d)
{
    return (d->m + 2) * (d->m + 2) * cnv_winograd_position(cnv_blocks(d->ic), d->block);
}

static int64_t m_size(const cnv_winograd *d)
{
    return (d->m + 2) * (d->m + 2) * cnv_winograd_position(d->group, d->chunk);
}

static int64_t u_size(const cnv_winograd *d, int64_t blocks)
{
    return (d->m + 2) * (d->m + 2) * cnv_winograd_position(blocks, d->ic);
}

size_t cnv_winograd_weights(const cnv_winograd *d)
{
    return (size_t)u_size(d, cnv_blocks(d->oc)) * sizeof(float);
}

size_t cnv_winograd_shared(const cnv_winograd *d)
{
    if (d->shared) return (size_t)v_size(d) * sizeof(float);
    return d->packed ? 0 : cnv_winograd_weights(d);
}

size_t cnv_winograd_scratch(const cnv_winograd *d)
{
    const int64_t beside = !d->shared ? v_size(d) : d->packed ? 0 : u_size(d, d->group);
    return (size_t)(m_size(d) + beside) * sizeof(float);
}

static void choose_blocks(cnv_winograd *d)
{
    const int64_t points = (d->m + 2) * (d->m + 2), lane = CNV_LANES * (int64_t)sizeof(float);
    const int64_t per_image = d->tiles[0] * d->tiles[1], tiles = d->images * per_image;
    const int64_t blocks = cnv_blocks(d->oc);
    const int64_t v = points * cnv_blocks(d->ic) * lane;
    d->group = min64(GROUP, blocks);
    const int64_t m = points * d->group * lane;
    d->block = tiles_within(LOCAL_NBYTES, v + m, tiles);
    if (cnv_winograd_weights(d) <= SMALL_U_NBYTES)
        d->block = min64(d->block, whole_quanta(cnv_ceil_div(per_image, ITEMS)));
    d->chunk = d->block;
    d->shared = cnv_ceil_div(per_image, d->block) < ITEMS ||
                (!d->packed && cnv_winograd_weights(d) > MADE_AT_ONCE_NBYTES);
    if (!d->shared) return;
    d->block = even(tiles, tiles_within(SHARED_NBYTES, v, tiles));
    if (cnv_ceil_div(blocks, d->group) < ITEMS || !d->packed) d->group = min64(2, blocks);
    d->chunk = tiles_of_item(d->block, tiles_within(M_NBYTES, points * d->group * lane, d->block),
                             cnv_ceil_div(blocks, d->group));
    d->part = tiles_of_item(d->block, d->block, cnv_blocks(d->ic));
}

void cnv_winograd_describe(cnv_winograd *d, const cnv_geometry *g, int64_t m, bool backward, bool packed)
{
    if (backward)
        *d = (cnv_winograd){.images = g->images,
                            .ic = g->oc,
                            .oc = g->ic,
                            .xh = g->oh,
                            .xw = g->ow,
                            .yh = g->ih,
                            .yw = g->iw,
                            .pad = {2 - g->pad[0], 2 - g->pad[1]},
                            .m = m};
    else
        *d = (cnv_winograd){.images = g->images,
                            .ic = g->ic,
                            .oc = g->oc,
                            .xh = g->ih,
                            .xw = g->iw,
                            .yh = g->oh,
                            .yw = g->ow,
                            .pad = {g->pad[0], g->pad[1]},
                            .m = m};
    d->backward = backward;
    d->packed = packed;
    d->tiles[0] = cnv_ceil_div(d->yh, m);
    d->tiles[1] = cnv_ceil_div(d->yw, m);
    choose_blocks(d);
}
