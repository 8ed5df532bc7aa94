// SPDX-License-Identifier: Apache-2.0
//! The C compiler for tests that compile C.

/// The target's compiler. cargo tells build scripts what is needed for this, but not tests, so
/// `build.rs` passes it on.
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
