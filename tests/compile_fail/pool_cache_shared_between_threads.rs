// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::LockFreePool;
use std::thread;

fn main() {
    let pool = LockFreePool::new(64, 128);
    let cache = pool.cache();
    thread::scope(|threads| {
        threads.spawn(|| drop(cache.alloc())); //~ E0277
    });
}
