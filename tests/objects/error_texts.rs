// SPDX-License-Identifier: Apache-2.0
//! Tests what each failing call says: a table of calls, and the sentence of each, word for word.
//!
//! Every sentence must name what was asked and what was allowed. The core makes the same sentences
//! of its records (`tests/c/error_test.c`).

use crate::support::panic_of;
use aegis_memory::arena::{Arena, ArenaRecycler, FixedArena, LockFreeArena, LockedArena};
use aegis_memory::budget::{BudgetPolicy, MemoryBudget};
use aegis_memory::buffer::{Buffer, BufferMut, BufferPool, WhenEmpty};
use aegis_memory::pool::{LockFreePool, LockedPool, Pool, TypedPool};
use aegis_memory::source::{BlockSource, SourceBlock};
use aegis_memory::{ffi, AllocError, What};
use std::alloc::Layout;
use std::ffi::CStr;
use std::mem::{size_of, MaybeUninit};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const MAX: usize = isize::MAX as usize;
const MOST_BLOCKS: usize = ffi::AEGIS_POOL_MAX_BLOCKS as usize;

/// A source that has no memory.
struct Empty;

// SAFETY: it gives nothing.
unsafe impl BlockSource for Empty {
    fn acquire(&self, _: Layout) -> Option<SourceBlock> {
        None
    }

    unsafe fn release(&self, _: NonNull<u8>, _: Layout) {
        unreachable!("nothing was acquired");
    }
}

#[track_caller]
fn text<T>(result: Result<T, AllocError>) -> String {
    result.err().expect("the call fails").to_string()
}

/// Checks rows of the form: the failing call as a text => [what the text must be, as arguments of
/// `format!`].
macro_rules! table {
    ($($says:expr => [$($wanted:tt)+]);* $(;)?) => {
        for (call, says, wanted) in [$((stringify!($says), $says, format!($($wanted)+))),*] {
            assert_eq!(says, wanted, "{call}");
        }
    };
}

#[test]
fn arenas_say_what_was_asked_and_what_was_allowed() {
    let mut memory = [MaybeUninit::uninit(); 1024 + 48 + 16];
    let fixed = FixedArena::new(&mut memory);
    let size = fixed.stats().capacity_bytes;
    let empty = || Arena::builder().no_debug().source(Empty).build().expect("no block yet");
    let shared = LockFreeArena::builder().source(Empty).build().expect("no block yet");
    let locked = LockedArena::builder().no_debug().source(Empty).build().expect("no block yet");
    let padded = match fixed.try_alloc_aligned(1, 1 << 20) {
        Err(AllocError::Exhausted { needed, .. }) => needed,
        other => panic!("{other:?}"),
    };
    let budget = MemoryBudget::new("query", 100);
    let bounded = Arena::builder().no_debug().budget(&budget).build().expect("no block yet");
    let most = |result: Result<Arena, AllocError>| match result {
        Err(AllocError::InvalidLayout { limit, .. }) => limit,
        other => panic!("{other:?}"),
    };
    let most = most(Arena::try_new(usize::MAX));
    let idle = |result: Result<ArenaRecycler, AllocError>| match result {
        Err(AllocError::Invalid { what: What::IdleArenas, allowed, .. }) => allowed,
        other => panic!("{other:?}"),
    };
    let idle = idle(ArenaRecycler::builder().max_idle(usize::MAX).build());
    table! {
        text(empty().try_alloc(100)) => ["out of memory: 100 bytes requested at alignment 8, 0 bytes in use"];
        text(empty().try_alloc_aligned(7, 4096)) => ["out of memory: 7 bytes requested at alignment 4096, 0 bytes in use"];
        text(shared.try_alloc(100)) => ["out of memory: 100 bytes requested at alignment 8, 0 bytes in use"];
        text(locked.try_alloc(100)) => ["out of memory: 100 bytes requested at alignment 8, 0 bytes in use"];
        text(fixed.try_alloc(2000)) => ["fixed memory exhausted: 2000 bytes requested at alignment 8, 0 of {size} bytes in use"];
        text(fixed.try_alloc_aligned(1, 1 << 20)) => ["fixed memory exhausted: 1 bytes requested at alignment 1048576, {padded} bytes needed, 0 of {size} bytes in use"];
        text(empty().try_alloc(usize::MAX)) => ["invalid layout: size {} with alignment 8; a size is at most {MAX} bytes at this alignment", usize::MAX];
        text(empty().try_alloc_aligned(MAX, 4096)) => ["invalid layout: size {MAX} with alignment 4096; a size is at most {} bytes at this alignment", MAX - 4095];
        text(empty().try_alloc_aligned(64, 24)) => ["invalid layout: size 64 with alignment 24; an alignment is a power of two"];
        text(empty().try_alloc_aligned(64, 0)) => ["invalid layout: size 64 with alignment 0; an alignment is a power of two"];
        text(empty().try_alloc_aligned(usize::MAX, 3)) => ["invalid layout: size {} with alignment 3; an alignment is a power of two and a size is at most {MAX} bytes", usize::MAX];
        text(shared.try_alloc_aligned(64, 24)) => ["invalid layout: size 64 with alignment 24; an alignment is a power of two"];
        text(locked.try_alloc_aligned(64, 24)) => ["invalid layout: size 64 with alignment 24; an alignment is a power of two"];
        text(empty().try_alloc_slice_uninit::<u64>(usize::MAX)) => ["invalid layout: size {} with alignment 8; a size is at most {MAX} bytes at this alignment", usize::MAX];
        text(Arena::try_new(usize::MAX)) => ["invalid layout: size {} with alignment 8; a size is at most {most} bytes at this alignment", usize::MAX];
        text(LockedArena::try_new(usize::MAX)) => ["invalid layout: size {} with alignment 8; a size is at most {most} bytes at this alignment", usize::MAX];
        text(ArenaRecycler::builder().max_idle(usize::MAX).build()) => ["invalid argument: {} idle arenas requested, at most {idle} allowed", usize::MAX];
        text(bounded.try_alloc(1000)) => ["memory limit exceeded: {}", refusal("query", bounded.try_alloc(1000))];
        panic_of(|| empty().alloc(100).len()) => ["out of memory: 100 bytes requested at alignment 8, 0 bytes in use"];
    }
    // The largest allowed capacity is not refused as a layout.
    let allowed = Arena::builder().capacity(most).source(Empty).build();
    assert!(matches!(allowed, Err(AllocError::OutOfMemory { .. })));
}

/// The text of a budget's refusal. It must contain the budget's own numbers.
fn refusal<T>(budget: &str, result: Result<T, AllocError>) -> String {
    match result.err().expect("the call fails") {
        AllocError::LimitExceeded {
            requested,
            needed,
            limit,
            in_use,
            refusal: Some(refusal),
            ..
        } => {
            let says = refusal.to_string();
            let wanted = format!(
                "budget '{budget}' refused {needed} bytes for a request of {requested} bytes: limit \
                 {limit} bytes, {in_use} bytes in use"
            );
            assert!(says.starts_with(&wanted), "{says}");
            says
        }
        other => panic!("{other:?}"),
    }
}

/// The rows that are the same for all pools.
macro_rules! pool_rows {
    ($Pool:ident) => {{
        let none = || $Pool::builder().source(Empty);
        let pool = $Pool::new(128, 3);
        let held: Vec<_> = (0..3).map(|_| pool.alloc().expect("three blocks")).collect();
        let empty_blocks = $Pool::new(0, 1);
        let nothing = empty_blocks.alloc().expect("one block");
        let half = 1_usize << (usize::BITS - 4);
        table! {
            text(pool.alloc()) => ["pool exhausted: 1 block of 128 bytes requested, 3 of 3 blocks in use"];
            text(pool.alloc_n(2, &mut Vec::new())) => ["pool exhausted: 2 blocks of 128 bytes requested, 3 of 3 blocks in use"];
            text(empty_blocks.alloc()) => ["pool exhausted: 1 block of 0 bytes requested, none is left"];
            text($Pool::try_new(64, 0)) => ["invalid argument: 0 blocks requested, at least 1 allowed"];
            text(none().block_size(1).blocks(1 << 31).build()) => ["invalid argument: 2147483648 blocks requested, at most {MOST_BLOCKS} allowed"];
            text(none().block_size(1).blocks(1).max_blocks(1 << 31).build()) => ["invalid argument: growth up to 2147483648 blocks requested, at most {MOST_BLOCKS} allowed"];
            text(none().block_size(1).blocks(2).max_blocks(MOST_BLOCKS).build()) => ["invalid argument: growth up to {} slabs requested, at most {} allowed", MOST_BLOCKS / 2, (1 << 29) + 1];
            text(none().block_size(1).blocks(1).align(24).build()) => ["invalid layout: size 1 with alignment 24; an alignment is a power of two"];
            text(none().block_size(1).blocks(1).align(half * 4).build()) => ["invalid argument: an alignment of {} bytes requested, at most {half} allowed", half * 4];
            panic_of(|| $Pool::new(64, 0)) => ["invalid argument: 0 blocks requested, at least 1 allowed"];
            text(TypedPool::<u64, $Pool>::try_new(0)) => ["invalid argument: 0 blocks requested, at least 1 allowed"];
        }
        drop((held, nothing));
        let error = pool.alloc_n(5, &mut Vec::new()).expect_err("three blocks");
        assert_eq!(
            error.to_string(),
            "pool exhausted: 5 blocks of 128 bytes requested, 0 of 3 blocks in use"
        );
        // The error of a block that is too large names the largest legal size. A block of that size
        // is legal, but there is no memory for it.
        let large = |bytes| none().block_size(bytes).blocks(1).build().map(drop).unwrap_err();
        let AllocError::InvalidLayout { size: usize::MAX, align: 8, limit, .. } = large(usize::MAX)
        else {
            panic!("{}", large(usize::MAX));
        };
        assert!(limit > MAX - (1 << 20) && limit % 8 == 0);
        assert!(matches!(large(limit), AllocError::OutOfMemory { .. }), "{}", large(limit));
        let named = format!("with alignment 8; a size is at most {limit} bytes at this alignment");
        assert!(large(limit + 1).to_string().ends_with(&named), "{}", large(limit + 1));
        // The largest number of blocks that is allowed at this size is legal too.
        let many = |count| none().block_size(1 << 40).blocks(count).build().map(drop).unwrap_err();
        let AllocError::Invalid { what: What::Blocks, allowed, .. } = many(1 << 30) else {
            panic!("{}", many(1 << 30));
        };
        assert!(matches!(many(allowed), AllocError::OutOfMemory { .. }), "{}", many(allowed));
        assert!(matches!(many(allowed + 1), AllocError::Invalid { .. }));
    }};
}

#[test]
#[cfg(target_pointer_width = "64")]
fn pools_say_what_was_asked_and_what_was_allowed() {
    pool_rows!(Pool);
    pool_rows!(LockFreePool);
    pool_rows!(LockedPool);
    let builder = || LockFreePool::builder().source(Empty).block_size(1).blocks(MOST_BLOCKS);
    table! {
        text(builder().caches(65537).build()) => ["invalid argument: 65537 caches requested, at most 65536 allowed"];
        text(builder().caches(1).build()) => ["invalid argument: {MOST_BLOCKS} blocks requested, at most {} allowed", MOST_BLOCKS - 64];
    }
}

/// Demands that the pool is refused by its source, whatever the pool asks it for first.
macro_rules! refused_by_its_source {
    ($($Pool:ident),*) => {
        $(for (size, count, max) in [
            (0, MOST_BLOCKS, MOST_BLOCKS),
            (1, MOST_BLOCKS, MOST_BLOCKS),
            (8, MOST_BLOCKS - 1, 0),
            (1, MOST_BLOCKS - 500, 0),
            (1, MOST_BLOCKS - 1024, 0),
            (1, 1 << 20, MOST_BLOCKS),
        ] {
            let builder = $Pool::builder().source(Empty).block_size(size).blocks(count);
            let error = builder.max_blocks(max).build().map(drop).unwrap_err();
            let asked = if cfg!(target_pointer_width = "64") {
                matches!(error, AllocError::OutOfMemory { requested, .. } if requested > MOST_BLOCKS)
            } else {
                // Only as many blocks are allowed as leave room in the address space. The error
                // says how many.
                let AllocError::Invalid { requested, allowed, what, .. } = error else {
                    panic!("{error}");
                };
                let builder = $Pool::builder().source(Empty).block_size(size);
                let builder = if what == What::Blocks {
                    builder.blocks(allowed)
                } else {
                    builder.blocks(count).max_blocks(allowed)
                };
                let again = builder.build().map(drop).unwrap_err();
                requested > allowed && matches!(again, AllocError::OutOfMemory { .. })
            };
            assert!(asked, "{}: {size} {count} {max}", stringify!($Pool));
        })*
    };
}

#[test]
fn pools_of_the_documented_most_are_refused_by_their_source_only() {
    refused_by_its_source!(Pool, LockFreePool, LockedPool);
    let mut most = MOST_BLOCKS;
    let build = |most| BufferPool::builder().source(Empty).class(16, most).build();
    // In a small address space their slots leave room for fewer blocks, and their pages for fewer
    // still.
    while let Err(AllocError::Invalid { what: What::Blocks, allowed, .. }) = build(most) {
        assert!(cfg!(target_pointer_width = "32") && allowed < most, "{allowed} of {most}");
        most = allowed;
    }
    let pool = build(most);
    let grown = BufferPool::builder().source(Empty).class_growing(16, 1 << 10, most).build();
    for pool in [pool, grown] {
        assert!(matches!(pool, Err(AllocError::OutOfMemory { .. })), "{pool:?}");
    }
}

#[test]
fn a_pool_as_large_as_the_address_space_allows_gets_no_caches_rather_than_none() {
    for size in [16, 4096, 1 << 20, 1 << 30] {
        let build = |count| {
            let builder = LockFreePool::builder().source(Empty).block_size(size).blocks(count);
            builder.build().map(drop).unwrap_err()
        };
        // One block less than a slab could hold if it held nothing else.
        let count = ((MAX - 4096) / (size + 16)).min(MOST_BLOCKS);
        let AllocError::OutOfMemory { .. } = build(count) else {
            // The links lie beside the blocks. Only the smallest blocks are so many that the links
            // need too much room.
            assert!(cfg!(target_pointer_width = "32") && size == 16, "{}", build(count));
            continue;
        };
    }
}

#[test]
fn buffers_and_their_pools_say_what_was_asked_and_what_was_allowed() {
    let pool = BufferPool::builder().class(100, 2).class(4096, 1).build().expect("memory");
    let held = [pool.get(4096), pool.get(100), pool.get(1)];
    let heap = BufferPool::builder().class(64, 1).when_empty(WhenEmpty::Heap).build().unwrap();
    let mut writer = BufferMut::with_capacity(8);
    writer.extend_from_slice(b"12345");
    let most = |result: Result<BufferMut, AllocError>| match result {
        Err(AllocError::InvalidLayout { limit, .. }) => limit,
        other => panic!("{other:?}"),
    };
    let (most, of_heap) = (most(BufferMut::try_with_capacity(usize::MAX)), most(heap.get(MAX)));
    let builder = || BufferPool::builder().source(Empty);
    let many = (1..=9).collect::<Vec<usize>>();
    let classes = || many.iter().fold(BufferPool::builder(), |builder, &i| builder.class(i, 1));
    table! {
        text(pool.get(10)) => ["pool exhausted: 1 block of 100 bytes requested, 2 of 2 blocks in use"];
        text(pool.get(4097)) => ["invalid argument: a buffer of 4097 bytes requested, at most 4096 allowed"];
        text(heap.get(MAX)) => ["invalid layout: size {MAX} with alignment 4096; a size is at most {of_heap} bytes at this alignment"];
        text(BufferPool::builder().build()) => ["invalid argument: 0 size classes requested, at least 1 allowed"];
        text(BufferPool::try_new(64, 0)) => ["invalid argument: 0 blocks requested, at least 1 allowed"];
        text(builder().class(64, 1).align(24).build()) => ["invalid layout: size 64 with alignment 24; an alignment is a power of two"];
        panic_of(|| BufferPool::builder().class(64, 1).class(64, 1)) => ["a pool has one size class for each size, and one of 64 bytes already"];
        panic_of(classes) => ["a pool has at most 8 size classes"];
        text(writer.try_extend_from_slice(b"more")) => ["fixed memory exhausted: 4 bytes requested, 5 of 8 bytes in use"];
        text(writer.try_reserve(usize::MAX)) => ["invalid layout: size {} with alignment 1; a size is at most {} bytes at this alignment", usize::MAX, MAX - 5];
        text(BufferMut::try_with_capacity(usize::MAX)) => ["invalid layout: size {} with alignment 16; a size is at most {most} bytes at this alignment", usize::MAX];
        text(BufferMut::try_with_capacity_aligned(1, 3)) => ["invalid layout: size 1 with alignment 3; an alignment is a power of two"];
        text(BufferMut::try_with_capacity_aligned(1, MAX + 1)) => ["invalid argument: an alignment of {} bytes requested, at most {} allowed", MAX + 1, (usize::MAX >> 2) + 1];
    }
    drop(held);
}

#[test]
fn ranges_and_places_say_what_was_asked_and_what_was_allowed() {
    let buffer = Buffer::from("0123456789");
    let bytes = &b"elsewhere"[..];
    let (start, len) = (buffer.as_ptr(), bytes.len());
    #[allow(clippy::reversed_empty_ranges)]
    let backward = || buffer.slice(7..3);
    table! {
        panic_of(|| buffer.slice(5..11)) => ["range 5..11 is out of bounds of a buffer of 10 bytes"];
        panic_of(|| buffer.slice(11..)) => ["range 11.. is out of bounds of a buffer of 10 bytes"];
        panic_of(|| buffer.slice(..=10)) => ["range ..=10 is out of bounds of a buffer of 10 bytes"];
        panic_of(backward) => ["range 7..3 ends before it starts, in a buffer of 10 bytes"];
        panic_of(|| buffer.slice_ref(bytes)) => ["a slice of {len} bytes at {bytes:p} is not inside the buffer of 10 bytes at {start:p}"];
        panic_of(|| buffer.clone().split_to(11)) => ["a split at 11 is out of bounds of a buffer of 10 bytes"];
    }
}

#[test]
fn budgets_say_what_was_asked_and_what_was_allowed() {
    let root = MemoryBudget::new("root", 1000);
    let _some = root.reserve(400);
    let deepest = (1..16).fold(MemoryBudget::new("n", 1), |budget, _| budget.child("n", 1));
    table! {
        text(root.try_reserve(700)) => ["memory limit exceeded: budget 'root' refused 700 bytes: limit 1000 bytes, 400 bytes in use"];
        panic_of(|| root.reserve(700)) => ["memory limit exceeded: budget 'root' refused 700 bytes: limit 1000 bytes, 400 bytes in use"];
        text(deepest.try_child("n", 1)) => ["invalid argument: 17 levels of budgets requested, at most 16 allowed"];
        text(MemoryBudget::of_system(1.5)) => ["invalid argument: a share of 150 percent requested, above 0 and at most 100 percent allowed"];
        text(MemoryBudget::of_system(-1.0)) => ["invalid argument: a share that is not above 0 requested, above 0 and at most 100 percent allowed"];
        panic_of(|| deepest.child("n", 1)) => ["invalid argument: 17 levels of budgets requested, at most 16 allowed"];
        text(root.try_set_guaranteed(1001)) => ["invalid argument: a guarantee of 1001 bytes requested, at most 1000 allowed"];
        panic_of(|| root.set_guaranteed(1001)) => ["invalid argument: a guarantee of 1001 bytes requested, at most 1000 allowed"];
        text(root.try_set_weight(10_001)) => ["invalid argument: a weight of 10001 requested, at most 10000 allowed"];
        panic_of(|| root.set_weight(10_001)) => ["invalid argument: a weight of 10001 requested, at most 10000 allowed"];
        text(root.try_set_policy(BudgetPolicy::Fair)) => ["still in use: the budget has children or bytes in use"];
        panic_of(|| root.set_policy(BudgetPolicy::Fair)) => ["still in use: the budget has children or bytes in use"];
        panic_of(|| root.on_pressure(101, |_| {})) => ["a pressure threshold of 101 % is not in 1..=100"];
    }
}

#[test]
fn refused_charges_say_what_was_in_the_way() {
    let pool = MemoryBudget::new("pool", 100);
    pool.set_policy(BudgetPolicy::Fair);
    let [a, b, free] = ["a", "b", "free"].map(|name| pool.child(name, 200));
    free.set_weight(0);
    a.set_guaranteed(20);
    let inside = Arc::new(Mutex::new(String::new()));
    let (says, own) = (Arc::clone(&inside), b.clone());
    let _reclaimer = b.on_reclaim(0, move |wanted| {
        *says.lock().unwrap() = text(own.try_reserve(wanted + 40));
        0
    });
    let _held = b.reserve(40);
    table! {
        text(a.try_reserve(61)) => ["memory limit exceeded: budget 'a' refused 61 bytes: its fair share is 60 bytes, 0 bytes in use"];
        text(free.try_reserve(41)) => ["memory limit exceeded: budget 'pool' refused 41 bytes: limit 100 bytes, 60 bytes in use or guaranteed; largest: 'b' 40 bytes"];
        inside.lock().unwrap().clone() => ["memory limit exceeded: budget 'b' refused 41 bytes: limit 40 bytes, 40 bytes in use, asked from inside a reclaimer or pressure function"];
        text(free.try_reserve(201)) => ["memory limit exceeded: budget 'free' refused 201 bytes: limit 200 bytes, 0 bytes in use"];
    }
    thread::scope(|scope| {
        let waits = scope.spawn(|| text(free.reserve_timeout(50, Duration::from_secs(60))));
        while pool.waiting() == 0 {
            thread::yield_now();
        }
        table! {
            text(pool.try_reserve(1)) => ["memory limit exceeded: budget 'pool' refused 1 bytes: limit 100 bytes, 110 bytes in use or asked for by requests that came earlier; largest: 'b' 40 bytes"];
            text(free.try_reserve(151)) => ["memory limit exceeded: budget 'free' refused 151 bytes: limit 200 bytes, 50 bytes in use or asked for by requests that came earlier"];
        }
        free.close();
        table! {
            waits.join().unwrap() => ["the budget is closed: 50 bytes requested"];
        }
    });
}

#[test]
#[cfg(all(feature = "std", unix))]
fn files_say_what_was_asked_and_what_was_allowed() {
    use std::fs::File;
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("error_texts");
    std::fs::write(&path, [7; 1000]).expect("the directory can be written");
    let file = File::open(&path).expect("it was written");
    let directory = File::open(env!("CARGO_TARGET_TMPDIR")).expect("a directory can be opened");
    // SAFETY: nobody changes the file.
    let says = |file, range: (std::ops::Bound<u64>, std::ops::Bound<u64>)| unsafe {
        Buffer::map(file, range).expect_err("it is refused").to_string()
    };
    use std::ops::Bound::{Excluded, Included, Unbounded};
    table! {
        says(&file, (Included(500), Excluded(1001))) => ["range 500..1001 is out of bounds of a file of 1000 bytes"];
        says(&file, (Included(1001), Unbounded)) => ["range 1001.. is out of bounds of a file of 1000 bytes"];
        says(&file, (Unbounded, Included(u64::MAX))) => ["range ..={} is out of bounds of a file of 1000 bytes", u64::MAX];
        says(&file, (Included(7), Excluded(3))) => ["range 7..3 ends before it starts, in a file of 1000 bytes"];
        says(&directory, (Unbounded, Unbounded)) => ["a directory cannot be mapped"];
    }
}

#[test]
fn an_error_that_c_hands_over_is_never_taken_for_another() {
    let mut raw = MaybeUninit::<ffi::aegis_buffer_pool>::zeroed();
    // SAFETY: an all-zero handle is a released one, and the core says so.
    let released = unsafe { BufferPool::borrow_raw(raw.as_mut_ptr()) };
    assert_eq!(
        text(released.get(10)),
        "invalid argument: the object was not made, or was released or reset since"
    );
}

#[test]
fn every_status_of_the_header_has_a_text_of_its_own() {
    let header = include_str!("../../include/aegis_memory/base.h");
    let statuses = header.lines().filter_map(|line| line.strip_prefix("#define AEGIS_E_"));
    let mut lowest = 0;
    for (name, value) in statuses.filter_map(|line| line.split_once(' ')) {
        let value = value.trim_matches(['(', ')']).parse::<i32>();
        lowest = lowest.min(value.unwrap_or_else(|_| panic!("AEGIS_E_{name} has a number")));
    }
    assert!(lowest <= ffi::AEGIS_E_IO);
    // SAFETY: any number may be passed as a status, and the text is static.
    let message = |status| unsafe { CStr::from_ptr(ffi::aegis_status_message(status)) };
    for status in lowest..=0 {
        assert_ne!(message(status), message(i32::MAX), "status {status} has no text");
        for other in status + 1..=0 {
            assert_ne!(message(status), message(other), "{status} and {other}");
        }
        let raw = ffi::aegis_error {
            status,
            requested_bytes: 4096,
            align_bytes: 64,
            limit_bytes: 0,
            in_use_bytes: 10,
            needed_bytes: 0,
            refused: std::ptr::null(),
            refusal: ffi::AEGIS_REFUSED_LIMIT,
            asked: 4096,
            allowed: 0,
            what: ffi::AEGIS_WHAT_BYTES,
        };
        let mut says = [0_u8; 256];
        // SAFETY: the record has no budget, and there is room for as many bytes.
        let length =
            unsafe { ffi::aegis_error_explain(&raw, says.as_mut_ptr().cast(), says.len()) };
        let says = std::str::from_utf8(&says[..length]).expect("a sentence in ASCII");
        // A copy of a file's bytes has no alignment that was asked for.
        let whole = says.contains("4096") && (says.contains("64") || status == ffi::AEGIS_E_IO);
        assert!(status == 0 || whole, "{status}: {says}");
    }
}

#[test]
fn error_is_small_and_shared_pools_say_the_same() {
    // Five sizes, and 8 bytes for a count of blocks and for the kind of the error.
    assert!(size_of::<AllocError>() <= 5 * size_of::<usize>() + 8);
    let pool = Arc::new(LockFreePool::new(64, 1));
    let _held = pool.alloc_owned().expect("one block");
    let wanted = "pool exhausted: 1 block of 64 bytes requested, 1 of 1 blocks in use";
    assert_eq!(text(pool.alloc_owned()), wanted);
    assert_eq!(text(pool.cache().alloc()), wanted);
}
