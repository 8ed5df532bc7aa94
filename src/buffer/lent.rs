// SPDX-License-Identifier: Apache-2.0
//! Which memory a `Bytes` or an arrow buffer that was made of a buffer is a part of. Neither says
//! what its owner is. So this copy of the crate has a table of the buffers that are the owners of
//! one, and finds them in it by address. No call waits for another one, so the table works in
//! thread-local destructors and after a fork too. (An entry that another thread was just writing at
//! a fork is lost to the child process.) In what follows, `Bytes` stands for both.
//!
//! The table is an array of lists of entries. A range of `len` bytes has a class, the smallest `c`
//! with `len <= 2^2c`, and belongs to the list of its class and of the number `start >> 2c`. So an
//! address inside of the range has that number or the next one ([`memory_of`]).
//!
//! 1. Entries are only added to a list, at its front, and are never freed ([`Entry::new_in`]). So a
//!    thread may read any entry at any time. A list has as many entries as it once needed.
//! 2. `users` is the number of [`Lent`] values of an entry, or `CLAIMED`. A thread that changes it
//!    from 0 to `CLAIMED` has the entry alone until it stores 1 ([`Entry::claim`],
//!    [`Entry::fill`]).
//! 3. Only the thread that has claimed an entry writes `version` and the range. It raises `version`
//!    first and stores `users` last. All of these are Release stores ([`Entry::fill`]).
//! 4. A reader loads `version`, `users` and the range in this order, all with Acquire, and then
//!    `version` again. It uses the range only if `users` showed a user and `version` is the same
//!    ([`Entry::read`]).
//! 5. A thread that shares an entry counts itself first. Then it checks that `version` is still the
//!    one with which it read the range ([`Entry::share`]).
//!
//! A reader uses no mixture of two ranges. If a load of the range sees a store of a later version,
//! this load synchronizes with that store, and the second load of `version` sees the later version
//! (3, 4). If the load of `users` shows a user, it synchronizes with the store that ended the
//! writing, so the loads of the range see at least that version (3, 4). A shared entry keeps its
//! range, because no thread claims an entry that has users (2, 5).
//!
//! A caller of [`memory_of`] has a `Bytes`. If it is ours, its owner is a `Lent`, so its entry has
//! a user during the call, and the caller finds this entry, or another one whose range overlaps it.
//! That is the same memory, because both are alive.
//!
//! The method is that of sequence locks: H. Boehm, "Can seqlocks get along with programming
//! language memory models?", MSPC 2012.

use alloc::boxed::Box;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::view::Buffer;

/// The number of lists, a power of two.
const LISTS: usize = 1024;
const CLAIMED: usize = usize::MAX;
/// Ranges of up to 64 bytes have this class.
const FIRST_CLASS: u32 = 3;
/// 2^BITS divided by the golden ratio: multiplication by it spreads neighbours over the lists.
const SPREAD: usize = 0x9E37_79B9_7F4A_7C15_u64 as usize;

#[allow(clippy::declare_interior_mutable_const)]
const EMPTY_LIST: AtomicPtr<Entry> = AtomicPtr::new(ptr::null_mut());
static TABLE: [AtomicPtr<Entry>; LISTS] = [EMPTY_LIST; LISTS];
/// One bit for each class of which there has ever been an entry.
static CLASSES: AtomicUsize = AtomicUsize::new(0);

/// The memory behind a range, as its owner describes it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) base: *mut u8,
    pub(super) capacity: usize,
    pub(super) retained: usize,
}

/// A range of bytes and the memory that it is a part of.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Range {
    start: usize,
    len: usize,
    memory: Memory,
}

struct Entry {
    next: AtomicPtr<Entry>,
    users: AtomicUsize,
    version: AtomicUsize,
    start: AtomicUsize,
    len: AtomicUsize,
    base: AtomicPtr<u8>,
    capacity: AtomicUsize,
    retained: AtomicUsize,
}

impl Entry {
    /// A new entry at the front of a list, which the caller has claimed.
    fn new_in(list: &AtomicPtr<Entry>) -> &'static Self {
        let entry: &'static Self = Box::leak(Box::new(Self {
            next: EMPTY_LIST,
            users: AtomicUsize::new(CLAIMED),
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            base: AtomicPtr::new(ptr::null_mut()),
            capacity: AtomicUsize::new(0),
            retained: AtomicUsize::new(0),
        }));
        let place: *const Self = entry;
        let mut first = list.load(Ordering::Relaxed);
        loop {
            entry.next.store(first, Ordering::Relaxed);
            // Release: pairs with the Acquire in `entries`.
            match list.compare_exchange_weak(
                first,
                place.cast_mut(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return entry,
                Err(now) => first = now,
            }
        }
    }

    /// Claims the entry if it has no user.
    fn claim(&self) -> bool {
        // Acquire: pairs with the Release in `leave`, so that what the last user did comes before.
        self.users.load(Ordering::Relaxed) == 0
            && self.users.compare_exchange(0, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Writes the range and makes the caller the first user. The caller has claimed the entry.
    fn fill(&self, range: &Range) {
        // Release, here and for the range: each pairs with the Acquire of the same field in `read`.
        let version = self.version.load(Ordering::Relaxed).wrapping_add(1);
        self.version.store(version, Ordering::Release);
        self.start.store(range.start, Ordering::Release);
        self.len.store(range.len, Ordering::Release);
        self.base.store(range.memory.base, Ordering::Release);
        self.capacity.store(range.memory.capacity, Ordering::Release);
        self.retained.store(range.memory.retained, Ordering::Release);
        // Release: pairs with the Acquire of `users` in `read`.
        self.users.store(1, Ordering::Release);
    }

    /// The range and its version, if the entry has users.
    fn read(&self) -> Option<(Range, usize)> {
        // Acquire, for all but the last load: see 4 above.
        let version = self.version.load(Ordering::Acquire);
        if matches!(self.users.load(Ordering::Acquire), 0 | CLAIMED) {
            return None;
        }
        let start = self.start.load(Ordering::Acquire);
        let len = self.len.load(Ordering::Acquire);
        let base = self.base.load(Ordering::Acquire);
        let capacity = self.capacity.load(Ordering::Acquire);
        let retained = self.retained.load(Ordering::Acquire);
        let range = Range { start, len, memory: Memory { base, capacity, retained } };
        (self.version.load(Ordering::Relaxed) == version).then_some((range, version))
    }

    /// Makes the caller one more user, if the entry has users and this range.
    fn share(&self, range: &Range) -> bool {
        let Some((found, version)) = self.read() else { return false };
        if found != *range {
            return false;
        }
        let mut users = self.users.load(Ordering::Relaxed);
        loop {
            if matches!(users, 0 | CLAIMED) {
                return false;
            }
            // Acquire: pairs with the Release of `fill`, so that the version is at least the one of
            // the user that is there.
            match self.users.compare_exchange_weak(
                users,
                users + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => users = now,
            }
        }
        if self.version.load(Ordering::Relaxed) == version {
            return true;
        }
        self.leave();
        false
    }

    /// Takes a user away.
    fn leave(&self) {
        // Release: pairs with the Acquire in `claim`.
        self.users.fetch_sub(1, Ordering::Release);
    }
}

/// The class of a range.
fn class_of(len: usize) -> u32 {
    let bits = usize::BITS - len.saturating_sub(1).leading_zeros();
    bits.div_ceil(2).max(FIRST_CLASS)
}

/// The number of an address in a class.
fn number(address: usize, class: u32) -> usize {
    address >> (2 * class).min(usize::BITS - 1)
}

fn list_of(number: usize, class: u32) -> &'static AtomicPtr<Entry> {
    let mixed = number.wrapping_add(class as usize).wrapping_mul(SPREAD);
    &TABLE[mixed >> (usize::BITS - LISTS.trailing_zeros())]
}

fn entries(list: &AtomicPtr<Entry>) -> impl Iterator<Item = &'static Entry> {
    // Acquire: pairs with the Release in `new_in`. The entries behind the first one were there
    // before it, and its Release covers them too.
    let mut next = list.load(Ordering::Acquire);
    core::iter::from_fn(move || {
        // SAFETY: entries are never freed.
        let entry: Option<&'static Entry> = unsafe { next.as_ref() };
        next = entry?.next.load(Ordering::Relaxed);
        entry
    })
}

/// A buffer that is the owner of a `Bytes` or of an arrow buffer, and its entry in the table.
pub(super) struct Lent {
    entry: &'static Entry,
    buffer: Buffer,
}

impl Lent {
    /// Enters the buffer, which has an owner, in the table.
    pub(super) fn new(buffer: Buffer) -> Self {
        let owner = buffer.raw().owner;
        // SAFETY: the handle keeps the owner, and these fields do not change while there are
        // handles.
        let (base, capacity) = unsafe { ((*owner).base, (*owner).capacity_bytes) };
        let retained = buffer.retained_bytes();
        let (start, len) = (buffer.raw().data as usize, buffer.len());
        let range = Range { start, len, memory: Memory { base, capacity, retained } };
        let class = class_of(len);
        // Relaxed: a thread that has the `Bytes` got it after this.
        CLASSES.fetch_or(1 << class, Ordering::Relaxed);
        let list = list_of(number(start, class), class);
        let shared = entries(list).find(|entry| entry.share(&range));
        let entry = shared.unwrap_or_else(|| {
            let free = entries(list).find(|entry| entry.claim());
            let entry = free.unwrap_or_else(|| Entry::new_in(list));
            entry.fill(&range);
            entry
        });
        Self { entry, buffer }
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.entry.leave();
    }
}

/// The memory that the bytes are a part of, if they are those of a `Bytes` or an arrow buffer that
/// this copy of the crate has made of a buffer.
pub(super) fn memory_of(bytes: &[u8]) -> Option<Memory> {
    let (start, len) = (bytes.as_ptr() as usize, bytes.len());
    let has = |range: &Range| {
        start.checked_sub(range.start).is_some_and(|at| at < range.len && len <= range.len - at)
    };
    let classes = CLASSES.load(Ordering::Relaxed);
    (FIRST_CLASS..usize::BITS)
        .filter(|class| classes >> class & 1 != 0)
        .flat_map(|class| {
            let last = number(start, class);
            [list_of(last, class), list_of(last.wrapping_sub(1), class)]
        })
        .flat_map(entries)
        .filter_map(Entry::read)
        .find_map(|(range, _)| has(&range).then_some(range.memory))
}
