/* SPDX-License-Identifier: Apache-2.0 */
/* Loads plugins into one global scope. Each has its own copy of the library, and this program
 * demands that each runs its own copy. Usage: host PLUGIN... */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MOST_PLUGINS 8

static void *plugins[MOST_PLUGINS];

/* A function of a plugin. A pointer to data becomes one to a function as POSIX has it. */
static uint32_t call(void *plugin, const char *name) {
    uint32_t (*function)(void);
    void *symbol = dlsym(plugin, name);
    memcpy(&function, &symbol, sizeof function);
    return symbol != NULL ? function() : UINT32_MAX;
}

int main(int count, char **names) {
    for (int i = 1; i < count && i < MOST_PLUGINS; i++) {
        plugins[i] = dlopen(names[i], RTLD_NOW | RTLD_GLOBAL);
        if (plugins[i] == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            return 2;
        }
    }
    int failed_count = 0;
    for (int i = 1; i < count && i < MOST_PLUGINS; i++) {
        uint32_t header = call(plugins[i], "plugin_header_version");
        uint32_t library = call(plugins[i], "plugin_library_version");
        uint32_t outcome = call(plugins[i], "plugin_run");
        printf("%s: made for %u, runs %u, ends with %u\n", names[i], header, library, outcome);
        failed_count += header == UINT32_MAX || header != library || outcome != 0;
    }
    if (dlsym(RTLD_DEFAULT, "aegis_version") != NULL) {
        fprintf(stderr, "a plugin exports a function of its static copy\n");
        failed_count++;
    }
    return failed_count != 0;
}
