/* SPDX-License-Identifier: Apache-2.0 */
/* What the three languages share: main.rs has the same structs. */
#ifndef ZONES_H
#define ZONES_H

#include <aegis_memory.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A time zone. The name is not ended by a zero byte. */
typedef struct zone {
    const char *name;
    size_t name_bytes;
    /* North is positive, in seconds of arc. */
    int32_t latitude;
} zone;

/* A list of zones, as C likes to have it. */
typedef struct zone_list {
    zone zone;
    struct zone_list *next;
} zone_list;

/* An array of zones. */
typedef struct zones {
    const zone *first;
    size_t count;
} zones;

/* In C: reads a table of time zones, and allocates a list of them in the arena.
 *  @return  false if the arena has no room; aegis_arena_explain says why. */
bool zones_parse(aegis_arena *arena, const char *text, size_t text_bytes, zone_list **list);

/* In C++: makes an array of the list in the arena, the northernmost zone first. It is good until
 * the arena is reset.
 *  @return  false if the arena has no room; aegis_arena_explain says why. */
bool zones_sort(aegis_arena *arena, const zone_list *list, zones *sorted);

#ifdef __cplusplus
}
#endif

#endif
