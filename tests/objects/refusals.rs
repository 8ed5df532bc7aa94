// SPDX-License-Identifier: Apache-2.0
//! Tests that the numbers of a refusal add up, in the error and in its text. Random requests to
//! every kind of object run under small budgets, or in memory of a fixed size. What was needed and
//! what was in use are together more than the limit, and what was asked for is what the caller
//! asked for.

use aegis_memory::arena::{
    Arena, ArenaRecycler, FixedArena, LocalArena, LockFreeArena, LockedArena,
};
use aegis_memory::budget::{MemoryBudget, Reservation};
use aegis_memory::buffer::{Buffer, BufferMut, BufferPool, WhenEmpty};
use aegis_memory::pool::{LockFreePool, LockedPool, Pool};
use aegis_memory::AllocError;
use proptest::prelude::*;
use std::alloc::Layout;
use std::mem::MaybeUninit;

/// The number in front of the first occurrence of `words`.
fn number_before(text: &str, words: &str) -> Option<usize> {
    let end = text.find(words)?;
    let digits = text[..end].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    text[digits..end].parse().ok()
}

/// The number behind the first occurrence of `words`.
fn number_after(text: &str, words: &str) -> Option<usize> {
    let rest = &text[text.find(words)? + words.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Demands that the sizes add up to more than the limit.
#[track_caller]
fn adds_up(needed: usize, in_use: usize, limit: usize, text: &str) {
    assert!(needed as u128 + in_use as u128 > limit as u128, "{text}");
}

/// Checks the error of a call that asked for `asked` bytes.
#[track_caller]
fn check(error: &AllocError, asked: usize) {
    let text = error.to_string();
    match *error {
        AllocError::LimitExceeded { requested, needed, limit, in_use, ref refusal, .. } => {
            let refused = number_after(&text, " refused ").expect(&text);
            let says = number_after(&text, " for a request of ").unwrap_or(refused);
            assert_eq!((requested, says, refused), (asked, asked, needed), "{text}");
            assert_eq!(number_after(&text, ": limit "), Some(limit), "{text}");
            assert_eq!(number_before(&text, " bytes in use"), Some(in_use), "{text}");
            let budget = refusal.as_ref().expect("memory for the record").budget;
            assert_eq!((budget.limit_bytes, budget.used_bytes), (limit, in_use));
            adds_up(needed, in_use, limit, &text);
        }
        AllocError::Exhausted { requested, needed, capacity, in_use, blocks: 0, .. } => {
            assert_eq!(number_before(&text, " bytes requested"), Some(asked), "{text}");
            // The text names what was needed if the request alone would fit.
            let says = number_before(&text, " bytes needed");
            assert_eq!((requested, says.unwrap_or(needed)), (asked, needed), "{text}");
            let room = format!(", {in_use} of {capacity} bytes in use");
            assert!(text.ends_with(&room), "{text}");
            adds_up(says.unwrap_or(asked), in_use, capacity, &text);
        }
        AllocError::Exhausted { requested, needed, capacity, in_use, blocks, .. } => {
            let asked_blocks = number_before(&text, " block").expect(&text);
            let capacity_blocks = number_before(&text, " blocks in use").expect(&text);
            let (_, tail) = text.rsplit_once(", ").expect(&text);
            let in_use_blocks = number_before(tail, " of ").expect(&text);
            assert_eq!((requested, needed, blocks as usize), (asked, asked, asked_blocks));
            adds_up(asked_blocks, in_use_blocks, capacity_blocks, &text);
            adds_up(needed, in_use, capacity, &text);
        }
        _ => panic!("{text}"),
    }
}

/// Passes on what a call returned, or checks its error.
#[track_caller]
fn or_check<T>(result: Result<T, AllocError>, asked: usize) -> Option<T> {
    result.map_err(|error| check(&error, asked)).ok()
}

/// One random request: what it does depends on the object.
#[derive(Clone, Copy, Debug)]
struct Ask {
    what: u8,
    size: usize,
    align: usize,
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let size = prop_oneof![0_usize..64, 0_usize..2000, 0_usize..40_000];
    let ask = (any::<u8>(), size, 0_u32..8).prop_map(|(what, size, shift)| Ask {
        what,
        size,
        align: 8 << shift,
    });
    proptest::collection::vec(ask, 1..60)
}

/// A budget to charge, and a use beside it. Its limit, or that of its parent, is `limit`.
fn budget_of(limit: usize, which: u8) -> (MemoryBudget, Reservation) {
    let (of_parent, of_child) = match which % 3 {
        0 => (limit, MemoryBudget::UNLIMITED),
        1 => (MemoryBudget::UNLIMITED, limit),
        _ => (limit, limit.saturating_mul(2)),
    };
    let parent = MemoryBudget::new("parent", of_parent);
    let beside = parent.child("sibling", MemoryBudget::UNLIMITED).reserve(limit / 8);
    (parent.child("charged", of_child), beside)
}

/// Defines how an arena is driven.
macro_rules! drive_arena {
    ($name:ident, $Arena:ty) => {
        fn $name(arena: &$Arena, asks: &[Ask]) {
            for &Ask { what, size, align } in asks {
                match what % 4 {
                    0 => _ = or_check(arena.try_alloc(size), size),
                    1 => _ = or_check(arena.try_alloc_aligned(size, align), size),
                    2 => _ = or_check(arena.try_alloc_slice_fill(size, 7_u16), 2 * size),
                    _ => {
                        let layout = Layout::from_size_align(size, align).expect("it is valid");
                        _ = or_check(arena.try_alloc_layout(layout), size);
                    }
                }
            }
        }
    };
}

drive_arena!(drive_arena, Arena);
drive_arena!(drive_local, LocalArena<'_>);
drive_arena!(drive_lock_free, LockFreeArena);
drive_arena!(drive_locked, LockedArena);

/// Drives a pool of any form, and what is made of a lock-free one.
macro_rules! drive_pool {
    ($Pool:ident, $limit:expr, $which:expr, $asks:expr, |$pool:ident| $more:block) => {{
        let (budget, _beside) = budget_of($limit, $which);
        let (block, count) = (1 + usize::from($which) * 7, 1 + $limit / 997);
        let builder = $Pool::builder().block_size(block).blocks(count).max_blocks(count * 20);
        if let Some($pool) = or_check(builder.budget(&budget).build(), block * count) {
            let mut held = Vec::new();
            for &Ask { what, size, .. } in $asks {
                match what % 4 {
                    0 => held.extend(or_check($pool.alloc(), block)),
                    1 => _ = held.pop(),
                    _ => {
                        let asked = 1 + size / 200;
                        _ = or_check($pool.alloc_n(asked, &mut held), asked * block);
                    }
                }
            }
            // All that there is, until the pool refuses.
            while let Some(taken) = or_check($pool.alloc(), block) {
                held.push(taken);
            }
            $more
        }
    }};
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn arenas_refused_by_a_budget_add_up(
        limit in 0_usize..200_000,
        which in any::<u8>(),
        capacity in 0_usize..60_000,
        asks in asks(),
    ) {
        let (budget, _beside) = budget_of(limit, which);
        let builder = || {
            let builder = Arena::builder().capacity(capacity).budget(&budget);
            builder.debug_guard(which & 8 != 0).debug_own_blocks(which & 16 != 0)
        };
        if let Some(mut arena) = or_check(builder().build(), capacity) {
            drive_arena(&arena, &asks);
            arena.scope(|scope| drive_arena(scope, &asks[..asks.len() / 2]));
            arena.reset();
            drive_arena(&arena, &asks);
        }
        let locked = LockedArena::builder().capacity(capacity).budget(&budget);
        if let Some(locked) = or_check(locked.build(), capacity) {
            drive_locked(&locked, &asks);
        }
        let recycler = ArenaRecycler::builder().capacity(capacity).budget(&budget);
        let recycler = recycler.build().expect("nothing is charged yet");
        let taken: Vec<_> = (0..5).map_while(|_| or_check(recycler.try_get(), capacity)).collect();
        for arena in &taken {
            drive_arena(arena, &asks);
        }
    }

    #[test]
    fn shared_arenas_refused_by_a_budget_add_up(
        limit in 0_usize..200_000,
        which in any::<u8>(),
        capacity in 0_usize..60_000,
        asks in asks(),
    ) {
        let (budget, _beside) = budget_of(limit, which);
        let arena = LockFreeArena::builder().capacity(capacity).budget(&budget).build();
        if let Some(arena) = or_check(arena, capacity) {
            drive_local(&arena.local(), &asks);
            drive_lock_free(&arena, &asks);
        }
    }

    #[test]
    fn arenas_of_a_fixed_size_add_up(
        size in 0_usize..20_000,
        which in any::<u8>(),
        asks in asks(),
    ) {
        let mut memory = vec![MaybeUninit::uninit(); size];
        let mut arena = FixedArena::new(&mut memory[usize::from(which % 16).min(size)..]);
        drive_arena(&arena, &asks);
        arena.scope(|scope| {
            drive_arena(scope, &asks);
            drive_arena(&arena, &asks);
        });
        arena.reset();
        for &ask in &asks {
            drive_arena(&arena, &[ask; 3]);
        }
    }

    #[test]
    fn pools_refused_by_a_budget_add_up(
        limit in 0_usize..200_000,
        which in any::<u8>(),
        asks in asks(),
    ) {
        drive_pool!(Pool, limit, which, &asks, |pool| {});
        drive_pool!(LockedPool, limit, which, &asks, |pool| {});
        drive_pool!(LockFreePool, limit, which, &asks, |pool| {
            let cache = pool.cache();
            let block = pool.block_size();
            let taken: Vec<_> = (0..200).map_while(|_| or_check(cache.alloc(), block)).collect();
            drop(taken);
        });
    }

    #[test]
    fn buffers_refused_by_a_budget_add_up(
        limit in 0_usize..200_000,
        which in any::<u8>(),
        asks in asks(),
    ) {
        let (budget, _beside) = budget_of(limit, which);
        let mut held = Vec::new();
        let mut writer = BufferMut::with_capacity(0);
        for &Ask { what, size, align } in &asks {
            match what % 5 {
                0 => {
                    let bytes = vec![0; size];
                    _ = or_check(Buffer::try_copy_from_slice_in(&bytes, &budget), size);
                }
                1 => {
                    held.extend(or_check(BufferMut::try_with_capacity_in(size, align, &budget), size));
                }
                2 => _ = or_check(writer.try_reserve_in(size, &budget), size),
                3 => _ = or_check(budget.try_reserve(size), size),
                _ => {
                    if writer.try_extend_from_slice(&[0; 100]).is_err() {
                        _ = held.pop();
                    }
                }
            }
        }
    }

    #[test]
    fn buffer_pools_refused_by_a_budget_add_up(
        limit in 0_usize..600_000,
        which in any::<u8>(),
        asks in asks(),
    ) {
        let (budget, _beside) = budget_of(limit, which);
        let classes = [(100, 4), (3000, 3), (20_000, 2)];
        let policy = if which & 8 != 0 { WhenEmpty::Heap } else { WhenEmpty::Fail };
        let builder = BufferPool::builder().when_empty(policy).align(64 << (which % 7));
        let builder = classes.iter().fold(builder, |builder, &(size, count)| {
            builder.class_growing(size, count, count * 10)
        });
        match builder.budget(&budget).build() {
            Ok(pool) => {
                let taken: Vec<_> = asks
                    .iter()
                    .map(|ask| ask.size % 30_000)
                    .filter(|&size| size <= 20_000 || policy == WhenEmpty::Heap)
                    .map_while(|size| match pool.get(size) {
                        Err(error @ AllocError::Exhausted { requested, .. }) => {
                            assert!(requested >= size, "{error}");
                            check(&error, requested);
                            None
                        }
                        result => or_check(result, size),
                    })
                    .collect();
                drop(taken);
            }
            // The classes up to the one that was refused, or all of them.
            Err(error) => {
                let AllocError::LimitExceeded { requested, .. } = error else {
                    panic!("{error}");
                };
                let sums = [400, 9400, 49_400];
                assert!(sums.contains(&requested), "{error}");
                check(&error, requested);
            }
        }
        assert!(budget.used() <= limit);
    }
}
