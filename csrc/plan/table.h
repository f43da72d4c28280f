/* The operator table: a row for each line of ops/ops.def. */
#ifndef CNV_PLAN_TABLE_H
#define CNV_PLAN_TABLE_H

#include "plan/op.h"

/* Every row, NULL-terminated. */
extern const cnv_op *const cnv_ops[];

/* The row of that name; NULL when there is none. */
const cnv_op *cnv_op_find(const char *name);

#endif
