// SPDX-License-Identifier: Apache-2.0
//! A global allocator that fails when a test says so, and only on the thread that says so. Also the
//! loop that makes each allocation of a call fail in turn.

use aegis_memory::AllocError;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::{self, Write};

/// What one thread has asked the heap for, and what the heap is to refuse.
#[derive(Clone, Copy)]
struct Heap {
    live_blocks: isize,
    live_bytes: isize,
    /// Whether the allocator now counts and refuses requests.
    armed: bool,
    requests: usize,
    /// The number of the request that is refused, and whether all requests after it are refused
    /// too.
    refuse_at: usize,
    refuse_behind: bool,
    refused: usize,
}

thread_local! {
    static HEAP: Cell<Heap> = const {
        Cell::new(Heap {
            live_blocks: 0,
            live_bytes: 0,
            armed: false,
            requests: 0,
            refuse_at: 0,
            refuse_behind: false,
            refused: 0,
        })
    };
}

fn heap<R>(change: impl FnOnce(&mut Heap) -> R) -> Option<R> {
    let change = |cell: &Cell<Heap>| {
        let mut heap = cell.get();
        let result = change(&mut heap);
        cell.set(heap);
        result
    };
    HEAP.try_with(change).ok()
}

struct FailingHeap;

impl FailingHeap {
    fn counted(layout: Layout, allocate: impl FnOnce() -> *mut u8) -> *mut u8 {
        let refused = heap(|heap| {
            let number = heap.requests;
            let hit = number == heap.refuse_at || (heap.refuse_behind && number > heap.refuse_at);
            heap.requests += usize::from(heap.armed);
            heap.refused += usize::from(heap.armed && hit);
            heap.armed && hit
        });
        if refused == Some(true) {
            return std::ptr::null_mut();
        }
        let memory = allocate();
        if !memory.is_null() {
            heap(|heap| {
                heap.live_blocks += 1;
                heap.live_bytes += layout.size() as isize;
            });
        }
        memory
    }
}

// SAFETY: the system's allocator, or a refusal. `realloc` is made of the other two.
unsafe impl GlobalAlloc for FailingHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        Self::counted(layout, || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        Self::counted(layout, || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        heap(|heap| {
            heap.live_blocks -= 1;
            heap.live_bytes -= layout.size() as isize;
        });
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static FAILING_HEAP: FailingHeap = FailingHeap;

/// A text in memory of its own, so that writing it needs no heap.
pub struct Text {
    bytes: [u8; 4096],
    len: usize,
}

impl Text {
    pub fn of(arguments: fmt::Arguments<'_>) -> Self {
        let mut text = Self { bytes: [0; 4096], len: 0 };
        text.write_fmt(arguments).expect("room for the text");
        text
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("only texts are written")
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// An error that can say that there was no memory, if its type has that. The test asks while the
/// heap fails, so the answer must need no memory either.
pub trait SaysNoMemory {
    /// If the error says something else: its text.
    fn wrong(&self) -> Option<Text>;
}

impl SaysNoMemory for AllocError {
    fn wrong(&self) -> Option<Text> {
        let text = Text::of(format_args!("{self}"));
        let says = text.as_str();
        let is_right = match self {
            AllocError::OutOfMemory { .. } => says.starts_with("out of memory: "),
            // The record is the one thing that is allocated. Each number must be named without it
            // too.
            AllocError::LimitExceeded {
                requested, needed, limit, in_use, refusal: None, ..
            } => {
                says.starts_with("memory limit exceeded: ")
                    && [requested, needed, limit, in_use]
                        .iter()
                        .all(|number| says.contains(Text::of(format_args!(" {number} ")).as_str()))
            }
            _ => false,
        };
        (!is_right).then_some(text)
    }
}

impl<T> SaysNoMemory for (T, AllocError) {
    fn wrong(&self) -> Option<Text> {
        self.1.wrong()
    }
}

impl SaysNoMemory for aegis_memory::arena::CStrError {
    fn wrong(&self) -> Option<Text> {
        match self {
            Self::Alloc(error) => error.wrong(),
            other => Some(Text::of(format_args!("{other}"))),
        }
    }
}

impl SaysNoMemory for aegis_memory::AllocOrInitError<()> {
    fn wrong(&self) -> Option<Text> {
        match self {
            Self::Alloc(error) => error.wrong(),
            Self::Init(()) => Some(Text::of(format_args!("the closure failed"))),
        }
    }
}

/// For traits whose error has no content.
impl SaysNoMemory for fmt::Error {
    fn wrong(&self) -> Option<Text> {
        None
    }
}

#[cfg(feature = "allocator-api2")]
impl SaysNoMemory for allocator_api2::alloc::AllocError {
    fn wrong(&self) -> Option<Text> {
        None
    }
}

#[cfg(feature = "std")]
impl SaysNoMemory for std::io::Error {
    fn wrong(&self) -> Option<Text> {
        let text = Text::of(format_args!("{self}"));
        let is_right = self.kind() == std::io::ErrorKind::OutOfMemory;
        (!is_right || text.as_str() != "out of memory").then_some(text)
    }
}

/// A page that could not be read or written for want of memory has that as its reason.
#[cfg(all(feature = "std", aegis_threads))]
impl SaysNoMemory for aegis_memory::cache::CacheError {
    fn wrong(&self) -> Option<Text> {
        if let Some(error) = self.alloc_error() {
            return error.wrong();
        }
        let text = Text::of(format_args!("{self}"));
        (!text.as_str().contains("out of memory")).then_some(text)
    }
}

#[cfg(all(feature = "std", aegis_threads))]
impl<T> SaysNoMemory for (T, aegis_memory::cache::CacheError) {
    fn wrong(&self) -> Option<Text> {
        self.1.wrong()
    }
}

#[cfg(all(feature = "std", any(unix, windows)))]
impl SaysNoMemory for aegis_memory::buffer::MapError {
    fn wrong(&self) -> Option<Text> {
        let text = Text::of(format_args!("{self}"));
        let is_right = self.kind() == std::io::ErrorKind::OutOfMemory;
        (!is_right || text.as_str() != "out of memory").then_some(text)
    }
}

/// Makes the allocations fail in the calls that go through it.
pub struct Probe {
    met: Cell<bool>,
    is_quiet: Cell<bool>,
}

impl Probe {
    /// Runs a call that allocates on Rust's heap. If an allocation in it fails, the call must fail.
    #[track_caller]
    pub fn fails<T, E: SaysNoMemory>(&self, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let before = heap(|heap| heap.refused);
        let result = self.may_fail(call);
        let was_refused = heap(|heap| heap.refused) != before;
        assert!(result.is_err() || !was_refused, "it succeeds without the memory it asked for");
        result
    }

    /// As [`fails`](Self::fails), for a call that may succeed with less memory if the heap refuses
    /// it.
    pub fn may_fail<T, E: SaysNoMemory>(
        &self,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let (result, refused) = Self::armed(call);
        self.is_quiet.set(false);
        if refused != 0 {
            self.met.set(true);
            if let Some(text) = self.quiet(|| result.as_ref().err().and_then(E::wrong)) {
                panic!("not an answer to want of memory: {}", text.as_str());
            }
        }
        result
    }

    /// Runs a call that must allocate nothing on Rust's heap, so that nothing in it can fail.
    #[track_caller]
    pub fn quiet<R>(&self, call: impl FnOnce() -> R) -> R {
        let before = heap(|heap| heap.requests);
        let (result, _) = Self::armed(call);
        assert_eq!(heap(|heap| heap.requests), before, "this call allocates");
        result
    }

    /// Runs `call` while the heap fails. Returns the result and how many requests the heap refused.
    fn armed<R>(call: impl FnOnce() -> R) -> (R, usize) {
        struct Disarm;
        impl Drop for Disarm {
            fn drop(&mut self) {
                heap(|heap| heap.armed = false);
            }
        }
        let before = heap(|heap| {
            heap.armed = true;
            heap.refused
        });
        let disarm = Disarm;
        let result = call();
        drop(disarm);
        let refused = heap(|heap| heap.refused).unwrap_or(0) - before.unwrap_or(0);
        (result, refused)
    }
}

/// The names of public functions, as `file name`, and a program that calls them through the probe.
pub struct Row {
    pub covers: &'static [&'static str],
    pub run: fn(&Probe),
}

impl Row {
    /// Runs the program once while the heap refuses request `refuse_at`, alone or with all after
    /// it. Returns whether a request was refused, and the probe.
    fn run_at(&self, refuse_at: usize, refuse_behind: bool) -> (bool, Probe) {
        let probe = Probe { met: Cell::new(false), is_quiet: Cell::new(true) };
        let live = || heap(|heap| (heap.live_blocks, heap.live_bytes));
        heap(|heap| {
            (heap.requests, heap.refuse_at) = (0, refuse_at);
            heap.refuse_behind = refuse_behind;
        });
        let before = live();
        (self.run)(&probe);
        assert_eq!(live(), before, "{:?}: leaked, refused at {refuse_at}", self.covers);
        (probe.met.get(), probe)
    }

    /// Runs the program with the k-th request refused, for every k until none is refused: once
    /// with that request alone and once with all after it.
    pub fn run(&self) {
        // The first run is for allocations that a process makes only once; they are not counted.
        heap(|heap| (heap.refuse_at, heap.refuse_behind) = (usize::MAX, false));
        (self.run)(&Probe { met: Cell::new(false), is_quiet: Cell::new(true) });
        for refuse_behind in [false, true] {
            for refuse_at in 0.. {
                // With `--nocapture` the last line tells which call has ended the process.
                println!("{:?} at {refuse_at}, behind: {refuse_behind}", self.covers);
                let (met, probe) = self.run_at(refuse_at, refuse_behind);
                if !met {
                    let tested = refuse_at > 0 || probe.is_quiet.get();
                    assert!(tested, "{:?}: nothing was there to fail", self.covers);
                    break;
                }
            }
        }
    }
}
