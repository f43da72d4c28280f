#include "plan/argument.h"

#include <string.h>

const cnv_argument cnv_arguments_x[] = {CNV_INPUT(x), CNV_END};

const cnv_argument cnv_arguments_ab[] = {CNV_INPUT(a), CNV_INPUT(b), CNV_END};

int cnv_fewest_inputs(const cnv_argument *arguments)
{
    int n = 0;
    for (const cnv_argument *a = arguments; a->name; a++)
        n += a->kind == CNV_ARG_VALUE || a->kind == CNV_ARG_VALUES;
    return n;
}

int cnv_most_inputs(const cnv_argument *arguments)
{
    int n = 0;
    for (const cnv_argument *a = arguments; a->name; a++) {
        if (a->kind == CNV_ARG_VALUES) return CNV_MANY;
        n += a->kind == CNV_ARG_VALUE || a->kind == CNV_ARG_OPTIONAL_VALUE;
    }
    return n;
}

static void write_default(const cnv_argument *argument, cnv_params *params)
{
    void *to = (char *)params + argument->offset;
    switch (argument->kind) {
    case CNV_ARG_INTEGERS:
        memcpy(to, argument->defaults, (size_t)argument->count * sizeof(int64_t));
        break;
    case CNV_ARG_INTEGER:
        *(int64_t *)to = argument->defaults[0];
        break;
    case CNV_ARG_NUMBER:
        *(float *)to = (float)argument->defaults[0];
        break;
    case CNV_ARG_FLAG:
        *(bool *)to = argument->defaults[0] != 0;
        break;
    case CNV_ARG_PAD_MODE:
        *(cnv_pad_mode *)to = (cnv_pad_mode)argument->defaults[0];
        break;
    default: /* inputs, and kinds without a default */
        break;
    }
}

void cnv_params_defaults(const cnv_argument *arguments, cnv_params *params)
{
    memset(params, 0, sizeof *params);
    for (const cnv_argument *a = arguments; a->name; a++)
        if (a->optional) write_default(a, params);
}
