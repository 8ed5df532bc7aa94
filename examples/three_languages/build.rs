// SPDX-License-Identifier: Apache-2.0
//! Compiles the parts in C and in C++ with the headers that aegis-memory's build script names. The
//! library itself comes with the crate.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=src");
    let include = env::var("DEP_AEGIS_MEMORY_INCLUDE").expect("aegis-memory exports its headers");
    let build = || {
        let mut build = cc::Build::new();
        // The crate links the static library, whose functions no library or program exports.
        build.include(&include).define("AEGIS_STATIC", None).warnings(true);
        build
    };
    build().file("src/parse.c").std("c11").compile("parse");
    build().file("src/sort.cpp").cpp(true).std("c++17").compile("sort");
}
