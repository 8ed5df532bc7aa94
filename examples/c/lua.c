/* SPDX-License-Identifier: Apache-2.0 */
/* Lua on a heap of ours, by lua_newstate. A script uses a JSON library written in Lua (Debian's
 * lua-dkjson) to read the subdivisions of ISO 3166-2 (iso-codes), sort and group them, and write
 * them again. client.h has the command line and the report. */
#define _GNU_SOURCE
#include "client.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define LIBRARY "/usr/share/lua/5.4/dkjson.lua"
#define SUBDIVISIONS "/usr/share/iso-codes/json/iso_3166-2.json"

static const char script[] =
    "local json, text = ...\n"
    "local all = json.decode(text)['3166-2']\n"
    "local countries, names = {}, {}\n"
    "for _, entry in ipairs(all) do\n"
    "    local country = entry.code:match('^%u%u')\n"
    "    countries[country] = (countries[country] or 0) + 1\n"
    "    names[#names + 1] = entry.name:lower() .. '/' .. entry.code\n"
    "end\n"
    "table.sort(names)\n"
    "local most, count = '', 0\n"
    "for country, number in pairs(countries) do\n"
    "    if number > count then most, count = country, number end\n"
    "end\n"
    "return string.format('%d subdivisions, %d of them in %s; the first '\n"
    "    .. 'by name is %s; %d bytes again', #all, count, most, names[1],\n"
    "    #json.encode(all))\n";

static aegis_arena_heap heap;
static client_file library, subdivisions;
static bool has_heap;

static void prepare(void) {
    library = client_read(LIBRARY);
    subdivisions = client_read(SUBDIVISIONS);
}

static void use_heap(void) {
    aegis_source pages = aegis_source_pages(0);
    aegis_arena_options options = {0};
    options.source = &pages;
    /* Requests up to 512 KiB share blocks, so that tables that grow are not mapped each time. */
    options.max_block_bytes = (size_t)16 << 20;
    client_require(aegis_arena_heap_init(&heap, &options) == AEGIS_OK, "the heap");
    has_heap = true;
}

static void get_stats(aegis_arena_heap_stats *stats) {
    aegis_arena_heap_get_stats(&heap, stats);
}

static void check(lua_State *state, int status) {
    client_require(status == LUA_OK, lua_tostring(state, -1));
}

static void work(char *result, size_t result_bytes) {
    /* The function has the type lua_Alloc, and the user pointer is the heap. */
    lua_State *state =
        has_heap ? lua_newstate(aegis_arena_heap_hook_resize_sized, &heap) : luaL_newstate();
    client_require(state != NULL, "lua_newstate");
    luaL_openlibs(state);
    check(state, luaL_loadbuffer(state, script, sizeof script - 1, "=script"));
    check(state, luaL_loadbuffer(state, library.bytes, library.size_bytes, "=dkjson"));
    check(state, lua_pcall(state, 0, 1, 0));
    lua_pushlstring(state, subdivisions.bytes, subdivisions.size_bytes);
    check(state, lua_pcall(state, 2, 1, 0));
    snprintf(result, result_bytes, "%s", lua_tostring(state, -1));
    lua_close(state);
}

int main(int argc, char **argv) {
    const client self = {"lua", prepare, use_heap, work, get_stats};
    return client_main(argc, argv, &self);
}
