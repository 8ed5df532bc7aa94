// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

/// A type of its own for each line, because the compiler reports a type once.
#[derive(Clone, Default)]
struct Value<const LINE: usize>;

#[cfg(not(corrected))]
impl<const LINE: usize> Drop for Value<LINE> {
    fn drop(&mut self) {}
}

fn main() {
    let arena = Arena::new(64);
    arena.alloc_value(Value::<1>); //~? E0080 src/arena/forms.rs
    _ = arena.try_alloc_value(Value::<2>); //~? E0080 src/arena/forms.rs
    arena.alloc_with(|| Value::<3>); //~? E0080 src/arena/forms.rs
    _ = arena.try_alloc_with(|| Value::<4>); //~? E0080 src/arena/forms.rs
    arena.alloc_slice_clone(&[Value::<5>]); //~? E0080 src/arena/forms.rs
    _ = arena.try_alloc_slice_clone(&[Value::<6>]); //~? E0080 src/arena/forms.rs
    arena.alloc_slice_fill(2, Value::<7>); //~? E0080 src/arena/forms.rs
    _ = arena.try_alloc_slice_fill(2, Value::<8>); //~? E0080 src/arena/forms.rs
    arena.alloc_slice_fill_with(2, |_| Value::<9>); //~? E0080 src/arena/forms.rs
    _ = arena.try_alloc_slice_fill_with(2, |_| Value::<10>); //~? E0080 src/arena/forms.rs
    arena.alloc_slice_from_iter([Value::<11>]); //~? E0080 src/arena/forms.rs
    _ = arena.try_alloc_slice_from_iter([Value::<12>]); //~? E0080 src/arena/forms.rs
    arena.alloc_slice_from_iter_rev([Value::<13>]); //~? E0080 src/arena/forms.rs
    _ = arena.try_alloc_slice_from_iter_rev([Value::<14>]); //~? E0080 src/arena/forms.rs
}
