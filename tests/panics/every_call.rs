// SPDX-License-Identifier: Apache-2.0
//! Tests panics of user code that the core has called. A panic must come out of the call that led
//! to it, and of no other call. The tests go through every object, every call, and every place
//! where user code can panic.

use crate::executor::{poll_once, Calls};
use crate::support::panics::*;
use crate::support::{message_of, panic_of};
use aegis_memory::arena::{Arena, ArenaRecycler, LockFreeArena, LockedArena};
use aegis_memory::buffer::{Buffer, BufferChain, BufferPool};
use aegis_memory::pool::{LockFreePool, LockedPool, Pool, TypedPool};
use std::alloc::Layout;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

/// Makes an object, lets `what` panic during `call`, and demands that the panic comes out of that
/// call and of no other.
#[track_caller]
fn check<T>(what: u8, make: impl FnOnce(&Switch) -> T, call: impl FnOnce(&mut T)) {
    const MESSAGES: [&str; 5] = ["", "acquire", "release", "close", "drop"];
    let switch = Switch::default();
    let mut object = make(&switch);
    switch.set(what);
    let result = catch_unwind(AssertUnwindSafe(|| call(&mut object)));
    switch.set(NOTHING);
    let message = result.err().map(|payload| message_of(&*payload));
    assert_eq!(message.as_deref(), Some(MESSAGES[usize::from(what)]));
    bystanders();
    drop(object);
}

/// Drops the object while `what` panics.
#[track_caller]
fn check_drop<T>(what: u8, make: impl FnOnce(&Switch) -> T) {
    check(what, |switch| Some(make(switch)), |object| drop(object.take()));
}

macro_rules! arena_calls {
    ($name:ident, $Arena:ident) => {
        #[test]
        fn $name() {
            let empty =
                |switch: &Switch| $Arena::builder().source(switch.source()).build().unwrap();
            let full = |switch: &Switch| {
                let arena = empty(switch);
                (0..4).for_each(|_| arena.alloc(50_000).fill(1));
                arena
            };
            let with_values = |switch: &Switch| {
                let arena = full(switch);
                (0..3).for_each(|_| _ = arena.alloc_static(switch.value()));
                arena
            };
            check(ACQUIRE, empty, |arena| _ = arena.alloc(10));
            check(ACQUIRE, empty, |arena| _ = arena.try_alloc_uninit(10));
            check(ACQUIRE, empty, |arena| _ = arena.alloc_aligned(10, 4096));
            check(ACQUIRE, empty, |arena| _ = arena.alloc_layout(Layout::new::<u64>()));
            check(ACQUIRE, empty, |arena| _ = arena.alloc_value(1_u8));
            check(ACQUIRE, empty, |arena| _ = arena.alloc_boxed(String::from("boxed")));
            check(ACQUIRE, empty, |arena| _ = arena.alloc_static(String::from("static")));
            check(ACQUIRE, empty, |arena| _ = arena.alloc_pinned(String::from("pinned")));
            check(ACQUIRE, empty, |arena| _ = arena.alloc_try_with(|| Ok::<_, ()>([1_u8; 99])));
            check(ACQUIRE, empty, |arena| {
                _ = arena.alloc_boxed_slice_from_iter((0..9).map(|n| n.to_string()));
            });
            check(ACQUIRE, empty, |arena| _ = arena.alloc_str("text"));
            check(ACQUIRE, empty, |arena| _ = arena.alloc_fmt(format_args!("{}{}", 1, 2)));
            check(ACQUIRE, empty, |arena| _ = arena.alloc_slice_fill(9, 1_u64));
            check(ACQUIRE, full, |arena| {
                arena.alloc_slice_from_iter((0..200_000).filter(|i| i % 2 == 0));
            });
            check(ACQUIRE, Switch::clone, |switch| {
                _ = $Arena::builder().capacity(1).source(switch.source()).build();
            });
            check(RELEASE, full, |arena| arena.clear());
            check(RELEASE, full, |arena| {
                arena.reset();
                arena.trim(0);
            });
            check_drop(RELEASE, full);
            check_drop(CLOSE, full);
            check_drop(CLOSE, |switch| $Arena::builder().source(switch.source()));
            check(DROP, with_values, |arena| arena.reset());
            check(DROP, with_values, |arena| arena.clear());
            check_drop(DROP, with_values);
        }
    };
}

arena_calls!(every_call_of_an_arena, Arena);
arena_calls!(every_call_of_a_lock_free_arena, LockFreeArena);
arena_calls!(every_call_of_a_locked_arena, LockedArena);

#[test]
fn arenas_with_own_blocks_and_scopes() {
    let own_blocks = |switch: &Switch| {
        let builder = Arena::builder().debug_own_blocks(true).source(switch.source());
        let arena = builder.build().unwrap();
        (0..3).for_each(|_| _ = arena.alloc(10));
        arena
    };
    check(RELEASE, own_blocks, |arena| arena.reset());
    check(RELEASE, own_blocks, |arena| arena.clear());
    check_drop(RELEASE, own_blocks);
    check(RELEASE, own_blocks, |arena| arena.scope(|scratch| _ = scratch.alloc(10)));
    check(ACQUIRE, own_blocks, |arena| arena.scope(|scratch| _ = scratch.alloc(10)));
    check(
        DROP,
        |switch| (own_blocks(switch), switch.clone()),
        |(arena, switch)| {
            arena.scope(|scratch| _ = scratch.alloc_static(switch.value()));
        },
    );
}

#[test]
fn handles_and_recyclers() {
    let shared =
        |switch: &Switch| LockFreeArena::builder().source(switch.source()).build().unwrap();
    check(ACQUIRE, shared, |arena| _ = arena.local().alloc(10));
    check(
        DROP,
        |switch| (shared(switch), switch.clone()),
        |(arena, switch)| {
            arena.local().alloc_static(switch.value());
        },
    );

    let recycler = |switch: &Switch| {
        let builder = ArenaRecycler::builder().max_idle(2).keep_bytes(1 << 20);
        Arc::new(builder.capacity(100).source(switch.source()).build().unwrap())
    };
    let stocked = |switch: &Switch| {
        let recycler = recycler(switch);
        drop((recycler.get(), recycler.get()));
        recycler
    };
    check(ACQUIRE, recycler, |recycler| _ = recycler.try_get());
    check(ACQUIRE, recycler, |recycler| _ = recycler.get_owned());
    check(ACQUIRE, stocked, |recycler| _ = recycler.get().alloc(1 << 16));
    check(RELEASE, stocked, |recycler| recycler.trim(0));
    check_drop(RELEASE, stocked);
    check_drop(CLOSE, stocked);
    check(
        RELEASE,
        |switch| recycler(switch).get_owned(),
        |arena| {
            arena.alloc(1 << 16);
            arena.reset();
            arena.trim(0);
        },
    );
    // The arena that the guard gives back is too large for the stock to keep.
    check_drop(RELEASE, |switch| {
        let arena = recycler(switch).get_owned();
        arena.alloc(4 << 20);
        arena
    });
    check_drop(DROP, |switch| {
        let arena = recycler(switch).get_owned();
        arena.alloc_static(switch.value());
        arena
    });
    check(
        DROP,
        |switch| (recycler(switch).get_owned(), switch.clone()),
        |(arena, switch)| {
            arena.alloc_static(switch.value());
            arena.reset();
        },
    );
}

macro_rules! pool_calls {
    ($name:ident, $Pool:ident) => {
        #[test]
        fn $name() {
            let pool = |switch: &Switch| small($Pool::builder(), switch);
            check(ACQUIRE, pool, |pool| {
                let _all = [pool.alloc().unwrap(), pool.alloc().unwrap()];
                _ = pool.alloc();
            });
            check(ACQUIRE, pool, |pool| {
                let _all = [pool.alloc().unwrap(), pool.alloc().unwrap()];
                _ = pool.alloc_uninit();
            });
            check(ACQUIRE, pool, |pool| _ = pool.alloc_n(5, &mut Vec::new()));
            check(ACQUIRE, pool, |pool| _ = pool.alloc_uninit_n(5, &mut Vec::new()));
            check(ACQUIRE, Switch::clone, |switch| _ = small($Pool::builder(), switch));
            check(ACQUIRE, Switch::clone, |switch| {
                let builder = $Pool::builder().blocks(2).source(switch.source());
                _ = builder.build_typed::<u64>();
            });
            let grown = |switch: &Switch| {
                let pool = pool(switch);
                pool.alloc_n(8, &mut Vec::new()).unwrap();
                pool
            };
            check(RELEASE, grown, |pool| pool.trim(0));
            check_drop(RELEASE, grown);
            check_drop(CLOSE, pool);
            check_drop(CLOSE, |switch| $Pool::builder().source(switch.source()));
            let typed = |switch: &Switch| {
                let builder = $Pool::builder().blocks(1).max_blocks(2).source(switch.source());
                let pool: TypedPool<Value, $Pool> = builder.build_typed().unwrap();
                (pool, switch.clone())
            };
            check(ACQUIRE, typed, |(pool, switch)| {
                let _first = pool.alloc(switch.value()).unwrap();
                _ = pool.alloc(switch.value());
            });
            check(DROP, typed, |(pool, switch)| drop(pool.alloc(switch.value())));
        }
    };
}

pool_calls!(every_call_of_a_pool, Pool);
pool_calls!(every_call_of_a_lock_free_pool, LockFreePool);
pool_calls!(every_call_of_a_locked_pool, LockedPool);

#[test]
fn caches_owned_blocks_and_waiting() {
    let cached = |switch: &Switch| {
        let builder = LockFreePool::builder().block_size(64).blocks(1).max_blocks(999).caches(1);
        builder.source(switch.source()).build().unwrap()
    };
    check(ACQUIRE, cached, |pool| {
        let cache = pool.cache();
        let mut blocks = Vec::new();
        while let Ok(block) = cache.alloc() {
            blocks.push(block);
        }
    });
    check(ACQUIRE, cached, |pool| _ = pool.cache().alloc_n(999, &mut Vec::new()));
    check(
        ACQUIRE,
        |switch| small(LockedPool::builder(), switch),
        |pool| {
            let _all = [pool.alloc().unwrap(), pool.alloc().unwrap()];
            _ = pool.alloc_timeout(Duration::from_millis(1));
        },
    );
    check(
        ACQUIRE,
        |switch| small(LockedPool::builder(), switch),
        |pool| {
            let _all = [pool.alloc().unwrap(), pool.alloc().unwrap()];
            _ = poll_once(&mut pool.alloc_async(), &Calls::new().1);
        },
    );
    check_drop(RELEASE, |switch| {
        Arc::new(small(LockFreePool::builder(), switch)).alloc_owned().unwrap()
    });
    check_drop(CLOSE, |switch| {
        std::rc::Rc::new(small(Pool::builder(), switch)).alloc_owned().unwrap()
    });
}

#[test]
fn every_call_of_buffers_and_their_pools() {
    let builder =
        |switch: &Switch| BufferPool::builder().class_growing(64, 1, 2).source(switch.source());
    let pool = |switch: &Switch| builder(switch).build().unwrap();
    check(ACQUIRE, Switch::clone, |switch| _ = builder(switch).build());
    check(ACQUIRE, pool, |pool| {
        let _first = pool.get(1).unwrap();
        _ = pool.get(1);
    });
    check(ACQUIRE, pool, |pool| {
        let _first = pool.get(1).unwrap();
        _ = poll_once(&mut pool.get_async(1), &Calls::new().1);
    });
    check(ACQUIRE, pool, |pool| {
        let _first = pool.get(1).unwrap();
        _ = pool.get_timeout(1, Duration::ZERO);
    });
    check_drop(RELEASE, pool);
    check_drop(CLOSE, pool);
    check_drop(CLOSE, builder);
    // The page holds the last reference to the pool.
    let page = |switch: &Switch| pool(switch).get(1).unwrap();
    check_drop(RELEASE, page);
    let written = |switch: &Switch| {
        let mut page = page(switch);
        page.extend_from_slice(b"bytes");
        page
    };
    check_drop(CLOSE, |switch| written(switch).freeze());
    // Nothing was written, so the page goes back to the pool at once.
    check(CLOSE, |switch| Some(page(switch)), |page| _ = page.take().unwrap().freeze());
    check(RELEASE, page, |writer| writer.reserve(1000));
    check(CLOSE, page, |writer| _ = writer.try_reserve(1000));

    let owned = |switch: &Switch| Buffer::from_owner(switch.value());
    check_drop(DROP, owned);
    check(DROP, owned, Buffer::clear);
    check(DROP, owned, |buffer| buffer.truncate(0));
    check(DROP, owned, |buffer| buffer.advance(buffer.len()));
    check(DROP, owned, |buffer| *buffer = Buffer::new());
    check(DROP, |switch| owned(switch).slice(..1), Buffer::compact);
    check(DROP, |switch| BufferChain::from(owned(switch)), |chain| chain.advance(5));
    check_drop(DROP, |switch| BufferChain::from([owned(switch), Buffer::from("static")]));

    let arena = |switch: &Switch| {
        let arena = Arena::builder().source(switch.source()).build().unwrap();
        arena.alloc_static(switch.value());
        arena
    };
    let in_arena = |switch: &Switch| Buffer::from_arena(arena(switch), |_| b"bytes");
    check_drop(DROP, in_arena);
    check_drop(RELEASE, in_arena);
    check_drop(CLOSE, in_arena);
    check(
        ACQUIRE,
        |switch| Some(arena(switch)),
        |arena| {
            let arena = arena.take().unwrap();
            // The arena has no room left for the header.
            arena.alloc_uninit(arena.remaining());
            _ = Buffer::try_from_arena(arena, |_| b"bytes");
        },
    );
}

#[test]
fn unrelated_arena_after_a_reset_with_own_blocks() {
    let switch = Switch::default();
    let builder = Arena::builder().debug_own_blocks(true).source(switch.source());
    let mut arena = builder.build().unwrap();
    (0..2).for_each(|_| _ = arena.alloc(10));
    switch.set(RELEASE);
    assert_eq!(panic_of(|| arena.reset()), "release");
    Arena::new(0).alloc(10);
    switch.set(NOTHING);
}

/// Only one file of the crate catches and resumes panics: each call into the core says whether it
/// may run user code.
#[test]
fn every_contained_panic_goes_on_through_one_of_two_functions() {
    fn files(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else if !path.ends_with("unwind.rs") {
                found.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut sources = Vec::new();
    files(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    assert!(sources.len() > 30);
    for text in sources {
        for name in ["resume(", "resume_unwind", "catch_unwind", "panicking()"] {
            assert!(!text.contains(name), "only unwind.rs catches and resumes: {name}");
        }
    }
}
