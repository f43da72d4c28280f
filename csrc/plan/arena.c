/*
 * Greedy by size (Pisarchyk and Lee 2020, "Efficient memory management for deep neural net inference"): the
 * largest buffer goes first, each next one to the lowest place that is free for its whole life. On chains
 * this reaches the lower bound, the largest sum of buffers alive at one time.
 */
#include "plan/arena.h"

#include <stdint.h>
#include <stdlib.h>

#include "runtime/alloc.h"

static int compare_size(const void *left, const void *right)
{
    const cnv_buffer *a = *(const cnv_buffer *const *)left;
    const cnv_buffer *b = *(const cnv_buffer *const *)right;
    if (a->nbytes != b->nbytes) return a->nbytes > b->nbytes ? -1 : 1;
    if (a->born != b->born) return a->born < b->born ? -1 : 1;
    return a < b ? -1 : a > b; /* qsort is not stable; the same plan is laid the same way every time */
}

/* The lowest offset at which buffer overlaps none of the placed ones that live at the same time. `placed` is
 * sorted by offset. */
static size_t lowest_gap(cnv_buffer *const *placed, int n, const cnv_buffer *buffer)
{
    size_t offset = 0;
    for (int i = 0; i < n; i++) {
        const cnv_buffer *other = placed[i];
        if (other->dies < buffer->born || buffer->dies < other->born) continue;
        if (other->offset >= offset && other->offset - offset >= buffer->nbytes) break;
        if (other->offset + other->nbytes > offset) offset = other->offset + other->nbytes;
    }
    return offset;
}

static void insert_by_offset(cnv_buffer **placed, int n, cnv_buffer *buffer)
{
    int i = n;
    for (; i > 0 && placed[i - 1]->offset > buffer->offset; i--) placed[i] = placed[i - 1];
    placed[i] = buffer;
}

cnv_status cnv_arena_lay(cnv_buffer *buffers, int n, size_t *nbytes, cnv_error *err)
{
    cnv_status status = CNV_OK;
    cnv_buffer **by_size = cnv_alloc((size_t)n, sizeof *by_size);
    cnv_buffer **placed = cnv_alloc((size_t)n, sizeof *placed);
    if (!by_size || !placed) {
        status = cnv_fail(err, CNV_NO_MEMORY, "out of memory for the layout of %d buffers", n);
        goto done;
    }
    for (int i = 0; i < n; i++) by_size[i] = &buffers[i];
    qsort(by_size, (size_t)n, sizeof *by_size, compare_size);
    *nbytes = 0;
    for (int i = 0; i < n; i++) {
        cnv_buffer *buffer = by_size[i];
        size_t end;
        buffer->offset = lowest_gap(placed, i, buffer);
        if (__builtin_add_overflow(buffer->offset, buffer->nbytes, &end) || end > SIZE_MAX / 4) {
            status = cnv_fail(err, CNV_NO_MEMORY, "the plan needs more memory than can be addressed");
            goto done;
        }
        if (end > *nbytes) *nbytes = end;
        insert_by_offset(placed, i, buffer);
    }
done:
    cnv_free(by_size);
    cnv_free(placed);
    return status;
}

cnv_status cnv_arena_peak(const cnv_buffer *buffers, int n, cnv_purpose purpose, int last_time,
                          size_t *nbytes, cnv_error *err)
{
    int64_t alive = 0;
    int64_t *change = cnv_alloc((size_t)last_time + 2, sizeof *change); /* of bytes alive, at each time */
    if (!change) return cnv_fail(err, CNV_NO_MEMORY, "out of memory for the layout of %d buffers", n);
    for (int i = 0; i < n; i++) {
        if (buffers[i].purpose != purpose) continue;
        change[buffers[i].born] += (int64_t)buffers[i].nbytes;
        change[buffers[i].dies + 1] -= (int64_t)buffers[i].nbytes;
    }
    *nbytes = 0;
    for (int t = 0; t <= last_time; t++) {
        alive += change[t];
        if ((size_t)alive > *nbytes) *nbytes = (size_t)alive;
    }
    cnv_free(change);
    return CNV_OK;
}
