// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::Pool;
use std::thread;

fn main() {
    let pool = Pool::new(64, 4);
    thread::scope(|threads| {
        threads.spawn(|| drop(pool.alloc())); //~ E0277
        threads.spawn(|| drop(pool.alloc()));
    });
}
