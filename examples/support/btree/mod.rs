// SPDX-License-Identifier: Apache-2.0
//! A B+tree of 64-bit keys and values on the pages of a file, for several threads, that survives a
//! crash.
//!
//! Page 0 is the root. A page has its LSN, a checksum, the number of its entries, its level (0 is a
//! leaf), a link, and entries in ascending order of their keys. The link of a leaf is its right
//! neighbour; that of an inner page is the child for keys below its first entry.
//!
//! Threads go from the root down and pin a child before they unpin its parent (Bayer and Schkolnick,
//! "Concurrency of Operations on B-Trees", 1977). An insert first pins only the leaf to write. If
//! that is full, it comes again, with all pages of the way pinned to write, and splits each full page
//! before it goes down to it.
//!
//! The rule of the log: a change is logged while its pages are pinned, and the pages get the LSN of
//! the record. The cache calls `before_write` with the highest LSN of the pages that it is about to
//! write, so no page is on disk before its record.

pub mod log;

use aegis_memory::cache::{
    CacheError, CacheErrorKind, Crc32c, FileId, FileOptions, FileStore, PageCache, PageHooks,
    PageMut, PageStore,
};
use log::{Change, Log};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

pub const PAGE: usize = 4096;
const ROOT: u64 = 0;
const SUM_AT: usize = 8;
const HEAD: usize = 24;
const ENTRY: usize = 16;
/// The most entries of a page.
const MAX: usize = (PAGE - HEAD) / ENTRY;

/// A page as a node.
struct Node<'a>(&'a [u8]);

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

impl Node<'_> {
    fn lsn(&self) -> u64 {
        number(self.0, 0)
    }

    fn count(&self) -> usize {
        usize::from(u16::from_le_bytes([self.0[12], self.0[13]]))
    }

    fn level(&self) -> u8 {
        self.0[14]
    }

    fn link(&self) -> u64 {
        number(self.0, 16)
    }

    fn key(&self, index: usize) -> u64 {
        number(self.0, HEAD + index * ENTRY)
    }

    fn value(&self, index: usize) -> u64 {
        number(self.0, HEAD + index * ENTRY + 8)
    }

    /// How many keys are below this one.
    fn below(&self, key: u64) -> usize {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = (low + high) / 2;
            if self.key(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn find(&self, key: u64) -> Option<u64> {
        let at = self.below(key);
        (at < self.count() && self.key(at) == key).then(|| self.value(at))
    }

    /// The child that has this key.
    fn child(&self, key: u64) -> u64 {
        let at = self.below(key);
        match at < self.count() && self.key(at) == key {
            true => self.value(at),
            false if at == 0 => self.link(),
            false => self.value(at - 1),
        }
    }
}

/// A page as a node that can be changed.
struct NodeMut<'a>(&'a mut [u8]);

impl NodeMut<'_> {
    fn set_number(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    fn set_head(&mut self, level: u8, link: u64, entries: &[u8]) {
        self.0[12..14].copy_from_slice(&((entries.len() / ENTRY) as u16).to_le_bytes());
        self.0[14] = level;
        self.set_number(16, link);
        self.0[HEAD..HEAD + entries.len()].copy_from_slice(entries);
        self.0[HEAD + entries.len()..].fill(0);
    }

    fn insert(&mut self, key: u64, value: u64) {
        let node = Node(self.0);
        let (at, count) = (node.below(key), node.count());
        let from = HEAD + at * ENTRY;
        if node.find(key).is_none() {
            self.0.copy_within(from..HEAD + count * ENTRY, from + ENTRY);
            self.0[12..14].copy_from_slice(&((count + 1) as u16).to_le_bytes());
        }
        self.set_number(from, key);
        self.set_number(from + 8, value);
    }
}

/// What the cache calls before it writes pages.
struct Hooks {
    log: Arc<Log>,
    sums: Crc32c,
}

impl PageHooks for Hooks {
    fn before_write(&self, _file: FileId, max_lsn: u64) -> io::Result<()> {
        self.log.asked.fetch_add(1, Ordering::Relaxed);
        self.log.flush(max_lsn)
    }

    fn verify(&self, page: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.sums.verify(page, bytes)
    }

    fn seal(&self, page: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.sums.seal(page, bytes)
    }
}

pub struct Tree {
    cache: PageCache,
    file: FileId,
    log: Arc<Log>,
    /// The number of the next new page.
    next: AtomicU64,
}

type Result<T> = std::result::Result<T, CacheError>;

impl Tree {
    /// Opens the tree in a folder, or makes it, and does again what a crash has undone.
    pub fn open(folder: &Path, frames: usize) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let (log, records) = Log::open(&folder.join("log"))?;
        let log = Arc::new(log);
        let store = Arc::new(FileStore::open(folder.join("pages"), FileOptions::new().create())?);
        let cache = PageCache::builder().page_size(PAGE).frames(frames).build()?;
        let hooks = Hooks { log: Arc::clone(&log), sums: Crc32c::at(SUM_AT) };
        let file = cache.open_with(Arc::clone(&store), hooks)?;
        let tree = Self { cache, file, log, next: AtomicU64::new(0) };
        for record in &records {
            tree.redo(record)?;
        }
        if tree.page_lsn(ROOT)?.is_none() {
            drop(tree.cache.fresh(file, ROOT)?);
        }
        tree.checkpoint()?;
        tree.next.store(store.len(PAGE)?.max(1), Ordering::Relaxed);
        Ok(tree)
    }

    /// The LSN of a page, if the file has it.
    fn page_lsn(&self, page: u64) -> Result<Option<u64>> {
        match self.cache.read(self.file, page) {
            Ok(page) => Ok(Some(Node(&page).lsn())),
            Err(error) if error.kind() == CacheErrorKind::BeyondEnd => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Does again what a record says, where the page does not have it yet.
    fn redo(&self, record: &log::Record) -> Result<()> {
        match &record.change {
            Change::Insert { page, key, value } => {
                if self.page_lsn(*page)?.unwrap_or(0) < record.lsn {
                    let mut leaf = self.cache.write(self.file, *page)?;
                    NodeMut(&mut leaf).insert(*key, *value);
                    stamp(&mut leaf, record.lsn);
                }
            }
            Change::Pages(images) => {
                for (page, bytes) in images {
                    if self.page_lsn(*page)?.unwrap_or(0) < record.lsn {
                        let mut page = self.cache.fresh(self.file, *page)?;
                        page.copy_from_slice(bytes);
                        stamp(&mut page, record.lsn);
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes all pages durable, so that the log is not needed. Nobody may change the tree meanwhile.
    pub fn checkpoint(&self) -> io::Result<()> {
        self.cache.flush(self.file)?;
        self.log.restart()
    }

    /// Makes durable what was inserted so far.
    pub fn commit(&self) -> io::Result<()> {
        self.log.commit()
    }

    pub fn cache(&self) -> &PageCache {
        &self.cache
    }

    /// How often the cache has asked for the log to be durable.
    pub fn log_asked(&self) -> u64 {
        self.log.asked.load(Ordering::Relaxed)
    }

    pub fn get(&self, key: u64) -> Result<Option<u64>> {
        let mut page = self.cache.read(self.file, ROOT)?;
        while Node(&page).level() > 0 {
            let child = Node(&page).child(key);
            page = self.cache.read(self.file, child)?;
        }
        Ok(Node(&page).find(key))
    }

    /// Calls `visit` with all entries, in ascending order of the keys.
    pub fn scan(&self, mut visit: impl FnMut(u64, u64)) -> Result<()> {
        let mut page = self.cache.read(self.file, ROOT)?;
        while Node(&page).level() > 0 {
            let child = Node(&page).link();
            page = self.cache.read(self.file, child)?;
        }
        loop {
            let node = Node(&page);
            (0..node.count()).for_each(|index| visit(node.key(index), node.value(index)));
            let next = node.link();
            if next == ROOT {
                return Ok(());
            }
            page = self.cache.read(self.file, next)?;
        }
    }

    /// Puts an entry into the tree, in place of one with the same key.
    pub fn insert(&self, key: u64, value: u64) -> Result<()> {
        let mut leaf = self.leaf_to_write(key)?;
        if Node(&leaf).count() < MAX || Node(&leaf).find(key).is_some() {
            self.insert_into(&mut leaf, key, value);
            return Ok(());
        }
        drop(leaf);
        self.insert_splitting(key, value)
    }

    /// The leaf for a key. Only the leaf is pinned to write.
    fn leaf_to_write(&self, key: u64) -> Result<PageMut<'_>> {
        loop {
            let mut page = self.cache.read(self.file, ROOT)?;
            while Node(&page).level() > 1 {
                let child = Node(&page).child(key);
                page = self.cache.read(self.file, child)?;
            }
            if Node(&page).level() == 1 {
                return self.cache.write(self.file, Node(&page).child(key));
            }
            drop(page);
            let root = self.cache.write(self.file, ROOT)?;
            if Node(&root).level() == 0 {
                return Ok(root);
            }
        }
    }

    fn insert_into(&self, leaf: &mut PageMut<'_>, key: u64, value: u64) {
        NodeMut(leaf).insert(key, value);
        let page = leaf.page();
        let lsn = self.log.append(|_| Change::Insert { page, key, value });
        stamp(leaf, lsn);
    }

    /// The same for a leaf that is full.
    fn insert_splitting(&self, key: u64, value: u64) -> Result<()> {
        let mut page = self.cache.write(self.file, ROOT)?;
        if Node(&page).count() == MAX {
            page = self.split_root(page)?;
        }
        while Node(&page).level() > 0 {
            let child = self.cache.write(self.file, Node(&page).child(key))?;
            page = match Node(&child).count() == MAX {
                true => self.split(page, child, key)?,
                false => child,
            };
        }
        self.insert_into(&mut page, key, value);
        Ok(())
    }

    fn new_page(&self) -> Result<PageMut<'_>> {
        self.cache.fresh(self.file, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Moves the content of the root into a new page, which becomes its only child.
    fn split_root<'a>(&'a self, mut root: PageMut<'a>) -> Result<PageMut<'a>> {
        let mut child = self.new_page()?;
        let (level, link) = (Node(&root).level(), Node(&root).link());
        NodeMut(&mut child).set_head(level, link, &root[HEAD..HEAD + MAX * ENTRY]);
        let page = child.page();
        NodeMut(&mut root).set_head(level + 1, page, &[]);
        self.log_pages(&mut [&mut root, &mut child]);
        Ok(root)
    }

    /// Splits a full child of a page that is not full, and returns the half that has the key.
    fn split<'a>(
        &'a self,
        mut parent: PageMut<'a>,
        mut left: PageMut<'a>,
        key: u64,
    ) -> Result<PageMut<'a>> {
        let mut right = self.new_page()?;
        let node = Node(&left);
        let (level, link, half) = (node.level(), node.link(), MAX / 2);
        let middle = node.key(half);
        let cut = HEAD + half * ENTRY;
        let end = HEAD + MAX * ENTRY;
        if level == 0 {
            NodeMut(&mut right).set_head(0, link, &left[cut..end]);
        } else {
            NodeMut(&mut right).set_head(level, node.value(half), &left[cut + ENTRY..end]);
        }
        let first = left[HEAD..cut].to_vec();
        let page = right.page();
        let left_link = if level == 0 { page } else { link };
        NodeMut(&mut left).set_head(level, left_link, &first);
        NodeMut(&mut parent).insert(middle, page);
        self.log_pages(&mut [&mut parent, &mut left, &mut right]);
        Ok(if key < middle { left } else { right })
    }

    /// Logs the content of pages that belong together.
    fn log_pages(&self, pages: &mut [&mut PageMut<'_>]) {
        self.log.append(|lsn| {
            let image = |page: &mut &mut PageMut<'_>| {
                stamp(page, lsn);
                (page.page(), page.to_vec())
            };
            Change::Pages(pages.iter_mut().map(image).collect())
        });
    }
}

/// Says that the page has the change of this record.
fn stamp(page: &mut PageMut<'_>, lsn: u64) {
    NodeMut(page).set_number(0, lsn);
    page.set_lsn(lsn);
}

/// The keys that a thread inserts, in this order. No two are equal, and neighbours are far apart.
pub fn key_of(thread: u64, index: u64) -> u64 {
    (index << 8 | thread).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

pub fn value_of(key: u64) -> u64 {
    key.rotate_left(17) ^ 0x5555_5555_5555_5555
}

/// How many of the keys of a thread are in the tree: the first that is missing ends the count.
pub fn count_of(tree: &Tree, thread: u64) -> Result<u64> {
    let mut count = 0;
    while tree.get(key_of(thread, count))?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// Demands that no page on disk is newer than the log on disk, as it must be at every moment. Returns
/// how many pages there are.
pub fn check_files(folder: &Path) -> io::Result<usize> {
    let (base, records) = log::read(&folder.join("log"))?;
    let last = base + records.len() as u64;
    let bytes = match fs::read(folder.join("pages")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        bytes => bytes?,
    };
    for (page, bytes) in bytes.chunks(PAGE).enumerate() {
        let lsn = number(bytes, 0);
        if lsn > last {
            let text = format!("page {page} has LSN {lsn}, and the log ends at {last}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
    }
    Ok(bytes.len() / PAGE)
}
