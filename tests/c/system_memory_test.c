/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what is found out of the memory that the process may use. The control groups of Linux are
 * read from trees that the tests make in a temporary folder: version 2 and 1, both at once,
 * namespaces, containers, and files with any content. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* mkdtemp, nftw */
#endif

#include "../../csrc/base/system_memory.h"
#include "base_support.h"

#define PHYSICAL 1000000

static void root_that_is_too_long_finds_nothing(void) {
    static char root[5000];
    memset(root, '/', sizeof root - 1);
    CHECK(aegis_i_system_memory_under(root, PHYSICAL).bytes == PHYSICAL);
}

#if defined(__linux__)

#include <ftw.h>
#include <sys/stat.h>

static char tree[] = "/tmp/aegis-system-XXXXXX";

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *ftw) {
    (void)status;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void new_tree(void) {
    memcpy(tree + sizeof tree - 7, "XXXXXX", 6);
    CHECK(mkdtemp(tree) != NULL);
}

static void end_tree(void) {
    CHECK(nftw(tree, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

/* Writes a file of the tree and makes the folders that it is in. */
static void put_bytes(const char *path, const void *bytes, size_t length) {
    char full[4096];
    (void)snprintf(full, sizeof full, "%s%s", tree, path);
    for (char *at = strchr(full + strlen(tree) + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)mkdir(full, 0755);
        *at = '/';
    }
    /* A new file: some file systems write what is put into a file that was cut to nothing to the
     * disk at once, and thousands of files are put here. */
    (void)remove(full);
    FILE *file = fopen(full, "wb");
    CHECK(file != NULL && fwrite(bytes, 1, length, file) == length && fclose(file) == 0);
}

static void put(const char *path, const char *text) {
    put_bytes(path, text, strlen(text));
}

#define GROUP_FILE "/proc/self/cgroup"
#define MOUNT_FILE "/proc/self/mountinfo"
#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw\n"
#define V1_MOUNT "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
#define NO_V1_LIMIT "9223372036854771712\n"

/* A tree of version 2 whose group has this path. */
static void new_v2(const char *group) {
    new_tree();
    put(GROUP_FILE, group);
    put(MOUNT_FILE, "22 28 0:21 / /proc rw - proc proc rw\n" V2_MOUNT);
}

static void new_v1(const char *group) {
    new_tree();
    put(GROUP_FILE, group);
    put(MOUNT_FILE, "34 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" V1_MOUNT);
}

static void check_found(uint64_t bytes, const char *origin, int line) {
    aegis_i_system_memory found = aegis_i_system_memory_under(tree, PHYSICAL);
    if (found.bytes == bytes && strcmp(found.origin, origin) == 0)
        return;
    check_report(__FILE__, line, "the memory that is found");
    fprintf(stderr, "    %ju of %s\n", (uintmax_t)found.bytes, found.origin);
}

#define FOUND(bytes, origin) check_found(bytes, origin, __LINE__)
#define FOUND_PHYSICAL() check_found(PHYSICAL, "physical memory", __LINE__)

static void v2_takes_the_smallest_limit_on_the_way_up(void) {
    new_v2("0::/app.slice/db.service/worker\n");
    put("/sys/fs/cgroup/app.slice/memory.max", "5000\n");
    put("/sys/fs/cgroup/app.slice/db.service/memory.max", "3000\n");
    put("/sys/fs/cgroup/app.slice/db.service/worker/memory.max", "4000\n");
    put("/sys/fs/cgroup/other.slice/memory.max", "1\n");
    FOUND(3000, "cgroup v2 memory.max");
    put("/sys/fs/cgroup/app.slice/memory.max", "2000\n");
    FOUND(2000, "cgroup v2 memory.max");
    put("/sys/fs/cgroup/app.slice/db.service/worker/memory.max", "1000\n");
    FOUND(1000, "cgroup v2 memory.max");
    put("/sys/fs/cgroup/memory.max", "900");
    FOUND(900, "cgroup v2 memory.max");
    /* Above the mount point is no group. */
    put("/sys/fs/memory.max", "1\n");
    FOUND(900, "cgroup v2 memory.max");
    end_tree();
}

static void v2_high_is_a_limit(void) {
    new_v2("0::/a/b\n");
    put("/sys/fs/cgroup/a/b/memory.max", "4000\n");
    put("/sys/fs/cgroup/a/memory.high", "3000\n");
    FOUND(3000, "cgroup v2 memory.high");
    put("/sys/fs/cgroup/a/memory.high", "max\n");
    FOUND(4000, "cgroup v2 memory.max");
    put("/sys/fs/cgroup/a/memory.high", "0\n");
    FOUND(4000, "cgroup v2 memory.max");
    end_tree();
}

static void groups_without_limits_leave_the_physical_memory(void) {
    new_v2("0::/a/b\n");
    FOUND_PHYSICAL();
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    put("/sys/fs/cgroup/a/b/memory.high", "max\n");
    FOUND_PHYSICAL();
    put("/sys/fs/cgroup/a/b/memory.max", "2000000\n");
    FOUND_PHYSICAL();
    put("/sys/fs/cgroup/a/b/memory.max", "1000000\n");
    FOUND_PHYSICAL();
    put("/sys/fs/cgroup/a/b/memory.max", "999999\n");
    FOUND(999999, "cgroup v2 memory.max");
    /* A limit is enough where the system does not say how much memory there is. */
    aegis_i_system_memory found = aegis_i_system_memory_under(tree, 0);
    CHECK(found.bytes == 999999);
    put("/sys/fs/cgroup/a/b/memory.max", NO_V1_LIMIT);
    CHECK(aegis_i_system_memory_under(tree, 0).bytes == 0);
    end_tree();
}

static void namespace_shows_its_own_group_as_root(void) {
    new_v2("0::/\n");
    put("/sys/fs/cgroup/memory.max", "700\n");
    FOUND(700, "cgroup v2 memory.max");
    end_tree();
}

static void path_out_of_the_namespace_means_the_mount_point(void) {
    new_v2("0::/../other/x\n");
    put("/sys/fs/cgroup/memory.max", "700\n");
    /* Where the path would lead as a path of files. */
    put("/sys/fs/other/x/memory.max", "1\n");
    put("/sys/fs/cgroup/a/memory.max", "1\n");
    FOUND(700, "cgroup v2 memory.max");
    put(GROUP_FILE, "0::/a/..\n");
    FOUND(700, "cgroup v2 memory.max");
    /* The root of the mount is outside too, and the group is beneath it. */
    put(MOUNT_FILE, "30 23 0:26 /../.. /sys/fs/cgroup rw - cgroup2 none rw\n");
    put(GROUP_FILE, "0::/../../x/..y\n");
    put("/sys/fs/cgroup/x/..y/memory.max", "600\n");
    FOUND(600, "cgroup v2 memory.max");
    put(GROUP_FILE, "0::/../../../x\n");
    FOUND(700, "cgroup v2 memory.max");
    put(GROUP_FILE, "0::/\n");
    FOUND(700, "cgroup v2 memory.max");
    /* Of several such mounts the first one counts. */
    put(MOUNT_FILE, "30 23 0:26 /.. /sys/fs/cgroup rw - cgroup2 none rw\n"
                    "31 23 0:26 /x /sys/fs/other rw - cgroup2 none rw\n");
    put("/sys/fs/other/memory.max", "1\n");
    FOUND(700, "cgroup v2 memory.max");
    end_tree();
}

static void mount_of_a_part_of_the_hierarchy_is_followed(void) {
    new_v2("0::/docker/abc/child\n");
    put(MOUNT_FILE, "30 23 0:26 /docker/other /else rw - cgroup2 cgroup2 rw\n"
                    "31 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
                    "32 23 0:26 /docker/ab /less rw - cgroup2 cgroup2 rw\n");
    put("/else/memory.max", "1\n");
    put("/less/memory.max", "2\n");
    put("/less/c/child/memory.max", "3\n");
    put("/sys/fs/cgroup/memory.max", "800\n");
    put("/sys/fs/cgroup/child/memory.max", "900\n");
    put("/sys/fs/cgroup/docker/abc/child/memory.max", "4\n");
    FOUND(800, "cgroup v2 memory.max");
    put("/sys/fs/cgroup/child/memory.max", "500\n");
    FOUND(500, "cgroup v2 memory.max");
    /* A second mount of the same groups may show more of them. */
    put(MOUNT_FILE, "31 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
                    "32 23 0:26 / /all rw - cgroup2 cgroup2 rw\n");
    put("/all/docker/memory.max", "400\n");
    FOUND(400, "cgroup v2 memory.max");
    /* A group that was removed. */
    put(GROUP_FILE, "0::/docker/gone (deleted)\n");
    FOUND(400, "cgroup v2 memory.max");
    end_tree();
}

static void v1_takes_the_limit_of_the_whole_hierarchy(void) {
    new_v1("5:cpu,cpuacct:/cpu\n4:memory:/a/b\n1:name=systemd:/x\n");
    put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", NO_V1_LIMIT);
    put("/sys/fs/cgroup/memory/a/b/memory.stat",
        "cache 4096\nhierarchical_memory_limit 600\nhierarchical_memsw_limit 1\ntotal_cache 3\n");
    FOUND(600, "cgroup v1 limit");
    put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "500\n");
    FOUND(500, "cgroup v1 limit");
    /* What the system says of the whole hierarchy holds: without use_hierarchy, the limit of a
     * parent is none of its children. */
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "100\n");
    FOUND(500, "cgroup v1 limit");
    put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", NO_V1_LIMIT);
    put("/sys/fs/cgroup/memory/a/b/memory.stat", "hierarchical_memory_limit " NO_V1_LIMIT);
    FOUND_PHYSICAL();
    /* Without that line, each parent counts. */
    put("/sys/fs/cgroup/memory/a/b/memory.stat", "cache 4096\n");
    FOUND(100, "cgroup v1 limit");
    end_tree();
}

static void v1_container_shows_its_group_at_the_mount_point(void) {
    new_v1("12:memory:/system.slice/containerd.service/kubepods-burstable.slice:cri:6ef1\n");
    put(MOUNT_FILE, "39 31 0:32 /kubepods-burstable.slice:cri:6ef1 /sys/fs/cgroup/memory rw "
                    "master:9 - cgroup cgroup rw,memory\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "200\n");
    FOUND(200, "cgroup v1 limit");
    /* Colons belong to the path. */
    put(GROUP_FILE, "12:memory:/kubepods-burstable.slice:cri:6ef1/sub:1\n");
    put("/sys/fs/cgroup/memory/sub:1/memory.limit_in_bytes", "150\n");
    FOUND(150, "cgroup v1 limit");
    end_tree();
}

static void v1_needs_the_controller_of_memory(void) {
    static const char *const others[] = {"4:memoryless:/g\n", "4:name=memory:/g\n", "4:mem:/g\n",
                                         "4:cpu,my-memory,memory2:/g\n", "4::/g\n"};
    new_v1("");
    put("/sys/fs/cgroup/memory/g/memory.limit_in_bytes", "200\n");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        put(GROUP_FILE, others[i]);
        FOUND_PHYSICAL();
    }
    put(GROUP_FILE, "4:hugetlb,memory,memory2:/g\n");
    FOUND(200, "cgroup v1 limit");
    put(GROUP_FILE, "4:memory2,memory:/g\n");
    FOUND(200, "cgroup v1 limit");
    put(MOUNT_FILE, "35 31 0:32 / /sys/fs/cgroup/memory rw,memory - cgroup memory rw,cpu\n");
    FOUND_PHYSICAL();
    put(MOUNT_FILE, "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup none rw,cpu,memory\n");
    FOUND(200, "cgroup v1 limit");
    end_tree();
}

static void both_versions_are_searched(void) {
    new_tree();
    put(GROUP_FILE, "4:memory:/m\n0::/u\n");
    put(MOUNT_FILE, V1_MOUNT "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put("/sys/fs/cgroup/memory/m/memory.limit_in_bytes", "300\n");
    put("/sys/fs/cgroup/unified/u/cgroup.procs", "1\n");
    FOUND(300, "cgroup v1 limit");
    put("/sys/fs/cgroup/unified/u/memory.max", "200\n");
    FOUND(200, "cgroup v2 memory.max");
    put("/sys/fs/cgroup/unified/u/memory.max", "400\n");
    FOUND(300, "cgroup v1 limit");
    end_tree();
}

static void missing_files_leave_the_physical_memory(void) {
    new_tree();
    FOUND_PHYSICAL();
    put(GROUP_FILE, "0::/\n");
    FOUND_PHYSICAL();
    put("/sys/fs/cgroup/memory.max", "200\n");
    put(MOUNT_FILE, "");
    FOUND_PHYSICAL();
    put(MOUNT_FILE, V2_MOUNT);
    FOUND(200, "cgroup v2 memory.max");
    put(GROUP_FILE, "");
    FOUND_PHYSICAL();
    end_tree();
    /* A folder where a file should be. */
    new_v2("0::/\n");
    put("/sys/fs/cgroup/memory.max/x", "200\n");
    FOUND_PHYSICAL();
    end_tree();
}

static void number_that_is_none_does_not_count(void) {
    static const char *const texts[] = {"",
                                        "\n",
                                        "abc\n",
                                        "max\n",
                                        "-1\n",
                                        "+5\n",
                                        " 5\n",
                                        "5 \n",
                                        "5\r\n",
                                        "0x10\n",
                                        "1e3\n",
                                        "5,000\n",
                                        "0\n",
                                        "000\n",
                                        "4611686018427387904\n",
                                        "9223372036854775807\n",
                                        "18446744073709551615\n",
                                        "18446744073709551616\n",
                                        "18446744073709551716\n",
                                        "99999999999999999999999999999999999999999999\n"};
    new_v2("0::/\n");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        put("/sys/fs/cgroup/memory.max", texts[i]);
        FOUND_PHYSICAL();
        CHECK(aegis_i_system_memory_under(tree, 0).bytes == 0);
    }
    put_bytes("/sys/fs/cgroup/memory.max", "5\0\n", 3);
    FOUND_PHYSICAL();
    put("/sys/fs/cgroup/memory.max", "4611686018427387903\n");
    CHECK(aegis_i_system_memory_under(tree, 0).bytes == UINT64_C(4611686018427387903));
    put("/sys/fs/cgroup/memory.max", "00500\n");
    FOUND(500, "cgroup v2 memory.max");
    end_tree();
}

static void octal_escapes_are_undone(void) {
    new_tree();
    put(GROUP_FILE, "0::/my group\\x/job\n");
    put(MOUNT_FILE,
        "30 23 0:26 /my\\040group\\134x /sys/fs/cg\\040\\011\\134\\1 rw - cgroup2 - rw\n");
    put("/sys/fs/cg \t\\\\1/job/memory.max", "123\n");
    FOUND(123, "cgroup v2 memory.max");
    end_tree();
}

static void long_lines_are_skipped_whole(void) {
    static char text[40000];
    new_v2("0::/\n");
    put("/sys/fs/cgroup/memory.max", "500\n");
    put("/trap/memory.max", "1\n");
    /* Wherever a buffer ends, what comes behind it looks like a mount. */
    for (size_t pad = 0; pad < 50; pad++) {
        memset(text, 'x', pad);
        size_t length = pad;
        while (length < 20000)
            length += (size_t)sprintf(text + length, "30 23 0:26 / /trap rw - cgroup2 cgroup2 rw ");
        strcpy(text + length, "\n" V2_MOUNT);
        put(MOUNT_FILE, text);
        FOUND(500, "cgroup v2 memory.max");
        text[length] = '\0';
        put(MOUNT_FILE, text);
        FOUND_PHYSICAL();
    }
    /* The longest line that is read, and one more. */
    for (size_t more = 0; more <= 1; more++) {
        size_t rest = strlen(V2_MOUNT) - 1;
        memcpy(text, V2_MOUNT, rest);
        memset(text + rest, 'x', 4095 + more - rest);
        strcpy(text + 4095 + more, "\n");
        put(MOUNT_FILE, text);
        if (more == 0)
            FOUND(500, "cgroup v2 memory.max");
        else
            FOUND_PHYSICAL();
    }
    /* A path of a group so long that no name of a file has room behind it. */
    strcpy(text, "0::/");
    memset(text + 4, 'g', 4090);
    strcpy(text + 4094, "\n");
    put(GROUP_FILE, text);
    put(MOUNT_FILE, V2_MOUNT);
    FOUND(500, "cgroup v2 memory.max");
    end_tree();
}

/* A file that is cut or damaged anywhere must give one of the answers that it can give. */
static void damaged_files_are_survived(void) {
    static const char groups[] = "9:name=systemd:/s\n4:memory,cpu:/m/n\n0::/u/v\n";
    static const char mounts[] =
        V1_MOUNT "30 23 0:26 / /sys/fs/cg\\040x rw shared:1 - cgroup2 c rw\n";
    static const char bytes[] = " :/\\-,.\n0z";
    char text[512];
    uint64_t seed = 7;
    new_tree();
    put("/sys/fs/cgroup/memory/m/n/memory.limit_in_bytes", "300\n");
    put("/sys/fs/cg x/u/v/memory.max", "200\n");
    for (size_t round = 0; round < scaled(3000); round++) {
        bool of_groups = round % 2 == 0;
        const char *whole = of_groups ? groups : mounts;
        put(of_groups ? MOUNT_FILE : GROUP_FILE, of_groups ? mounts : groups);
        size_t length = strlen(whole);
        memcpy(text, whole, length);
        if (random_below(&seed, 3) == 0)
            length = random_below(&seed, length + 1);
        for (size_t i = random_below(&seed, 4); i > 0 && length != 0; i--)
            text[random_below(&seed, length)] = bytes[random_below(&seed, sizeof bytes)];
        put_bytes(of_groups ? GROUP_FILE : MOUNT_FILE, text, length);
        uint64_t found = aegis_i_system_memory_under(tree, PHYSICAL).bytes;
        CHECK(found == 200 || found == 300 || found == PHYSICAL);
    }
    put(GROUP_FILE, groups);
    put(MOUNT_FILE, mounts);
    FOUND(200, "cgroup v2 memory.max");
    end_tree();
}

#endif

int main(void) {
    RUN(root_that_is_too_long_finds_nothing);
#if defined(__linux__)
    RUN(v2_takes_the_smallest_limit_on_the_way_up);
    RUN(v2_high_is_a_limit);
    RUN(groups_without_limits_leave_the_physical_memory);
    RUN(namespace_shows_its_own_group_as_root);
    RUN(path_out_of_the_namespace_means_the_mount_point);
    RUN(mount_of_a_part_of_the_hierarchy_is_followed);
    RUN(v1_takes_the_limit_of_the_whole_hierarchy);
    RUN(v1_container_shows_its_group_at_the_mount_point);
    RUN(v1_needs_the_controller_of_memory);
    RUN(both_versions_are_searched);
    RUN(missing_files_leave_the_physical_memory);
    RUN(number_that_is_none_does_not_count);
    RUN(octal_escapes_are_undone);
    RUN(long_lines_are_skipped_whole);
    RUN(damaged_files_are_survived);
#endif
    return check_finish();
}
