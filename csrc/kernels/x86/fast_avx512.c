/* The fast kernels for AVX-512. */
#include "kernels/fast/direct_impl.h"
#include "kernels/fast/winograd_impl.h"

void cnv_direct_avx512(float *y, const float *x, const float *packed, const float *bias,
                       const cnv_finish *finish, const cnv_gate *gate, const cnv_direct *d, void *scratch,
                       size_t scratch_stride, cnv_run *run)
{
    direct_run(y, x, packed, bias, finish, gate, d, scratch, scratch_stride, run);
}

void cnv_winograd_avx512(float *y, const float *x, const float *packed, const float *bias,
                         const cnv_finish *finish, const cnv_gate *gate, const cnv_winograd *d, float *shared,
                         void *scratch, size_t scratch_stride, cnv_run *run)
{
    winograd_run(y, x, packed, bias, finish, gate, d, shared, scratch, scratch_stride, run);
}
