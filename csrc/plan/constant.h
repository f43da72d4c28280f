/*
 * Inside a constant: the numbers, and the forms that kernels have packed from them.
 *
 * A packed form belongs to the constant, not to the plan, so the plans of one model pack once. It is made
 * when a plan that uses it is prepared, and made anew in place after cnv_constant_changed.
 */
#ifndef CNV_PLAN_CONSTANT_H
#define CNV_PLAN_CONSTANT_H

#include "cnnviz.h"

/* How a kernel wants its weights: `pack` writes nbytes bytes from the constant's numbers. Two packings with
 * the same kind, details and size are the same form, so those say everything that shapes the bytes. */
typedef struct cnv_packing {
    uint64_t kind;
    int64_t details[12];
    size_t nbytes;
    void (*pack)(const struct cnv_packing *packing, const float *data, const cnv_shape *shape, void *packed);
} cnv_packing;

const float *cnv_constant_data(const cnv_constant *constant);
const cnv_shape *cnv_constant_shape(const cnv_constant *constant);

/* The packed form, made now unless another plan has had it made: current, and at the same address for as long
 * as the constant lives. */
cnv_status cnv_constant_pack(cnv_constant *constant, const cnv_packing *packing, const void **packed,
                             cnv_error *err);

/* Whether some plan has had this form made already. */
bool cnv_constant_has(cnv_constant *constant, const cnv_packing *packing);

/* Makes every form anew that was packed from old numbers. Cheap when none was; never allocates. */
void cnv_constant_refresh(cnv_constant *constant);

#endif
