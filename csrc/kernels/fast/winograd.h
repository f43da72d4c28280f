/*
 * 3x3 convolution with stride 1 by Winograd's minimal filtering, F(4x4,3x3) and F(2x2,3x3) (Lavin and Gray
 * 2016, sec. 4.1):
 *
 *     y tile = A^T [ sum over channels (G w G^T) * (B^T x B) ] A
 *
 * An m x m tile of y costs (m+2)^2 products per pair of channels where the direct sum takes 9 m^2: 4 times
 * fewer for m = 4, 2.25 times fewer for m = 2. The error of a float32 result, relative to its largest, is
 * some 1e-5 for m = 4 and below the direct sum's for m = 2.
 *
 * For each of the (m+2)^2 positions, the transformed tiles V times the transformed weights U are a matrix
 * product, which the tile of tile.h computes:  M[position][o][tile] = sum over c V[position][c][tile] U[..].
 * The parts of V and M that belong to a block of tiles have to stay in L2. A large layer is cut into blocks
 * of tiles, one item each. A layer of few tiles and many channels would have too few items and read its large
 * U again for each: its workers make V together, then each computes some output channels (`shared`).
 *
 * U takes 4 times the memory of the weights for m = 4, 1.8 times for m = 2. If the weights are not packed,
 * each pass makes U: all of it first, if U is small, otherwise each worker the part of its output channels.
 *
 * A backward pass is the same sum with the kernel flipped and the roles of the channels exchanged.
 */
#ifndef CNV_FAST_WINOGRAD_H
#define CNV_FAST_WINOGRAD_H

#include "kernels/fast/blocked.h"
#include "kernels/fast/direct.h"
#include "runtime/threads.h"

typedef struct cnv_winograd {
    int64_t images;
    int64_t ic, oc; /* channels of x and of y; a backward pass, whose x is dy, exchanges the layer's */
    int64_t xh, xw;
    int64_t yh, yw;
    int64_t pad[2];
    int64_t m; /* rows and columns of a tile of y: 2 or 4 */
    bool backward;
    bool packed;      /* the weights are packed, as U; otherwise each pass transforms them */
    int64_t tiles[2]; /* rows and columns of tiles per image */
    bool shared;      /* all workers make V together */
    int64_t block;    /* tiles, counted over all images, that V holds */
    int64_t part;     /* if shared, the tiles of V that one item makes */
    int64_t chunk;    /* tiles that M holds */
    int64_t group;    /* output blocks that M holds */
} cnv_winograd;

/* Whether the convolution is 3x3 with stride 1, no dilation and padding of at most 2. */
bool cnv_winograd_fits(const cnv_geometry *g);

void cnv_winograd_describe(cnv_winograd *d, const cnv_geometry *g, int64_t m, bool backward, bool packed);

size_t cnv_winograd_shared(const cnv_winograd *d);  /* bytes that workers share: V, or U, or 0 */
size_t cnv_winograd_scratch(const cnv_winograd *d); /* scratch bytes of one worker */
size_t cnv_winograd_weights(const cnv_winograd *d); /* bytes of U */

/* packed: U, [position][output blocks][channels][16]   w: O,I,3,3 */
typedef void cnv_winograd_pack_kernel(float *packed, const float *w, const cnv_winograd *d);

/* y, x: blocked   weights: packed, or O,I,3,3   bias: output blocks,16, or NULL */
typedef void cnv_winograd_kernel(float *y, const float *x, const float *weights, const float *bias,
                                 const cnv_finish *finish, const cnv_gate *gate, const cnv_winograd *d,
                                 float *shared, void *scratch, size_t scratch_stride, cnv_run *run);

/* The number of floats between two positions of V, M or U: one cache line more than the columns take, because
 * a power of two would put all positions of a column into the same set of the L1 cache. */
static inline int64_t cnv_winograd_position(int64_t blocks, int64_t columns)
{
    return (blocks * columns + 1) * CNV_LANES;
}

#endif
