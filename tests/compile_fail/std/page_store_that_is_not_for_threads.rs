// SPDX-License-Identifier: Apache-2.0
use aegis_memory::cache::{FileId, MemoryStore, PageCache, PageHooks, PageStore, PageWrite};
use std::cell::Cell;
use std::io;

struct Hooks(Cell<u64>);

impl PageHooks for Hooks { //~ E0277
    fn before_write(&self, _: FileId, max_lsn: u64) -> io::Result<()> {
        self.0.set(max_lsn);
        Ok(())
    }
}

struct Borrowing<'a>(&'a MemoryStore);

impl PageStore for Borrowing<'_> {
    fn read(&self, first_page: u64, pages: &mut [&mut [u8]]) -> io::Result<usize> {
        self.0.read(first_page, pages)
    }
    fn write_batch(&self, pages: &[PageWrite<'_>]) -> io::Result<()> {
        self.0.write_batch(pages)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn len(&self, page_size: usize) -> io::Result<u64> {
        self.0.len(page_size)
    }
    fn truncate(&self, pages: u64, page_size: usize) -> io::Result<()> {
        self.0.truncate(pages, page_size)
    }
}

fn main() {
    let store = MemoryStore::new();
    let cache = PageCache::new(8);
    cache.open(Borrowing(&store)).unwrap(); //~ E0597
}
