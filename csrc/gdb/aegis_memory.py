# SPDX-License-Identifier: Apache-2.0
"""Shows arenas, heaps, pools and budgets in gdb, with their blocks, slabs and children.

gdb loads this file by itself beside the shared library, if the library is installed where gdb looks,
and with a Rust program that allows it. Otherwise: source .../aegis_memory.py

It only reads memory: no function of the program is called, so it also works on a core file and in a
program that was stopped in the middle of a call. What stands in private structs is shown if the
library was compiled with debug information. `print /r` shows an object without this file.
"""

import re

import gdb
import gdb.printing

# So many blocks, slabs or children are shown, because a list may be damaged.
MOST = 200
STATES = ("current", "closed", "idle")


def size_text(size_bytes):
    """A size with a unit in which the number is easy to read."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1024:
            return f"{size_bytes} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} EiB"


def plural(count, noun):
    return f"{count} {noun}" + ("" if count == 1 else "s")


def name_of(value):
    """The name of an object, in quotes, behind a space; or nothing."""
    raw = value["name"]
    units = []
    for i in range(raw.type.range()[1] + 1):
        unit = int(raw[i]) & 0xFF
        if unit == 0:
            break
        units.append(unit)
    return f" '{bytes(units).decode('utf-8', 'replace')}'" if units else ""


def private(name):
    """The type of a private struct, or None without the library's debug information. The expression
    is one of C: in a Rust frame the name alone means another type."""
    symbol = gdb.lookup_global_symbol(name, gdb.SYMBOL_STRUCT_DOMAIN)
    if symbol is not None and symbol.type.fields():
        return symbol.type
    language = gdb.parameter("language")
    try:
        gdb.execute("set language c", to_string=True)
        found = gdb.lookup_type("struct " + name)
        return found if found.fields() else None
    except (gdb.error, TypeError):
        return None
    finally:
        gdb.execute(f"set language {language}", to_string=True)


class Arena:
    """aegis_arena. The numbers are those of aegis_arena_get_stats."""

    def __init__(self, value):
        self.value = value
        # AEGIS_I_ARENA_BLOCK_HEADER
        self.header_bytes = (value["first"].type.target().sizeof + 15) & ~15

    def to_string(self):
        value = self.value
        head = f"aegis_arena{name_of(value)}: "
        blocks = plural(int(value["block_count"]), "block")
        capacity = size_text(int(value["capacity_bytes"]))
        # `used_from` wraps if more is used than the address of `ptr`.
        used = int(value["ptr"]) - int(value["used_from"]) - int(value["guards_bytes"])
        used %= 1 << 8 * value["used_from"].type.sizeof
        scope = ", a scope is open" if int(value["scope"]) != 0 else ""
        return f"{head}{size_text(used)} of {capacity} used in {blocks}{scope}"

    def children(self):
        value, idle = self.value, False
        block_type = value["first"].type
        at = int(value["first"])
        for number in range(1, MOST + 1):
            if at == 0:
                return
            block = gdb.Value(at).cast(block_type).dereference()
            start = at + self.header_bytes
            is_current = at == int(value["block"])
            state = STATES[0 if is_current else 2 if idle else 1]
            top = int(value["ptr"]) if is_current else int(block["top"])
            used = 0 if idle and not is_current else top - start
            capacity = int(block["end"]) - start
            yield (
                f"block {number}",
                f"{state}, {size_text(used)} of {size_text(capacity)} at {start:#x}",
            )
            idle = idle or at == int(value["last"])
            at = int(block["next"])


class Pool:
    """aegis_pool."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        value = self.value
        # The library keeps the top in one of two fields, and the other one at the bottom.
        bottom = int(value["free_blocks"])
        top = max(int(value["top"]), int(value["watched_top"]))
        free = (top - bottom) // value["free_blocks"].type.sizeof
        if int(value["free_indices"]) != 0:  # a keyed pool
            free = int(value["free_count"])
        out = int(value["touched_count"]) - free
        block_bytes = size_text(int(value["slabs"]["block_bytes"]))
        return (
            f"aegis_pool: {out} of {int(value['capacity'])} blocks of {block_bytes} out in "
            f"{plural(int(value['slab_count']), 'slab')}, peak {int(value['peak_in_use'])}"
        )

    def children(self):
        slabs = self.value["slabs"]
        first_count = int(slabs["grid"]["count"])
        shown = 0
        for slab in range(min(int(slabs["slab_limit"]), MOST)):
            if shown == int(self.value["slab_count"]):
                return
            # The two lowest bits are flags.
            base = int(slabs["directory"][slab]) & ~3
            if base == 0:
                continue
            shown += 1
            first, count = 0, first_count
            if slab != 0:
                step = int(slabs["step_count"])
                first = first_count + (slab - 1) * step
                count = min(step, int(slabs["index_limit"]) - first)
            yield f"slab {slab + 1}", f"{plural(count, 'block')} from index {first} at {base:#x}"


class Budget:
    """aegis_budget, with its children. The list is read without its lock."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        value = self.value
        used, limit = int(value["used_bytes"]), int(value["limit_bytes"])
        bits = value["used_bytes"].type.sizeof * 8
        # AEGIS_I_COUNTER_GATED: it is counted under the gate.
        if used >= 1 << (bits - 1):
            used = int(value["held_bytes"])
        of = "no limit" if limit == (1 << bits) - 1 else f"limit {size_text(limit)}"
        text = f"aegis_budget{name_of(value)}: {size_text(used)} in use, {of}, "
        text += f"peak {size_text(int(value['peak_bytes']))}"
        for field, word in (("refused_count", "refused"), ("waiting_count", "waiting")):
            if int(value[field]) != 0:
                text += f", {int(value[field])} {word}"
        return text

    def children(self):
        child = self.value["first_child"]
        for number in range(1, MOST + 1):
            if int(child) == 0:
                return
            yield f"child {number}", child.dereference()
            child = child.dereference()["next_sibling"]


class Heap:
    """aegis_arena_heap."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        value = self.value
        large = int(value["large_bytes"])
        text = f"aegis_arena_heap{name_of(value)}: {size_text(int(value['used_bytes']) + large)} of "
        text += f"{size_text(int(value['reserved_bytes']))} out in "
        text += plural(int(value["block_count"]), "block")
        return text + (f", {size_text(large)} in blocks of their own" if large != 0 else "")


class Error:
    """aegis_error."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        value = self.value
        status = int(value["status"])
        if status == 0:
            return "aegis_error: nothing has failed"
        return (
            f"aegis_error: {STATUSES.get(status, status)}, "
            f"{int(value['requested_bytes'])} bytes requested, limit {int(value['limit_bytes'])}, "
            f"{int(value['in_use_bytes'])} in use"
        )


STATUSES = {
    -1: "AEGIS_E_OUT_OF_MEMORY",
    -2: "AEGIS_E_LIMIT_EXCEEDED",
    -3: "AEGIS_E_INVALID_LAYOUT",
    -4: "AEGIS_E_EXHAUSTED",
    -5: "AEGIS_E_INVALID",
    -6: "AEGIS_E_BUSY",
    -7: "AEGIS_E_IO",
    -8: "AEGIS_E_SOURCE",
    -9: "AEGIS_E_FORKED",
    -10: "AEGIS_E_CLOSED",
    -11: "AEGIS_E_UNSUPPORTED",
    1: "AEGIS_PENDING",
}

PRINTERS = {
    "aegis_arena": Arena,
    "aegis_arena_heap": Heap,
    "aegis_pool": Pool,
    "aegis_budget": Budget,
    "aegis_error": Error,
}

# The types of the Rust crate that hold one of these, and nothing else that matters.
WRAPPERS = re.compile(r"^aegis_memory::(arena|pool|budget)::(\w+::)*(Arena|Pool|MemoryBudget)$")


def inside(value):
    """What a Rust wrapper holds: its fields are followed to the object, or to a pointer to it."""
    for _ in range(8):
        kind = value.type.strip_typedefs()
        name = (kind.name or "").rsplit("::", 1)[-1]
        if kind.code == gdb.TYPE_CODE_PTR:
            target = kind.target().strip_typedefs()
            found = private((target.name or "").rsplit("::", 1)[-1])
            return value.cast(found.pointer()).dereference() if found is not None else None
        if name in PRINTERS:
            return value
        fields = kind.fields() if kind.code == gdb.TYPE_CODE_STRUCT else []
        fields = [field for field in fields if field.type.sizeof != 0]
        if not fields:
            return None
        value = value[fields[0]]
    return None


class Printers(gdb.printing.PrettyPrinter):
    """Finds the printer of a value by the last part of its type's name."""

    def __init__(self):
        super().__init__("aegis-memory")

    def __call__(self, value):
        kind = value.type.unqualified().strip_typedefs()
        if kind.code != gdb.TYPE_CODE_STRUCT or not kind.fields():
            return None
        name = kind.name or ""
        if WRAPPERS.match(name):
            held = inside(value)
            return self(held) if held is not None else None
        printer = PRINTERS.get(name.rsplit("::", 1)[-1])
        return printer(value) if printer is not None else None


gdb.printing.register_pretty_printer(gdb.current_objfile(), Printers(), replace=True)
