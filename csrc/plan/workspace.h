/*
 * The memory of a plan's arena. Plans that never run at the same time may share a workspace, which is as
 * large as the largest of their arenas: the activations of a pass stay there until another plan runs forward.
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
    char *base;       /* address of the block, which moves when it grows */
    size_t nbytes;
    const void *holder; /* plan whose activations are in the block; NULL: none */
} cnv_workspace;

/* NULL when memory is out. */
cnv_workspace *cnv_workspace_new(void);
cnv_workspace *cnv_workspace_retain(cnv_workspace *workspace);
void cnv_workspace_release(cnv_workspace *workspace); /* accepts NULL */

/* Between these two no other plan runs in the block or moves it; entering fails while another plan does. */
cnv_status cnv_workspace_enter(cnv_workspace *workspace, cnv_error *err);
void cnv_workspace_leave(cnv_workspace *workspace);

/* Makes the block at least nbytes large; fails while a plan runs in it. A block that grows loses its
 * contents. */
cnv_status cnv_workspace_reserve(cnv_workspace *workspace, size_t nbytes, cnv_error *err);

#endif
