/*
 * Inside a constant: the numbers, and the packed forms that kernels have made from them.
 *
 * A packed form belongs to the constant, not to the plan, so that the plans of one model pack once. It is
 * made when a plan that reads it is prepared, and made anew at the same address after cnv_constant_changed.
 */
#ifndef CNV_PLAN_CONSTANT_H
#define CNV_PLAN_CONSTANT_H

#include "cnnviz.h"

/* The packed form that a kernel reads: `pack` writes its nbytes bytes from the constant's numbers, as kind
 * and details say. Two packings with the same kind, details and size are the same form. */
typedef struct cnv_packing {
    uint64_t kind;
    int64_t details[12];
    size_t nbytes;
    void (*pack)(const struct cnv_packing *packing, const float *data, const cnv_shape *shape, void *packed);
} cnv_packing;

const float *cnv_constant_data(const cnv_constant *constant);
const cnv_shape *cnv_constant_shape(const cnv_constant *constant);

/* The packed form, current, made now unless another plan has had it made. Its address stays the same until
 * the constant is freed. */
cnv_status cnv_constant_pack(cnv_constant *constant, const cnv_packing *packing, const void **packed,
                             cnv_error *err);

/* Whether a plan has had this form made already. */
bool cnv_constant_has(cnv_constant *constant, const cnv_packing *packing);

/* Packs anew every form that was made from old numbers. Cheap when there is none; never allocates. */
void cnv_constant_refresh(cnv_constant *constant);

#endif
