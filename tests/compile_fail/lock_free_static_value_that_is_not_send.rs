// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::LockFreeArena;
use std::rc::Rc;

fn main() {
    LockFreeArena::new(64).alloc_static(Rc::new(1)); //~ E0277
}
