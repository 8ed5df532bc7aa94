// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;
use std::rc::Rc;

fn main() {
    Arena::new(64).alloc_static(Rc::new(1)); //~ E0277
}
