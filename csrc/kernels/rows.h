/*
 * The extents of a product of rows with a matrix, which both tiers share.
 *
 * Row n of the result is computed from row n of the input in one fixed order, whatever the number of rows:
 * its bits do not depend on the rest of the batch, which a GEMM does not promise.
 */
#ifndef CNV_KERNELS_ROWS_H
#define CNV_KERNELS_ROWS_H

#include <stdint.h>

/* x: rows,in   y: rows,out   w: out,in */
typedef struct cnv_rows {
    int64_t rows;
    int64_t in;
    int64_t out;
} cnv_rows;

#endif
