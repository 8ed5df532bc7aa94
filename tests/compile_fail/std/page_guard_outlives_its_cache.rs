// SPDX-License-Identifier: Apache-2.0
use aegis_memory::cache::{BeginRead, MemoryStore, PageCache};

fn main() {
    let cache = PageCache::new(8);
    let file = cache.open(MemoryStore::new()).unwrap();
    let written = cache.fresh(file, 0).unwrap();
    drop(cache); //~ E0505
    drop(written);

    let cache = PageCache::new(8);
    let file = cache.open(MemoryStore::new()).unwrap();
    let read = cache.read(file, 0).unwrap();
    cache.finish().unwrap(); //~ E0505
    drop(read);

    let cache = PageCache::new(8);
    let file = cache.open(MemoryStore::new()).unwrap();
    let begun: BeginRead<'_> = cache.begin_read(file, 0).unwrap();
    drop(cache); //~ E0505
    drop(begun);

    let cache = PageCache::new(8);
    let picture = cache.layout();
    drop(cache); //~ E0505
    println!("{picture}");
}
