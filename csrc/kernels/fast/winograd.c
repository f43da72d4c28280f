#include "kernels/fast/winograd.h"

/* V and M of an item that makes both: half of a 2 MiB L2, the rest is for the weights that stream past. */
#define LOCAL_NBYTES (1 << 20)

/* V that workers make together may spill to L3; M of one item should not. */
#define SHARED_NBYTES (8 << 20)
#define M_NBYTES (1 << 20)

/* Output blocks of an item: 64 channels, so that V is read again for every 64 and not for every 32. */
#define GROUP 4

/* Fewer items than this per image, and the workers share V. */
#define ITEMS 8

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* How many tiles of `nbytes` each fit into `budget`, in multiples of both tile widths of tile.h. */
static int64_t tiles_within(int64_t budget, int64_t nbytes, int64_t tiles)
{
    const int64_t quantum = 14;
    return min64(max64(budget / nbytes / quantum, 1) * quantum, tiles);
}

/* `parts` equal parts of n, rounded up. */
static int64_t even(int64_t n, int64_t largest)
{
    return cnv_ceil_div(n, cnv_ceil_div(n, largest));
}

bool cnv_winograd_fits(const cnv_geometry *g)
{
    return g->kernel[0] == 3 && g->kernel[1] == 3 && g->stride[0] == 1 && g->stride[1] == 1 &&
           g->dilation[0] == 1 && g->dilation[1] == 1 && g->pad[0] <= 2 && g->pad[1] <= 2;
}

static void choose_blocks(cnv_winograd *d)
{
    const int64_t points = (d->m + 2) * (d->m + 2), lane = CNV_LANES * (int64_t)sizeof(float);
    const int64_t per_image = d->tiles[0] * d->tiles[1], tiles = d->images * per_image;
    const int64_t blocks = cnv_blocks(d->oc);
    const int64_t v = points * cnv_blocks(d->ic) * lane;
    d->group = min64(GROUP, blocks);
    const int64_t m = points * d->group * lane;
    d->block = d->chunk = tiles_within(LOCAL_NBYTES, v + m, tiles);
    d->shared = cnv_ceil_div(per_image, d->block) < ITEMS;
    if (!d->shared) return;
    d->block = even(tiles, tiles_within(SHARED_NBYTES, v, tiles));
    if (cnv_ceil_div(blocks, d->group) < ITEMS) d->group = min64(2, blocks);
    d->chunk = even(d->block, tiles_within(M_NBYTES, points * d->group * lane, d->block));
}

void cnv_winograd_describe(cnv_winograd *d, const cnv_geometry *g, int64_t m, bool backward)
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
    d->tiles[0] = cnv_ceil_div(d->yh, m);
    d->tiles[1] = cnv_ceil_div(d->yw, m);
    choose_blocks(d);
}

static int64_t v_size(const cnv_winograd *d)
{
    return (d->m + 2) * (d->m + 2) * cnv_winograd_position(cnv_blocks(d->ic), d->block);
}

size_t cnv_winograd_shared(const cnv_winograd *d)
{
    return d->shared ? (size_t)v_size(d) * sizeof(float) : 0;
}

size_t cnv_winograd_scratch(const cnv_winograd *d)
{
    int64_t m = (d->m + 2) * (d->m + 2) * cnv_winograd_position(d->group, d->chunk);
    return (size_t)(m + (d->shared ? 0 : v_size(d))) * sizeof(float);
}

size_t cnv_winograd_weights(const cnv_winograd *d)
{
    return (size_t)((d->m + 2) * (d->m + 2) * cnv_blocks(d->oc) * CNV_LANES * d->ic) * sizeof(float);
}

/* G for the points 0, 1, -1, 2, -2, infinity and 0, 1, -1, infinity. */
static const double g4[6][3] = {{1.0 / 4, 0, 0},
                                {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                {0, 0, 1}};
static const double g2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

/* u[i * n + j], `gap` floats apart, = (G w G^T)[i][j]; w is 3x3, read backwards when flipped. */
static void transform_kernel(float *u, int64_t gap, const float *w, bool flipped, int64_t n)
{
    const double (*g)[3] = n == 6 ? g4 : g2;
    double rows[6][3];
    for (int64_t i = 0; i < n; i++) {
        for (int64_t s = 0; s < 3; s++) {
            rows[i][s] = 0;
            for (int64_t r = 0; r < 3; r++)
                rows[i][s] += g[i][r] * (double)w[flipped ? 8 - r * 3 - s : r * 3 + s];
        }
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            u[(i * n + j) * gap] =
                (float)(rows[i][0] * g[j][0] + rows[i][1] * g[j][1] + rows[i][2] * g[j][2]);
}

void cnv_winograd_pack(float *packed, const float *w, const cnv_winograd *d, bool backward)
{
    static const float zeros[9] = {0};
    const int64_t outs = cnv_blocks(d->oc) * CNV_LANES, n = d->m + 2;
    for (int64_t o = 0; o < outs; o++) {
        for (int64_t c = 0; c < d->ic; c++) {
            const float *kernel = o >= d->oc ? zeros
                                  : backward ? w + (c * d->oc + o) * 9
                                             : w + (o * d->ic + c) * 9;
            float *to = packed + (o / CNV_LANES * d->ic + c) * CNV_LANES + o % CNV_LANES;
            transform_kernel(to, outs * d->ic, kernel, backward, n);
        }
    }
}
