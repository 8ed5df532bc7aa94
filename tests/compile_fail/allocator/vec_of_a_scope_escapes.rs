// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;
use allocator_api2::vec::Vec;

fn main() {
    let arena = Arena::new(64);
    let length = arena.scope(|scope| {
        let mut numbers = Vec::new_in(scope);
        numbers.push(1);
        #[cfg(corrected)]
        return numbers.len();
        #[cfg(not(corrected))]
        numbers //~ ERROR
    });
    drop(length);
}
