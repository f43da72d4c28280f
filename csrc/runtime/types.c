#include "runtime/types.h"

int64_t cnv_shape_size(const cnv_shape *shape)
{
    int64_t size = 1;
    for (int i = 0; i < shape->ndim; i++) size *= shape->dim[i];
    return size;
}

cnv_status cnv_shape_check(const cnv_shape *shape, const char *what, cnv_error *err)
{
    int64_t nbytes = sizeof(float);
    if (shape->ndim < 0 || shape->ndim > CNV_MAX_NDIM)
        return cnv_fail(err, CNV_INVALID, "%s has %d dimensions, at most %d are supported", what, shape->ndim,
                        CNV_MAX_NDIM);
    for (int i = 0; i < shape->ndim; i++) {
        if (shape->dim[i] < 1)
            return cnv_fail(err, CNV_INVALID, "%s has extent %lld in dimension %d, it must be at least 1",
                            what, (long long)shape->dim[i], i);
        if (__builtin_mul_overflow(nbytes, shape->dim[i], &nbytes) || nbytes > INT64_MAX / 2)
            return cnv_fail(err, CNV_INVALID, "%s is too large to be addressed", what);
    }
    return CNV_OK;
}
