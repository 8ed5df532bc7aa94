// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;
use aegis_memory::source::Heap;

fn main() {
    let heap = Heap;
    let _arena = Arena::builder().source(&heap).build(); //~ E0597
}
