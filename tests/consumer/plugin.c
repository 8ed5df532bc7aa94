/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin that contains a static copy of the library. It is compiled as C and, through plugin.cc,
 * as C++. host.c loads several plugins, of different versions, into one process. */
#include <aegis_memory.h>

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PLUGIN_API __attribute__((visibility("default")))

PLUGIN_API uint32_t plugin_header_version(void);
PLUGIN_API uint32_t plugin_library_version(void);
PLUGIN_API int plugin_run(void);

uint32_t plugin_header_version(void) {
    return AEGIS_VERSION_MAJOR * 10000 + AEGIS_VERSION_MINOR * 100 + AEGIS_VERSION_PATCH;
}

uint32_t plugin_library_version(void) {
    return aegis_version();
}

/* Works with objects on its stack, whose layout is that of the plugin's own version. */
int plugin_run(void) {
    struct {
        aegis_arena arena;
        unsigned char behind[256];
    } local;
    memset(&local, 0xA5, sizeof local);
    if (aegis_arena_init(&local.arena, NULL) != AEGIS_OK)
        return 1;
    for (size_t i = 1; i <= 2000; i++) {
        unsigned char *fast = (unsigned char *)aegis_arena_alloc(&local.arena, i);
        unsigned char *zeroed = (unsigned char *)aegis_arena_alloc_zeroed(&local.arena, i);
        if (fast == NULL || zeroed == NULL || zeroed[i - 1] != 0)
            return 2;
        memset(fast, 1, i);
    }
    if (aegis_arena_alloc_aligned(&local.arena, 10, 64) == NULL)
        return 3;
    aegis_arena_stats stats;
    aegis_arena_get_stats(&local.arena, &stats);
    if (stats.used_bytes < 2000 * 2000)
        return 4;
    aegis_arena_fini(&local.arena);
    for (size_t i = 0; i < sizeof local.behind; i++)
        if (local.behind[i] != 0xA5)
            return 5;

    aegis_pool pool;
    aegis_pool_options options;
    memset(&options, 0, sizeof options);
    options.block_bytes = 64;
    options.block_count = 2;
    if (aegis_pool_init(&pool, &options) != AEGIS_OK)
        return 6;
    void *block = aegis_pool_alloc(&pool);
    if (block == NULL || aegis_pool_free(&pool, block) != AEGIS_OK)
        return 7;
    return aegis_pool_fini(&pool) == AEGIS_OK ? 0 : 8;
}

#ifdef __cplusplus
}
#endif
