// SPDX-License-Identifier: Apache-2.0
//! Lets a test call cargo with the features, the profile, the target and the folder of the cargo
//! that runs the test. So cargo does not build again what it has already built.

use std::env::consts::EXE_SUFFIX;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

const FEATURES: &[(&str, bool)] = &[
    ("default", cfg!(feature = "default")),
    ("std", cfg!(feature = "std")),
    ("allocator-api2", cfg!(feature = "allocator-api2")),
    ("allocator-api2-03", cfg!(feature = "allocator-api2-03")),
    ("allocator-api2-04", cfg!(feature = "allocator-api2-04")),
    ("allocator-api2-nightly", cfg!(feature = "allocator-api2-nightly")),
    ("nightly", cfg!(feature = "nightly")),
    ("collections", cfg!(feature = "collections")),
    ("hashbrown", cfg!(feature = "hashbrown")),
    ("arrow", cfg!(feature = "arrow")),
    ("bytes", cfg!(feature = "bytes")),
    ("bindgen", cfg!(feature = "bindgen")),
    ("valgrind", cfg!(feature = "valgrind")),
    ("debug", cfg!(feature = "debug")),
    ("serde", cfg!(feature = "serde")),
];

/// The folder `target/<profile>` or `target/<triple>/<profile>`. The test itself is in `deps` in
/// that folder.
pub fn profile() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    test.ancestors().nth(2).expect("tests lie in a folder of the profile's").to_owned()
}

/// `cargo <subcommand>` for this package.
pub fn command(subcommand: &str) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").expect("cargo runs its tests"));
    cargo.arg(subcommand);
    cargo.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    let profile = profile();
    let mut target = profile.parent().expect("target/<profile>");
    if target.ends_with(env!("AEGIS_TARGET")) {
        cargo.args(["--target", env!("AEGIS_TARGET")]);
        target = target.parent().expect("target/<triple>/<profile>");
    }
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    cargo.arg("--target-dir").arg(target).arg("--no-default-features");
    for (name, _) in FEATURES.iter().filter(|(_, enabled)| *enabled) {
        cargo.args(["--features", name]);
    }
    cargo
}

/// The path of an example, `target/<profile>/examples/<name>`. If cargo was asked for tests only, it
/// has not built the example; then this function asks cargo to build it.
#[allow(dead_code)] // not every test starts one
pub fn example(name: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let example = profile().join("examples").join(format!("{name}{EXE_SUFFIX}"));
    if !example.exists() {
        let mut cargo = command("build");
        cargo.args(["--quiet", "--example", name]);
        assert!(cargo.status().expect("cargo starts").success(), "the example does not build");
    }
    assert!(example.exists(), "{} is missing: cargo test builds it", example.display());
    example
}
