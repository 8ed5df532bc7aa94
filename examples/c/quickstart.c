/* SPDX-License-Identifier: Apache-2.0 */
/* A loop that serves requests from one arena. Each request reads the rows of a delimited file into
 * records that live in the arena, counts them by groups, and frees everything with one reset. Then
 * the same work is done with malloc and free.
 *
 * usage: quickstart [FILE]    (without FILE: examples/data/zone1970.tab)
 *
 * Fields are separated by tabs, or by commas if the first row has no tab; there is no quoting.
 * Lines that begin with '#' are comments. In a time zone table (*.tab) a row has 3 or 4 fields, and
 * zones are counted by region. In other files every row has as many fields as the first one; if
 * these are 3 or more, the last one may be absent. Their rows are counted by the first field. */
#include "aegis_memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_FILE "examples/data/zone1970.tab"
#define REQUESTS 100
#define GROUPS_SHOWN 12
#define BAR_WIDTH 40

/* The file's bytes, and what its first row says about the others. */
typedef struct input {
    const char *path;
    char *bytes;
    size_t size_bytes;
    bool is_zone_table;
    char delimiter;
    size_t min_fields;
    size_t max_fields;
} input;

/* Where the memory of a request comes from: the arena, or malloc if this is NULL. */
typedef struct memory {
    aegis_arena *arena;
    size_t malloc_count;
} memory;

typedef struct row {
    char **fields;
    size_t field_count;
} row;

typedef struct group {
    char *name;
    size_t count;
} group;

/* What one request makes. */
typedef struct result {
    row *rows;
    size_t row_count;
    size_t row_capacity;
    group *groups;
    size_t group_count;
} result;

static bool fail(const char *path, size_t line, const char *what) {
    fprintf(stderr, "%s:%zu: %s\n", path, line, what);
    return false;
}

/* Gives memory for a request. Without memory the example cannot go on, so the program ends. */
static void *need(void *bytes, const memory *m) {
    if (bytes != NULL)
        return bytes;
    char reason[256];
    (void)snprintf(reason, sizeof reason, "%s", aegis_status_message(AEGIS_E_OUT_OF_MEMORY));
    if (m->arena != NULL)
        (void)aegis_arena_explain(m->arena, reason, sizeof reason);
    fprintf(stderr, "quickstart: %s\n", reason);
    exit(1);
}

static void *take(memory *m, size_t size_bytes) {
    if (m->arena != NULL)
        return need(aegis_arena_alloc(m->arena, size_bytes), m);
    m->malloc_count++;
    return need(malloc(size_bytes), m);
}

static void *resize(memory *m, void *old, size_t old_bytes, size_t new_bytes) {
    if (m->arena != NULL)
        return need(aegis_arena_realloc(m->arena, old, old_bytes, new_bytes), m);
    m->malloc_count++;
    return need(realloc(old, new_bytes), m);
}

static char *copy_text(memory *m, const char *text, size_t length) {
    char *copy = (char *)take(m, length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

/* Whether the bytes are UTF-8: no stray, overlong or surrogate sequence. */
static bool is_utf8(const char *text, size_t length) {
    const unsigned char *p = (const unsigned char *)text;
    const unsigned char *end = p + length;
    while (p < end) {
        unsigned char first = *p++;
        size_t more = first < 0x80 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
        if ((first >= 0x80 && first < 0xC2) || first > 0xF4 || (size_t)(end - p) < more)
            return false;
        if ((first == 0xE0 && *p < 0xA0) || (first == 0xED && *p > 0x9F) ||
            (first == 0xF0 && *p < 0x90) || (first == 0xF4 && *p > 0x8F))
            return false;
        for (; more != 0; more--)
            if ((*p++ & 0xC0) != 0x80)
                return false;
    }
    return true;
}

static size_t count_fields(const char *line, size_t length, char delimiter) {
    size_t count = 1;
    for (size_t i = 0; i < length; i++)
        count += line[i] == delimiter;
    return count;
}

/* Learns from the first row what the others must look like. */
static void learn_shape(input *in, const char *line, size_t length) {
    in->delimiter = memchr(line, '\t', length) != NULL ? '\t' : ',';
    in->max_fields = in->is_zone_table ? 4 : count_fields(line, length, in->delimiter);
    in->min_fields = in->max_fields >= 3 ? in->max_fields - 1 : in->max_fields;
}

/* Splits one row into copies of its fields. */
static bool parse_row(memory *m, const input *in, const char *line, size_t length, size_t number,
                      row *parsed) {
    size_t count = count_fields(line, length, in->delimiter);
    if (count < in->min_fields || count > in->max_fields) {
        char what[120];
        (void)snprintf(what, sizeof what, "the row has %zu fields, expected are %zu to %zu", count,
                       in->min_fields, in->max_fields);
        return fail(in->path, number, what);
    }
    parsed->field_count = count;
    parsed->fields = (char **)take(m, count * sizeof *parsed->fields);
    const char *end = line + length;
    for (size_t i = 0; i < count; i++) {
        const char *stop = (const char *)memchr(line, in->delimiter, (size_t)(end - line));
        stop = stop != NULL ? stop : end;
        parsed->fields[i] = copy_text(m, line, (size_t)(stop - line));
        line = stop + (stop != end);
    }
    return true;
}

/* Reads all rows. Prints what is wrong with the first faulty line. */
static bool parse_rows(memory *m, input *in, result *made) {
    const char *line = in->bytes;
    const char *end = in->bytes + in->size_bytes;
    for (size_t number = 1; line < end; number++) {
        const char *stop = (const char *)memchr(line, '\n', (size_t)(end - line));
        const char *next = stop != NULL ? stop + 1 : end;
        size_t length = (size_t)((stop != NULL ? stop : end) - line);
        length -= length != 0 && line[length - 1] == '\r';
        if (!is_utf8(line, length))
            return fail(in->path, number, "the line is not valid UTF-8");
        if (length != 0 && line[0] != '#') {
            if (in->max_fields == 0)
                learn_shape(in, line, length);
            if (made->row_count == made->row_capacity) {
                size_t wanted = made->row_capacity * 2 + 16;
                made->rows = (row *)resize(m, made->rows, made->row_capacity * sizeof(row),
                                           wanted * sizeof(row));
                made->row_capacity = wanted;
            }
            if (!parse_row(m, in, line, length, number, &made->rows[made->row_count]))
                return false;
            made->row_count++;
        }
        line = next;
    }
    return made->row_count != 0 || fail(in->path, 1, "the file has no rows");
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const group *)a)->name, ((const group *)b)->name);
}

static int by_count(const void *a, const void *b) {
    const group *left = (const group *)a;
    const group *right = (const group *)b;
    if (left->count != right->count)
        return left->count < right->count ? 1 : -1;
    return strcmp(left->name, right->name);
}

/* Counts the rows of each group: makes a group for each row, sorts them by name, and joins equal
 * ones. */
static void count_groups(memory *m, const input *in, result *made) {
    made->groups = (group *)take(m, made->row_count * sizeof *made->groups);
    for (size_t i = 0; i < made->row_count; i++) {
        const char *name = made->rows[i].fields[in->is_zone_table ? 2 : 0];
        size_t length = in->is_zone_table ? strcspn(name, "/") : strlen(name);
        made->groups[i].name = copy_text(m, name, length);
        made->groups[i].count = 1;
    }
    qsort(made->groups, made->row_count, sizeof *made->groups, by_name);
    for (size_t i = 0; i < made->row_count; i++) {
        group *last = made->groups + made->group_count;
        if (made->group_count != 0 && strcmp(last[-1].name, made->groups[i].name) == 0) {
            last[-1].count++;
            if (m->arena == NULL)
                free(made->groups[i].name);
        } else {
            *last = made->groups[i];
            made->group_count++;
        }
    }
    qsort(made->groups, made->group_count, sizeof *made->groups, by_count);
}

/* One request. The result lives until the arena's reset, or until free_result. */
static bool serve(memory *m, input *in, result *made) {
    memset(made, 0, sizeof *made);
    if (!parse_rows(m, in, made))
        return false;
    count_groups(m, in, made);
    return true;
}

/* An arena needs none of this: a free for each allocation. */
static void free_result(result *made) {
    for (size_t i = 0; i < made->row_count; i++) {
        for (size_t j = 0; j < made->rows[i].field_count; j++)
            free(made->rows[i].fields[j]);
        free(made->rows[i].fields);
    }
    for (size_t i = 0; i < made->group_count; i++)
        free(made->groups[i].name);
    free(made->groups);
    free(made->rows);
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text);
    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

/* Reads the whole file. If that fails, prints the reason and returns false. */
static bool read_file(input *in) {
    FILE *file = fopen(in->path, "rb");
    size_t capacity = 0;
    while (file != NULL && !feof(file) && !ferror(file)) {
        if (in->size_bytes == capacity) {
            capacity = capacity * 2 + 65536;
            char *grown = (char *)realloc(in->bytes, capacity);
            if (grown == NULL)
                break;
            in->bytes = grown;
        }
        in->size_bytes += fread(in->bytes + in->size_bytes, 1, capacity - in->size_bytes, file);
    }
    bool complete = file != NULL && feof(file) && !ferror(file);
    if (!complete)
        fprintf(stderr, "quickstart: cannot read %s: %s\n", in->path, strerror(errno));
    if (file != NULL)
        (void)fclose(file);
    return complete;
}

static void print_result(const input *in, const result *made) {
    printf("%s: %zu rows in %zu groups\n", in->path, made->row_count, made->group_count);
    for (size_t i = 0; i < made->group_count && i < GROUPS_SHOWN; i++)
        printf("  %-20s %6zu\n", made->groups[i].name, made->groups[i].count);
    if (made->group_count > GROUPS_SHOWN)
        printf("  and %zu more\n", made->group_count - GROUPS_SHOWN);
}

/* Draws each block as a bar that shows how full it is. */
static void print_blocks(const aegis_arena *arena) {
    static const char *const states[] = {"current", "closed", "idle"};
    aegis_arena_block_info info;
    size_t number = 0;
    printf("\nthe arena's blocks:\n");
    for (const aegis_arena_block *block = NULL;
         (block = aegis_arena_next_block(arena, block, &info)) != NULL;) {
        char bar[BAR_WIDTH + 1];
        size_t filled = (size_t)((double)info.used_bytes / (double)info.capacity_bytes * BAR_WIDTH);
        memset(bar, '#', filled);
        memset(bar + filled, '.', BAR_WIDTH - filled);
        bar[BAR_WIDTH] = '\0';
        printf("  %2zu [%s] %8zu of %8zu bytes, %s\n", ++number, bar, info.used_bytes,
               info.capacity_bytes, states[info.state]);
    }
}

static void print_stats(const aegis_arena *arena) {
    aegis_arena_stats stats;
    aegis_arena_get_stats(arena, &stats);
    printf("  %zu bytes used, %zu wasted, %zu reserved in %zu blocks\n", stats.used_bytes,
           stats.wasted_bytes, stats.reserved_bytes, stats.block_count);
}

/* Processor time in seconds. Every C library can tell it. */
static double now(void) {
    return (double)clock() / CLOCKS_PER_SEC;
}

/* Serves all requests from one arena. Shows the first, then prints how often the others asked the
 * system for memory. */
static bool serve_from_arena(input *in, double *seconds) {
    aegis_arena arena;
    if (aegis_arena_init(&arena, NULL) != AEGIS_OK)
        return false;
    memory m = {&arena, 0};
    result made;
    aegis_arena_stats first, all;
    bool served = serve(&m, in, &made);
    if (served) {
        print_result(in, &made);
        print_blocks(&arena);
        print_stats(&arena);
    }
    aegis_arena_get_stats(&arena, &first);
    aegis_arena_reset(&arena);
    double start = now();
    for (int i = 1; i < REQUESTS && served; i++) {
        served = serve(&m, in, &made);
        aegis_arena_reset(&arena);
    }
    *seconds = now() - start;
    aegis_arena_get_stats(&arena, &all);
    if (served)
        printf("\n%d requests, each freed by one reset:\n"
               "  the first went to the system for memory %llu times, the other %d together %llu "
               "times\n",
               REQUESTS, (unsigned long long)first.acquired_count, REQUESTS - 1,
               (unsigned long long)(all.acquired_count - first.acquired_count));
    aegis_arena_fini(&arena);
    return served;
}

static void serve_from_malloc(input *in, double arena_seconds) {
    memory m = {NULL, 0};
    result made;
    double start = now();
    for (int i = 1; i < REQUESTS; i++) {
        if (!serve(&m, in, &made))
            return;
        free_result(&made);
    }
    double seconds = now() - start;
    printf("the same with malloc and free:\n"
           "  %zu calls of malloc or realloc a request; %.2f times the arena's time\n",
           m.malloc_count / (REQUESTS - 1), seconds / arena_seconds);
}

int main(int argc, char **argv) {
    if (argc > 2) {
        fprintf(stderr, "usage: %s [FILE]\n", argv[0]);
        return 1;
    }
    input in = {argc == 2 ? argv[1] : DEFAULT_FILE, NULL, 0, false, '\t', 0, 0};
    in.is_zone_table = ends_with(in.path, ".tab");
    double arena_seconds = 0;
    bool served = read_file(&in) && serve_from_arena(&in, &arena_seconds);
    if (served)
        serve_from_malloc(&in, arena_seconds);
    free(in.bytes);
    return served ? 0 : 1;
}
