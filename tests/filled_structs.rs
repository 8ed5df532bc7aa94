// SPDX-License-Identifier: Apache-2.0
//! Every C function that fills a struct of the caller must stand in the tables of
//! `tests/c/filled_*_test.c`, which check that it fills the whole struct. This test finds the
//! functions by the pointers in their bindings.

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
        || place == 0 && of_object && !is_buffer && !function.ends_with("_init")
}

/// Whether the options have an error record, which the function fills when it fails.
fn has_error(structs: &BTreeMap<&str, Vec<&str>>, name: &str) -> bool {
    structs.get(name).is_some_and(|types| {
        types.iter().any(|of_type| *of_type == "*mut aegis_error" || has_error(structs, of_type))
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
    for name in ["structs", "errors", "pool_errors", "objects"] {
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
