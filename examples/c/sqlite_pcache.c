/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite's page cache on ours (sqlite_pcache.h), beside SQLite's own: the same work, with memory
 * for as many pages, done by this program started again for each turn, because a process has one
 * cache.
 *
 * usage: sqlite_pcache [--short] [--turns N] [--frames N] [--kind ours|own]
 *   --short   a small database, once with each cache
 *   --turns   pairs of turns; 5 by default. Their order changes from pair to pair
 *   --frames  pages of the cache, 2000 by default and at least (--short: 400). The cache sizes of
 *             the connections that are open at a time add up to it
 *   --kind    does the work once, in this process, and prints its line of figures
 *
 * The work: a table with two indexes, larger than the cache, gets rows in an order of chance; rows
 * are found one by one, most often the same ones, and in ranges, with scans in between; changed and
 * deleted; a large transaction is rolled back; a table in memory is joined and sorted; two threads
 * with a connection each read the table, and write to databases of their own that shrink again;
 * VACUUM. Then every database must pass `PRAGMA integrity_check`, and what was read is summed up
 * in a checksum, which must be the same in all turns.
 *
 * The time is that of the processor, of all threads together and of the system for them, as in
 * client.h. The hit ratio is what SQLite reports of its connections; the peak is the resident
 * memory of the process. */
#define _GNU_SOURCE
#include "sqlite_pcache.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES 4096

typedef struct settings {
    bool is_ours;
    unsigned rows;
    size_t frames;
} settings;

static settings set = {true, 60000, 0};
static char folder[] = "/tmp/sqlite_pcache_XXXXXX";

/* One connection, and the state of its chance and sums. */
typedef struct session {
    sqlite3 *db;
    uint64_t chance;
    uint64_t checksum;
    uint64_t hits;
    uint64_t misses;
} session;

static void require(bool condition, const char *what) {
    if (condition)
        return;
    fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

/* -- one connection -- */

static void run(session *self, const char *statements) {
    int result = sqlite3_exec(self->db, statements, NULL, NULL, NULL);
    require(result == SQLITE_OK, sqlite3_errmsg(self->db));
}

static sqlite3_stmt *prepare(session *self, const char *text) {
    sqlite3_stmt *statement;
    int result = sqlite3_prepare_v2(self->db, text, -1, &statement, NULL);
    require(result == SQLITE_OK, sqlite3_errmsg(self->db));
    return statement;
}

/* Runs a statement with up to two numbers, and adds the numbers of its rows to the checksum. */
static void step(session *self, sqlite3_stmt *statement, int64_t first, int64_t second) {
    int count = sqlite3_bind_parameter_count(statement);
    int result;
    if (count > 0)
        sqlite3_bind_int64(statement, 1, first);
    if (count > 1)
        sqlite3_bind_int64(statement, 2, second);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(statement); i++)
            self->checksum =
                (self->checksum ^ (uint64_t)sqlite3_column_int64(statement, i)) * 0x100000001b3;
    require(result == SQLITE_DONE, sqlite3_errmsg(self->db));
    sqlite3_reset(statement);
}

/* Runs one statement once. */
static void once(session *self, const char *text) {
    sqlite3_stmt *statement = prepare(self, text);
    step(self, statement, 0, 0);
    sqlite3_finalize(statement);
}

/* A number below `limit`: xorshift64 (Marsaglia, 2003). */
static unsigned chance(session *self, unsigned limit) {
    self->chance ^= self->chance << 13;
    self->chance ^= self->chance >> 7;
    self->chance ^= self->chance << 17;
    return (unsigned)((self->chance >> 32) * limit >> 32);
}

/* A number below `limit`, the smaller the more often, spread over all numbers. */
static unsigned skewed(session *self, unsigned limit) {
    double part = (chance(self, 1000000) + 0.5) / 1000000;
    return (unsigned)((uint64_t)(part * part * part * part * limit) * 7919 % limit);
}

static void open_session(session *self, const char *path, size_t cache_pages, uint64_t seed) {
    char text[256];
    self->chance = seed;
    require(sqlite3_open(path, &self->db) == SQLITE_OK, path);
    snprintf(text, sizeof text,
             "pragma page_size = %d; pragma cache_size = %zu; pragma synchronous = off; "
             "pragma temp_store = memory",
             PAGE_BYTES, cache_pages);
    run(self, text);
}

static void close_session(session *self) {
    int now, highest;
    sqlite3_db_status(self->db, SQLITE_DBSTATUS_CACHE_HIT, &now, &highest, 0);
    self->hits += (uint64_t)now;
    sqlite3_db_status(self->db, SQLITE_DBSTATUS_CACHE_MISS, &now, &highest, 0);
    self->misses += (uint64_t)now;
    require(sqlite3_close(self->db) == SQLITE_OK, "sqlite3_close");
}

static void check(session *self, const char *database) {
    char text[64];
    snprintf(text, sizeof text, "pragma %s.integrity_check", database);
    sqlite3_stmt *statement = prepare(self, text);
    require(sqlite3_step(statement) == SQLITE_ROW, text);
    const char *answer = (const char *)sqlite3_column_text(statement, 0);
    require(answer != NULL && strcmp(answer, "ok") == 0, answer);
    sqlite3_finalize(statement);
}

/* -- the work -- */

/* Runs a statement `count` times with numbers of chance, 1000 times in a transaction. */
static void repeat(session *self, const char *text, unsigned count, bool is_skewed) {
    sqlite3_stmt *statement = prepare(self, text);
    for (unsigned i = 0; i < count; i++) {
        if (i % 1000 == 0)
            run(self, i == 0 ? "begin" : "commit; begin");
        unsigned row = is_skewed ? skewed(self, set.rows) : chance(self, set.rows);
        step(self, statement, row, chance(self, 1000000));
    }
    run(self, "commit");
    sqlite3_finalize(statement);
}

#define SCAN "select count(*), sum(value), sum(length(payload)) from items"

static void read_some(session *self, unsigned count) {
    for (int i = 0; i < 4; i++) {
        repeat(self, "select value, length(payload) from items where id = ?", count, true);
        repeat(self, "select id, value from items where key = ? * 2654435761 % 1000003", count,
               true);
        once(self, SCAN);
    }
    repeat(self,
           "select sum(id), count(length(payload)) from items where value between ?2 and ?2 + 2000",
           count / 50, false);
}

static void write_some(session *self) {
    run(self, "create table items (id integer primary key, key integer, value integer, "
              "payload blob); create index by_key on items (key); "
              "create index by_value on items (value)");
    repeat(self,
           "insert or ignore into items values (?1, ?1 * 2654435761 % 1000003, ?2, "
           "zeroblob(100 + ?2 % 200))",
           set.rows * 2, false);
    repeat(self, "update items set value = ?2 where id = ?1", set.rows / 4, true);
    repeat(self, "update items set payload = zeroblob(100 + ?2 % 400) where id = ?1", set.rows / 8,
           false);
    repeat(self, "delete from items where id = ?", set.rows / 8, false);
}

static void roll_back(session *self) {
    run(self,
        "begin; update items set value = value + 1 where id % 3 = 0; savepoint inner; "
        "delete from items where id % 5 = 0; rollback to inner; "
        "insert into items select id + 10000000, key, value, payload from items where id % 7 = 0");
    once(self, SCAN);
    run(self, "rollback");
    once(self, SCAN);
}

/* A table and an index in memory, whose pages stay pinned, and one that a query makes for itself.
 */
static void use_temporary(session *self) {
    run(self,
        "create temp table best as select id, value from items order by value desc limit 2000; "
        "create index temp.best_id on best (id)");
    once(self, "select count(*), sum(b.value), sum(length(i.payload)) from best b "
               "join items i on i.id = b.id");
    once(self, "select count(*), sum(v) from (select distinct value % 5000 as v from items)");
    run(self, "delete from best where id % 2 = 0; drop table best");
}

/* What each of two threads does. */
static void *work_beside(void *argument) {
    session *self = (session *)argument;
    read_some(self, set.rows / 8);
    run(self, "create table own.log (id integer primary key, text blob)");
    repeat(self,
           "insert into own.log select null, zeroblob(500 + id % 1000) from items where id = ?",
           set.rows / 8, false);
    run(self, "delete from own.log where id % 4 <> 0; pragma own.incremental_vacuum");
    once(self, "select count(*), sum(length(text)) from own.log");
    check(self, "own");
    return NULL;
}

static void work_together(session *main_one, const char *path) {
    session sessions[2] = {0};
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++) {
        char text[128];
        open_session(&sessions[i], path, set.frames / 8 * 3, 77 + i);
        snprintf(text, sizeof text,
                 "attach '%s/own%u' as own; pragma own.auto_vacuum = incremental", folder, i);
        run(&sessions[i], text);
        snprintf(text, sizeof text, "pragma own.cache_size = %zu", set.frames / 8);
        run(&sessions[i], text);
    }
    for (unsigned i = 0; i < 2; i++)
        require(pthread_create(&threads[i], NULL, work_beside, &sessions[i]) == 0, "a thread");
    for (unsigned i = 0; i < 2; i++) {
        require(pthread_join(threads[i], NULL) == 0, "a thread");
        close_session(&sessions[i]);
        main_one->checksum = main_one->checksum * 31 + sessions[i].checksum;
        main_one->hits += sessions[i].hits;
        main_one->misses += sessions[i].misses;
    }
}

static void work(session *self) {
    char path[64];
    snprintf(path, sizeof path, "%s/main", folder);
    open_session(self, path, set.frames, 1);
    write_some(self);
    read_some(self, set.rows / 4);
    roll_back(self);
    use_temporary(self);
    close_session(self);
    work_together(self, path);
    open_session(self, path, set.frames, 2);
    run(self, "pragma temp_store = file; vacuum");
    once(self, SCAN);
    check(self, "main");
    close_session(self);
}

/* A database in memory that is larger than our cache may become is refused, and the connection goes
 * on. With SQLite's own cache nothing bounds it. */
static void ask_for_too_much(void) {
    session self = {0};
    char text[256];
    open_session(&self, ":memory:", set.frames, 3);
    run(&self, "create table big (id integer primary key, text blob)");
    snprintf(text, sizeof text,
             "with recursive n (i) as (select 1 union all select i + 1 from n where i < %zu) "
             "insert into big select i, zeroblob(4000) from n",
             3 * set.frames);
    require(sqlite3_exec(self.db, text, NULL, NULL, NULL) == SQLITE_NOMEM, "the limit holds");
    run(&self, "insert into big values (1, 'one')");
    check(&self, "main");
    close_session(&self);
}

/* -- one turn, in a process of its own -- */

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void remove_folder(void) {
    const char *names[] = {"main", "own0", "own1"};
    char path[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        remove(path);
    }
    remove(folder);
}

static long peak_kib(void) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[128];
    long kib = 0;
    require(status != NULL, "/proc/self/status");
    while (fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    fclose(status);
    return kib;
}

static void take_turn(void) {
    session self = {0};
    /* Room for the frames, and what is beside them. */
    aegis_budget *budget =
        aegis_budget_new("SQLite", 2 * set.frames * (PAGE_BYTES + 512) + (1 << 20), NULL);
    if (set.is_ours)
        require(budget != NULL &&
                    pcache_install(set.frames, 2 * set.frames, PAGE_BYTES, budget) == SQLITE_OK,
                "the cache");
    require(sqlite3_initialize() == SQLITE_OK, "sqlite3_initialize");
    require(mkdtemp(folder) != NULL, folder);
    double wall = seconds(CLOCK_MONOTONIC), used = seconds(CLOCK_PROCESS_CPUTIME_ID);
    work(&self);
    used = seconds(CLOCK_PROCESS_CPUTIME_ID) - used;
    wall = seconds(CLOCK_MONOTONIC) - wall;
    long peak = peak_kib();
    remove_folder();
    if (set.is_ours)
        ask_for_too_much();
    require(sqlite3_shutdown() == SQLITE_OK, "sqlite3_shutdown");
    aegis_budget_figures held;
    aegis_budget_get_figures(budget, &held);
    require(held.used_bytes == 0, "all memory is given back");
    printf("%.6f %.6f %" PRIu64 " %" PRIu64 " %ld %016" PRIx64 "\n", used, wall, self.hits,
           self.misses, peak, self.checksum);
    aegis_budget_destroy(budget);
}

/* -- all turns -- */

typedef struct figures {
    double used;
    double wall;
    uint64_t hits;
    uint64_t misses;
    long peak_kib;
    uint64_t checksum;
} figures;

static figures run_turn(const char *kind, bool is_short) {
    figures got;
    char command[128];
    /* The shell's parent, which may not be /proc/self of the shell. */
    snprintf(command, sizeof command, "exec /proc/%ld/exe --kind %s --frames %zu%s", (long)getpid(),
             kind, set.frames, is_short ? " --short" : "");
    FILE *turn = popen(command, "r");
    require(turn != NULL, command);
    require(fscanf(turn, "%lf %lf %" SCNu64 " %" SCNu64 " %ld %" SCNx64, &got.used, &got.wall,
                   &got.hits, &got.misses, &got.peak_kib, &got.checksum) == 6,
            command);
    require(pclose(turn) == 0, command);
    return got;
}

static int compare_doubles(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static double median(double *values, size_t count) {
    qsort(values, count, sizeof *values, compare_doubles);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

#define MAX_TURNS 99

static void compare(size_t turns, bool is_short) {
    static const char *const kinds[] = {"own", "ours"};
    double times[2][MAX_TURNS], ratios[MAX_TURNS], wall_ratios[MAX_TURNS];
    figures got[2];
    for (size_t turn = 0; turn < turns; turn++) {
        for (size_t i = 0; i < 2; i++) {
            size_t kind = (turn + i) % 2;
            got[kind] = run_turn(kinds[kind], is_short);
            times[kind][turn] = got[kind].used;
        }
        require(got[0].checksum == got[1].checksum, "both caches give the same rows");
        ratios[turn] = got[1].used / got[0].used;
        wall_ratios[turn] = got[1].wall / got[0].wall;
    }
    for (size_t kind = 0; kind < 2; kind++)
        printf("sqlite_pcache: %-4s %7.1f ms, hits %.2f %%, %" PRIu64
               " misses, peak of resident memory %.1f MiB\n",
               kinds[kind], median(times[kind], turns) * 1000,
               100 * (double)got[kind].hits / (double)(got[kind].hits + got[kind].misses),
               got[kind].misses, (double)got[kind].peak_kib / 1024);
    printf("sqlite_pcache: ours/own %.3f of the processor's time, %.3f by the clock (medians of "
           "%zu); checksum %016" PRIx64 ", integrity_check ok\n",
           median(ratios, turns), median(wall_ratios, turns), turns, got[0].checksum);
}

int main(int argc, char **argv) {
    const char *kind = NULL;
    bool is_short = false;
    size_t turns = 5;
    set.frames = 0;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--short") == 0) {
            is_short = true;
            continue;
        }
        if (strcmp(argv[i], "--kind") == 0)
            kind = value;
        else if (strcmp(argv[i], "--turns") == 0)
            turns = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--frames") == 0)
            set.frames = strtoul(value, NULL, 10);
        else
            turns = 0;
        i++;
    }
    /* With fewer frames, ROLLBACK TO has more pages to restore than there may be. */
    size_t least = is_short ? 400 : 2000;
    if (set.frames == 0)
        set.frames = least;
    if (turns == 0 || turns > MAX_TURNS || set.frames < least) {
        fprintf(stderr,
                "usage: sqlite_pcache [--short] [--turns 1..%d] [--frames N] "
                "[--kind ours|own]\n",
                MAX_TURNS);
        return 2;
    }
    if (is_short) {
        set.rows /= 10;
        turns = 1;
    }
    set.is_ours = kind == NULL || strcmp(kind, "own") != 0;
    if (kind != NULL)
        take_turn();
    else
        compare(turns, is_short);
    return 0;
}
