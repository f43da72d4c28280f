/*
 * The arguments of an operator: the name and kind of each input and parameter, the defaults, and where in
 * cnv_params each parameter lies. The operator's row holds the table, and a binding reads calls by it.
 */
#ifndef CNV_PLAN_ARGUMENT_H
#define CNV_PLAN_ARGUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cnnviz.h"

typedef enum cnv_argument_kind {
    CNV_ARG_VALUE,          /* the id of an input; positional, like the next two */
    CNV_ARG_OPTIONAL_VALUE, /* the id of an input, or none */
    CNV_ARG_VALUES,         /* a list of 1 to CNV_MANY ids, the operator's only inputs */
    CNV_ARG_INTEGERS,       /* exactly `count` integers: int64_t[count] */
    CNV_ARG_INTEGER,        /* int64_t */
    CNV_ARG_AXIS,           /* int */
    CNV_ARG_NUMBER,         /* float */
    CNV_ARG_FLAG,           /* bool */
    CNV_ARG_SHAPE,          /* cnv_shape */
    CNV_ARG_AXES,           /* cnv_shape whose dim[i] is 1 where axis i is named and 0 elsewhere */
    CNV_ARG_PER_AXIS,       /* int64_t[CNV_MAX_NDIM], an integer for each axis of the first input */
    CNV_ARG_PAD_MODE,       /* cnv_pad_mode, by name */
} cnv_argument_kind;

typedef struct cnv_argument {
    const char *name; /* NULL ends a table */
    cnv_argument_kind kind;
    bool optional;       /* a call may leave the argument out, which then has its default */
    size_t offset;       /* place of a parameter in cnv_params */
    int count;           /* number of CNV_ARG_INTEGERS */
    int64_t defaults[4]; /* of an integer, integers, a number, a flag (0 or 1), a cnv_pad_mode */
} cnv_argument;

/* The lines of a table. `member` is the parameter's place in cnv_params; defaults follow it. */
#define CNV_INPUT(name_) {.name = #name_, .kind = CNV_ARG_VALUE}
#define CNV_OPTIONAL_INPUT(name_) {.name = #name_, .kind = CNV_ARG_OPTIONAL_VALUE, .optional = true}
#define CNV_INPUTS(name_) {.name = #name_, .kind = CNV_ARG_VALUES}
#define CNV_PARAM(name_, kind_, member)      \
    {.name = #name_,                         \
     .kind = CNV_ARG_##kind_,                \
     .offset = offsetof(cnv_params, member), \
     .count = CNV_COUNT(member)}
#define CNV_OPTIONAL_PARAM(name_, kind_, member, ...)                                                      \
    {                                                                                                      \
        .name = #name_, .kind = CNV_ARG_##kind_, .optional = true, .offset = offsetof(cnv_params, member), \
        .count = CNV_COUNT(member), .defaults = {__VA_ARGS__}                                              \
    }
#define CNV_END {.name = NULL}
#define CNV_COUNT(member) (int)(sizeof(((cnv_params *)0)->member) / sizeof(int64_t))

/* Tables that several operators share: one input x; two inputs a and b. */
extern const cnv_argument cnv_arguments_x[];
extern const cnv_argument cnv_arguments_ab[];

/* The smallest and the largest number of inputs that a table allows. */
int cnv_fewest_inputs(const cnv_argument *arguments);
int cnv_most_inputs(const cnv_argument *arguments);

/* Fills params with zeros and the default of every optional parameter. */
void cnv_params_defaults(const cnv_argument *arguments, cnv_params *params);

#endif
