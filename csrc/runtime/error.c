#include "runtime/error.h"

#include <stdarg.h>
#include <stdio.h>

cnv_status cnv_fail(cnv_error *err, cnv_status status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return status;
}
