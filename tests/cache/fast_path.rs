// SPDX-License-Identifier: Apache-2.0
//! Compares a hit and an unpin in Rust with those in C. The test drives both with the same random
//! sequences, each on a cache of its own, and a third cache with both in turn. All must find the
//! same pages in the same frames, fail in the same way, evict the same pages, and count the same.

use aegis_memory::cache::{
    CacheErrorKind, FileId, MemoryStore, PageCache, PageMut, PageRef, PageStore,
};
use aegis_memory::ffi;
use proptest::prelude::*;
use std::mem::MaybeUninit;

const FRAMES: usize = 8;
const PAGES: u64 = 24;

/// Who pins and unpins.
#[derive(Clone, Copy, Debug)]
enum By {
    Rust,
    C,
    Both,
}

#[derive(Clone, Debug)]
enum Step {
    Read(u64),
    Write(u64),
    Unpin(usize),
    Discard(u64),
    Clean,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..PAGES).prop_map(Step::Read),
        2 => (0..PAGES).prop_map(Step::Write),
        6 => (0..FRAMES).prop_map(Step::Unpin),
        1 => (0..PAGES).prop_map(Step::Discard),
        1 => Just(Step::Clean),
    ];
    prop::collection::vec(step, 1..200)
}

/// What a step has come to.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// The frame of the page, and its first byte.
    Pinned(usize, u8),
    Failed(CacheErrorKind),
    Done(usize),
}

/// Those of Rust are held for their drops.
#[allow(dead_code)]
enum Held<'c> {
    Ref(PageRef<'c>),
    Mut(PageMut<'c>),
    C(ffi::aegis_page_pin),
}

fn file_of(cache: &PageCache) -> FileId {
    let store = MemoryStore::new();
    store.truncate(PAGES, 4096).expect("there is memory");
    cache.open(store).expect("there is memory")
}

struct Side<'c> {
    cache: &'c PageCache,
    file: FileId,
    by: By,
    turn: u32,
    held: Vec<Held<'c>>,
}

impl<'c> Side<'c> {
    fn new(cache: &'c PageCache, by: By) -> Self {
        Self { cache, file: file_of(cache), by, turn: 1, held: Vec::new() }
    }

    fn is_turn_of_rust(&mut self) -> bool {
        self.turn = self.turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match self.by {
            By::Rust => true,
            By::C => false,
            By::Both => self.turn >> 31 == 0,
        }
    }

    /// The number of the frame that these bytes are.
    fn frame_of(&self, bytes: *const u8) -> usize {
        let at = bytes as usize;
        let mut slabs = self.cache.slabs();
        let slab = slabs.find(|slab| {
            let base = slab.base.as_ptr() as usize;
            (base..base + slab.size_bytes).contains(&at)
        });
        let slab = slab.expect("a page lies in a slab");
        slab.first_frame + (at - slab.base.as_ptr() as usize) / 4096
    }

    fn pin_by_c(&mut self, page: u64, mode: u32) -> Outcome {
        let mut pin = MaybeUninit::uninit();
        let mut error = MaybeUninit::uninit();
        let mode = mode | ffi::AEGIS_PIN_TRY;
        let (cache, file) = (self.cache.as_raw(), self.file.number());
        // SAFETY: the cache is alive, and there is room for the pin and the error.
        let status = unsafe {
            ffi::aegis_page_cache_pin(cache, file, page, mode, pin.as_mut_ptr(), error.as_mut_ptr())
        };
        if status != 0 {
            // SAFETY: the call has filled it in.
            return Outcome::Failed(match unsafe { error.assume_init() }.reason {
                ffi::AEGIS_PAGE_PINNED => CacheErrorKind::Pinned,
                ffi::AEGIS_PAGE_ALL_PINNED => CacheErrorKind::AllPinned,
                reason => panic!("reason {reason}"),
            });
        }
        // SAFETY: the call has filled it in.
        let pin = unsafe { pin.assume_init() };
        assert_eq!((pin.file, pin.page), (file, page));
        assert_eq!(pin.frame as usize, self.frame_of(pin.data));
        // SAFETY: the page is pinned, and a writer has it alone.
        let first = unsafe {
            *pin.data = (*pin.data).wrapping_add(u8::from(pin.mode == ffi::AEGIS_PIN_WRITE));
            *pin.data
        };
        self.held.push(Held::C(pin));
        Outcome::Pinned(pin.frame as usize, first)
    }

    fn step(&mut self, step: &Step) -> Outcome {
        match *step {
            Step::Read(page) if self.is_turn_of_rust() => {
                match self.cache.try_read(self.file, page) {
                    Ok(pin) => {
                        assert_eq!((pin.file(), pin.page()), (self.file, page));
                        let outcome = Outcome::Pinned(self.frame_of(pin.as_ptr()), pin[0]);
                        self.held.push(Held::Ref(pin));
                        outcome
                    }
                    Err(error) => Outcome::Failed(error.kind()),
                }
            }
            Step::Read(page) => self.pin_by_c(page, ffi::AEGIS_PIN_READ),
            Step::Write(page) if self.is_turn_of_rust() => {
                match self.cache.try_write(self.file, page) {
                    Ok(mut pin) => {
                        pin[0] = pin[0].wrapping_add(1);
                        let outcome = Outcome::Pinned(self.frame_of(pin.as_ptr()), pin[0]);
                        self.held.push(Held::Mut(pin));
                        outcome
                    }
                    Err(error) => Outcome::Failed(error.kind()),
                }
            }
            Step::Write(page) => self.pin_by_c(page, ffi::AEGIS_PIN_WRITE),
            Step::Unpin(at) => {
                if !self.held.is_empty() {
                    let held = self.held.swap_remove(at % self.held.len());
                    self.unpin(held);
                }
                Outcome::Done(self.held.len())
            }
            Step::Discard(page) => match self.cache.discard(self.file, page..=page) {
                Ok(count) => Outcome::Done(count),
                Err(error) => Outcome::Failed(error.kind()),
            },
            Step::Clean => Outcome::Done(self.cache.clean(3).expect("memory takes them")),
        }
    }

    fn unpin(&self, held: Held<'c>) {
        if let Held::C(mut pin) = held {
            let is_read = pin.mode == ffi::AEGIS_PIN_READ;
            let flags = if is_read { 0 } else { ffi::AEGIS_UNPIN_DIRTY };
            let cache = self.cache.as_raw();
            // SAFETY: the cache is alive, and the function checks the pin.
            let status = unsafe { ffi::aegis_page_cache_unpin(cache, &mut pin, flags) };
            assert_eq!(status, 0);
        }
    }
}

proptest! {
    #[test]
    fn rust_and_c_do_the_same(steps in steps()) {
        let caches = [(); 3].map(|()| PageCache::new(FRAMES));
        let [of_rust, of_c, of_both] = &caches;
        let mut rust = Side::new(of_rust, By::Rust);
        let mut others = [Side::new(of_c, By::C), Side::new(of_both, By::Both)];
        for step in &steps {
            let outcome = rust.step(step);
            for other in &mut others {
                prop_assert_eq!(&outcome, &other.step(step), "{:?} by {:?}", step, other.by);
                let stats = [rust.cache.stats(), other.cache.stats()];
                prop_assert_eq!(stats[0], stats[1], "{:?} by {:?}", step, other.by);
            }
        }
        for side in others.iter_mut().chain([&mut rust]) {
            while let Some(held) = side.held.pop() {
                side.unpin(held);
            }
            prop_assert_eq!(side.cache.stats().pinned_count, 0);
        }
    }
}

/// Rust's unpin does what is rare too: it wakes a writer that waits for the page, and a thread that
/// waits for a frame (`threads.rs`), and each pin is counted.
#[test]
fn unpin_by_rust_wakes_a_writer() {
    let cache = PageCache::new(FRAMES);
    let file = file_of(&cache);
    for _ in 0..100 {
        let waits = cache.stats().latch_wait_count;
        let page = cache.read(file, 0).unwrap();
        std::thread::scope(|threads| {
            let writer = threads.spawn(|| cache.write(file, 0).map(|mut pin| pin[0] += 1).is_ok());
            while cache.stats().latch_wait_count == waits {
                std::thread::yield_now();
            }
            drop(page);
            assert!(writer.join().unwrap());
        });
    }
    assert_eq!(cache.read(file, 0).unwrap()[0], 100);
}
