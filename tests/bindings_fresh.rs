// SPDX-License-Identifier: Apache-2.0
//! The checked-in bindings must be what bindgen makes of the headers today.
//!
//! The test runs with `--features bindgen`, because that build has just generated them. After a
//! change of a header, `AEGIS_BLESS=1 cargo test --features bindgen --test bindings_fresh` writes
//! the new file.

#[path = "support/differ.rs"]
mod differ;

use std::{env, fs, path::Path};

#[test]
fn bindings_match_the_headers() {
    let fresh = include_str!(concat!(env!("OUT_DIR"), "/bindings.rs"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bindings.rs");
    if env::var_os("AEGIS_BLESS").is_some() {
        fs::write(&path, fresh).expect("src/bindings.rs can be written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    differ::assert_same_text(
        ("src/bindings.rs", &kept),
        ("the headers", fresh),
        "Write src/bindings.rs anew, and commit it:\n  \
         AEGIS_BLESS=1 cargo test --features bindgen --test bindings_fresh",
    );
}
