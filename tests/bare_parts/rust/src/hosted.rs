// SPDX-License-Identifier: Apache-2.0
//! The program on a system that has `std`.

#[cfg(not(target_os = "none"))]
fn main() {
    bare::program();
    println!("rust: all checks passed");
}
