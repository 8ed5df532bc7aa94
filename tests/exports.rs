// SPDX-License-Identifier: Apache-2.0
//! The C core as `build.rs` compiles it must export nothing: all its functions are hidden, so
//! whatever the crate is linked into does not export them. Its public functions must be those of
//! `csrc/exports.txt` and those of the bindings.
//!
//! After a change of a header, and with fresh bindings, `AEGIS_BLESS=1 cargo test --test exports`
//! writes the list again.

#[path = "support/differ.rs"]
mod differ;

use differ::{assert_same, assert_same_text, differences};
use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

const BINDINGS: &str = include_str!("../src/bindings.rs");
const HEAD: &str = "# SPDX-License-Identifier: Apache-2.0\n\
                    # What the shared library exports: every public function, one a line, sorted.\n";

const MEND: &str = "\
After a header change, make the bindings anew, with libclang, and then the list:
  AEGIS_BLESS=1 cargo test --features bindgen --test bindings_fresh
  AEGIS_BLESS=1 cargo test --test exports";

/// The functions that the bindings declare.
fn bound() -> BTreeSet<&'static str> {
    let names = BINDINGS.split("pub fn ").skip(1).filter_map(|text| text.split('(').next());
    names.filter(|name| name.starts_with("aegis_")).collect()
}

#[test]
fn list_names_what_the_bindings_do() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("csrc/exports.txt");
    let names = bound().into_iter().map(|name| format!("{name}\n"));
    let fresh = HEAD.to_owned() + &names.collect::<String>();
    if env::var_os("AEGIS_BLESS").is_some() {
        fs::write(&path, &fresh).expect("csrc/exports.txt can be written");
    }
    let kept = fs::read_to_string(&path).expect("csrc/exports.txt can be read");
    assert_same_text(("csrc/exports.txt", &kept), ("src/bindings.rs", &fresh), MEND);
}

/// In Rust the text is the `Display` of `AllocError`.
#[test]
fn every_object_that_keeps_an_error_explains_it() {
    let names = bound();
    let objects: Vec<_> =
        names.iter().filter_map(|name| name.strip_suffix("_last_error")).collect();
    assert!(objects.len() >= 3, "only {objects:?} keep an error");
    for object in objects {
        assert!(names.contains(&*format!("{object}_explain")), "{object} has no _explain");
    }
}

/// The columns of `readelf -sW` are: number, value, size, type, binding, visibility, more columns
/// on some machines, section, name.
#[cfg(target_os = "linux")]
#[test]
fn every_symbol_of_the_core_is_hidden() {
    let library = concat!(env!("OUT_DIR"), "/libaegis_memory.a");
    let output = std::process::Command::new("readelf")
        .args(["-sW", library])
        .output()
        .expect("readelf comes with the linker");
    assert!(output.status.success(), "readelf cannot read {library}");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut public = BTreeSet::new();
    for line in text.lines() {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let &[_, _, _, _, "GLOBAL" | "WEAK", visibility, .., section, name] = &columns[..] else {
            continue;
        };
        // Names that begin with two underscores are the compiler's.
        if section == "UND" || name.starts_with("__") {
            continue;
        }
        assert!(name.starts_with("aegis_"), "{name} may be a name of the program too");
        assert!(matches!(visibility, "HIDDEN" | "INTERNAL"), "{name} is {visibility}");
        if !name.starts_with("aegis_i_") {
            public.insert(name);
        }
    }
    let list = |names: BTreeSet<&'static str>| Vec::from_iter(names);
    let public: Vec<&str> = public.into_iter().collect();
    assert_same(("the library", &public), ("src/bindings.rs", &list(bound())), MEND);
}

#[test]
fn only_lines_that_differ_are_named() {
    let of = |left: &str, right: &str| {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        differences("left", &lines(left), "right", &lines(right))
    };
    assert_eq!(of("a b c", "a b c"), "");
    assert_eq!(of("a b c d", "a c d"), "  only left (2): b\n");
    assert_eq!(of("a c", "a b c d"), "  only right (2): b\n  only right (4): d\n");
    assert_eq!(of("a b c", "a x c"), "  only left (2): b\n  only right (2): x\n");
    assert_eq!(
        of("a b c d e f", "b c x e f g"),
        "  only left (1): a\n  only left (4): d\n  only right (3): x\n  only right (6): g\n"
    );
    let all: String = (0..1000).map(|i| format!("{i} ")).collect();
    assert_eq!(of(&all, &all.replace(" 500 ", " ")), "  only left (501): 500\n");
}
