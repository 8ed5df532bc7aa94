// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::LockFreeArena;

fn main() {
    LockFreeArena::new(64).alloc_value(String::from("leaked"));
}
