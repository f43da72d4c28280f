/*
 * The block that the buffers of a plan lie in. Plans that never run at the same time may share one, as large
 * as the largest of them needs: what a pass leaves there is the plan's until another plan runs forward.
 */
#ifndef CNV_PLAN_WORKSPACE_H
#define CNV_PLAN_WORKSPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "runtime/error.h"

typedef struct cnv_workspace {
    atomic_int references;
    atomic_bool busy; /* a pass is running */
    char *base;       /* moves when the block grows */
    size_t nbytes;
    const void *holder; /* the plan whose numbers are there; NULL: nobody's */
} cnv_workspace;

/* NULL when memory is out. */
cnv_workspace *cnv_workspace_new(void);
cnv_workspace *cnv_workspace_retain(cnv_workspace *workspace);
void cnv_workspace_release(cnv_workspace *workspace); /* accepts NULL */

/* Between these two nobody else runs in the block or moves it; entering fails while somebody does. */
cnv_status cnv_workspace_enter(cnv_workspace *workspace, cnv_error *err);
void cnv_workspace_leave(cnv_workspace *workspace);

/* Makes the block at least so large, which fails while somebody runs in it. What was in it is lost if it has
 * to grow. */
cnv_status cnv_workspace_reserve(cnv_workspace *workspace, size_t nbytes, cnv_error *err);

#endif
