// SPDX-License-Identifier: Apache-2.0
use aegis_memory::cache::{MemoryStore, PageCache};

fn is_clone<T: Clone>(_: &T) {}

fn main() {
    let cache = PageCache::new(8);
    let file = cache.open(MemoryStore::new()).unwrap();
    is_clone(&cache); //~ E0277
    let page = cache.fresh(file, 0).unwrap();
    is_clone(&page); //~ E0277
    let page = page.downgrade();
    is_clone(&page); //~ E0277
}
