/* SPDX-License-Identifier: Apache-2.0 */
/* Expat on a heap of ours, by XML_ParserCreate_MM. It parses the database of file types (Debian's
 * shared-mime-info) with namespaces, in pieces as they would come from a network.
 * client.h has the command line and the report. */
#define _GNU_SOURCE
#include "client.h"

#include <expat.h>

#define TYPES "/usr/share/mime/packages/freedesktop.org.xml"
#define PIECE_BYTES 4096

static aegis_arena_heap heap;
static client_file types;
static const XML_Memory_Handling_Suite *suite; /* NULL: Expat's own functions */

/* Expat passes no user pointer, and takes the functions for each parser. */
AEGIS_DEFINE_MALLOC_HOOKS(aegis_arena_heap_hook, xml, &heap);

static void prepare(void) {
    types = client_read(TYPES);
}

static void use_heap(void) {
    aegis_source pages = aegis_source_pages(0);
    aegis_arena_options options = {0};
    options.source = &pages;
    client_require(aegis_arena_heap_init(&heap, &options) == AEGIS_OK, "the heap");
    static const XML_Memory_Handling_Suite own = {xml_malloc, xml_realloc, xml_free};
    suite = &own;
}

static void get_stats(aegis_arena_heap_stats *stats) {
    aegis_arena_heap_get_stats(&heap, stats);
}

typedef struct counts {
    size_t elements;
    size_t attributes;
    size_t text_bytes;
    size_t globs;
} counts;

static void XMLCALL on_start(void *user, const XML_Char *name, const XML_Char **attributes) {
    counts *seen = (counts *)user;
    seen->elements++;
    seen->globs += strcmp(name, "http://www.freedesktop.org/standards/shared-mime-info|glob") == 0;
    for (; *attributes != NULL; attributes += 2)
        seen->attributes++;
}

static void XMLCALL on_text(void *user, const XML_Char *text, int length) {
    (void)text;
    ((counts *)user)->text_bytes += (size_t)length;
}

static void work(char *result, size_t result_bytes) {
    counts seen = {0, 0, 0, 0};
    XML_Parser parser = XML_ParserCreate_MM(NULL, suite, "|");
    client_require(parser != NULL, "XML_ParserCreate_MM");
    XML_SetUserData(parser, &seen);
    XML_SetElementHandler(parser, on_start, NULL);
    XML_SetCharacterDataHandler(parser, on_text);
    for (size_t at = 0; at < types.size_bytes; at += PIECE_BYTES) {
        size_t left = types.size_bytes - at;
        int length = left > PIECE_BYTES ? PIECE_BYTES : (int)left;
        client_require(XML_Parse(parser, types.bytes + at, length, left <= PIECE_BYTES) ==
                           XML_STATUS_OK,
                       XML_ErrorString(XML_GetErrorCode(parser)));
    }
    XML_ParserFree(parser);
    snprintf(result, result_bytes,
             "%zu elements with %zu attributes and %zu bytes of text; %zu patterns of file names",
             seen.elements, seen.attributes, seen.text_bytes, seen.globs);
}

int main(int argc, char **argv) {
    const client self = {"expat", prepare, use_heap, work, get_stats};
    return client_main(argc, argv, &self);
}
