#include "plan/table.h"

#include <string.h>

const cnv_op *const cnv_ops[] = {
#define CNV_OP(name) &cnv_op_##name,
#include "plan/ops/ops.def"
#undef CNV_OP
    NULL,
};

const cnv_op *cnv_op_find(const char *name)
{
    for (const cnv_op *const *op = cnv_ops; *op != NULL; op++)
        if (strcmp((*op)->name, name) == 0) return *op;
    return NULL;
}
