// SPDX-License-Identifier: Apache-2.0
//! Tests that objects can be charged to another budget. The oracle knows the budget of each object,
//! and asks the object what it has reserved. So after each step it knows what each budget must have
//! in use. A move that is refused must change nothing.

use std::ptr::NonNull;
use std::sync::Arc;
use std::thread;

use aegis_memory::arena::{Arena, ArenaRecycler, LockFreeArena, LockedArena};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::pool::{Block, LockFreePool, LockedPool, Pool};
use aegis_memory::AllocError;

/// An object that can move, as the tests use it.
trait Object {
    fn held(&self) -> usize;
    fn work(&mut self, size: usize);
    fn try_move(&mut self, to: Option<&MemoryBudget>) -> Result<(), AllocError>;
}

macro_rules! arena_objects {
    ($($arena:ty),*) => {$(
        impl Object for $arena {
            fn held(&self) -> usize {
                self.stats().reserved_bytes
            }
            fn work(&mut self, size: usize) {
                if size % 7 == 0 {
                    self.clear();
                } else {
                    _ = self.try_alloc(size);
                }
            }
            fn try_move(&mut self, to: Option<&MemoryBudget>) -> Result<(), AllocError> {
                self.try_move_to(to)
            }
        }
    )*};
}
arena_objects!(Arena, LockFreeArena, LockedArena);

/// A pool beside the blocks that are out.
struct Blocks<P> {
    pool: P,
    out: Vec<NonNull<[u8]>>,
}

macro_rules! pool_objects {
    ($($pool:ty),*) => {$(
        impl Object for Blocks<$pool> {
            fn held(&self) -> usize {
                self.pool.stats().reserved_bytes
            }
            fn work(&mut self, size: usize) {
                if size % 5 == 0 {
                    for block in self.out.drain(..) {
                        // SAFETY: a block of this pool, given back once.
                        drop(unsafe { Block::<_, u8>::from_raw(&self.pool, block.cast()) });
                    }
                    self.pool.trim(0);
                } else {
                    self.out.extend(self.pool.alloc().map(Block::into_raw));
                }
            }
            fn try_move(&mut self, to: Option<&MemoryBudget>) -> Result<(), AllocError> {
                self.pool.try_move_to(to)
            }
        }

        impl Blocks<$pool> {
            fn boxed() -> Box<dyn Object> {
                let pool = <$pool>::builder().block_size(3000).blocks(2).max_blocks(12).build();
                Box::new(Self { pool: pool.expect("memory for a slab"), out: Vec::new() })
            }
        }
    )*};
}
pool_objects!(Pool, LockFreePool, LockedPool);

/// One object of each kind that has an owner.
fn objects() -> Vec<Box<dyn Object>> {
    vec![
        Box::new(Arena::default()),
        Box::new(LockFreeArena::default()),
        Box::new(LockedArena::default()),
        Blocks::<Pool>::boxed(),
        Blocks::<LockFreePool>::boxed(),
        Blocks::<LockedPool>::boxed(),
    ]
}

/// xorshift64: the same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }
}

const PARENTS: [Option<usize>; 4] = [None, Some(0), Some(0), Some(1)];

fn ways_up(budget: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(budget), |budget| PARENTS[*budget])
}

#[test]
fn random_moves_agree_with_the_oracle() {
    let limits = [250_000, 150_000, 60_000, 40_000];
    let root = MemoryBudget::new("0", limits[0]);
    let one = root.child("1", limits[1]);
    let tree = [root.clone(), one.clone(), root.child("2", limits[2]), one.child("3", limits[3])];
    let mut objects: Vec<_> = objects().into_iter().map(|object| (object, None)).collect();
    let mut random = Random(7);
    let (mut moved, mut refused) = (0, 0);
    for _ in 0..4000 {
        let number = random.below(objects.len());
        if random.below(3) != 0 {
            objects[number].0.work(random.below(20_000));
        } else {
            let used: Vec<_> = tree.iter().map(MemoryBudget::used).collect();
            let to = Some(random.below(tree.len() + 1)).filter(|to| *to < tree.len());
            let (object, at) = &mut objects[number];
            let (held, from) = (object.held(), *at);
            let above = |up: &usize| from.is_some_and(|from| ways_up(from).any(|a| a == *up));
            let full = to.into_iter().flat_map(ways_up).take_while(|up| !above(up));
            let full = full.filter(|_| held != 0).find(|up| used[*up] + held > limits[*up]);
            match (object.try_move(to.map(|to| &tree[to])), full) {
                (Ok(()), None) => {
                    *at = to;
                    moved += 1;
                }
                (
                    Err(AllocError::LimitExceeded { refusal: Some(refusal), needed, .. }),
                    Some(full),
                ) => {
                    assert_eq!(refusal.budget.name, *full.to_string());
                    assert_eq!(needed, held);
                    refused += 1;
                }
                (result, full) => panic!("{result:?} but {full:?} refuses"),
            }
            assert_eq!(object.held(), held);
        }
        for (budget, expected) in tree.iter().enumerate() {
            let here = |at: &Option<usize>| at.is_some_and(|at| ways_up(at).any(|a| a == budget));
            let sum: usize =
                objects.iter().filter(|(_, at)| here(at)).map(|(object, _)| object.held()).sum();
            assert_eq!(expected.used(), sum);
        }
    }
    assert!(moved > 500 && refused > 10, "{moved} moved, {refused} refused");
    drop(objects);
    assert_eq!(root.used(), 0);
}

#[test]
fn object_keeps_its_new_budget_and_no_longer_the_old_one() {
    for mut object in objects() {
        let root = MemoryBudget::new("root", MemoryBudget::UNLIMITED);
        let (old, new) = (root.child("old", 1 << 20), root.child("new", 1 << 20));
        object.try_move(Some(&old)).unwrap();
        object.work(100);
        drop(old);
        assert_eq!(root.snapshot().len(), 3);
        object.try_move(Some(&new)).unwrap();
        drop(new);
        assert_eq!((root.snapshot().len(), root.used()), (2, object.held()));
        object.try_move(None).unwrap();
        assert_eq!((root.snapshot().len(), root.used()), (1, 0));
    }
}

#[test]
#[should_panic(expected = "budget 'small' refused")]
fn refused_move_panics_with_the_explanation() {
    let mut arena = Arena::new(1000);
    arena.move_to(&MemoryBudget::new("small", 10));
}

#[test]
fn pool_moves_with_its_blocks_out() {
    let (old, new) = (MemoryBudget::new("old", 1 << 20), MemoryBudget::new("new", 1 << 20));
    let pool = Pool::builder().block_size(100).blocks(10).budget(&old).build().unwrap();
    let block = pool.alloc().unwrap();
    let reserved = pool.stats().reserved_bytes;
    pool.move_to(&new);
    assert_eq!((old.used(), new.used()), (0, reserved));
    drop(block);
    let mut values = aegis_memory::pool::TypedPool::<u64>::new(10);
    values.move_to(&old);
    assert_eq!(old.used(), values.stats().reserved_bytes);
    drop((pool, values));
    assert_eq!((old.used(), new.used()), (0, 0));
}

#[test]
fn stock_of_a_recycler_moves_and_arenas_that_are_out_follow() {
    let root = MemoryBudget::new("root", 1 << 20);
    let (old, new) = (root.child("old", 1 << 20), root.child("new", 1 << 20));
    let recycler = ArenaRecycler::builder().capacity(1000).max_idle(2).budget(&old);
    let recycler = recycler.keep_bytes(1 << 16).build().unwrap();
    let (first, second) = (recycler.get(), recycler.get());
    drop(first);
    let each = second.stats().reserved_bytes;
    assert_eq!((old.used(), new.used()), (2 * each, 0));
    recycler.move_to(&new);
    assert_eq!((old.used(), new.used()), (each, each));
    drop(second);
    assert_eq!((old.used(), new.used(), recycler.stats().idle_count), (0, 2 * each, 2));
    // An arena that is out can move by itself. It comes back only if its home has room.
    let mut away = recycler.get();
    away.move_to(&old);
    assert_eq!((old.used(), new.used()), (each, each));
    new.set_limit(each);
    drop(away);
    assert_eq!((old.used(), new.used(), recycler.stats().idle_count), (0, each, 1));
    old.set_limit(each - 1);
    assert!(recycler.try_move_to(&old).is_err());
    assert_eq!((old.used(), new.used(), recycler.stats().out_count), (0, each, 0));
    drop(recycler);
    assert_eq!((root.used(), root.peak()), (0, 2 * each));
}

#[test]
fn recycler_moves_while_threads_use_it() {
    let root = MemoryBudget::new("root", 1 << 24);
    let budgets = [root.child("a", 1 << 22), root.child("b", 40_000), root.child("c", 1 << 22)];
    let recycler = ArenaRecycler::builder().max_idle(3).keep_bytes(1 << 16).budget(&budgets[0]);
    let recycler = Arc::new(recycler.build().unwrap());
    thread::scope(|scope| {
        for number in 0..3 {
            let (recycler, budgets) = (&recycler, &budgets);
            scope.spawn(move || {
                for round in 0..1500_usize {
                    let Ok(mut arena) = recycler.try_get() else { continue };
                    _ = arena.try_alloc(round % 3000);
                    if round % 5 == 0 {
                        _ = arena.try_move_to(&budgets[(round + number) % 3]);
                    }
                    if round % 11 == number {
                        _ = recycler.try_move_to(&budgets[round % 3]);
                    }
                }
            });
        }
    });
    assert_eq!(recycler.stats().out_count, 0);
    let used: Vec<_> = budgets.iter().map(MemoryBudget::used).collect();
    assert!(used.iter().filter(|used| **used != 0).count() <= 1, "{used:?}");
    recycler.trim(0);
    assert_eq!(root.used(), 0);
}
