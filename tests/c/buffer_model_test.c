/* SPDX-License-Identifier: Apache-2.0 */
/* Tests views and writers with random operations, compared with a plain model: pieces of memory as
 * byte arrays with a count of handles, and handles as ranges of them. After each operation every
 * handle must be where the model has it and show the model's bytes, and no writer's range may
 * overlap another handle's. The sequences include arguments out of range; the model says what the
 * call must answer. */
#include "buffer_support.h"

#define SLOTS 14
#define MAX_BYTES 1024
#define MAX_NEW_BYTES 48
#define STEPS 60000

typedef struct memory {
    size_t references;
    size_t capacity;
    unsigned char *base;
    bool writable;
    /* Static bytes: they live for ever and have no owner. */
    bool eternal;
    bool lent;
    size_t release_count;
    unsigned char content[MAX_BYTES];
    unsigned char lent_bytes[MAX_NEW_BYTES];
} memory;

typedef enum kind { NONE, VIEW, WRITER } kind;

typedef struct handle {
    kind is;
    aegis_buffer view;
    aegis_buffer_mut writer;
    memory *of;
    size_t offset;
    size_t length;
    size_t capacity;
} handle;

static memory memories[SLOTS + 1];
/* The memory to which the model counts all views of no bytes. */
static memory nothing;
static handle handles[SLOTS];
static uint64_t random_state;
static unsigned char next_byte;
static aegis_budget *budget;
static const unsigned char eternal_bytes[MAX_NEW_BYTES] =
    "bytes that live for ever, of the program";

static size_t below(size_t bound) {
    return random_below(&random_state, bound);
}

static handle *any(kind wanted) {
    handle *found = &handles[below(SLOTS)];
    return found->is == wanted ? found : NULL;
}

static memory *free_memory(void) {
    for (size_t i = 0;; i++)
        if (memories[i].references == 0)
            return &memories[i];
}

/* -- the model -- */

static void model_set(handle *h, kind is, memory *of, size_t offset, size_t length,
                      size_t capacity) {
    h->is = is;
    h->of = of;
    h->offset = offset;
    h->length = length;
    h->capacity = capacity;
}

static memory *model_new(unsigned char *base, size_t capacity, bool writable) {
    memory *m = free_memory();
    memset(m, 0, sizeof *m);
    m->references = 1;
    m->capacity = capacity;
    m->base = base;
    m->writable = writable;
    return m;
}

static void model_drop(handle *h) {
    h->is = NONE;
    h->of->references--;
}

/* Makes a handle a view of a part of its memory. A view of no bytes gives its memory up. */
static void model_view(handle *h, memory *of, size_t offset, size_t length) {
    if (length == 0) {
        nothing.references++;
        model_set(h, VIEW, &nothing, 0, 0, 0);
        of->references--;
        return;
    }
    model_set(h, VIEW, of, offset, length, 0);
}

/* The handle after its bytes were copied to the heap. */
static void model_move_to_heap(handle *h, kind is, unsigned char *base, size_t capacity) {
    memory *old = h->of;
    memory *m = model_new(base, capacity, true);
    memcpy(m->content, old->content + h->offset, h->length);
    model_set(h, is, m, 0, h->length, capacity);
    old->references--;
}

static void check_handle(const handle *h) {
    bool is_view = h->is == VIEW;
    const unsigned char *data = is_view ? h->view.data : h->writer.data;
    const aegis_buffer_owner *owner = is_view ? h->view.owner : h->writer.owner;
    CHECK(data == h->of->base + h->offset);
    CHECK_SIZE(is_view ? h->view.length : h->writer.length, h->length);
    CHECK(is_view || h->writer.capacity == h->capacity);
    size_t known_bytes = h->length;
    if (!is_view && h->writer.initialized > known_bytes)
        known_bytes = h->writer.initialized;
    CHECK(is_view || known_bytes <= h->capacity);
    CHECK(known_bytes == 0 || memcmp(data, h->of->content + h->offset, known_bytes) == 0);
    CHECK((owner == NULL) == h->of->eternal);
    if (owner != NULL)
        CHECK_SIZE(owner->references, h->of->references);
    size_t retained_bytes = is_view ? aegis_buffer_retained_bytes(&h->view)
                                    : aegis_buffer_mut_retained_bytes(&h->writer);
    CHECK(owner != NULL ? retained_bytes >= h->of->capacity : retained_bytes == 0);
    CHECK_SIZE(h->of->release_count, 0);
}

/* Whether the library says of two handles of one kind that they keep the same memory. */
static bool says_shared(const handle *a, const handle *b) {
    return a->is == VIEW ? aegis_buffer_same_memory(&a->view, &b->view)
                         : aegis_buffer_mut_same_memory(&a->writer, &b->writer);
}

static bool overlaps(const handle *a, const handle *b) {
    size_t a_bytes = a->is == WRITER ? a->capacity : a->length;
    size_t b_bytes = b->is == WRITER ? b->capacity : b->length;
    return a->of == b->of && a_bytes != 0 && b_bytes != 0 && a->offset < b->offset + b_bytes &&
           b->offset < a->offset + a_bytes;
}

static void check_all(void) {
    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
        if (memories[i].lent)
            CHECK_SIZE(memories[i].release_count, memories[i].references == 0 ? 1 : 0);
    for (size_t i = 0; i < SLOTS; i++) {
        if (handles[i].is == NONE)
            continue;
        check_handle(&handles[i]);
        for (size_t k = 0; k < SLOTS; k++)
            if (k != i && handles[k].is != NONE && handles[i].is == WRITER)
                CHECK(!overlaps(&handles[i], &handles[k]));
        for (size_t k = 0; k < SLOTS; k++)
            if (handles[k].is == handles[i].is) {
                bool shared = handles[k].of == handles[i].of && !handles[i].of->eternal;
                CHECK(says_shared(&handles[i], &handles[k]) == shared);
            }
    }
}

/* -- operations; an operation does nothing if the handles that it has drawn do not suit it -- */

static void count_release(void *context) {
    memory *m = (memory *)context;
    m->release_count++;
    memset(m->lent_bytes, 0xDD, sizeof m->lent_bytes);
}

static void make(void) {
    handle *h = any(NONE);
    if (h == NULL)
        return;
    size_t length = below(MAX_NEW_BYTES + 1);
    unsigned char bytes[MAX_NEW_BYTES];
    memset(bytes, ++next_byte, sizeof bytes);
    memory *m = free_memory();
    switch (below(4)) {
    case 0:
        h->view = aegis_buffer_from_static(eternal_bytes, length);
        m = model_new((unsigned char *)(uintptr_t)eternal_bytes, length, false);
        memcpy(m->content, eternal_bytes, length);
        m->eternal = true;
        break;
    case 1:
        CHECK(aegis_buffer_copy(&h->view, bytes, length, budget, NULL) == AEGIS_OK);
        m = model_new((unsigned char *)(uintptr_t)h->view.data, length, true);
        memcpy(m->content, bytes, length);
        model_view(h, m, 0, length);
        return;
    case 2:
        m = model_new(m->lent_bytes, length, false);
        m->lent = true;
        memcpy(m->lent_bytes, bytes, length);
        memcpy(m->content, bytes, length);
        CHECK(aegis_buffer_wrap(&h->view, m->lent_bytes, length, count_release, m, NULL) ==
              AEGIS_OK);
        break;
    default:
        CHECK(aegis_buffer_mut_alloc(&h->writer, length, 0, budget, NULL) == AEGIS_OK);
        model_set(h, WRITER, model_new(h->writer.data, length, true), 0, 0, length);
        return;
    }
    model_set(h, VIEW, m, 0, length, 0);
}

static void release(void) {
    handle *h = &handles[below(SLOTS)];
    if (h->is == NONE)
        return;
    if (h->is == VIEW)
        CHECK(aegis_buffer_release(&h->view) == AEGIS_OK && is_no_buffer(&h->view));
    else
        CHECK(aegis_buffer_mut_release(&h->writer) == AEGIS_OK && is_no_writer(&h->writer));
    model_drop(h);
}

static void slice(void) {
    handle *from = any(VIEW);
    handle *to = below(4) == 0 ? from : any(NONE);
    if (from == NULL || to == NULL)
        return;
    size_t start = below(from->length + 2), end = below(from->length + 2);
    bool good = start <= end && end <= from->length;
    aegis_status status = aegis_buffer_slice(&from->view, start, end, &to->view);
    CHECK(status == (good ? AEGIS_OK : AEGIS_E_INVALID));
    if (!good)
        return;
    from->of->references += to != from;
    model_view(to, from->of, from->offset + start, end - start);
}

static void split_view(void) {
    handle *h = any(VIEW), *part = any(NONE);
    if (h == NULL || part == NULL)
        return;
    size_t at = below(h->length + 2), offset = h->offset, length = h->length;
    bool good = at <= length, gives_front = below(2) == 0;
    aegis_status status = gives_front ? aegis_buffer_split_to(&h->view, at, &part->view)
                                      : aegis_buffer_split_off(&h->view, at, &part->view);
    CHECK(status == (good ? AEGIS_OK : AEGIS_E_INVALID));
    if (!good)
        return;
    memory *m = h->of;
    m->references++;
    model_view(gives_front ? part : h, m, offset, at);
    model_view(gives_front ? h : part, m, offset + at, length - at);
}

static void split_writer(void) {
    handle *h = any(WRITER), *part = any(NONE);
    if (h == NULL || part == NULL)
        return;
    bool gives_front = below(2) == 0;
    size_t offset = h->offset, length = h->length, capacity = h->capacity;
    size_t at = below((gives_front ? length : capacity) + 2);
    bool good = at <= (gives_front ? length : capacity);
    aegis_status status = gives_front ? aegis_buffer_mut_split_to(&h->writer, at, &part->writer)
                                      : aegis_buffer_mut_split_off(&h->writer, at, &part->writer);
    CHECK(status == (good ? AEGIS_OK : AEGIS_E_INVALID));
    if (!good)
        return;
    h->of->references++;
    size_t front_length = at < length ? at : length;
    model_set(gives_front ? part : h, WRITER, h->of, offset, front_length, at);
    model_set(gives_front ? h : part, WRITER, h->of, offset + at, length - front_length,
              capacity - at);
}

static void unsplit_views(void) {
    handle *front = any(VIEW), *back = any(VIEW);
    if (front == NULL || back == NULL)
        return;
    bool meets = front->of == back->of && front->offset + front->length == back->offset &&
                 !front->of->eternal;
    bool good = front != back && (front->length == 0 || back->length == 0 || meets);
    aegis_status status = aegis_buffer_unsplit(&front->view, &back->view);
    CHECK(status == (good ? AEGIS_OK : AEGIS_E_INVALID));
    if (!good)
        return;
    if (front->length == 0) {
        front->of->references--;
        model_set(front, VIEW, back->of, back->offset, back->length, 0);
        back->is = NONE;
        return;
    }
    front->length += back->length;
    model_drop(back);
}

static void unsplit_writers(void) {
    handle *front = any(WRITER), *back = any(WRITER);
    if (front == NULL || back == NULL)
        return;
    bool meets = front->of == back->of && front->offset + front->capacity == back->offset &&
                 (front->length == front->capacity || back->length == 0);
    bool good = front != back && (back->capacity == 0 || meets);
    aegis_status status = aegis_buffer_mut_unsplit(&front->writer, &back->writer);
    CHECK(status == (good ? AEGIS_OK : AEGIS_E_INVALID));
    if (!good)
        return;
    front->length += back->length;
    front->capacity += back->capacity;
    model_drop(back);
}

static void make_writer(void) {
    handle *h = any(VIEW);
    if (h == NULL)
        return;
    memory *m = h->of;
    bool alone = m->references == 1 && m->writable;
    CHECK(aegis_buffer_is_unique(&h->view) == (m->references == 1 && !m->eternal));
    if (below(2) == 0 && !alone) {
        CHECK(aegis_buffer_into_mut(&h->view, &h->writer, budget, NULL) == AEGIS_OK);
        model_move_to_heap(h, WRITER, h->writer.data, h->length);
        return;
    }
    aegis_status expected = !m->writable ? AEGIS_E_INVALID : alone ? AEGIS_OK : AEGIS_E_BUSY;
    CHECK(aegis_buffer_try_into_mut(&h->view, &h->writer) == expected);
    if (alone)
        model_set(h, WRITER, m, h->offset, h->length, m->capacity - h->offset);
}

static void freeze(void) {
    handle *h = any(WRITER);
    if (h == NULL)
        return;
    h->view = aegis_buffer_mut_freeze(&h->writer);
    CHECK(is_no_writer(&h->writer));
    model_view(h, h->of, h->offset, h->length);
}

static void compact(void) {
    handle *h = any(VIEW);
    if (h == NULL)
        return;
    bool copies = !h->of->eternal && h->length < h->of->capacity - h->length;
    CHECK(aegis_buffer_compact(&h->view, budget, NULL) == AEGIS_OK);
    if (h->length == 0)
        model_view(h, h->of, 0, 0);
    else if (copies)
        model_move_to_heap(h, VIEW, h->view.owner->base, h->length);
}

static void append(void) {
    handle *h = any(WRITER);
    if (h == NULL)
        return;
    unsigned char bytes[16];
    size_t length = below(sizeof bytes + 1);
    memset(bytes, ++next_byte, sizeof bytes);
    bool good = length <= h->capacity - h->length;
    aegis_status status = aegis_buffer_mut_append(&h->writer, bytes, length);
    CHECK(status == (good ? AEGIS_OK : AEGIS_E_EXHAUSTED));
    if (!good)
        return;
    memcpy(h->of->content + h->offset + h->length, bytes, length);
    h->length += length;
}

/* Stores bytes in the room of a writer without counting them as written, and says so to the
 * library. */
static void initialize(void) {
    handle *h = any(WRITER);
    if (h == NULL)
        return;
    size_t known_bytes = h->length + below(h->capacity - h->length + 1);
    next_byte++;
    memset(h->writer.data + h->length, next_byte, known_bytes - h->length);
    memset(h->of->content + h->offset + h->length, next_byte, known_bytes - h->length);
    h->writer.initialized = known_bytes;
}

static void reserve(void) {
    handle *h = any(WRITER);
    size_t additional_bytes = below(2 * MAX_NEW_BYTES);
    if (h == NULL || h->capacity > MAX_BYTES / 4)
        return;
    memory *m = h->of;
    size_t needed_bytes = h->length + additional_bytes;
    CHECK(aegis_buffer_mut_reserve(&h->writer, additional_bytes, budget, NULL) == AEGIS_OK);
    if (needed_bytes <= h->capacity)
        return;
    bool fits_behind = needed_bytes <= m->capacity - h->offset;
    if (m->references != 1 || needed_bytes > m->capacity ||
        (!fits_behind && h->offset < h->length)) {
        size_t capacity = needed_bytes > 2 * h->capacity ? needed_bytes : 2 * h->capacity;
        capacity = capacity > m->capacity ? capacity : m->capacity;
        model_move_to_heap(h, WRITER, h->writer.data, capacity);
        return;
    }
    if (!fits_behind) {
        memmove(m->content, m->content + h->offset, h->length);
        h->offset = 0;
    }
    h->capacity = m->capacity - h->offset;
}

static void buffers_are_what_the_model_says(void) {
    static void (*const operations[])(void) = {
        make,         make,          release,         slice,         split_view,      slice,
        split_writer, unsplit_views, unsplit_writers, unsplit_views, unsplit_writers, make_writer,
        freeze,       compact,       append,          append,        reserve,         release,
        initialize};
    size_t steps = scaled(STEPS);
    size_t kept_failures = (size_t)check_failures;
    budget = aegis_budget_new("model", AEGIS_BUDGET_UNLIMITED, NULL);
    nothing.base = (unsigned char *)(uintptr_t)aegis_buffer_from_static(NULL, 0).data;
    nothing.eternal = true;
    nothing.references = 1;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        random_state = seed * UINT64_C(0x9E3779B97F4A7C15);
        for (size_t step = 0; step < steps; step++) {
            operations[below(sizeof operations / sizeof *operations)]();
            check_all();
            if ((size_t)check_failures != kept_failures) {
                fprintf(stderr, "    seed %d, step %zu\n", (int)seed, step);
                return;
            }
        }
        for (size_t i = 0; i < SLOTS; i++) {
            if (handles[i].is == VIEW)
                CHECK(aegis_buffer_release(&handles[i].view) == AEGIS_OK);
            else if (handles[i].is == WRITER)
                CHECK(aegis_buffer_mut_release(&handles[i].writer) == AEGIS_OK);
            if (handles[i].is != NONE)
                model_drop(&handles[i]);
        }
        check_all();
        CHECK_SIZE(budget_used(budget), 0);
    }
    aegis_budget_destroy(budget);
}

int main(void) {
    RUN(buffers_are_what_the_model_says);
    return check_finish();
}
