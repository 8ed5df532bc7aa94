/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs that put another library on our memory have in common: the command line, the
 * rounds, what is measured, and the report.
 *
 * usage: PROGRAM [--malloc] [--rounds N] [--figures]
 *   --malloc   the library allocates as it does by itself
 *   --rounds   how often the work is done; 5 by default
 *   --figures  prints one line of numbers for `examples/c/run` instead of sentences
 *
 * The input is read before the first round. In a round the library starts, does its work and ends,
 * and must have freed everything. The time is the time of the processor, of all threads together,
 * because other programs on the machine change it less. The peak is the resident memory of the
 * process, as Linux counts it, above what was resident before the first round. */
#ifndef CLIENT_H
#define CLIENT_H

#if !defined(_GNU_SOURCE)
#error "a client begins with #define _GNU_SOURCE"
#endif
#include "aegis_memory.h"
#include "system_calls.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Bytes of a file, with a zero byte behind them. */
typedef struct client_file {
    char *bytes;
    size_t size_bytes;
} client_file;

typedef struct client {
    const char *name;
    /* Reads the input. */
    void (*prepare)(void);
    /* Makes the heap and gives it to the library. */
    void (*use_heap)(void);
    /* A round. Writes its result, one line, to `result`. */
    void (*work)(char *result, size_t result_bytes);
    /* What the heap has now. */
    void (*get_stats)(aegis_arena_heap_stats *stats);
} client;

/* Ends the program unless the condition holds. */
static void client_require(bool condition, const char *what) {
    if (condition)
        return;
    fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

/* Reads a file, or ends the program. */
static inline client_file client_read(const char *path) {
    client_file file = {NULL, 0};
    FILE *stream = fopen(path, "rb");
    client_require(stream != NULL, path);
    client_require(fseek(stream, 0, SEEK_END) == 0, path);
    file.size_bytes = (size_t)ftell(stream);
    rewind(stream);
    file.bytes = (char *)malloc(file.size_bytes + 1);
    client_require(file.bytes != NULL, "memory for the input");
    client_require(fread(file.bytes, 1, file.size_bytes, stream) == file.size_bytes, path);
    file.bytes[file.size_bytes] = '\0';
    fclose(stream);
    return file;
}

/* Lists the files of a folder as `prefix` and their paths, in the order of their names, and returns
 * how many there are; or ends the program. */
static inline size_t client_list(const char *prefix, const char *folder, char **paths,
                                 size_t capacity) {
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    client_require(count > 2 && (size_t)count <= capacity, folder);
    size_t listed = 0;
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.')
            client_require(
                asprintf(&paths[listed++], "%s%s/%s", prefix, folder, entries[i]->d_name) > 0,
                "memory for a path");
        free(entries[i]);
    }
    free(entries);
    return listed;
}

static uint64_t client_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* A line of /proc/self/status, in KiB. */
static long client_status_kib(const char *name) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[128];
    long kib = 0;
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtol(line + strlen(name), NULL, 10);
    if (status != NULL)
        fclose(status);
    return kib;
}

/* Makes the peak of the resident memory start again at what is resident now, and returns that. */
static long client_start_peak_kib(void) {
    FILE *refs = fopen("/proc/self/clear_refs", "w");
    client_require(refs != NULL && fputs("5", refs) != EOF && fclose(refs) == 0,
                   "the peak cannot be started again");
    return client_status_kib("VmHWM:");
}

typedef struct client_figures {
    uint64_t time_ns;
    long peak_kib;
    system_calls first;  /* during the first round */
    system_calls others; /* during all other rounds */
} client_figures;

static system_calls client_calls_since(system_calls before) {
    system_calls now = system_calls_now();
    now.allocations -= before.allocations;
    now.frees -= before.frees;
    now.maps -= before.maps;
    return now;
}

static client_figures client_run(const client *self, unsigned long rounds, char *result,
                                 size_t result_bytes) {
    client_figures figures;
    memset(&figures, 0, sizeof figures);
    char again[256];
    long start_kib = client_start_peak_kib();
    system_calls before = system_calls_now();
    uint64_t start_ns = client_now_ns();
    self->work(result, result_bytes);
    figures.first = client_calls_since(before);
    before = system_calls_now();
    for (unsigned long i = 1; i < rounds; i++) {
        self->work(again, sizeof again);
        client_require(strcmp(again, result) == 0, "a later round has another result");
    }
    figures.time_ns = client_now_ns() - start_ns;
    figures.others = client_calls_since(before);
    figures.peak_kib = client_status_kib("VmHWM:") - start_kib;
    return figures;
}

static void client_print_calls(const char *when, system_calls calls) {
    printf("  %-17s %" PRIu64 " allocations, %" PRIu64 " frees, %" PRIu64 " mappings\n", when,
           calls.allocations, calls.frees, calls.maps);
}

static void client_report(const client *self, bool has_heap, unsigned long rounds,
                          client_figures figures) {
    printf("  %lu rounds on %s: %.1f ms, peak of resident memory %.1f MiB\n", rounds,
           has_heap ? "our heap" : "malloc", (double)figures.time_ns / 1e6,
           (double)figures.peak_kib / 1024);
    if (has_heap) {
        aegis_arena_heap_stats stats;
        self->get_stats(&stats);
        printf("  the heap has held at most %zu KiB, and has acquired %" PRIu64 " blocks\n",
               stats.peak_reserved_bytes / 1024, stats.acquired_count);
    }
    if (!SYSTEM_CALLS_COUNTED)
        return;
    printf("  the system was asked for:\n");
    client_print_calls("in the first round", figures.first);
    client_print_calls("in the others", figures.others);
}

static int client_main(int argc, char **argv, const client *self) {
    bool has_heap = true, only_figures = false;
    unsigned long rounds = 5;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--malloc") == 0)
            has_heap = false;
        else if (strcmp(argv[i], "--figures") == 0)
            only_figures = true;
        else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            rounds = strtoul(argv[++i], NULL, 10);
        else {
            fprintf(stderr, "usage: %s [--malloc] [--rounds N] [--figures]\n", argv[0]);
            return 2;
        }
    }
    if (self->prepare != NULL)
        self->prepare();
    if (has_heap)
        self->use_heap();
    char result[256];
    client_figures figures = client_run(self, rounds, result, sizeof result);
    if (has_heap) {
        aegis_arena_heap_stats stats;
        self->get_stats(&stats);
        client_require(stats.used_bytes == 0, "the library has not freed everything");
    }
    if (only_figures) {
        printf("%s %" PRIu64 " %ld %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", self->name,
               figures.time_ns, figures.peak_kib,
               figures.first.allocations + figures.others.allocations, figures.first.maps,
               figures.others.maps);
        return 0;
    }
    printf("%s: %s\n", self->name, result);
    client_report(self, has_heap, rounds, figures);
    return 0;
}

#endif
