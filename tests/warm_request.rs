// SPDX-License-Identifier: Apache-2.0
//! A warm request calls the system's allocator zero times: a server's second request of a kind finds
//! all its memory with the arenas, pools, buffers and budgets that served the first.
//!
//! Each thread counts its own calls, of two kinds:
//!
//! - What Rust asks of the global allocator.
//! - What the C core asks of the C library: `malloc` and its relatives, and `mmap`. The test's own
//!   definitions of these functions take the place of the library's. Only glibc has other names for
//!   the same functions, which these definitions can call. Under a sanitizer they are left out,
//!   because its runtime must be the one that defines them.

use aegis_memory::arena::{ArenaRecycler, LockFreeArena, LockedArena, RecycledArena};
use aegis_memory::budget::{MemoryBudget, Reservation};
use aegis_memory::buffer::{BufferChain, BufferMut, BufferPool};
use aegis_memory::pool::{LockFreePool, LockedPool, Pool, PoolCache, TypedPool};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
#[cfg(all(target_os = "linux", target_env = "gnu", not(aegis_sanitizer)))]
use std::{
    sync::atomic::{AtomicIsize, Ordering},
    thread,
};

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// Pieces of the C library's heap that were allocated and not freed, in all threads.
#[cfg(all(target_os = "linux", target_env = "gnu", not(aegis_sanitizer)))]
static PIECES: AtomicIsize = AtomicIsize::new(0);

fn count() {
    // A thread that ends may allocate after its variables are gone.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

/// How often `f` calls the system's allocator.
fn calls_of<R>(f: impl FnOnce() -> R) -> usize {
    let before = CALLS.get();
    black_box(f());
    CALLS.get() - before
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: the system's allocator keeps the contract, and counting does not touch it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps this function's contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Functions of the C library that count their calls.
#[cfg(all(target_os = "linux", target_env = "gnu", not(aegis_sanitizer)))]
mod c_library {
    use libc::{c_int, c_long, c_void, off_t, size_t, ENOMEM};

    extern "C" {
        fn __libc_malloc(size: size_t) -> *mut c_void;
        fn __libc_calloc(count: size_t, size: size_t) -> *mut c_void;
        fn __libc_realloc(memory: *mut c_void, size: size_t) -> *mut c_void;
        fn __libc_memalign(align: size_t, size: size_t) -> *mut c_void;
        fn __libc_free(memory: *mut c_void);
    }

    /// Defines functions of the C library by other functions of it.
    macro_rules! counted {
        ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty = $call:expr;)*) => {$(
            #[no_mangle]
            unsafe extern "C" fn $name($($argument: $type),*) -> $result {
                super::count();
                // SAFETY: the caller keeps the C library's contract of this function.
                unsafe { $call }
            }
        )*};
    }

    counted! {
        malloc(size: size_t) -> *mut c_void = {
            super::PIECES.fetch_add(1, super::Ordering::Relaxed);
            __libc_malloc(size)
        };
        calloc(n: size_t, size: size_t) -> *mut c_void = __libc_calloc(n, size);
        realloc(memory: *mut c_void, size: size_t) -> *mut c_void = __libc_realloc(memory, size);
        memalign(align: size_t, size: size_t) -> *mut c_void = __libc_memalign(align, size);
        aligned_alloc(align: size_t, size: size_t) -> *mut c_void = __libc_memalign(align, size);
        free(memory: *mut c_void) -> () = {
            super::PIECES.fetch_sub(1, super::Ordering::Relaxed);
            __libc_free(memory);
        };
        posix_memalign(to: *mut *mut c_void, align: size_t, size: size_t) -> c_int = {
            let memory = __libc_memalign(align, size);
            if memory.is_null() { ENOMEM } else { *to = memory; 0 }
        };
        munmap(at: *mut c_void, size: size_t) -> c_int =
            libc::syscall(libc::SYS_munmap, at, size) as c_int;
    }

    // On other machines the system call has no offsets in bytes.
    #[cfg(target_pointer_width = "64")]
    counted! {
        mmap(at: *mut c_void, size: size_t, access: c_int, flags: c_int, file: c_int,
            offset: off_t) -> *mut c_void = {
            let [access, flags, file] = [access, flags, file].map(c_long::from);
            libc::syscall(libc::SYS_mmap, at, size, access, flags, file, offset) as *mut c_void
        };
    }
}

/// What a server keeps from one request to the next.
struct Server {
    process: MemoryBudget,
    query: MemoryBudget,
    recycler: ArenaRecycler,
    shared: LockFreeArena,
    locked: LockedArena,
    nodes: Pool,
    pages: LockFreePool,
    slots: LockedPool,
    rows: TypedPool<Row, Pool>,
    buffers: BufferPool,
}

struct Row {
    key: u64,
    values: [u64; 6],
}

const BYTES: usize = 1 << 20;
const PAGE: usize = 4096;

impl Server {
    fn new() -> Self {
        let process = MemoryBudget::new("process", 64 * BYTES);
        let query = process.child("query", 32 * BYTES);
        let recycler = ArenaRecycler::builder().max_idle(4).keep_bytes(8 * BYTES);
        Self {
            recycler: recycler.budget(&query).build().unwrap(),
            shared: LockFreeArena::builder().budget(&query).build().unwrap(),
            locked: LockedArena::builder().budget(&query).build().unwrap(),
            nodes: Pool::builder().block_size(64).blocks(256).budget(&query).build().unwrap(),
            pages: LockFreePool::builder().block_size(PAGE).blocks(64).build().unwrap(),
            slots: LockedPool::new(64, 64),
            rows: TypedPool::new(64),
            buffers: BufferPool::builder().class(PAGE, 16).budget(&query).build().unwrap(),
            process,
            query,
        }
    }

    /// What a thread keeps.
    fn worker(&self) -> Worker<'_> {
        Worker {
            server: self,
            pages: self.pages.cache(),
            message: BufferChain::new(),
            reserved: self.process.reserve(0),
        }
    }

    fn reset(&mut self) {
        self.shared.reset();
        self.locked.reset();
    }
}

struct Worker<'s> {
    server: &'s Server,
    pages: PoolCache<'s>,
    message: BufferChain,
    reserved: Reservation,
}

impl Worker<'_> {
    fn request(&mut self) {
        let arena = self.server.recycler.get();
        let scanned = self.scan(&arena);
        let text = arena.alloc_fmt(format_args!("{scanned} rows"));
        self.answer(text.as_bytes());
        self.share();
        collections(&arena);
    }

    /// Blocks of pools, values in the arena and its scopes, and a reservation that grows.
    fn scan(&mut self, arena: &RecycledArena<'_>) -> u64 {
        let server = self.server;
        self.reserved.grow(3 * PAGE);
        let nodes = [(); 8].map(|()| server.nodes.alloc().unwrap());
        let pages = [(); 40].map(|()| self.pages.alloc_uninit().unwrap());
        let slot = server.slots.alloc().unwrap();
        let rows = [1, 2, 3].map(|key| server.rows.alloc(Row { key, values: [key; 6] }).unwrap());
        let keys = arena.alloc_slice_from_iter(rows.iter().map(|row| row.key));
        let sums = arena.alloc_slice_fill_with(100, |i| keys[i % 3] + rows[i % 3].values[i % 6]);
        // More than a first block, and one large piece.
        for _ in 0..200 {
            black_box(arena.alloc(500));
        }
        black_box(arena.alloc_uninit(3 * BYTES));
        let sorted: u64 = arena.scope(|scratch| {
            let copy = scratch.alloc_slice_copy(sums);
            copy.sort_unstable();
            copy.iter().sum()
        });
        let boxed = arena.alloc_boxed(sorted);
        self.reserved.shrink(3 * PAGE);
        black_box((nodes, pages, slot));
        *boxed
    }

    /// Buffers: written, frozen, cut, cloned, chained and compared.
    fn answer(&mut self, text: &[u8]) {
        let mut writer = self.server.buffers.get(PAGE).unwrap();
        writer.extend_from_slice(text);
        let tail = write_tail(&self.server.buffers);
        let head = writer.freeze();
        let part = head.slice(1..3);
        assert!(part.same_memory(&head.clone()));
        self.message.push(head);
        self.message.push(tail.freeze());
        self.message.push(part);
        self.message.advance(self.message.len());
    }

    /// The forms that threads share.
    fn share(&self) {
        let (shared, locked) = (&self.server.shared, &self.server.locked);
        let local = shared.local();
        for i in 0..1000_u64 {
            local.alloc_value(i);
            shared.alloc_value(i);
            locked.alloc_value(i);
        }
    }
}

fn write_tail(buffers: &BufferPool) -> BufferMut {
    let mut tail = buffers.get(100).unwrap();
    tail.resize(100, b'.');
    let end = tail.split_off(50);
    tail.unsplit(end);
    tail
}

/// Vectors and tables that live in the arena.
fn collections(arena: &RecycledArena<'_>) {
    #[cfg(feature = "allocator-api2")]
    {
        let mut grown = allocator_api2::vec::Vec::new_in(&**arena);
        grown.extend(0..10_000_u64);
        grown.shrink_to_fit();
        let boxed = allocator_api2::boxed::Box::new_in(grown, &**arena);
        assert_eq!(boxed.iter().sum::<u64>(), 49_995_000);
    }
    #[cfg(feature = "hashbrown")]
    {
        let mut table = hashbrown::HashMap::new_in(&**arena);
        table.extend((0..1000_u64).map(|key| (key, key * key)));
        table.retain(|key, _| key % 3 == 0);
        table.shrink_to_fit();
        assert_eq!(table.get(&999), Some(&998_001));
    }
    #[cfg(feature = "collections")]
    {
        use aegis_memory::collections::{ArenaString, ArenaVec};
        let mut words = ArenaVec::new_in(&**arena);
        for word in "a b c d e f g".split(' ') {
            let mut text = ArenaString::from_str_in(word, &**arena);
            text.push_str(" is a word, and this text outgrows what it began with");
            words.push(text);
        }
        words.sort();
        words.retain(|word| !word.starts_with('d'));
        assert_eq!(words.len(), 6);
    }
    let _ = arena;
}

#[test]
fn warm_request_never_calls_the_systems_allocator() {
    let mut server = Server::new();
    for round in 0..6 {
        let mut worker = server.worker();
        let first = calls_of(|| worker.request());
        assert!(first > 0, "a new worker's chain has no memory yet: nothing is counted");
        let second = calls_of(|| worker.request());
        // In the first rounds the arenas grow.
        let is_warm = round >= 3;
        assert!(!is_warm || second == 0, "{second} calls in a request of round {round}");
        drop(worker);
        assert_eq!(calls_of(|| server.reset()), 0, "calls in the reset of round {round}");
    }
    let refused = server.process.stats().refused_count + server.query.stats().refused_count;
    assert_eq!(refused, 0);
}

#[test]
fn each_kind_of_call_is_counted() {
    assert_eq!(calls_of(|| black_box(5)), 0);
    assert!(calls_of(|| Box::new(5)) >= 1, "the global allocator");
    assert!(calls_of(|| vec![0_u8; 100]) >= 1, "its zeroed memory");
    let mut vec = Vec::<u8>::with_capacity(10);
    assert!(calls_of(|| vec.reserve(1000)) >= 1, "its growth");
    assert!(calls_of(|| drop(vec)) >= 1, "its release");

    #[cfg(all(target_os = "linux", target_env = "gnu", not(aegis_sanitizer)))]
    {
        // SAFETY: as the C library's contracts ask for it; memory is freed once, or leaked.
        unsafe {
            assert_eq!(calls_of(|| libc::free(black_box(libc::malloc(10)))), 2);
            assert_eq!(calls_of(|| black_box(libc::calloc(10, 10))), 1);
            assert_eq!(calls_of(|| black_box(libc::memalign(64, 640))), 1);
        }
        // The core's budgets and pages. Rust has no part in the first, except for the name.
        let parent = MemoryBudget::new("parent", PAGE);
        assert!(calls_of(|| parent.child("child", PAGE)) >= 2, "the core's heap");
        #[cfg(target_pointer_width = "64")]
        assert!(calls_of(|| Pool::new(PAGE, 1)) >= 2, "the core's pages");
    }
}

/// Makes this many writers of the C heap at once.
#[cfg(all(target_os = "linux", target_env = "gnu", not(aegis_sanitizer)))]
fn writers(count: usize, capacity: usize) -> Vec<BufferMut> {
    (0..count).map(|_| BufferMut::with_capacity(capacity)).collect()
}

#[cfg(all(target_os = "linux", target_env = "gnu", not(aegis_sanitizer)))]
#[test]
fn small_writers_of_a_warm_thread_call_no_allocator() {
    for capacity in [0, 1, 15, 16, 17, 100, 1000, 1024] {
        let writer = || BufferMut::with_capacity(black_box(capacity));
        drop(writer());
        assert_eq!(calls_of(writer), 0, "a writer of {capacity} bytes");
        // The second one finds no memory kept, and both are whole.
        let mut two = [writer(), writer()];
        two.iter_mut().for_each(|writer| writer.resize(capacity, capacity as u8));
        assert!(two.iter().all(|writer| writer.iter().all(|byte| *byte == capacity as u8)));
        assert_ne!(two[0].as_ptr(), two[1].as_ptr());
    }
    assert_eq!(calls_of(|| BufferMut::with_capacity(black_box(1025))), 2, "one that is larger");
    // What the thread keeps serves all small writers, and those of a budget too.
    let budget = MemoryBudget::new("writers", PAGE);
    for align in [1, 64] {
        let writer = || BufferMut::with_capacity_in(black_box(100), align, &budget);
        drop(writer());
        assert_eq!(calls_of(writer), 0, "a writer of a budget, aligned to {align} bytes");
    }
    assert_eq!(budget.used(), 0, "the budget does not count what the thread keeps");
}

#[cfg(all(target_os = "linux", target_env = "gnu", not(aegis_sanitizer)))]
#[test]
fn a_thread_keeps_up_to_16_kib_of_small_writers() {
    let of_1_kib = || {
        let mut all = writers(100, 1024);
        calls_of(|| all.clear())
    };
    // With the header it is 1088 bytes.
    let freed = thread::spawn(move || [of_1_kib(), of_1_kib()]).join().expect("no panic");
    assert_eq!(freed, [100 - (16 << 10) / 1088; 2]);
}

#[cfg(all(target_os = "linux", target_env = "gnu", not(aegis_sanitizer)))]
#[test]
fn a_thread_that_ends_frees_the_small_writers_that_it_kept() {
    let before = PIECES.load(Ordering::Relaxed);
    for _ in 0..100 {
        thread::spawn(|| drop(writers(100, 16))).join().expect("no panic");
    }
    let left = PIECES.load(Ordering::Relaxed) - before;
    // Other tests run at the same time.
    assert!(left < 5000, "{left} pieces of 10000 are left");
}
