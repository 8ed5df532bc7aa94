/* SPDX-License-Identifier: Apache-2.0 */
/* Turns error records into sentences. The Rust wrapper shows the same ones.
 *
 * A sentence says what was asked for and what was allowed. The record's `what` chooses the
 * sentence; if `what` is AEGIS_WHAT_BYTES, the status does. */
#include "aegis_memory/budget.h"
#include "base/arithmetic.h"
#include "base/text.h"
#include "budget/calls.h"

/* A layout that no memory can have: the alignment is not a power of two, or the size is too large
 * for the alignment. */
static void explain_layout(aegis_i_text *text, const aegis_error *error) {
    aegis_i_text_add(text, "invalid layout: size %zu with alignment %zu; ", error->requested_bytes,
                     error->align_bytes);
    bool odd = !aegis_i_is_power_of_two(error->align_bytes);
    bool large = error->requested_bytes > error->allowed;
    if (odd)
        aegis_i_text_add(text, "an alignment is a power of two");
    if (odd && large)
        aegis_i_text_add(text, " and ");
    if (!odd || large)
        aegis_i_text_add(text, "a size is at most %zu bytes%s", error->allowed,
                         odd ? "" : " at this alignment");
}

/* How many bytes were asked for, and how many are in use. If there is room for the bytes asked for,
 * also how many were needed with padding and guard. An alignment of 0 means that none was asked
 * for. If the bytes are 0 too, the request was for something else, such as an arena of a recycler.
 */
static void explain_bytes(aegis_i_text *text, const aegis_error *error, const char *what) {
    aegis_i_text_add(text, "%s", what);
    if (error->requested_bytes == 0 && error->align_bytes == 0)
        return;
    aegis_i_text_add(text, ": %zu bytes requested", error->requested_bytes);
    if (error->align_bytes != 0)
        aegis_i_text_add(text, " at alignment %zu", error->align_bytes);
    /* The use of a lost object cannot be read, and that of a closed budget is no reason. */
    if (error->status == AEGIS_E_FORKED || error->status == AEGIS_E_CLOSED)
        return;
    if (error->needed_bytes > error->requested_bytes && error->in_use_bytes <= error->limit_bytes &&
        error->requested_bytes <= error->limit_bytes - error->in_use_bytes)
        aegis_i_text_add(text, ", %zu bytes needed", error->needed_bytes);
    aegis_i_text_add(text, ", %zu ", error->in_use_bytes);
    if (error->status == AEGIS_E_EXHAUSTED || error->limit_bytes != 0)
        aegis_i_text_add(text, "of %zu ", error->limit_bytes);
    aegis_i_text_add(text, "bytes in use");
}

/* A pool that has no block left. Blocks of 0 bytes cannot be counted by their bytes. */
static void explain_pool(aegis_i_text *text, const aegis_error *error) {
    size_t block_bytes = error->requested_bytes / aegis_i_max(error->asked, 1);
    aegis_i_text_add(text, "pool exhausted: %zu block%s of %zu bytes requested, ", error->asked,
                     error->asked == 1 ? "" : "s", block_bytes);
    if (block_bytes != 0)
        aegis_i_text_add(text, "%zu of %zu blocks in use", error->in_use_bytes / block_bytes,
                         error->limit_bytes / block_bytes);
    else
        aegis_i_text_add(text, error->asked == 1 ? "none is left" : "fewer are left");
}

/* The words around the number that was asked for, for each AEGIS_WHAT_* that has a bound. */
static const struct {
    const char *before;
    const char *behind;
} counted[] = {
    [AEGIS_WHAT_ALIGN] = {"an alignment of ", " bytes"},
    [AEGIS_WHAT_BLOCKS] = {"", " blocks"},
    [AEGIS_WHAT_MAX_BLOCKS] = {"growth up to ", " blocks"},
    [AEGIS_WHAT_SLABS] = {"growth up to ", " slabs"},
    [AEGIS_WHAT_CACHES] = {"", " caches"},
    [AEGIS_WHAT_CLASSES] = {"", " size classes"},
    [AEGIS_WHAT_CLASS_BYTES] = {"a size class of ", " bytes"},
    [AEGIS_WHAT_BUFFER_BYTES] = {"a buffer of ", " bytes"},
    [AEGIS_WHAT_IDLE_ARENAS] = {"", " idle arenas"},
    [AEGIS_WHAT_CAPACITY] = {"beside the caller's memory a capacity of ", " bytes"},
    [AEGIS_WHAT_MEMORY] = {"the use of ", " bytes of the caller's memory"},
    [AEGIS_WHAT_POLICY] = {"policy number ", ""},
    [AEGIS_WHAT_LEVELS] = {"", " levels of budgets"},
    [AEGIS_WHAT_GUARANTEE] = {"a guarantee of ", " bytes"},
    [AEGIS_WHAT_WEIGHT] = {"a weight of ", ""},
};

/* A number that is above or below its bound. */
static void explain_number(aegis_i_text *text, const aegis_error *error) {
    const char *bound = error->asked < error->allowed ? "at least" : "at most";
    aegis_i_text_add(text, "invalid argument: %s%zu%s requested, %s %zu allowed",
                     counted[error->what].before, error->asked, counted[error->what].behind, bound,
                     error->allowed);
}

/* A share of the system's memory that cannot be had. */
static void explain_share(aegis_i_text *text, const aegis_error *error) {
    if (error->status == AEGIS_E_UNSUPPORTED) {
        aegis_i_text_add(text, "the system does not say how much memory it has");
        return;
    }
    aegis_i_text_add(text, "invalid argument: a share ");
    if (error->asked == 0)
        aegis_i_text_add(text, "that is not above 0");
    else
        aegis_i_text_add(text, "of %zu percent", error->asked);
    aegis_i_text_add(text, " requested, above 0 and at most %zu percent allowed", error->allowed);
}

/* An argument that no call accepts. */
static void explain_argument(aegis_i_text *text, const aegis_error *error) {
    switch (error->what) {
    case AEGIS_WHAT_FLAGS:
        aegis_i_text_add(text,
                         "invalid argument: flags 0x%zx requested, only those of 0x%zx allowed",
                         error->asked, error->allowed);
        break;
    case AEGIS_WHAT_OPTIONS:
        aegis_i_text_add(text, "invalid argument: the options are NULL");
        break;
    case AEGIS_WHAT_FUNCTION:
        aegis_i_text_add(text, "invalid argument: the function is NULL");
        break;
    case AEGIS_WHAT_DATA:
        aegis_i_text_add(text, "invalid argument: NULL given for %zu bytes of data", error->asked);
        break;
    case AEGIS_WHAT_HANDLE:
        aegis_i_text_add(text, "invalid argument: the object was not made, or was released or "
                               "reset since");
        break;
    case AEGIS_WHAT_SCOPE:
        aegis_i_text_add(text, "still in use: a scope is open on the arena");
        break;
    case AEGIS_WHAT_USED_BUDGET:
        aegis_i_text_add(text, "still in use: the budget has children or bytes in use");
        break;
    case AEGIS_WHAT_MOVE:
        aegis_i_text_add(text, "still in use: another call moves the memory to another budget");
        break;
    case AEGIS_WHAT_OUT:
        aegis_i_text_add(text, "still in use: the pool has other handles, or buffers that are out");
        break;
    case AEGIS_WHAT_UNKNOWN_OPTION:
        aegis_i_text_add(text,
                         "invalid argument: the option at byte %zu is set, but this library knows "
                         "only %zu bytes of options: it is older than the header",
                         error->asked, error->allowed);
        break;
    case AEGIS_WHAT_SHARE:
        explain_share(text, error);
        break;
    default:
        if (error->what < sizeof counted / sizeof counted[0] && counted[error->what].before != NULL)
            explain_number(text, error);
        else
            aegis_i_text_add(text, "%s", aegis_status_message(error->status));
    }
}

size_t aegis_error_explain(const aegis_error *error, char *buffer, size_t buffer_bytes) {
    if (error->status == AEGIS_E_LIMIT_EXCEEDED && error->refused != NULL)
        return aegis_i_calls_of(error->refused)->explain(error, buffer, buffer_bytes);
    aegis_i_text text = {buffer, buffer_bytes, 0};
    if (error->status == AEGIS_OK)
        aegis_i_text_add(&text, "%s", aegis_status_message(error->status));
    else if (error->status == AEGIS_E_EXHAUSTED && error->what == AEGIS_WHAT_BLOCKS)
        explain_pool(&text, error);
    else if (error->what != AEGIS_WHAT_BYTES)
        explain_argument(&text, error);
    else if (error->status == AEGIS_E_INVALID_LAYOUT)
        explain_layout(&text, error);
    else if (error->status == AEGIS_E_IO)
        aegis_i_text_add(&text, "the mapped file was truncated: %zu bytes were to be copied",
                         error->requested_bytes);
    else if (error->status == AEGIS_E_OUT_OF_MEMORY)
        explain_bytes(&text, error, "out of memory");
    else if (error->status == AEGIS_E_EXHAUSTED)
        explain_bytes(&text, error, "fixed memory exhausted");
    else
        explain_bytes(&text, error, aegis_status_message(error->status));
    return text.length;
}
