// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    #[cfg(not(corrected))]
    Arena::new(64).with_min_align::<24>().alloc(1); //~? E0080 src/arena/aligned.rs
    #[cfg(corrected)]
    Arena::new(64).with_min_align::<32>().alloc(1);
}
