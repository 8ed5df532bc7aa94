// SPDX-License-Identifier: Apache-2.0
//! Compiles the C rivals and their loops, and links them with APR and talloc.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=c");
    let include = env::var("DEP_AEGIS_MEMORY_INCLUDE").expect("aegis-memory exports its headers");
    let mut loops = cc::Build::new();
    loops.file("c/rivals.c").include(include).std("gnu11").opt_level(2).warnings(true);
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
