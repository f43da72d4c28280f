/*
 * Reads the arguments of a builder method from a table: which there are, of what kind, and where in
 * cnv_params each one goes. A new operator is a new table, not a new parser.
 */
#ifndef CNV_PYTHON_ARGUMENTS_H
#define CNV_PYTHON_ARGUMENTS_H

#include "python/numpy_api.h"

#include "cnnviz.h"

#define CNV_MAX_ARGUMENTS 12

typedef enum {
    CNV_ARG_VALUE,          /* the id of an input; positional, like the next two */
    CNV_ARG_OPTIONAL_VALUE, /* an id or None */
    CNV_ARG_VALUES,         /* a sequence of ids */
    CNV_ARG_INTEGERS,       /* exactly `count` of them: int64_t[count] */
    CNV_ARG_INTEGER,        /* int64_t */
    CNV_ARG_AXIS,           /* int */
    CNV_ARG_NUMBER,         /* float */
    CNV_ARG_FLAG,           /* bool */
    CNV_ARG_SHAPE,          /* cnv_shape */
    CNV_ARG_AXES,           /* cnv_shape with 1 at each axis named */
    CNV_ARG_PER_AXIS,       /* int64_t[CNV_MAX_NDIM], one for each axis of the first input */
    CNV_ARG_PAD_MODE,       /* cnv_pad_mode, by name */
} cnv_argument_kind;

typedef struct cnv_argument {
    const char *name; /* NULL ends a table */
    cnv_argument_kind kind;
    size_t offset; /* in cnv_params */
    bool optional; /* cnv_params holds the default */
    int count;
} cnv_argument;

/* What a builder method has been given. */
typedef struct cnv_call {
    const char *method;
    const cnv_plan *plan;
    cnv_value_id inputs[CNV_MANY];
    int n_inputs;
    cnv_params params;
    const char *name; /* borrowed from the call's arguments */
} cnv_call;

/* Fills call from the arguments; its method, plan and default params are set before. Each table ends, for the
 * caller, with the keyword `name`. Returns 0, or -1 with an exception that names method and argument. */
int cnv_read_arguments(cnv_call *call, const cnv_argument *table, PyObject *args, PyObject *kwargs);

#endif
