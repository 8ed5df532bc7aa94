// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    #[cfg(not(corrected))]
    Arena::new(64).alloc_slice_from_iter([Some(Box::new(1))]); //~? E0080 src/arena/forms.rs
    #[cfg(corrected)]
    Arena::new(64).alloc_slice_from_iter([Some(1)]);
}
