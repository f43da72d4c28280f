/* The one file in which NumPy's table of functions is defined: below every other file of the binding. */
#define CNV_IMPORTS_NUMPY
#include "python/numpy_api.h"

int cnv_import_numpy(void)
{
    return _import_array();
}
