// SPDX-License-Identifier: Apache-2.0
//! What programs that were compiled before rely on is written down in `tests/abi/`, and must not
//! change unannounced: the size, the alignment and the fields of every public struct
//! (`layout_*.txt`, one file for each way of laying structs out), and the constants, types and
//! functions (`interface.txt`). Here Rust is compared with these files, and C in
//! `tests/c/layout_test.c`. So C and Rust agree on every struct too.
//!
//! After a change that docs/contributing.md allows, `AEGIS_BLESS=1 cargo test --test abi` writes the
//! interface, and `tests/layouts --bless` the layouts.

#[path = "support/differ.rs"]
mod differ;

use aegis_memory::ffi;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::mem::{align_of, size_of, MaybeUninit};
use std::path::Path;
use std::ptr::addr_of;

type Table = BTreeMap<(String, String), usize>;

/// The name of the line with the size of a field.
fn size_of_field(field: &str) -> String {
    format!("size of {field}")
}

fn size_of_pointee<T>(_: *const T) -> usize {
    size_of::<T>()
}

/// The file that has the layouts of this target.
fn kept_layouts() -> &'static str {
    match (size_of::<usize>(), align_of::<u64>()) {
        (8, _) => include_str!("abi/layout_64.txt"),
        (_, 8) => include_str!("abi/layout_32.txt"),
        _ => include_str!("abi/layout_i386.txt"),
    }
}

fn c_table() -> Table {
    let mut table = Table::new();
    let mut name = "";
    for line in kept_layouts().lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<_> = line.split_whitespace().collect();
        let &[word, first, second] = &words[..] else { panic!("not a line of layouts: {line}") };
        let is_field = line.starts_with(' ');
        name = if is_field { name } else { word };
        let (first_name, second_name) = match is_field {
            true => (word.to_owned(), size_of_field(word)),
            false => ("size of".to_owned(), "align of".to_owned()),
        };
        for (of, number) in [(first_name, first), (second_name, second)] {
            let number = number.parse().expect("the second and third word are numbers");
            let twice = table.insert((name.to_owned(), of), number);
            assert!(twice.is_none(), "there twice: {line}");
        }
    }
    table
}

macro_rules! rust_table {
    ($($name:ident { $($field:ident),* $(,)? })*) => {
        fn rust_table() -> Table {
            let mut table = Table::new();
            let mut line = |name: &str, field: &str, value| {
                table.insert((name.to_string(), field.to_string()), value);
            };
            $(
                line(stringify!($name), "size of", size_of::<ffi::$name>());
                line(stringify!($name), "align of", align_of::<ffi::$name>());
                let place = MaybeUninit::<ffi::$name>::uninit();
                let base = place.as_ptr();
                $(
                    // SAFETY: the address of a field, which is not read.
                    let at = unsafe { addr_of!((*base).$field) };
                    line(stringify!($name), stringify!($field), at as usize - base as usize);
                    line(stringify!($name), &size_of_field(stringify!($field)), size_of_pointee(at));
                )*
            )*
            table
        }
    };
}

rust_table! {
    aegis_error { status, requested_bytes, align_bytes, limit_bytes, in_use_bytes, needed_bytes, refused, refusal, asked, allowed, what }
    aegis_budget_figures { name, used_bytes, peak_bytes, limit_bytes, depth, level, waiting_count, refused_count, wait_count, timeout_count, reclaim_count, reclaimed_bytes }
    aegis_budget_refusal { budget, requested_bytes, needed_bytes, direct_bytes, consumer_count, consumers, reason }
    aegis_budget_terms { guaranteed_bytes, share_bytes, waiting_count, weight, policy, closed }
    aegis_budget_consumer { name, direct_bytes, depth, level }
    aegis_budget_peak { name, peak_bytes, used_bytes, direct_bytes, consumer_count, consumers }
    aegis_source { acquire, release, close, context }
    aegis_region { base, size_bytes, used_bytes }
    aegis_arena_options { capacity_bytes, max_block_bytes, source, memory, memory_bytes, budget, name, flags, wait_ns }
    aegis_arena_block { next, total_bytes, end, dirty_end, top, flags, single }
    aegis_arena_stale_span { after, last }
    aegis_arena { ptr, limit, dirty_end, used_from, block, home, last, peak_used_bytes, closed_bytes, reset_count, first, scope, deferred, capacity_bytes, reserved_bytes, block_count, next_block_bytes, max_block_bytes, acquired_count, released_count, scoped_reset_count, generation, stamp_count, stamps, stale_count, stale, stale_nodes, source, budget, guards, guards_bytes, guard_count, failed_bytes, failed_align_bytes, failed_limit_bytes, failed_in_use_bytes, failed_needed_bytes, failed_budget, failed_status, flags, guard_bytes, name, shared_generation, failed_what, wait_ns }
    aegis_arena_mark { block, last, ptr, deferred, closed_bytes, used_from, guards_bytes, guard_count, generation, reset_count, stamp }
    aegis_arena_scope { arena, mark, stamp_count }
    aegis_arena_stats { capacity_bytes, reserved_bytes, used_bytes, peak_used_bytes, remaining_bytes, wasted_bytes, block_count, acquired_count, released_count, reset_count }
    aegis_arena_block_info { capacity_bytes, used_bytes, state, start }
    aegis_arena_heap { quick, quick_limit_bytes, used_bytes, least_used_bytes, top, top_bytes, dirty_end, binned_bytes, capacity_bytes, bin_map, bins, first, last, large, idle_large, large_limit_bytes, large_bytes, reserved_bytes, peak_reserved_bytes, block_count, max_block_bytes, acquired_count, released_count, reset_count, source, budget, wait_ns, guard_bytes, flags, name, failed }
    aegis_arena_heap_stats { reserved_bytes, peak_reserved_bytes, used_bytes, large_bytes, capacity_bytes, quick_bytes, block_count, acquired_count, released_count, reset_count }
    aegis_lock_free_arena_options { capacity_bytes, max_block_bytes, source, budget, name, wait_ns }
    aegis_lock_free_arena { shared }
    aegis_arena_local { arena }
    aegis_locked_arena { shared }
    aegis_locked_arena_heap { shared }
    aegis_arena_recycler_options { arena, max_idle_count, keep_bytes, error }
    aegis_arena_recycler { shared }
    aegis_arena_recycler_stats { idle_count, out_count, made_count, reused_count }
    aegis_buffer_owner { references, release, base, capacity_bytes, flags, retained_bytes }
    aegis_buffer { data, length, owner }
    aegis_buffer_mut { data, length, capacity, owner, initialized }
    aegis_iovec { base, length }
    aegis_pool_options { block_bytes, block_count, max_block_count, align_bytes, source, budget, error, wait_ns }
    aegis_pool_grid { base, stride_bytes, inverse, count, rotate }
    aegis_pool_slabs { grid, block_bytes, align_bytes, directory, windows, side, meta, meta_bytes, reserved_bytes, acquired_count, released_count, window_mask, window_shift, step_count, index_limit, slab_limit, source, budget, wait_ns }
    aegis_pool { grid, top, placed, free_blocks, positions, watched_top, free_indices, free_count, touched_count, fresh_next, fresh_end, capacity, slab_count, peak_in_use, failed, slabs }
    aegis_keyed_pool { pool, generations, index_bound, retired_count, step_shift, step_mask }
    aegis_pool_stats { block_bytes, stride_bytes, align_bytes, capacity, max_capacity, in_use, available, peak_in_use, parked, slab_count, reserved_bytes, acquired_count, released_count, cache_reserve_bytes, max_cache_count }
    aegis_pool_slab_info { base, size_bytes, first_index, block_count }
    aegis_lock_free_pool_options { blocks, max_cache_count, flags }
    aegis_lock_free_pool { shared, block_bytes, align_bytes }
    aegis_pool_cache { grid, links, count, flags, slot, block_bytes, shared, failed, items }
    aegis_page_write { page, bytes }
    aegis_page_store { read, write_batch, sync, len, truncate, close, context }
    aegis_page_fault { countdown, per_million }
    aegis_page_fault_counts { read_count, read_page_count, write_count, written_page_count, sync_count, fault_count }
    aegis_page_faults { seed, read_delay_ns, write_delay_ns, sync_delay_ns, lost_pages, read, short_read, torn_read, write, torn_write, sync, lost_sync, len, truncate, counts, drawn_count }
    aegis_page_error { status, reason, file, pinned_file, page, asked, allowed, pinned_count, pinned_file_count, memory }
    aegis_page_cache_options { page_bytes, frame_count, max_frame_count, min_frame_count, source, budget, flags, reclaim_priority, frame_wait_ns, latch_wait_ns, error }
    aegis_page_hooks { before_write, verify, seal, close, context }
    aegis_page_frame { state, page, lsn, file, next }
    aegis_page_cache { shared, chains, frames, slabs, stride_bytes, page_bytes, chain_factor, chain_count, slab_shift }
    aegis_page_pin { data, page, file, frame, mode }
    aegis_page_read { data, page, file, frame }
    aegis_page_slab { base, size_bytes, first_frame, frame_count }
    aegis_page_cache_stats { page_bytes, frame_count, max_frame_count, target_frame_count, free_count, resident_count, pinned_count, buffer_count, dirty_count, oldest_dirty_lsn, hit_count, miss_count, fresh_count, prefetch_count, join_count, latch_wait_count, frame_wait_count, evicted_clean_count, evicted_dirty_count, write_batch_count, write_page_count, write_error_count, largest_batch_count, read_error_count, sync_count, sync_error_count, reclaimed_frame_count, regrown_frame_count, reserved_bytes, overhead_bytes, write_buffer_bytes }
    aegis_page_file_stats { resident_count, pinned_count, dirty_count, temperature_counts, sync_error_count, lost }
    aegis_buffer_class { buffer_bytes, buffer_count, max_buffer_count }
    aegis_buffer_pool_options { classes, class_count, align_bytes, source, budget, when_empty, flags, reclaim_priority, timeout_ns, error, wait_ns }
    aegis_buffer_pool { shared }
    aegis_buffer_class_stats { buffer_bytes, capacity, max_capacity, in_use, parked }
    aegis_buffer_pool_stats { class_count, classes, heap_count, heap_bytes, wait_count, timeout_count, refused_count, reserved_bytes }
    aegis_locked_pool { shared, block_bytes, align_bytes }
}

/// The structs and fields that the bindings have. The structs that C keeps private have no fields
/// here.
fn names_in_bindings() -> Vec<(String, String)> {
    let mut names = Vec::new();
    let mut of_struct = None;
    for line in include_str!("../src/bindings.rs").lines() {
        if let Some(rest) = line.strip_prefix("pub struct ") {
            of_struct = rest.split_whitespace().next();
        } else if line == "}" {
            of_struct = None;
        }
        if let (Some(name), Some(rest)) = (of_struct, line.strip_prefix("    pub ")) {
            let field = rest.split(':').next().unwrap_or_default();
            names.push((name.to_string(), field.to_string()));
        }
    }
    names.sort();
    names
}

/// What to do about a difference.
const MEND: &str = "\
C has what tests/c/layouts.h lists and `tests/layouts --bless` writes down, and Rust what tests/abi.rs
lists of src/bindings.rs.
- \"none\": add the field to the list that lacks it.
- Two numbers, or a field that src/bindings.rs lacks: make the bindings anew, with libclang, by
  AEGIS_BLESS=1 cargo test --features bindgen --test bindings_fresh
docs/contributing.md has the whole list, under \"A public field of a struct\".";

/// A line for each entry in which the tables differ.
fn differences(c: &Table, rust: &Table) -> String {
    let names: BTreeSet<_> = c.keys().chain(rust.keys()).collect();
    let differ = names.into_iter().filter(|name| c.get(name) != rust.get(name));
    let text = |value: Option<&usize>| value.map_or("none".to_owned(), usize::to_string);
    let line = |name: &(String, String)| {
        let place = match name.1.as_str() {
            of @ ("size of" | "align of") => format!("{of} {}", name.0),
            field => format!("{}.{field}", name.0),
        };
        format!("  {place}: C {}, Rust {}\n", text(c.get(name)), text(rust.get(name)))
    };
    differ.map(line).collect()
}

#[test]
fn c_and_rust_agree_on_every_size_alignment_and_offset() {
    let differences = differences(&c_table(), &rust_table());
    assert!(differences.is_empty(), "C and Rust differ:\n{differences}{MEND}");
}

#[test]
fn every_struct_and_field_of_the_bindings_is_compared() {
    let is_field =
        |(_, field): &(String, String)| !field.contains("size of") && field != "align of";
    let compared: Vec<_> = c_table().into_keys().filter(is_field).collect();
    assert!(compared.len() > 50);
    let names = |fields: Vec<(String, String)>| -> Vec<String> {
        fields.into_iter().map(|(name, field)| format!("{name}.{field}")).collect()
    };
    let (compared, bound) = (names(compared), names(names_in_bindings()));
    differ::assert_same(("tests/c/layouts.h", &compared), ("src/bindings.rs", &bound), MEND);
}

/// The constants, types and functions of the bindings, one a line.
fn interface() -> String {
    let words = |text: &str| {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = text.replace("::core::option::", "").replace("::core::ffi::", "");
        text.replace("( ", "(").replace("< ", "<").replace(", )", ")").replace(", >", ">")
    };
    let bindings = include_str!("../src/bindings.rs");
    let mut lines = Vec::new();
    let kinds = [("const", ";"), ("type", ";"), ("struct", "\n}"), ("fn", ";")];
    for (kind, end) in kinds {
        let start = format!("pub {kind} ");
        let of_kind = bindings.split(start.as_str()).skip(1).map(|text| {
            let (text, _) = text.split_once(end).expect("an item ends");
            let is_struct = kind == "struct";
            let text = if is_struct { text.replace("pub ", "") + "}" } else { text.to_owned() };
            format!("{kind} {}\n", words(&text))
        });
        let is_named = |line: &String| line.to_lowercase().starts_with(&format!("{kind} aegis_"));
        let mut of_kind: Vec<_> = of_kind.filter(is_named).collect();
        of_kind.sort();
        lines.extend(of_kind);
    }
    format!(
        "# SPDX-License-Identifier: Apache-2.0\n\
         # The constants, types and functions of the C interface, as Rust sees them.\n\
         # AEGIS_BLESS=1 cargo test --test abi writes this file; docs/contributing.md says what a\n\
         # change means.\n{}",
        lines.concat()
    )
}

#[test]
fn the_interface_is_as_it_is_written_down() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/abi/interface.txt");
    let fresh = interface();
    if env::var_os("AEGIS_BLESS").is_some() {
        fs::write(&path, &fresh).expect("tests/abi/interface.txt can be written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    differ::assert_same_text(
        ("tests/abi/interface.txt", &kept),
        ("src/bindings.rs", &fresh),
        "Programs that were compiled before may rely on what has changed: see \"A change of the \
         interface\" in docs/contributing.md. Then AEGIS_BLESS=1 cargo test --test abi",
    );
}

#[test]
fn only_entries_that_differ_are_named() {
    let name = |name: &str, field: &str| (name.to_owned(), field.to_owned());
    let (c, mut rust) = (c_table(), c_table());
    rust.insert(name("aegis_arena_stats", "size of"), 1);
    rust.insert(name("aegis_arena_stats", "new_count"), 2);
    rust.remove(&name("aegis_region", "base"));
    let size = c[&name("aegis_arena_stats", "size of")];
    assert_eq!(
        differences(&c, &rust),
        format!(
            "  aegis_arena_stats.new_count: C none, Rust 2\n  \
             size of aegis_arena_stats: C {size}, Rust 1\n  \
             aegis_region.base: C 0, Rust none\n"
        )
    );
    assert_eq!(differences(&c, &c), "");
}
