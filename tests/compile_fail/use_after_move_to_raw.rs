// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let arena = Arena::new(64);
    let value = arena.alloc_static(String::new());
    let _raw = arena.into_raw(); //~ E0505
    value.push('x');
}
