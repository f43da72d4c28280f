#include "plan/constant.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "runtime/alloc.h"

typedef struct packed_form {
    struct packed_form *next;
    cnv_packing packing;
    uint64_t generation; /* generation of the numbers that the form was packed from */
    void *bytes;
} packed_form;

struct cnv_constant {
    atomic_int references;
    const float *data; /* borrowed */
    cnv_shape shape;
    void (*release)(void *owner);
    void *owner;
    packed_form *forms;
    atomic_uint_fast64_t generation; /* number of cnv_constant_changed calls */
    atomic_uint_fast64_t refreshed;  /* a generation that every form has reached */
};

/* Guards the forms of all constants. A fork waits until no thread is packing: in the child no thread would
 * finish the work. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void lock(void)
{
    pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

static void guard_forks(void)
{
    pthread_atfork(lock, unlock, unlock);
}

cnv_status cnv_constant_new(const float *data, const cnv_shape *shape, void (*release)(void *owner),
                            void *owner, cnv_constant **constant, cnv_error *err)
{
    cnv_status status = CNV_OK;
    CNV_TRY(cnv_shape_check(shape, "the constant", err));
    cnv_constant *made = cnv_alloc(1, sizeof *made);
    if (!made) {
        status = cnv_fail(err, CNV_NO_MEMORY, "out of memory for a constant");
        goto done;
    }
    pthread_once(&once, guard_forks);
    atomic_init(&made->references, 1);
    made->data = data;
    made->shape = *shape;
    made->release = release;
    made->owner = owner;
    *constant = made;
done:
    return status;
}

cnv_constant *cnv_constant_retain(cnv_constant *constant)
{
    atomic_fetch_add(&constant->references, 1);
    return constant;
}

void cnv_constant_release(cnv_constant *constant)
{
    if (!constant || atomic_fetch_sub(&constant->references, 1) > 1) return;
    for (packed_form *form = constant->forms, *next; form; form = next) {
        next = form->next;
        cnv_free(form->bytes);
        cnv_free(form);
    }
    if (constant->release) constant->release(constant->owner);
    cnv_free(constant);
}

void cnv_constant_changed(cnv_constant *constant)
{
    atomic_fetch_add(&constant->generation, 1);
}

const float *cnv_constant_data(const cnv_constant *constant)
{
    return constant->data;
}

const cnv_shape *cnv_constant_shape(const cnv_constant *constant)
{
    return &constant->shape;
}

size_t cnv_constant_packed_nbytes(cnv_constant *constant)
{
    size_t nbytes = 0;
    lock();
    for (packed_form *form = constant->forms; form; form = form->next) nbytes += form->packing.nbytes;
    unlock();
    return nbytes;
}

static void bring_up_to_date(cnv_constant *constant, packed_form *form)
{
    uint64_t generation = atomic_load(&constant->generation);
    if (form->generation == generation) return;
    form->packing.pack(&form->packing, constant->data, &constant->shape, form->bytes);
    form->generation = generation;
}

static packed_form *find_form(const cnv_constant *constant, const cnv_packing *packing)
{
    for (packed_form *form = constant->forms; form; form = form->next)
        if (form->packing.kind == packing->kind && form->packing.nbytes == packing->nbytes &&
            memcmp(form->packing.details, packing->details, sizeof packing->details) == 0)
            return form;
    return NULL;
}

bool cnv_constant_has(cnv_constant *constant, const cnv_packing *packing)
{
    lock();
    const bool found = find_form(constant, packing) != NULL;
    unlock();
    return found;
}

static packed_form *make_form(cnv_constant *constant, const cnv_packing *packing)
{
    packed_form *form = cnv_alloc(1, sizeof *form);
    void *bytes = form ? cnv_alloc(1, packing->nbytes) : NULL;
    if (!bytes) {
        cnv_free(form);
        return NULL;
    }
    form->packing = *packing;
    form->bytes = bytes;
    form->generation = UINT64_MAX; /* not packed yet */
    form->next = constant->forms;
    constant->forms = form;
    return form;
}

cnv_status cnv_constant_pack(cnv_constant *constant, const cnv_packing *packing, const void **packed,
                             cnv_error *err)
{
    cnv_status status = CNV_OK;
    lock();
    packed_form *form = find_form(constant, packing);
    if (!form) form = make_form(constant, packing);
    if (form) {
        bring_up_to_date(constant, form);
        *packed = form->bytes;
    } else {
        status =
            cnv_fail(err, CNV_NO_MEMORY, "out of memory for %zu bytes of packed weights", packing->nbytes);
    }
    unlock();
    return status;
}

void cnv_constant_refresh(cnv_constant *constant)
{
    uint64_t generation = atomic_load(&constant->generation);
    if (atomic_load(&constant->refreshed) == generation) return;
    lock();
    for (packed_form *form = constant->forms; form; form = form->next) bring_up_to_date(constant, form);
    atomic_store(&constant->refreshed, generation);
    unlock();
}
