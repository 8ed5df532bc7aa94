// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::LockFreePool;
use std::sync::Arc;
use std::thread;

fn main() {
    let pool = Arc::new(LockFreePool::new(64, 128));
    let cache = pool.cache_owned();
    thread::scope(|threads| {
        threads.spawn(|| drop(cache.alloc())); //~ E0277
    });
}
