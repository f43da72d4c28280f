/*
 * One pass over a picture at a time: what the optimisation loop does between two passes through a network.
 *
 * A pass through a small network takes a few milliseconds and a pass over its picture some ten microseconds,
 * so that each formula here is one loop and not one loop for each operation in it. Pictures are N,C,H,W with
 * H * W = `size`; whatever else has two leading axes will do.
 */
#ifndef CNV_KERNELS_PICTURE_H
#define CNV_KERNELS_PICTURE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cnv_picture {
    int64_t batch;
    int64_t channels;
    int64_t size;
} cnv_picture;

/* A line for each channel: (slope * x + shift) / divisor, each operation rounded to float32. */
typedef struct cnv_affine {
    const float *slope;
    const float *shift;   /* NULL: zero */
    const float *divisor; /* NULL: one */
    bool reversed;        /* channel c is read from C-1-c, RGB from BGR */
} cnv_affine;

/* Limits; both NULL: none. NaN stays NaN. */
typedef struct cnv_box {
    const float *low;
    const float *high;
    int64_t count; /* 1, for all channels, or one for each */
} cnv_box;

/* Adam (Kingma & Ba 2015, algorithm 1) after its bookkeeping: one step upwards. */
typedef struct cnv_adam {
    float keep_mean, add_mean;     /* beta1, 1 - beta1 */
    float keep_square, add_square; /* beta2, 1 - beta2 */
    float rate;                    /* alpha / (1 - beta1^t) */
    float scale;                   /* 1 / (1 - beta2^t) */
    float epsilon;
} cnv_adam;

bool cnv_all_finite(const float *x, int64_t n);

/* sums[i] = the inner product of image i of both, in double: a gradient of 1e-25 has a length too. */
void cnv_dots(double *sums, const float *x, const float *y, int64_t batch, int64_t n);

/* y may be x unless the channels are reversed. */
void cnv_affine_forward(float *y, const float *x, const cnv_picture *p, const cnv_affine *line);

/* y = z + rate[i] * g for image i, held in the box. */
void cnv_ascend(float *y, const float *z, const float *g, const cnv_picture *p, const float *rate,
                const cnv_box *box);

/* mask = 1 where a step along g is not stopped at once by the box, else 0. */
void cnv_free_to_move(float *mask, const float *z, const float *g, const cnv_picture *p, const cnv_box *box);

/* What Adam knows of a picture: the picture, and the moments of its gradient. */
typedef struct cnv_adam_state {
    float *z;
    float *mean;
    float *square;
} cnv_adam_state;

/* mean and square move towards g and g^2, and z by rate * mean / (sqrt(scale * square) + epsilon), held in
 * the box. `to` and `from` are apart: a step that is interrupted must leave the state before it whole. */
void cnv_adam_step(const cnv_adam_state *to, const cnv_adam_state *from, const float *g, const cnv_picture *p,
                   const cnv_adam *adam, const cnv_box *box);

#endif
