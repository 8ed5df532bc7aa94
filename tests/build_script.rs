// SPDX-License-Identifier: Apache-2.0
//! `build.rs` must link libatomic exactly where the core calls it, and find the standard library's
//! allocator trait exactly where the compiler lets the crate implement it. `csrc/meson.build` must
//! build the same files, and name the same version.
#![cfg(not(feature = "bindgen"))]

#[allow(dead_code)]
#[path = "../build.rs"]
mod build_script;
#[path = "support/compiler.rs"]
mod compiler;
#[path = "support/differ.rs"]
mod differ;

use build_script::{c_files, calls_libatomic, compiles, minor_version, part_of, Part, ALLOCATOR};
use compiler::compiler;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// The object that the target's compiler makes of a function that reads an atomic word of this
/// type.
fn object_of(name: &str, word: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("build_script");
    fs::create_dir_all(&dir).expect("the directory can be made");
    let (source, object) = (dir.join(format!("{name}.c")), dir.join(format!("{name}.o")));
    let text = format!(
        "#include <stdatomic.h>\n\
         typedef {word} word_type;\n\
         word_type take(_Atomic word_type *word);\n\
         word_type take(_Atomic word_type *word) {{ return atomic_load(word); }}\n"
    );
    fs::write(&source, text).expect("the source can be written");
    let mut command = compiler().to_command();
    let status = command.args(["-std=c11", "-g3", "-c", "-o"]).arg(&object).arg(&source).status();
    assert!(status.expect("the C compiler can be run").success());
    fs::read(&object).expect("the object can be read")
}

#[test]
fn version_is_that_of_the_compiler() {
    for (text, minor) in [
        (
            "rustc 1.75.0 (82e1608df 2023-12-21)\nbinary: rustc\nrelease: 1.75.0\nLLVM: 17.0.6\n",
            Some(75),
        ),
        ("release: 1.97.0-nightly", Some(97)),
        ("release: 1.80", Some(80)),
        ("release: 2.0.0", None),
        ("rustc 1.80.0", None),
        ("", None),
    ] {
        assert_eq!(minor_version(text), minor, "{text}");
    }
    let output = Command::new(env!("AEGIS_RUSTC")).arg("-vV").output().expect("rustc starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(minor_version(&text).is_some_and(|minor| minor >= 75), "{text}");
}

#[test]
fn part_is_what_the_target_can_have() {
    for (os, features, part) in [
        ("linux", "fxsr,sse,sse2", "all"),
        ("windows", "", "all"),
        ("emscripten", "", "all"),
        ("none", "mclass,thumb-mode,thumb2", "freestanding"),
        ("unknown", "", "freestanding"),
        ("unknown", "atomics,bulk-memory", "freestanding"),
        ("wasi", "bulk-memory", "one thread"),
        ("wasi", "atomics,bulk-memory", "all"),
    ] {
        let found = match part_of(os, features) {
            Part::All => "all",
            Part::OneThread => "one thread",
            Part::Freestanding => "freestanding",
        };
        assert_eq!(found, part, "{os} with {features:?}");
    }
}

/// With the compiler's feature the trait can be used as if it were stable.
#[test]
fn allocator_trait_is_found_where_it_can_be_implemented() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("has_allocator");
    fs::create_dir_all(&out).expect("the directory can be made");
    let mut rustc = Command::new(env!("AEGIS_RUSTC"));
    rustc.arg("-Zcrate-attr=feature(allocator_api)").env("RUSTC_BOOTSTRAP", "1");
    // The user's RUSTFLAGS may forbid what the program does.
    rustc.args(["-Dmissing_docs", "-Funsafe_code", "-Dwarnings"]);
    assert!(compiles(rustc, &out, ALLOCATOR));
    let mut rustc = Command::new(env!("AEGIS_RUSTC"));
    rustc.arg("-Zcrate-attr=no_core").env("RUSTC_BOOTSTRAP", "1");
    assert!(!compiles(rustc, &out, ALLOCATOR));
    assert!(!compiles(Command::new("no such compiler"), &out, ALLOCATOR));
}

#[test]
fn names_are_known_in_any_format() {
    for name in
        ["__atomic_load_8", "__atomic_fetch_add_16", "__atomic_exchange", "___atomic_load_8"]
    {
        assert!(calls_libatomic(format!("\0first\0{name}\0last\0").as_bytes()), "{name}");
    }
    for name in ["__atomic_load_ptr", "atomic_load_8", "my__atomic_load_8", "__aarch64_cas8_acq"] {
        assert!(!calls_libatomic(format!("\0first\0{name}\0last\0").as_bytes()), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn object_that_calls_libatomic_is_told_from_one_that_does_not() {
    assert!(!calls_libatomic(&object_of("four", "unsigned int")));
    assert!(calls_libatomic(&object_of("many", "struct { char bytes[64]; }")));
}

/// Reads the symbols of the library as the linker does, while `build.rs` searches its bytes.
#[cfg(target_os = "linux")]
#[test]
fn core_is_linked_with_libatomic_where_it_calls_it() {
    let library = concat!(env!("OUT_DIR"), "/libaegis_memory.a");
    let output = Command::new("readelf").args(["-sW", library]).output();
    let output = output.expect("readelf comes with the linker");
    assert!(output.status.success(), "readelf cannot read {library}");
    let symbols = String::from_utf8_lossy(&output.stdout);
    let calls = symbols.lines().any(|line| line.contains(" UND __atomic_"));
    let expected = if calls { "-latomic" } else { "" };
    assert_eq!(env!("AEGIS_PRIVATE_LIBRARIES"), expected);
}

/// CMake takes every file that it finds, and so does `build.rs`. Meson wants a list.
#[test]
fn meson_builds_the_same_files_and_names_the_same_version() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let meson = fs::read_to_string(root.join("csrc/meson.build")).expect("the file");
    let (_, rest) = meson.split_once("foreach name : [\n").expect("the list of sources");
    let (list, _) = rest.split_once("]\n").expect("its end");
    let listed: Vec<_> = list.lines().map(|line| line.trim_matches([' ', '\'', ','])).collect();
    let csrc = root.join("csrc");
    let mut files: Vec<_> = c_files(&csrc)
        .iter()
        .map(|path| path.strip_prefix(&csrc).expect("a file of csrc").to_owned())
        .map(|path| path.to_str().expect("a plain name").replace('\\', "/"))
        .collect();
    files.sort();
    let mend = "Each C file of csrc has its line in csrc/meson.build, in this order.";
    differ::assert_same(("csrc", &files), ("csrc/meson.build", &listed), mend);
    let version = format!("version : '{}'", env!("CARGO_PKG_VERSION"));
    assert!(meson.contains(&version), "csrc/meson.build has no {version}");
}
