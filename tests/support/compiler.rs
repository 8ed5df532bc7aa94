// SPDX-License-Identifier: Apache-2.0
//! The C compiler of tests that compile C.

/// The target's compiler. What cargo tells build scripts, but not tests, build.rs passes on.
pub fn compiler() -> cc::Tool {
    cc::Build::new()
        .target(env!("AEGIS_TARGET"))
        .host(env!("AEGIS_HOST"))
        .opt_level(1)
        .debug(true)
        .cargo_metadata(false)
        .try_get_compiler()
        .expect("a C compiler is installed")
}
