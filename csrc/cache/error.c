/* SPDX-License-Identifier: Apache-2.0 */
/* The errors of a page cache as sentences. */
#include "../base/text.h"
#include "aegis_memory/page_cache.h"

#include <string.h>

/* The error of a store or hook. */
static void add_status(aegis_i_text *text, aegis_status status) {
    aegis_i_text_add(text, ": %s", aegis_status_message(status));
}

static void add_page(aegis_i_text *text, const aegis_page_error *error) {
    aegis_i_text_add(text, "page %llu of file %u", (unsigned long long)error->page,
                     (unsigned)error->file);
}

static void add_all_pinned(aegis_i_text *text, const aegis_page_error *error) {
    aegis_i_text_add(text, "every frame is pinned: %zu of %llu", error->pinned_count,
                     (unsigned long long)error->allowed);
    if (error->pinned_file != AEGIS_PAGE_NO_FILE)
        aegis_i_text_add(text, ", %zu of them by file %u", error->pinned_file_count,
                         (unsigned)error->pinned_file);
}

/* What one of the bounds says. */
static void add_bound(aegis_i_text *text, const aegis_page_error *error, const char *what) {
    aegis_i_text_add(text, "invalid argument: %llu %s requested, at %s %llu allowed",
                     (unsigned long long)error->asked, what,
                     error->asked < error->allowed ? "least" : "most",
                     (unsigned long long)error->allowed);
}

static void add_argument(aegis_i_text *text, const aegis_page_error *error) {
    switch (error->reason) {
    case AEGIS_PAGE_SIZE:
        aegis_i_text_add(text,
                         "invalid argument: pages of %llu bytes requested, a power of two from %zu "
                         "to %zu allowed",
                         (unsigned long long)error->asked, AEGIS_PAGE_MIN_BYTES,
                         AEGIS_PAGE_MAX_BYTES);
        break;
    case AEGIS_PAGE_FLAGS:
        aegis_i_text_add(text,
                         "invalid argument: 0x%llx requested, only the bits of 0x%llx allowed",
                         (unsigned long long)error->asked, (unsigned long long)error->allowed);
        break;
    case AEGIS_PAGE_FRAMES:
        add_bound(text, error, "frames");
        break;
    case AEGIS_PAGE_FILES:
        add_bound(text, error, "open files");
        break;
    case AEGIS_PAGE_FUNCTION:
        aegis_i_text_add(text, "invalid argument: the store lacks a function");
        break;
    case AEGIS_PAGE_OPTION:
        aegis_i_text_add(text,
                         "invalid argument: the option at byte %llu is unknown to this library, "
                         "which knows %llu bytes; or the options are NULL",
                         (unsigned long long)error->asked, (unsigned long long)error->allowed);
        break;
    case AEGIS_PAGE_HANDLE:
        aegis_i_text_add(text, "invalid argument: the handle for ");
        add_page(text, error);
        aegis_i_text_add(text, " is no pin of this cache, or not of the needed mode");
        break;
    default:
        aegis_i_text_add(text, "%s", aegis_status_message(error->status));
    }
}

/* What happened to a page. False: it is something else. */
static bool add_event(aegis_i_text *text, const aegis_page_error *error) {
    const char *behind;
    switch (error->reason) {
    case AEGIS_PAGE_PINNED:
        behind = " is pinned";
        break;
    case AEGIS_PAGE_READ:
        behind = " could not be read";
        break;
    case AEGIS_PAGE_VERIFY:
        behind = " was read and is not valid";
        break;
    case AEGIS_PAGE_WRITE:
        behind = ", or a page written with it, could not be written, and stays dirty";
        break;
    case AEGIS_PAGE_SEAL:
        behind = " could not be sealed, and stays dirty";
        break;
    case AEGIS_PAGE_BEYOND:
        add_page(text, error);
        aegis_i_text_add(text, " lies beyond the end: the file has %llu pages",
                         (unsigned long long)error->allowed);
        return true;
    default:
        return false;
    }
    if (error->reason == AEGIS_PAGE_PINNED && error->file == AEGIS_PAGE_NO_FILE)
        aegis_i_text_add(text, "pages are pinned");
    else {
        add_page(text, error);
        aegis_i_text_add(text, "%s", behind);
    }
    if (error->reason == AEGIS_PAGE_PINNED) {
        if (error->pinned_count != 0)
            aegis_i_text_add(text, " (%zu pages are)", error->pinned_count);
    } else {
        add_status(text, error->status);
    }
    return true;
}

/* What happened to a file, or to the whole cache. False: it is something else. */
static bool add_state(aegis_i_text *text, const aegis_page_error *error) {
    switch (error->reason) {
    case AEGIS_PAGE_FILE:
        aegis_i_text_add(text,
                         error->status == AEGIS_E_CLOSED ? "file %u is being closed"
                                                         : "no file has the number %u",
                         (unsigned)error->file);
        return true;
    case AEGIS_PAGE_ALL_PINNED:
        add_all_pinned(text, error);
        return true;
    case AEGIS_PAGE_ALL_DIRTY:
        aegis_i_text_add(text, "no frame is free and clean");
        return true;
    case AEGIS_PAGE_LOG:
        aegis_i_text_add(text, "the log of file %u could not be made durable up to LSN %llu",
                         (unsigned)error->file, (unsigned long long)error->asked);
        break;
    case AEGIS_PAGE_SYNC:
        aegis_i_text_add(text,
                         "file %u could not be synced; the pages written since the last sync are "
                         "dirty again",
                         (unsigned)error->file);
        break;
    case AEGIS_PAGE_LOST:
        aegis_i_text_add(text,
                         "a sync of file %u failed after some of its pages were evicted, and they "
                         "may be lost: close the file without writing, and recover it",
                         (unsigned)error->file);
        return true;
    case AEGIS_PAGE_PINS:
        aegis_i_text_add(text, "too many pins of ");
        add_page(text, error);
        aegis_i_text_add(text, ": at most %llu", (unsigned long long)error->allowed);
        return true;
    case AEGIS_PAGE_RESIZING:
        aegis_i_text_add(text, "another call is changing the number of frames");
        return true;
    default:
        return false;
    }
    add_status(text, error->status);
    return true;
}

size_t aegis_page_error_explain(const aegis_page_error *error, char *buffer, size_t buffer_bytes) {
    aegis_i_text text = {buffer, buffer_bytes, 0};
    if (error->reason == AEGIS_PAGE_NONE && error->memory.status == error->status &&
        error->status != AEGIS_OK)
        return aegis_error_explain(&error->memory, buffer, buffer_bytes);
    if (!add_event(&text, error) && !add_state(&text, error))
        add_argument(&text, error);
    return text.length;
}
