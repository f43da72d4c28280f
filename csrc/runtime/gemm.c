#include "runtime/gemm.h"

#include <string.h>

/*
 * Blocks of a are packed into panels of TILE_ROWS rows and strips of b into TILE_COLUMNS columns, both with k
 * running outermost and both padded with zeros, so that the tile kernel is one loop without edges. Four rows
 * by two vectors are eight accumulators: they and their operands fit the sixteen registers of SSE2 and the
 * thirty-two of NEON. One block of a is 32 KiB and one strip of b is 8 KiB: a level-one cache, and a stack.
 */
enum {
    LANES = 4,
    TILE_ROWS = 4,
    TILE_COLUMNS = 2 * LANES,
    BLOCK_ROWS = 32,
    BLOCK_DEPTH = 256,
};

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));

/* A matrix as op() sees it: element (i, j) is data[i * row + j * column]. */
typedef struct {
    const float *data;
    int64_t row;
    int64_t column;
} view;

static view view_of(const float *data, int64_t stride, bool transposed)
{
    return transposed ? (view){data, 1, stride} : (view){data, stride, 1};
}

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* out[d][w] = element (first + w, d0 + d) of x, 0 where first + w >= end: a panel of a, or through a
 * transposed view a strip of b.   out: depth,width */
static void pack(view x, int64_t first, int64_t end, int64_t width, int64_t d0, int64_t depth, float *out)
{
    int64_t real = min_i64(end - first, width);
    for (int64_t d = 0; d < depth; d++) {
        const float *from = x.data + first * x.row + (d0 + d) * x.column;
        float *to = out + d * width;
        for (int64_t w = 0; w < real; w++) {
            to[w] = from[w * x.row];
        }
        for (int64_t w = real; w < width; w++) {
            to[w] = 0.0f;
        }
    }
}

static vec load(const float *from)
{
    vec v;
    memcpy(&v, from, sizeof v);
    return v;
}

static void store(float *to, vec v)
{
    memcpy(to, &v, sizeof v);
}

/* tile = panel^T * strip.   tile: TILE_ROWS,TILE_COLUMNS   panel: depth,TILE_ROWS   strip:
 * depth,TILE_COLUMNS */
static void multiply_tile(int64_t depth, const float *panel, const float *strip, float *tile)
{
    vec c00 = {0}, c01 = {0}, c10 = {0}, c11 = {0}, c20 = {0}, c21 = {0}, c30 = {0}, c31 = {0};
    for (int64_t d = 0; d < depth; d++, panel += TILE_ROWS, strip += TILE_COLUMNS) {
        vec b0 = load(strip), b1 = load(strip + LANES);
        c00 += panel[0] * b0;
        c01 += panel[0] * b1;
        c10 += panel[1] * b0;
        c11 += panel[1] * b1;
        c20 += panel[2] * b0;
        c21 += panel[2] * b1;
        c30 += panel[3] * b0;
        c31 += panel[3] * b1;
    }
    const vec sums[TILE_ROWS * 2] = {c00, c01, c10, c11, c20, c21, c30, c31};
    for (int i = 0; i < TILE_ROWS * 2; i++) {
        store(tile + i * LANES, sums[i]);
    }
}

/* c = alpha * tile + beta * c for the rows x columns corner of the tile that is inside the matrix. */
static void write_tile(const float *tile, int64_t rows, int64_t columns, float alpha, float beta, float *c,
                       int64_t ldc)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) {
            float product = alpha * tile[i * TILE_COLUMNS + j];
            c[i * ldc + j] = beta == 0.0f ? product : product + beta * c[i * ldc + j];
        }
    }
}

/* c = beta * c.   c: m,n */
static void scale(int64_t m, int64_t n, float beta, float *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            c[i * ldc + j] = beta == 0.0f ? 0.0f : beta * c[i * ldc + j];
        }
    }
}

void cnv_gemm_builtin(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                      const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                      int64_t ldc)
{
    float panels[BLOCK_ROWS * BLOCK_DEPTH];
    float strip[BLOCK_DEPTH * TILE_COLUMNS];
    float tile[TILE_ROWS * TILE_COLUMNS];
    view rows = view_of(a, lda, transpose_a);
    view columns = view_of(b, ldb, !transpose_b);
    if (k == 0) scale(m, n, beta, c, ldc);

    for (int64_t d = 0; d < k; d += BLOCK_DEPTH) {
        int64_t depth = min_i64(k - d, BLOCK_DEPTH);
        float keep = d == 0 ? beta : 1.0f;
        for (int64_t block = 0; block < m; block += BLOCK_ROWS) {
            int64_t end = min_i64(m, block + BLOCK_ROWS);
            for (int64_t i = block; i < end; i += TILE_ROWS) {
                pack(rows, i, m, TILE_ROWS, d, depth, panels + (i - block) * depth);
            }
            for (int64_t j = 0; j < n; j += TILE_COLUMNS) {
                pack(columns, j, n, TILE_COLUMNS, d, depth, strip);
                for (int64_t i = block; i < end; i += TILE_ROWS) {
                    multiply_tile(depth, panels + (i - block) * depth, strip, tile);
                    write_tile(tile, min_i64(m - i, TILE_ROWS), min_i64(n - j, TILE_COLUMNS), alpha, keep,
                               c + i * ldc + j, ldc);
                }
            }
        }
    }
}
