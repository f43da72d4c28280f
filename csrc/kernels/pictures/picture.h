/*
 * The arithmetic on pictures between two passes of the optimisation loop through a network. A pass through a
 * small network takes a few milliseconds and a loop over its picture some ten microseconds, so each function
 * is one loop over the picture, not one for each operation.
 *
 * Arrays without a shape of their own are N,C,size: N,C,H,W with size = H * W, or any other axes after the
 * first two.
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

/* An affine map for each channel: (slope * x + shift) / divisor, each operation rounded to float32. */
typedef struct cnv_affine {
    const float *slope;   /* [C] */
    const float *shift;   /* [C]; NULL is zero */
    const float *divisor; /* [C]; NULL is one */
    bool reversed;        /* channel c is read from channel C-1-c, as RGB from BGR */
} cnv_affine;

/* The bounds of a picture's values; both are NULL if there are none. NaN stays NaN. */
typedef struct cnv_box {
    const float *low;
    const float *high;
    int64_t count; /* numbers in low and in high: 1 for all channels, or C */
} cnv_box;

/* The coefficients of one ascending step t of Adam (Kingma & Ba 2015, algorithm 1). */
typedef struct cnv_adam {
    float keep_mean, add_mean;     /* beta1, 1 - beta1 */
    float keep_square, add_square; /* beta2, 1 - beta2 */
    float rate;                    /* alpha / (1 - beta1^t) */
    float scale;                   /* 1 / (1 - beta2^t) */
    float epsilon;
} cnv_adam;

/* Whether none of the n numbers is NaN or infinite. */
bool cnv_all_finite(const float *x, int64_t n);

/* sums[i] = the inner product of x and y over image i, in double, so that a gradient of 1e-25 has a length,
 * too. sums: batch   x, y: batch,n */
void cnv_dots(double *sums, const float *x, const float *y, int64_t batch, int64_t n);

/* y = slope * x + shift. y may be x unless the channels are reversed. */
void cnv_affine_forward(float *y, const float *x, const cnv_picture *p, const cnv_affine *line);

/* y = z + rate[i] * g for image i, clipped to the box.   rate: N */
void cnv_ascend(float *y, const float *z, const float *g, const cnv_picture *p, const float *rate,
                const cnv_box *box);

/* mask = 0 where z is at a bound and g points beyond it, else 1. */
void cnv_free_to_move(float *mask, const float *z, const float *g, const cnv_picture *p, const cnv_box *box);

/* The state of Adam: the picture z and the moments of its gradient. */
typedef struct cnv_adam_state {
    float *z;
    float *mean;
    float *square;
} cnv_adam_state;

/* mean and square move towards g and g^2, and z by rate * mean / (sqrt(scale * square) + epsilon), clipped to
 * the box. `to` and `from` do not overlap, so that an interrupted step leaves the old state whole. */
void cnv_adam_step(const cnv_adam_state *to, const cnv_adam_state *from, const float *g, const cnv_picture *p,
                   const cnv_adam *adam, const cnv_box *box);

#endif
