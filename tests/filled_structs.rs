// SPDX-License-Identifier: Apache-2.0
//! Every C function that fills a struct of the caller must stand in the tables of
//! `tests/c/filled_*_test.c`, which check that it fills the whole struct. This test finds the
//! functions by the pointers in their bindings. A function that reads or fills a struct that may
//! grow must be told its size, and must stand in `tests/c/sized_structs_test.c`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const BINDINGS: &str = include_str!("../src/bindings.rs");
/// Functions of the library's own, which the wrapper calls.
const OWN: &str = include_str!("../src/ffi.rs");

/// Functions that change a view or a writer that the caller has. All others make one.
const CHANGES_A_BUFFER: &[&str] = &[
    "aegis_buffer_compact",
    "aegis_buffer_mut_append",
    "aegis_buffer_mut_freeze",
    "aegis_buffer_mut_release",
    "aegis_buffer_mut_reserve",
    "aegis_buffer_mut_reserve_aligned",
    "aegis_buffer_mut_try_reclaim",
    "aegis_buffer_release",
];

/// Parameters through which a function changes a struct that is filled already, besides those that
/// `is_changed` knows: the function and the parameter.
const CHANGED: &[(&str, &str)] = &[
    ("aegis_arena_heap_init_in", "arena"),
    ("aegis_arena_recycler_put", "arena"),
    ("aegis_arena_scope_end", "scope"),
    ("aegis_buffer_adopt", "owner"),
    ("aegis_buffer_from_arena", "arena"),
    ("aegis_buffer_into_mut", "buffer"),
    ("aegis_buffer_mut_split_off", "writer"),
    ("aegis_buffer_mut_split_to", "writer"),
    ("aegis_buffer_mut_unsplit", "back"),
    ("aegis_buffer_mut_unsplit", "writer"),
    ("aegis_buffer_owner_release", "owner"),
    ("aegis_buffer_split_off", "buffer"),
    ("aegis_buffer_split_to", "buffer"),
    ("aegis_buffer_try_into_mut", "buffer"),
    ("aegis_buffer_unsplit", "back"),
    ("aegis_buffer_unsplit", "buffer"),
    ("aegis_i_arena_alloc_regrown", "arena"),
    ("aegis_page_cache_complete", "read"),
    ("aegis_page_cache_downgrade", "pin"),
    ("aegis_page_cache_into_buffer", "pin"),
    ("aegis_page_cache_rekey", "pin"),
    ("aegis_page_cache_unpin", "pin"),
    ("aegis_page_cache_upgrade", "pin"),
    ("aegis_page_store_faults", "faults"),
    ("aegis_source_region", "region"),
];

/// The public structs with the types of their fields. Those that C keeps private are not among
/// them.
fn structs() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut structs = BTreeMap::new();
    for text in BINDINGS.split("pub struct ").skip(1) {
        let (name, body) = text.split_once(" {").expect("a struct has a body");
        let body = body.split_once("\n}").expect("a body ends").0;
        let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub "));
        let types: Vec<_> = fields
            .filter_map(|field| Some(field.split_once(": ")?.1.trim_end_matches(',')))
            .collect();
        if !types.is_empty() {
            structs.insert(name, types);
        }
    }
    structs
}

/// The functions with their parameters: names and types.
fn functions() -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
    let own = OWN.split("    pub(crate) fn ").skip(1);
    let texts = BINDINGS.split("    pub fn ").skip(1).chain(own);
    let function = |text: &'static str| {
        let (name, rest) = text.split_once('(').expect("a function has parameters");
        // Users call the inline form, which has no size and no binding.
        let plain = name.strip_suffix("_sized");
        let plain = plain.filter(|plain| !BINDINGS.contains(&format!("fn {plain}(")));
        let name = plain.unwrap_or(name);
        // What is in the parentheses of a parameter that is a function does no harm here.
        let list = rest.split_once(';').expect("a declaration ends").0;
        let parameters = list.split(',').filter_map(|parameter| parameter.trim().split_once(": "));
        (name, parameters.collect())
    };
    texts.map(function).collect()
}

/// The struct that a pointer leads to.
fn pointee<'a>(of_type: &'a str, pointer: &str) -> Option<&'a str> {
    let rest = of_type.strip_prefix(pointer)?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

/// Whether the function works on the object that is its first parameter, so the object is made
/// already.
fn is_changed(function: &str, parameter: &str, place: usize, name: &str) -> bool {
    let of_object = function.strip_prefix(name).is_some_and(|verb| verb.starts_with('_'));
    let is_buffer = name == "aegis_buffer" || name == "aegis_buffer_mut";
    CHANGED.contains(&(function, parameter))
        || CHANGES_A_BUFFER.contains(&function) && is_buffer
        || place == 0 && of_object && !is_buffer && !function.contains("_init")
}

/// Whether the options have an error record, which the function fills when it fails.
fn has_error(structs: &BTreeMap<&str, Vec<&str>>, name: &str) -> bool {
    structs.get(name).is_some_and(|types| {
        types.iter().any(|of_type| {
            matches!(*of_type, "*mut aegis_error" | "*mut aegis_page_error")
                || has_error(structs, of_type)
        })
    })
}

/// Every function that fills a struct, and through what.
fn filled() -> BTreeSet<(String, String)> {
    let structs = structs();
    let mut found = BTreeSet::new();
    for (function, parameters) in functions() {
        for (place, (parameter, of_type)) in parameters.into_iter().enumerate() {
            let out = pointee(of_type, "*mut ").filter(|name| structs.contains_key(name));
            if out.is_some_and(|name| !is_changed(function, parameter, place, name)) {
                found.insert((function.to_string(), parameter.to_string()));
            }
            let options = pointee(of_type, "*const ").filter(|name| name.ends_with("_options"));
            if options.is_some_and(|name| has_error(&structs, name)) {
                found.insert((function.to_string(), format!("{parameter}.error")));
            }
        }
    }
    found
}

/// The rows of the C tables: FILLS(function, parameter, ...), BOTH(...) and so on.
fn rows() -> BTreeSet<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");
    let mut rows = BTreeSet::new();
    for name in ["structs", "errors", "pool_errors", "objects", "page_cache"] {
        let path = dir.join(format!("filled_{name}_test.c"));
        let text = fs::read_to_string(&path).expect("the C test can be read");
        let table = text.split_once("filled_row rows[] = {").expect("the test has a table").1;
        let table = table.split_once("\n};").expect("the table ends").0;
        for row in table.split('(').skip(1) {
            let mut words = row.split(',').map(|word| word.trim().to_string());
            rows.extend(words.next().zip(words.next()));
        }
    }
    rows
}

#[test]
fn every_function_that_fills_a_struct_is_in_a_table() {
    let (filled, rows) = (filled(), rows());
    assert!(filled.len() > 80, "only {} functions were found", filled.len());
    let missing: Vec<_> = filled.difference(&rows).collect();
    assert!(missing.is_empty(), "in no table of tests/c/filled_*_test.c: {missing:#?}");
    // A row may be about a part of a struct, such as `stats.classes`.
    let is_whole = |(_, parameter): &&(String, String)| {
        !parameter.contains('.') || parameter.ends_with(".error")
    };
    let gone: Vec<_> = rows.difference(&filled).filter(is_whole).collect();
    assert!(gone.is_empty(), "in a table and filled by no function: {gone:#?}");
}

#[test]
fn every_exception_is_a_parameter() {
    let functions: BTreeMap<_, _> = functions().into_iter().collect();
    for (function, parameter) in CHANGED {
        let parameters =
            functions.get(function).unwrap_or_else(|| panic!("there is no {function}"));
        assert!(parameters.iter().any(|(name, _)| name == parameter), "{function}: no {parameter}");
    }
    for function in CHANGES_A_BUFFER {
        assert!(functions.contains_key(function), "there is no {function}");
    }
}

/// Structs that keep their size as long as the library's minor version is the same: objects, what
/// lies in an array or in another struct, and structs whose functions take no size. All others may
/// grow, so a function that takes one has to take its size too.
const FIXED: &[&str] = &[
    "aegis_arena",
    "aegis_arena_block",
    "aegis_arena_heap",
    "aegis_arena_local",
    "aegis_arena_mark",
    "aegis_arena_recycler",
    "aegis_arena_scope",
    "aegis_arena_stale_span",
    "aegis_budget_consumer",
    "aegis_buffer",
    "aegis_buffer_class",
    "aegis_buffer_class_stats",
    "aegis_buffer_mut",
    "aegis_buffer_owner",
    "aegis_buffer_pool",
    "aegis_error",
    "aegis_iovec",
    "aegis_keyed_pool",
    "aegis_lock_free_arena",
    "aegis_lock_free_pool",
    "aegis_locked_arena",
    "aegis_locked_arena_heap",
    "aegis_locked_pool",
    "aegis_page_cache",
    "aegis_page_error",
    "aegis_page_fault",
    "aegis_page_fault_counts",
    "aegis_page_faults",
    "aegis_page_pin",
    "aegis_page_read",
    "aegis_page_slab",
    "aegis_page_store",
    "aegis_page_write",
    "aegis_pool",
    "aegis_pool_cache",
    "aegis_pool_grid",
    "aegis_pool_slabs",
    "aegis_region",
    "aegis_source",
];

/// The functions of the library with a parameter that may grow, and that parameter.
fn sized() -> Vec<(&'static str, &'static str)> {
    let structs = structs();
    let mut found = Vec::new();
    for text in BINDINGS.split("    pub fn ").skip(1) {
        let (function, rest) = text.split_once('(').expect("a function has parameters");
        let list = rest.split_once(';').expect("a declaration ends").0;
        let parameters: Vec<_> =
            list.split(',').filter_map(|text| text.trim().split_once(": ")).collect();
        for (place, (parameter, of_type)) in parameters.iter().enumerate() {
            let to = pointee(of_type, "*mut ").or_else(|| pointee(of_type, "*const "));
            if !to.is_some_and(|name| structs.contains_key(name) && !FIXED.contains(&name)) {
                continue;
            }
            let next = parameters.get(place + 1);
            let has_size =
                next.is_some_and(|(name, of)| name.ends_with("_bytes") && of.starts_with("usize"));
            assert!(
                has_size && function.ends_with("_sized"),
                "{function}: `{parameter}` may grow, so its size must follow it, and the name must \
                 end with `_sized`; or its struct belongs into FIXED"
            );
            found.push((function, *parameter));
        }
    }
    found
}

#[test]
fn every_struct_that_may_grow_comes_with_its_size() {
    let sized = sized();
    assert!(sized.len() >= 29, "only {sized:?} were found");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("the file can be read");
    let headers: String = fs::read_dir(root.join("include/aegis_memory"))
        .expect("the headers can be listed")
        .map(|entry| fs::read_to_string(entry.expect("a header").path()).expect("a header"))
        .collect();
    // Users call an inline function, which no other can stand for: it passes the size of the
    // caller's struct.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (headers, rust) = (words(&headers), words(&read("src/ffi/sized.rs")));
    let test = read("tests/c/sized_structs_test.c");
    for (function, parameter) in sized {
        let plain = function.strip_suffix("_sized").expect("checked by sized()");
        let inline = headers
            .split("AEGIS_STATIC_INLINE ")
            .find(|text| text.split('(').next().is_some_and(|head| head.ends_with(plain)))
            .unwrap_or_else(|| panic!("the headers have no inline {plain}"));
        let body = inline.split_once('{').expect("it has a body").1;
        let call = body.split_once(&format!("{function}(")).map_or("", |(_, rest)| rest);
        let call = call.split_once(';').map_or("", |(call, _)| call);
        assert!(
            call.contains(&format!("{parameter}, sizeof *{parameter}")),
            "{plain}: {body:.200}"
        );
        assert!(rust.contains(&format!("fn {plain}(")), "src/ffi/sized.rs has no {plain}");
        assert!(test.contains(&format!("{function}(")), "sized_structs_test.c lacks {function}");
    }
}

#[test]
fn every_fixed_struct_is_a_struct() {
    let structs = structs();
    for name in FIXED {
        assert!(structs.contains_key(name), "there is no {name}");
    }
}
