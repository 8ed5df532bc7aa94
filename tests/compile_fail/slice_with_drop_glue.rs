// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    #[cfg(not(corrected))]
    Arena::new(64).alloc_slice_fill_with(2, |i| vec![i]); //~? E0080 src/arena/forms.rs
    #[cfg(corrected)]
    Arena::new(64).alloc_slice_fill_with(2, |i| i);
}
