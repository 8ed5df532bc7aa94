// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::Pool;
use std::thread;

fn main() {
    let pool = Pool::new(64, 4);
    let block = pool.alloc().unwrap();
    thread::scope(|threads| {
        threads.spawn(move || drop(block)); //~ E0277
    });
}
