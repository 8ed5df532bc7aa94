/* SPDX-License-Identifier: Apache-2.0 */
/* libxml2 on a heap of ours, by xmlMemSetup. It reads the languages of ISO 639-3 (Debian's
 * iso-codes) into a tree, asks it with XPath, changes it, and writes it as text.
 * client.h has the command line and the report. */
#define _GNU_SOURCE
#include "client.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/xpath.h>

#define LANGUAGES "/usr/share/xml/iso-codes/iso_639-3.xml"

static aegis_arena_heap heap;
static client_file languages;

/* libxml2 passes no user pointer. xmlMemSetup comes before every other call of libxml2, so that
 * nothing that malloc gave is freed here. */
AEGIS_DEFINE_MALLOC_HOOKS(aegis_arena_heap_hook, xml, &heap);

static void prepare(void) {
    languages = client_read(LANGUAGES);
}

static void use_heap(void) {
    aegis_source pages = aegis_source_pages(0);
    aegis_arena_options options = {0};
    options.source = &pages;
    client_require(aegis_arena_heap_init(&heap, &options) == AEGIS_OK, "the heap");
    client_require(xmlMemSetup(xml_free, xml_malloc, xml_realloc, xml_strdup) == 0, "xmlMemSetup");
}

static void get_stats(aegis_arena_heap_stats *stats) {
    aegis_arena_heap_get_stats(&heap, stats);
}

/* Counts what an expression finds, and marks each element that it finds. */
static int mark(xmlXPathContext *context, const char *expression, const char *name) {
    xmlXPathObject *found = xmlXPathEvalExpression(BAD_CAST expression, context);
    client_require(found != NULL && found->nodesetval != NULL, expression);
    int count = found->nodesetval->nodeNr;
    for (int i = 0; i < count; i++)
        xmlNewProp(found->nodesetval->nodeTab[i], BAD_CAST name, BAD_CAST "yes");
    xmlXPathFreeObject(found);
    return count;
}

static void work(char *result, size_t result_bytes) {
    xmlInitParser();
    xmlDoc *tree = xmlReadMemory(languages.bytes, (int)languages.size_bytes, LANGUAGES, NULL,
                                 XML_PARSE_NOBLANKS | XML_PARSE_NONET);
    client_require(tree != NULL, "xmlReadMemory");
    xmlXPathContext *context = xmlXPathNewContext(tree);
    client_require(context != NULL, "xmlXPathNewContext");
    int all = mark(context, "//iso_639_3_entry", "seen");
    int living = mark(context, "//iso_639_3_entry[@type='L']", "living");
    int signs = mark(context, "//iso_639_3_entry[contains(@name, 'Sign Language')]", "sign");
    xmlXPathFreeContext(context);
    xmlChar *text;
    int length;
    xmlDocDumpFormatMemory(tree, &text, &length, 1);
    client_require(text != NULL, "xmlDocDumpFormatMemory");
    snprintf(result, result_bytes,
             "%d languages, %d living, %d of signs; with marks they are %d bytes", all, living,
             signs, length);
    xmlFree(text);
    xmlFreeDoc(tree);
    xmlCleanupParser();
}

int main(int argc, char **argv) {
    const client self = {"libxml2", prepare, use_heap, work, get_stats};
    return client_main(argc, argv, &self);
}
