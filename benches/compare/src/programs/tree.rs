// SPDX-License-Identifier: Apache-2.0
//! A B+ tree of pages of 4 KiB: insertions, look-ups and deletions in random order.
//!
//! A leaf has the keys in one array and the values of three words in another, an inner page keys and
//! the addresses of pages. Child `i` of an inner page has the keys from key `i - 1` on and below key
//! `i`. A full page is split before the insertion goes down into it. After a deletion a child that
//! is less than a quarter full is merged with a neighbour, if both fit into one page; the page of
//! the other goes back to the store. So pages are taken and given back all the time.

use std::ptr::NonNull;

use super::pages::{pool, BumpPages, HeapPages, PageStore, PAGE_BYTES};
use super::{random, random_below, rivals, Program, Rival};
use super::{GLIBC_HUGE, MIMALLOC_HUGE, OURS};
use crate::homes::{BumpScope, Home, Mimalloc, Std};

type Value = [u64; 3];

/// The entries of a leaf and the keys of an inner page.
const LEAF: usize = 127;
const INNER: usize = 254;

/// A page. What is behind the first `len` entries is undefined.
#[repr(C)]
struct Page<const N: usize, T> {
    len: usize,
    keys: [u64; N],
    items: T,
}

type Leaf = Page<LEAF, [Value; LEAF]>;
type Inner = Page<INNER, [NonNull<u8>; INNER + 1]>;

const _: () = assert!(size_of::<Leaf>() <= PAGE_BYTES && size_of::<Inner>() <= PAGE_BYTES);

/// Moves the items from `at` on by one place, and puts another at `at`. There is room for one more.
#[inline]
fn insert_at<T: Copy>(items: &mut [T], len: usize, at: usize, item: T) {
    items.copy_within(at..len, at + 1);
    items[at] = item;
}

/// Appends the first items of another array.
#[inline]
fn append<T: Copy>(items: &mut [T], len: usize, others: &[T], count: usize) {
    items[len..len + count].copy_from_slice(&others[..count]);
}

impl<const N: usize, T> Page<N, T> {
    /// How many keys are below, or at most, this key.
    #[inline]
    fn rank(&self, key: u64, with_equal: bool) -> usize {
        let keys = &self.keys[..self.len];
        keys.partition_point(|&other| other < key || (with_equal && other == key))
    }
}

/// A tree of this many levels of inner pages above its leaves.
struct Tree<S: PageStore> {
    store: S,
    root: NonNull<u8>,
    height: usize,
    len: usize,
}

impl<S: PageStore> Tree<S> {
    fn new(mut store: S) -> Self {
        let root = Self::empty::<LEAF, [Value; LEAF]>(store.take()).cast();
        Self { store, root, height: 0, len: 0 }
    }

    /// An empty page in the memory of one. Of the types above only the length must be initialised,
    /// because any bytes are numbers, and addresses behind the length are only copied.
    fn empty<const N: usize, T>(page: NonNull<u8>) -> NonNull<Page<N, T>> {
        let page = page.cast::<Page<N, T>>();
        // SAFETY: the page is as large as the type.
        unsafe { (&raw mut (*page.as_ptr()).len).write(0) };
        page
    }

    /// The leaf in which a key is, if it is in the tree.
    #[inline]
    fn leaf_of(&self, key: u64) -> NonNull<Leaf> {
        let mut page = self.root;
        for _ in 0..self.height {
            // SAFETY: pages above the last level are inner ones, and nothing changes them now.
            let inner = unsafe { page.cast::<Inner>().as_ref() };
            page = inner.items[inner.rank(key, true)];
        }
        page.cast()
    }

    fn get(&self, key: u64) -> Option<&Value> {
        // SAFETY: a page of the tree, which is borrowed.
        let leaf = unsafe { self.leaf_of(key).as_ref() };
        let at = leaf.rank(key, false);
        (at < leaf.len && leaf.keys[at] == key).then(|| &leaf.items[at])
    }

    /// Inserts a key that is not in the tree.
    fn insert(&mut self, key: u64, value: Value) {
        if self.is_full(self.root, self.height) {
            let old = self.root;
            let mut root = Self::empty::<INNER, [NonNull<u8>; INNER + 1]>(self.store.take());
            // SAFETY: a fresh page. Its only child is the old root.
            unsafe { root.as_mut().items[0] = old };
            self.split(root, 0, self.height);
            (self.root, self.height) = (root.cast(), self.height + 1);
        }
        let mut page = self.root;
        for level in (0..self.height).rev() {
            let inner = page.cast::<Inner>();
            // SAFETY: an inner page that nothing else borrows, here and below.
            let (mut at, mut child) = unsafe {
                let at = inner.as_ref().rank(key, true);
                (at, inner.as_ref().items[at])
            };
            if self.is_full(child, level) {
                self.split(inner, at, level);
                // SAFETY: as above.
                unsafe {
                    at = inner.as_ref().rank(key, true);
                    child = inner.as_ref().items[at];
                }
            }
            page = child;
        }
        // SAFETY: a leaf that nothing else borrows.
        let leaf = unsafe { page.cast::<Leaf>().as_mut() };
        let at = leaf.rank(key, false);
        insert_at(&mut leaf.keys, leaf.len, at, key);
        insert_at(&mut leaf.items, leaf.len, at, value);
        leaf.len += 1;
        self.len += 1;
    }

    fn is_full(&self, page: NonNull<u8>, level: usize) -> bool {
        // SAFETY: a page of this level, which nothing changes meanwhile.
        unsafe {
            if level == 0 {
                page.cast::<Leaf>().as_ref().len == LEAF
            } else {
                page.cast::<Inner>().as_ref().len == INNER
            }
        }
    }

    /// Splits a full child in the middle. `parent` is not full, and `level` is the child's.
    fn split(&mut self, mut parent: NonNull<Inner>, at: usize, level: usize) {
        let new = self.store.take();
        // SAFETY: the pages are different ones, and nothing else borrows them.
        let parent = unsafe { parent.as_mut() };
        let child = parent.items[at];
        let key = if level == 0 {
            // SAFETY: as above.
            let (left, right) =
                unsafe { (child.cast::<Leaf>().as_mut(), Self::empty(new).as_mut()) };
            let right: &mut Leaf = right;
            left.len = LEAF / 2;
            right.len = LEAF - left.len;
            append(&mut right.keys, 0, &left.keys[left.len..], right.len);
            append(&mut right.items, 0, &left.items[left.len..], right.len);
            right.keys[0]
        } else {
            // SAFETY: as above.
            let (left, right) =
                unsafe { (child.cast::<Inner>().as_mut(), Self::empty(new).as_mut()) };
            let right: &mut Inner = right;
            left.len = INNER / 2;
            right.len = INNER - left.len - 1;
            append(&mut right.keys, 0, &left.keys[left.len + 1..], right.len);
            append(&mut right.items, 0, &left.items[left.len + 1..], right.len + 1);
            left.keys[left.len]
        };
        insert_at(&mut parent.keys, parent.len, at, key);
        insert_at(&mut parent.items, parent.len + 1, at + 1, new);
        parent.len += 1;
    }

    /// Deletes a key. False: it was not in the tree.
    fn delete(&mut self, key: u64) -> bool {
        let is_deleted = self.delete_below(self.root, self.height, key);
        self.len -= usize::from(is_deleted);
        // SAFETY: above the leaves the root is an inner page, which nothing else borrows.
        while self.height > 0 && unsafe { self.root.cast::<Inner>().as_ref().len } == 0 {
            let old = self.root;
            // SAFETY: as above. A root with one child is not needed, and is not used again.
            unsafe {
                self.root = old.cast::<Inner>().as_ref().items[0];
                self.store.give(old);
            }
            self.height -= 1;
        }
        is_deleted
    }

    fn delete_below(&mut self, page: NonNull<u8>, level: usize, key: u64) -> bool {
        if level == 0 {
            // SAFETY: a leaf that nothing else borrows.
            let leaf = unsafe { page.cast::<Leaf>().as_mut() };
            let at = leaf.rank(key, false);
            if at == leaf.len || leaf.keys[at] != key {
                return false;
            }
            leaf.keys.copy_within(at + 1..leaf.len, at);
            leaf.items.copy_within(at + 1..leaf.len, at);
            leaf.len -= 1;
            return true;
        }
        // SAFETY: an inner page that nothing else borrows now.
        let inner = unsafe { page.cast::<Inner>().as_ref() };
        let at = inner.rank(key, true);
        let is_deleted = self.delete_below(inner.items[at], level - 1, key);
        // SAFETY: as above. The deletion below has not changed this page.
        let inner = unsafe { page.cast::<Inner>().as_mut() };
        self.merge(inner, at, level - 1);
        is_deleted
    }

    /// Merges child `at` with a neighbour if it has become small and both fit into one page.
    fn merge(&mut self, parent: &mut Inner, at: usize, level: usize) {
        if parent.len == 0 {
            return;
        }
        let first = at.min(parent.len - 1);
        let (left, right) = (parent.items[first], parent.items[first + 1]);
        // SAFETY: two children, which nothing else borrows.
        let is_merged = unsafe {
            if level == 0 {
                let (left, right) = (left.cast::<Leaf>().as_mut(), right.cast::<Leaf>().as_ref());
                let is_small = left.len.min(right.len) < LEAF / 4;
                let is_merged = is_small && left.len + right.len <= LEAF;
                if is_merged {
                    append(&mut left.keys, left.len, &right.keys, right.len);
                    append(&mut left.items, left.len, &right.items, right.len);
                    left.len += right.len;
                }
                is_merged
            } else {
                let (left, right) = (left.cast::<Inner>().as_mut(), right.cast::<Inner>().as_ref());
                let is_small = left.len.min(right.len) < INNER / 4;
                let is_merged = is_small && left.len + 1 + right.len <= INNER;
                if is_merged {
                    left.keys[left.len] = parent.keys[first];
                    append(&mut left.keys, left.len + 1, &right.keys, right.len);
                    append(&mut left.items, left.len + 1, &right.items, right.len + 1);
                    left.len += 1 + right.len;
                }
                is_merged
            }
        };
        if is_merged {
            parent.keys.copy_within(first + 1..parent.len, first);
            parent.items.copy_within(first + 2..parent.len + 1, first + 1);
            parent.len -= 1;
            // SAFETY: a page of the store, to which nothing leads any more.
            unsafe { self.store.give(right) };
        }
    }

    /// Gives back a page and all below it.
    fn give_back(&mut self, page: NonNull<u8>, level: usize) {
        if level > 0 {
            // SAFETY: an inner page, which nothing else borrows.
            let inner = unsafe { page.cast::<Inner>().as_ref() };
            inner.items[..=inner.len].iter().for_each(|&child| self.give_back(child, level - 1));
        }
        // SAFETY: a page of the store. What is below it was given back.
        unsafe { self.store.give(page) };
    }
}

impl<S: PageStore> Drop for Tree<S> {
    fn drop(&mut self) {
        if S::IS_HEAP {
            self.give_back(self.root, self.height);
        }
    }
}

fn value_of(key: u64) -> Value {
    [key, !key, key >> 7]
}

/// Inserts keys, looks some up, deletes two thirds of them while others are inserted, and looks some
/// up again. Each result is checked, because it is known which keys there are.
fn work<S: PageStore>(store: S, small: bool) -> u64 {
    let count: u64 = if small { 50_000 } else { 1_000_000 };
    // Every number has another random one, so no key comes twice.
    let key = random;
    let mut tree = Tree::new(store);
    for i in 0..count {
        tree.insert(key(i), value_of(key(i)));
    }
    let mut sum = 0;
    let mut look_up = |tree: &Tree<S>, number, is_there: bool| {
        let found = tree.get(key(number));
        assert_eq!(found.copied(), is_there.then(|| value_of(key(number))));
        sum = random(sum ^ found.map_or(0, |value| value[1]));
    };
    for i in 0..count {
        let number = random_below(i, 2 * count);
        look_up(&tree, number, number < count);
    }
    for i in 0..2 * count {
        if i % 3 != 0 {
            assert_eq!(tree.delete(key(i)), i < count);
        }
        if i % 4 == 0 {
            tree.insert(key(i + 2 * count), value_of(key(i + 2 * count)));
        }
    }
    for i in 0..count {
        let number = random_below(i, 4 * count);
        let is_later = number >= 2 * count && number.is_multiple_of(4);
        look_up(&tree, number, is_later || number < count && number.is_multiple_of(3));
    }
    sum ^ tree.len as u64
}

/// The program and its rows.
pub fn program() -> Program {
    Program {
        name: "tree",
        about: "a B+ tree of 4 KiB pages: 1.5 M insertions, 2 M look-ups, 1.3 M deletions",
        rivals: rivals!(
            |small| Box::new(move || work(pool(), small)),
            |small| Box::new(move || work(BumpPages::new(bumpalo::Bump::new()), small)),
            |small| Box::new(move || {
                work(BumpPages::new(<BumpScope<true> as Home>::new()), small)
            }),
            |small| Box::new(move || work(HeapPages(Mimalloc), small)),
            |small| Box::new(move || work(HeapPages(Std), small))
        ),
    }
}
