/* The packing of a node's constants: what the kernels of the fast tier share of it, and the bias. */
#include <string.h>

#include "plan/fast/blocked.h"

static void pack_bias(const cnv_packing *p, const float *data, const cnv_shape *shape, void *packed)
{
    memset(packed, 0, p->nbytes);
    memcpy(packed, data, (size_t)shape->dim[0] * sizeof(float));
}

static cnv_packing bias_packing(const cnv_plan *plan, cnv_value_id bias)
{
    const int64_t lanes = cnv_blocks(plan->values[bias]->shape.dim[0]) * CNV_LANES;
    return (cnv_packing){.kind = CNV_PACK_BIAS, .nbytes = (size_t)lanes * sizeof(float), .pack = pack_bias};
}

cnv_status cnv_pack(cnv_plan *plan, cnv_node *node, int input, const cnv_packing *packing,
                    const float **packed, cnv_error *err)
{
    cnv_constant *constant = plan->values[node->inputs[input]]->constant;
    const void *bytes = cnv_constant_data(constant); /* for a sum without taps */
    cnv_status status = CNV_OK;
    if (packing->nbytes > 0) status = cnv_constant_pack(constant, packing, &bytes, err);
    node->packed_nbytes += packing->nbytes;
    *packed = bytes;
    return status;
}

void cnv_claim_needed(const cnv_plan *plan, const cnv_node *node, int input, const cnv_packing *packing,
                      size_t *room)
{
    if (cnv_constant_has(plan->values[node->inputs[input]]->constant, packing)) return;
    *room -= packing->nbytes < *room ? packing->nbytes : *room;
}

void cnv_claim_bias(const cnv_plan *plan, const cnv_node *node, size_t *room)
{
    if (node->inputs[2] == CNV_NONE) return;
    const cnv_packing packing = bias_packing(plan, node->inputs[2]);
    cnv_claim_needed(plan, node, 2, &packing, room);
}

cnv_status cnv_pack_bias(cnv_plan *plan, cnv_node *node, const float **packed, cnv_error *err)
{
    *packed = NULL;
    if (node->inputs[2] == CNV_NONE) return CNV_OK;
    const cnv_packing packing = bias_packing(plan, node->inputs[2]);
    return cnv_pack(plan, node, 2, &packing, packed, err);
}
