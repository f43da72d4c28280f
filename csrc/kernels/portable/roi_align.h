/*
 * Pooling of regions, forward and the gradient of the picture (He et al. 2017, sec. 3).
 *
 *     y[r,c,i,j] = mean or maximum of x[image of r, c] at samples spread evenly over bin i,j of region r
 *
 * x: images, C, H, W   regions: R, 4 (left, top, right, bottom)   index: R (an image each)   y: R, C, rows,
 * columns
 *
 * A sample is bilinear between the four elements around it; beyond the outermost elements it stays on them
 * for one element more, and is 0 from there on. A maximum is over the single products of element and weight,
 * as ONNX has it. Work is cut by shapes alone; backward adds to dx.
 */
#ifndef CNV_KERNELS_ROI_ALIGN_H
#define CNV_KERNELS_ROI_ALIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/threads.h"

typedef struct cnv_roi_align {
    int64_t images;
    int64_t channels;
    int64_t extent[2]; /* rows and columns of x */
    int64_t regions;
    int64_t bins[2]; /* rows and columns of y */
    int64_t samples; /* of a bin along each axis; 0: one for each element that the bin is wide */
    float scale;     /* regions times scale are in elements of x */
    bool half_pixel; /* elements lie at their centres; else a region has at least one element */
    bool maximum;
} cnv_roi_align;

/* Bytes of scratch for each worker, for both passes. */
size_t cnv_roi_align_scratch(const cnv_roi_align *s);

/* An index beyond the images stands for the nearest one. */
void cnv_roi_align_forward(float *y, const float *x, const float *regions, const float *index,
                           const cnv_roi_align *s, void *scratch, size_t scratch_stride, cnv_run *run);
void cnv_roi_align_backward(float *dx, const float *dy, const float *x, const float *regions,
                            const float *index, const cnv_roi_align *s, void *scratch, size_t scratch_stride,
                            cnv_run *run);

#endif
