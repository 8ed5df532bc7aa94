/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite on a heap of ours, by SQLITE_CONFIG_MALLOC. A database in memory gets the words of a
 * dictionary (Debian's wamerican), an index, and queries that sort, group, search and delete.
 * client.h has the command line and the report. */
#define _GNU_SOURCE
#include "client.h"

#include <sqlite3.h>

#define WORDS "/usr/share/dict/american-english"

static aegis_arena_heap heap;
static client_file words;

/* SQLite passes no user pointer, and sizes as int. It serialises the calls itself, unless
 * SQLITE_CONFIG_MEMSTATUS is turned off. */
AEGIS_DEFINE_SQLITE_HOOKS(aegis_arena_heap_hook, db, &heap);

static void prepare(void) {
    words = client_read(WORDS);
}

static void use_heap(void) {
    aegis_source pages = aegis_source_pages(0);
    aegis_arena_options options = {0};
    options.source = &pages;
    client_require(aegis_arena_heap_init(&heap, &options) == AEGIS_OK, "the heap");
    static const sqlite3_mem_methods methods = {db_malloc,  db_free, db_realloc,  db_size,
                                                db_roundup, db_init, db_shutdown, NULL};
    client_require(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK, "the hooks");
}

static void get_stats(aegis_arena_heap_stats *stats) {
    aegis_arena_heap_get_stats(&heap, stats);
}

static void run(sqlite3 *db, const char *statements) {
    client_require(sqlite3_exec(db, statements, NULL, NULL, NULL) == SQLITE_OK, sqlite3_errmsg(db));
}

/* The number that a query finds. */
static int number(sqlite3 *db, const char *query) {
    sqlite3_stmt *statement;
    client_require(sqlite3_prepare_v2(db, query, -1, &statement, NULL) == SQLITE_OK, query);
    client_require(sqlite3_step(statement) == SQLITE_ROW, query);
    int found = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return found;
}

static void insert_words(sqlite3 *db) {
    sqlite3_stmt *insert;
    client_require(sqlite3_prepare_v2(db, "insert into words (word) values (?)", -1, &insert,
                                      NULL) == SQLITE_OK,
                   sqlite3_errmsg(db));
    for (char *word = words.bytes; *word != '\0';) {
        size_t length = strcspn(word, "\n");
        sqlite3_bind_text(insert, 1, word, (int)length, SQLITE_TRANSIENT);
        client_require(sqlite3_step(insert) == SQLITE_DONE, sqlite3_errmsg(db));
        sqlite3_reset(insert);
        word += length + (word[length] == '\n');
    }
    sqlite3_finalize(insert);
}

static void work(char *result, size_t result_bytes) {
    sqlite3 *db;
    client_require(sqlite3_initialize() == SQLITE_OK, "sqlite3_initialize");
    client_require(sqlite3_open(":memory:", &db) == SQLITE_OK, "sqlite3_open");
    run(db, "create table words (id integer primary key, word text); begin");
    insert_words(db);
    run(db, "commit; create index by_word on words (word)");
    int count = number(db, "select count(*) from words");
    int letters = number(db, "select count(distinct lower(substr(word, 1, 1))) from words");
    int found = 0;
    for (int letter = 'a'; letter <= 'z'; letter++) {
        char query[128];
        snprintf(query, sizeof query,
                 "select count(*) from words where word >= '%cr' and word < '%cs'", letter, letter);
        found += number(db, query);
    }
    int pairs = number(db, "select count(*) from words a join words b on b.word = a.word || '''s'");
    run(db, "create table lengths as select length(word) size, count(*) count from words "
            "group by size order by count desc; delete from words where id % 2 = 0; vacuum");
    int common = number(db, "select size from lengths limit 1");
    snprintf(result, result_bytes,
             "%d words, %d first letters, %d with r as the second, %d with a possessive; most have "
             "%d letters",
             count, letters, found, pairs, common);
    client_require(sqlite3_close(db) == SQLITE_OK, "sqlite3_close");
    client_require(sqlite3_shutdown() == SQLITE_OK, "sqlite3_shutdown");
}

int main(int argc, char **argv) {
    const client self = {"sqlite", prepare, use_heap, work, get_stats};
    return client_main(argc, argv, &self);
}
