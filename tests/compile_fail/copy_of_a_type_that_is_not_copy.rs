// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    Arena::new(64).alloc_slice_copy(&[String::new()]); //~ E0277
}
