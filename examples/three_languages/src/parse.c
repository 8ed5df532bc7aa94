/* SPDX-License-Identifier: Apache-2.0 */
/* The part in C: it knows the arena as an aegis_arena. */
#include "zones.h"

/* The latitude of a place like +4230+00131 or -340308+0183004, in seconds of arc. */
static int32_t latitude_of(const char *place, const char *end) {
    int32_t digits = 0, count = 0;
    for (const char *at = place + 1; at < end && *at >= '0' && *at <= '9'; at++, count++)
        digits = digits * 10 + (*at - '0');
    if (count == 4)
        digits *= 100;
    int32_t seconds = digits / 10000 * 3600 + digits / 100 % 100 * 60 + digits % 100;
    return *place == '-' ? -seconds : seconds;
}

/* The end of a field: a tab or the end of the line. */
static const char *end_of(const char *field, const char *line_end) {
    while (field < line_end && *field != '\t')
        field++;
    return field;
}

bool zones_parse(aegis_arena *arena, const char *text, size_t text_bytes, zone_list **list) {
    const char *end = text + text_bytes;
    *list = NULL;
    for (const char *line = text; line < end;) {
        const char *line_end = line;
        while (line_end < end && *line_end != '\n')
            line_end++;
        const char *place = end_of(line, line_end);
        if (*line != '#' && place < line_end) {
            const char *place_end = end_of(++place, line_end);
            const char *name = place_end < line_end ? place_end + 1 : line_end;
            size_t name_bytes = (size_t)(end_of(name, line_end) - name);
            zone_list *node = aegis_arena_alloc(arena, sizeof *node);
            char *copy = aegis_arena_memdup(arena, name, name_bytes);
            if (node == NULL || copy == NULL)
                return false;
            node->zone = (zone){copy, name_bytes, latitude_of(place, place_end)};
            node->next = *list;
            *list = node;
        }
        line = line_end + 1;
    }
    return true;
}
