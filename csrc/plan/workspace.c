#include "plan/workspace.h"

#include "runtime/alloc.h"

cnv_workspace *cnv_workspace_new(void)
{
    cnv_workspace *workspace = cnv_alloc(1, sizeof *workspace);
    if (workspace != NULL) atomic_init(&workspace->references, 1);
    return workspace;
}

cnv_workspace *cnv_workspace_retain(cnv_workspace *workspace)
{
    atomic_fetch_add(&workspace->references, 1);
    return workspace;
}

void cnv_workspace_release(cnv_workspace *workspace)
{
    if (workspace == NULL || atomic_fetch_sub(&workspace->references, 1) > 1) return;
    cnv_free(workspace->base);
    cnv_free(workspace);
}

cnv_status cnv_workspace_enter(cnv_workspace *workspace, cnv_error *err)
{
    if (!atomic_exchange(&workspace->busy, true)) return CNV_OK;
    return cnv_fail(err, CNV_INVALID, "a plan that shares this one's memory is running in another thread");
}

void cnv_workspace_leave(cnv_workspace *workspace)
{
    atomic_store(&workspace->busy, false);
}

static cnv_status grow(cnv_workspace *workspace, size_t nbytes, cnv_error *err)
{
    char *larger = cnv_alloc(nbytes, 1);
    if (larger == NULL)
        return cnv_fail(err, CNV_NO_MEMORY, "out of memory: the plan needs %zu bytes", nbytes);
    cnv_free(workspace->base);
    workspace->base = larger;
    workspace->nbytes = nbytes;
    workspace->holder = NULL;
    return CNV_OK;
}

cnv_status cnv_workspace_reserve(cnv_workspace *workspace, size_t nbytes, cnv_error *err)
{
    cnv_status status = cnv_workspace_enter(workspace, err);
    if (status != CNV_OK) return status;
    if (workspace->base == NULL || nbytes > workspace->nbytes) status = grow(workspace, nbytes, err);
    cnv_workspace_leave(workspace);
    return status;
}
