// SPDX-License-Identifier: Apache-2.0
//! Compiles the C rivals and their loops, and links them with APR and talloc. Tells the crate which
//! compilers build it, because counts of instructions depend on them.

use std::env;
use std::path::Path;
use std::process::Command;

/// The first two parts of the version that a compiler prints: the last version of its first line
/// that is not in brackets.
fn version_of(compiler: &Path) -> String {
    let output = Command::new(compiler).arg("--version").output().expect("the compiler runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().unwrap_or_default();
    let plain: String = line.split('(').flat_map(|part| part.rsplit(')').next()).collect();
    let is_version = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let version = plain.split_whitespace().rfind(is_version).unwrap_or_default();
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

fn name_compilers() {
    let machine = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets this").replace('_', "-");
    let rustc = version_of(Path::new(&env::var_os("RUSTC").expect("cargo sets RUSTC")));
    let c = cc::Build::new().get_compiler();
    let name = if c.is_like_clang() { "clang" } else { "gcc" };
    let c = version_of(c.path());
    println!("cargo:rustc-env=COMPARE_COMPILERS={machine}, Rust {rustc}, {name} {c}");
}

fn main() {
    println!("cargo:rerun-if-changed=c");
    name_compilers();
    let include = env::var("DEP_AEGIS_MEMORY_INCLUDE").expect("aegis-memory exports its headers");
    let mut loops = cc::Build::new();
    loops
        .files(["c/pairs.c", "c/rivals.c"])
        .include(include)
        .std("gnu11")
        .opt_level(2)
        .warnings(true);
    for (library, package) in [("apr-1", "libapr1-dev"), ("talloc", "libtalloc-dev")] {
        let found = pkg_config::Config::new()
            .cargo_metadata(false)
            .probe(library)
            .unwrap_or_else(|_| panic!("{library} is missing: install Debian's {package}"));
        loops.includes(&found.include_paths);
        for (name, value) in &found.defines {
            loops.define(name, value.as_deref());
        }
    }
    // This library must come before the libraries that it needs.
    loops.compile("rivals");
    println!("cargo:rustc-link-lib=apr-1");
    println!("cargo:rustc-link-lib=talloc");
}
