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
 * What a block of tiles needs of V and M has to stay in L2. A large layer is cut into blocks of tiles, one
 * item each. A layer of few tiles and many channels would leave too few items and read its large U over and
 * over: there all workers make V together, then each takes some output channels.
 *
 * U takes 4 times the room of the weights for m = 4, 1.8 times for m = 2. Where that is too much, a pass
 * makes it as it goes: of a large layer, whose U is small, all of it at first; otherwise each worker that of
 * the output channels that it has taken.
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
    int64_t ic, oc; /* channels of x and y here: a backward pass has them the other way round */
    int64_t xh, xw;
    int64_t yh, yw;
    int64_t pad[2];
    int64_t m; /* 2 or 4 */
    bool backward;
    bool packed;      /* the weights come transformed; otherwise each pass transforms them */
    int64_t tiles[2]; /* per image, rows and columns */
    bool shared;      /* V is made by all workers together */
    int64_t block;    /* tiles, over all images, that V holds */
    int64_t part;     /* shared: tiles of V that a worker makes at a time */
    int64_t chunk;    /* tiles that M holds */
    int64_t group;    /* output blocks that M holds */
} cnv_winograd;

/* 3x3, stride 1, no dilation, padding of at most 2. */
bool cnv_winograd_fits(const cnv_geometry *g);

void cnv_winograd_describe(cnv_winograd *d, const cnv_geometry *g, int64_t m, bool backward, bool packed);

size_t cnv_winograd_shared(const cnv_winograd *d);  /* bytes of what workers share: V, or U, or nothing */
size_t cnv_winograd_scratch(const cnv_winograd *d); /* bytes per worker */
size_t cnv_winograd_weights(const cnv_winograd *d); /* bytes of transformed weights */

/* Packed weights from O,I,3,3: U as [position][block of outputs][channels][16]. */
typedef void cnv_winograd_pack_kernel(float *packed, const float *w, const cnv_winograd *d);

/* weights: packed or O,I,3,3, as d says. bias: padded to whole blocks, or NULL. */
typedef void cnv_winograd_kernel(float *y, const float *x, const float *weights, const float *bias,
                                 const cnv_finish *finish, const cnv_gate *gate, const cnv_winograd *d,
                                 float *shared, void *scratch, size_t scratch_stride, cnv_run *run);

/* Floats between two positions of V, M or U: one line more than its columns take, because a power of two
 * would put all positions of a column into the same set of the L1 cache. */
static inline int64_t cnv_winograd_position(int64_t blocks, int64_t columns)
{
    return (blocks * columns + 1) * CNV_LANES;
}

#endif
