/* SPDX-License-Identifier: Apache-2.0 */
/* zlib on a heap of ours, by the functions in its z_stream. It deals the words of a dictionary
 * (Debian's wamerican) to a stream for each first letter, all of them open at once, as a program
 * does that partitions its output, and then expands the streams and counts the words again.
 * client.h has the command line and the report. */
#define _GNU_SOURCE
#include "client.h"

#include <zlib.h>

#define WORDS "/usr/share/dict/american-english"
/* The letters, and all other words. */
#define PARTS 27
#define PACKED_BYTES 65536

static aegis_arena_heap heap;
static client_file words;
static bool has_heap;

static void prepare(void) {
    words = client_read(WORDS);
}

static void use_heap(void) {
    aegis_source pages = aegis_source_pages(0);
    aegis_arena_options options = {0};
    options.source = &pages;
    client_require(aegis_arena_heap_init(&heap, &options) == AEGIS_OK, "the heap");
    has_heap = true;
}

static void get_stats(aegis_arena_heap_stats *stats) {
    aegis_arena_heap_get_stats(&heap, stats);
}

/* zlib passes a user pointer first, and the numbers of zalloc are unsigned int. So it has a
 * function of its own, and no macro is needed. */
static void set_functions(z_stream *stream) {
    memset(stream, 0, sizeof *stream);
    if (!has_heap)
        return;
    stream->zalloc = aegis_arena_heap_hook_zalloc;
    stream->zfree = aegis_arena_heap_hook_free;
    stream->opaque = &heap;
}

/* A stream that compresses, and what it has written. */
typedef struct part {
    z_stream stream;
    unsigned char packed[PACKED_BYTES];
    size_t packed_bytes;
} part;

static part parts[PARTS];

static size_t part_of(char letter) {
    letter = (char)(letter | 0x20);
    return letter >= 'a' && letter <= 'z' ? (size_t)(letter - 'a') : PARTS - 1;
}

static void begin_part(part *to) {
    set_functions(&to->stream);
    client_require(deflateInit(&to->stream, Z_DEFAULT_COMPRESSION) == Z_OK, "deflateInit");
    to->stream.next_out = to->packed;
    to->stream.avail_out = PACKED_BYTES;
}

static void write_word(part *to, char *word, size_t length) {
    to->stream.next_in = (unsigned char *)word;
    to->stream.avail_in = (uInt)length;
    client_require(deflate(&to->stream, Z_NO_FLUSH) == Z_OK, "deflate");
}

static void end_part(part *to) {
    client_require(deflate(&to->stream, Z_FINISH) == Z_STREAM_END, "deflate");
    to->packed_bytes = to->stream.total_out;
    deflateEnd(&to->stream);
}

/* Expands a part and returns how many words are in it. */
static size_t count_words(part *from) {
    unsigned char expanded[4096];
    size_t count = 0;
    int code = Z_OK;
    set_functions(&from->stream);
    client_require(inflateInit(&from->stream) == Z_OK, "inflateInit");
    from->stream.next_in = from->packed;
    from->stream.avail_in = (uInt)from->packed_bytes;
    while (code == Z_OK) {
        from->stream.next_out = expanded;
        from->stream.avail_out = sizeof expanded;
        code = inflate(&from->stream, Z_NO_FLUSH);
        for (unsigned char *at = expanded; at < from->stream.next_out; at++)
            count += *at == '\n';
    }
    client_require(code == Z_STREAM_END, "inflate");
    inflateEnd(&from->stream);
    return count;
}

static void work(char *result, size_t result_bytes) {
    for (size_t i = 0; i < PARTS; i++)
        begin_part(&parts[i]);
    for (char *word = words.bytes; *word != '\0';) {
        size_t length = strcspn(word, "\n") + 1;
        write_word(&parts[part_of(*word)], word, length);
        word += length;
    }
    size_t packed_bytes = 0, count = 0;
    for (size_t i = 0; i < PARTS; i++) {
        end_part(&parts[i]);
        packed_bytes += parts[i].packed_bytes;
    }
    for (size_t i = 0; i < PARTS; i++)
        count += count_words(&parts[i]);
    snprintf(result, result_bytes, "%zu words in %d streams, compressed from %zu to %zu bytes",
             count, PARTS, words.size_bytes, packed_bytes);
}

int main(int argc, char **argv) {
    const client self = {"zlib", prepare, use_heap, work, get_stats};
    return client_main(argc, argv, &self);
}
