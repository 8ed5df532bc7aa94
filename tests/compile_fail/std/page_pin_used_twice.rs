// SPDX-License-Identifier: Apache-2.0
use aegis_memory::cache::{MemoryStore, PageCache, PageMut};

fn main() {
    let cache = PageCache::new(8);
    let file = cache.open(MemoryStore::new()).unwrap();
    let mut page: PageMut<'_> = cache.fresh(file, 0).unwrap();
    let bytes = &mut page[..];
    let more = &mut page[..]; //~ E0499
    bytes[0] = more[0];
    let first = &page[0];
    page[1] = 1; //~ E0502
    println!("{first}");

    let mut page = page.downgrade();
    page[0] = 1; //~ E0594
    let upgraded = page.upgrade();
    println!("{}", page[0]); //~ E0382
    drop(upgraded);

    let page = cache.read(file, 0).unwrap();
    let bytes = &page[..];
    let buffer = page.into_buffer(); //~ E0505
    println!("{bytes:?} {buffer:?}");
}
