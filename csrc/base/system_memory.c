/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory this process may use: the memory of the machine, or what the control groups
 * (cgroups) of Linux leave of it.
 *
 * 1. /proc/self/cgroup has the path of the process's group in each hierarchy (find_path). Version 2
 *    has one hierarchy. In version 1 the one with the controller "memory" counts. A system may have
 *    both, and then only one of them has limits of memory; so both are searched.
 * 2. /proc/self/mountinfo says where a hierarchy is mounted, and which group is the root of the
 *    mount (search). If the process's group is beneath that root, the rest of the path leads to its
 *    directory. In a container the path may be one of the machine, or one that leaves the container
 *    by "..". Then the mount point itself is taken, because containers have their own group there.
 * 3. Each group on the way from there to the mount point may have a limit (walk). The smallest one
 *    holds. memory.high is a limit too: above it the system takes pages away from the process and
 *    stops it for so long that a budget above it would never refuse in time. In version 1 the line
 *    hierarchical_memory_limit is the limit of all groups above, also of those outside the mount.
 *
 * What is in the files is not trusted. A line that is too long, a number that is none, a path that
 * does not fit, and a file that is missing count as if there were no limit. Each file is read once
 * for each hierarchy, and each line once. */
#include "system_memory.h"
#include "cancel.h"

#if defined(_WIN32)
#include <windows.h>
#elif defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif
#if defined(__linux__)
#include <stdio.h>
#endif

uint64_t aegis_i_physical_bytes(void) {
#if defined(_WIN32)
    MEMORYSTATUSEX status;
    status.dwLength = sizeof status;
    return GlobalMemoryStatusEx(&status) ? status.ullTotalPhys : 0;
#elif defined(_SC_PHYS_PAGES) && defined(_SC_PAGESIZE)
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
#else
    return 0;
#endif
}

#if defined(__linux__)

/* The most bytes of a line and of a path that are read, with the zero byte. */
#define LINE_BYTES 4096
/* The same for a line with a limit. */
#define LIMIT_BYTES 128
/* From here on a number stands for "no limit". Version 1 writes one close to INT64_MAX. */
#define NO_LIMIT (UINT64_C(1) << 62)

/* A version of control groups. */
typedef struct version {
    /* The type of its mounts. */
    const char *type;
    /* The controller that its mount and its group must have; NULL for none. */
    const char *controller;
    /* The files with limits. A limit is on the first line that begins with the key. */
    struct {
        const char *name;
        const char *key;
        const char *origin;
        /* Whether the limit is also that of all groups above. */
        bool is_whole;
    } files[2];
} version;

static const version versions[] = {
    {"cgroup2",
     NULL,
     {{"memory.max", "", "cgroup v2 memory.max", false},
      {"memory.high", "", "cgroup v2 memory.high", false}}},
    {"cgroup",
     "memory",
     {{"memory.limit_in_bytes", "", "cgroup v1 limit", false},
      {"memory.stat", "hierarchical_memory_limit ", "cgroup v1 limit", true}}},
};

static void take_smaller(aegis_i_system_memory *least, uint64_t bytes, const char *origin) {
    if (bytes == 0 || (least->bytes != 0 && least->bytes <= bytes))
        return;
    least->bytes = bytes;
    least->origin = origin;
}

/* Opens a file for reading. NULL: it cannot be opened, or its path is too long. */
static FILE *open_under(const char *root, const char *path) {
    char whole[LINE_BYTES];
    int length = snprintf(whole, sizeof whole, "%s%s", root, path);
    return (size_t)length < sizeof whole ? fopen(whole, "re") : NULL;
}

/* Reads the next line that fits and has no zero byte, without its end. False: there is none. */
static bool read_line(FILE *file, char *line, size_t line_bytes) {
    size_t length = 0;
    bool fits = true;
    for (;;) {
        int byte = getc(file);
        if (byte == '\n' || byte == EOF) {
            line[length] = '\0';
            if (fits && (byte == '\n' || length != 0))
                return true;
            if (byte == EOF)
                return false;
            length = 0;
            fits = true;
        } else if (byte == '\0' || length == line_bytes - 1) {
            fits = false;
        } else {
            line[length++] = (char)byte;
        }
    }
}

/* Cuts the text at the first separator. Returns the part before it; `rest` is then what comes
 * behind it, or NULL. */
static char *next_part(char **rest, char separator) {
    char *part = *rest;
    char *end = part != NULL ? strchr(part, separator) : NULL;
    *rest = end != NULL ? end + 1 : NULL;
    if (end != NULL)
        *end = '\0';
    return part;
}

/* Whether a list with commas has this word. NULL is in every list. */
static bool has_word(const char *list, const char *word) {
    size_t length = word != NULL ? strlen(word) : 0;
    const char *found = word != NULL ? strstr(list, word) : list;
    while (word != NULL && found != NULL &&
           ((found != list && found[-1] != ',') || (found[length] != ',' && found[length] != '\0')))
        found = strstr(found + 1, word);
    return found != NULL;
}

/* Puts back the characters that mountinfo writes as a backslash and three octal digits. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        bool escaped = from[0] == '\\';
        for (int i = 1; escaped && i <= 3; i++)
            escaped = from[i] >= '0' && from[i] <= '7';
        *to =
            escaped ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0')) : *from;
        from += escaped ? 4 : 1;
    }
    *to = '\0';
}

/* A number above 0 in decimal digits and nothing else, or 0. A limit of 0 does not count: what it
 * leaves is no memory at all, and the process runs. */
static uint64_t limit_of(const char *text) {
    uint64_t bytes = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++)
        bytes = bytes <= NO_LIMIT / 10 ? bytes * 10 + (uint64_t)(*p - '0') : NO_LIMIT;
    return *p == '\0' && bytes < NO_LIMIT ? bytes : 0;
}

/* Takes the limits of one group, whose directory is the mount point with the first `length` bytes
 * of the path. Returns whether no group above can have a smaller one. */
static bool take_limits(aegis_i_system_memory *least, const char *root, const version *in,
                        const char *point, const char *path, size_t length) {
    bool is_whole = false;
    for (size_t i = 0; i < sizeof in->files / sizeof in->files[0]; i++) {
        char text[LINE_BYTES];
        int bytes =
            snprintf(text, sizeof text, "%s%.*s/%s", point, (int)length, path, in->files[i].name);
        FILE *file = (size_t)bytes < sizeof text ? open_under(root, text) : NULL;
        if (file == NULL)
            continue;
        size_t key_bytes = strlen(in->files[i].key);
        bool found = false;
        while (!found && read_line(file, text, LIMIT_BYTES))
            found = strncmp(text, in->files[i].key, key_bytes) == 0;
        (void)fclose(file);
        if (found) {
            take_smaller(least, limit_of(text + key_bytes), in->files[i].origin);
            is_whole = in->files[i].is_whole;
        }
    }
    return is_whole;
}

/* Takes the limits of all groups from the path up to the mount point. */
static void walk(aegis_i_system_memory *least, const char *root, const version *in,
                 const char *point, const char *path) {
    size_t length = strlen(path);
    while (!take_limits(least, root, in, point, path, length) && length != 0) {
        do
            length--;
        while (length != 0 && path[length] != '/');
    }
}

/* Finds the path of the process's group. False: the process is in no group of this version. */
static bool find_path(const char *root, const version *in, char path[LINE_BYTES]) {
    char line[LINE_BYTES];
    FILE *file = open_under(root, "/proc/self/cgroup");
    bool found = false;
    while (file != NULL && !found && read_line(file, line, sizeof line)) {
        /* number:controllers:path. The path may have colons. */
        char *rest = line;
        (void)next_part(&rest, ':');
        const char *controllers = next_part(&rest, ':');
        found = rest != NULL && (in->controller != NULL ? has_word(controllers, in->controller)
                                                        : controllers[0] == '\0');
        if (found)
            memcpy(path, rest, strlen(rest) + 1);
    }
    if (file != NULL)
        (void)fclose(file);
    return found;
}

/* What is left of a group's path beneath the root of a mount: "" or a text that begins with '/'.
 * NULL: the group is not beneath that root. */
static const char *path_beneath(const char *path, const char *mount_root) {
    size_t length = strcmp(mount_root, "/") == 0 ? 0 : strlen(mount_root);
    if (strncmp(path, mount_root, length) != 0)
        return NULL;
    const char *rest = path + length;
    if (rest[0] != '\0' && rest[0] != '/')
        return NULL;
    for (const char *up = strstr(rest, "/.."); up != NULL; up = strstr(up + 1, "/.."))
        if (up[3] == '/' || up[3] == '\0')
            return NULL;
    return strcmp(rest, "/") == 0 ? rest + 1 : rest;
}

/* Reads a line of mountinfo. Returns the root of the mount if its file system is this version, and
 * the mount point; otherwise NULL. */
static const char *parse_mount(char *line, const version *in, const char **point) {
    char *rest = line;
    for (int i = 0; i < 3; i++)
        (void)next_part(&rest, ' ');
    char *mount_root = next_part(&rest, ' ');
    char *mount_point = next_part(&rest, ' ');
    const char *field = mount_point;
    while (field != NULL && strcmp(field, "-") != 0)
        field = next_part(&rest, ' ');
    const char *type = next_part(&rest, ' ');
    (void)next_part(&rest, ' ');
    const char *options = rest;
    if (options == NULL || strcmp(type, in->type) != 0 || !has_word(options, in->controller))
        return NULL;
    unescape(mount_root);
    unescape(mount_point);
    *point = mount_point;
    return mount_root;
}

/* Takes the limits of one version. */
static void search(aegis_i_system_memory *least, const char *root, const version *in) {
    char path[LINE_BYTES], line[LINE_BYTES];
    FILE *file = find_path(root, in, path) ? open_under(root, "/proc/self/mountinfo") : NULL;
    if (file == NULL)
        return;
    bool is_beneath = false, has_other = false;
    aegis_i_system_memory other = {0, ""};
    while (read_line(file, line, sizeof line)) {
        const char *point;
        const char *mount_root = parse_mount(line, in, &point);
        const char *beneath = mount_root != NULL ? path_beneath(path, mount_root) : NULL;
        if (beneath != NULL) {
            is_beneath = true;
            walk(least, root, in, point, beneath);
        } else if (mount_root != NULL && !has_other) {
            has_other = true;
            walk(&other, root, in, point, "");
        }
    }
    (void)fclose(file);
    if (!is_beneath)
        take_smaller(least, other.bytes, other.origin);
}

#endif

aegis_i_system_memory aegis_i_system_memory_under(const char *root, uint64_t physical_bytes) {
    aegis_i_system_memory least = {physical_bytes, "physical memory"};
#if defined(__linux__)
    /* Opening and reading files are cancellation points, and a file would stay open. */
    int state = aegis_i_uncancelled_begin();
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++)
        search(&least, root, &versions[i]);
    aegis_i_uncancelled_end(state);
#else
    (void)root;
#endif
    return least;
}
