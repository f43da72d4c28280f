/*
 * The shape and the modes that all folders of the core share.
 */
#ifndef CNV_RUNTIME_TYPES_H
#define CNV_RUNTIME_TYPES_H

#include <stdint.h>

#include "runtime/error.h"

#define CNV_MAX_NDIM 8

typedef struct cnv_shape {
    int ndim; /* 0 for a scalar */
    int64_t dim[CNV_MAX_NDIM];
} cnv_shape;

/* The number of elements, 1 for a scalar. It does not overflow if cnv_shape_check has passed. */
int64_t cnv_shape_size(const cnv_shape *shape);

/* Fails unless 0 <= ndim <= CNV_MAX_NDIM, every extent is >= 1, and the byte size fits in 62 bits. `what`
 * names the shape in the message. */
cnv_status cnv_shape_check(const cnv_shape *shape, const char *what, cnv_error *err);

typedef enum { CNV_PAD_CONSTANT, CNV_PAD_REFLECT, CNV_PAD_EDGE } cnv_pad_mode;

/* The rules by which rectifiers (relu, leaky_relu, prelu, clip) pass a gradient g back, z being their input:
 *   plain       g where z > 0                            the derivative
 *   guided      g where z > 0 and g > 0                  Springenberg et al. 2014, sec. 3.4
 *   deconv      g where g > 0, whatever z is             Zeiler & Fergus 2013, sec. 2.1
 *   redirected  plain; but in a batch element whose whole gradient plain would block, g except where z <= 0
 *               and g < 0, so that gradient ascent can leave a dead layer (lucid's redirected ReLU) */
typedef enum { CNV_RELU_PLAIN, CNV_RELU_GUIDED, CNV_RELU_DECONV, CNV_RELU_REDIRECTED } cnv_relu_rule;

#endif
