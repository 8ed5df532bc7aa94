// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::{LockFreePool, LockedPool, Pool, TypedPool};

// What is declared first is dropped last: each handle here would be dropped after its owner.

fn block() {
    let mut handle;
    let pool = Pool::new(64, 1);
    handle = pool.alloc().unwrap(); //~ E0597
    handle[0] = 1;
}

fn uninitialised_block() {
    let mut handle;
    let pool = LockFreePool::new(64, 1);
    handle = pool.alloc_uninit().unwrap(); //~ E0597
    handle[0].write(1);
}

fn block_that_was_waited_for() {
    let mut handle;
    let pool = LockedPool::new(64, 1);
    handle = pool.alloc_timeout(std::time::Duration::MAX).unwrap(); //~ E0597
    handle[0] = 1;
}

fn blocks() {
    let mut handles = Vec::new();
    let pool = Pool::new(64, 4);
    pool.alloc_n(4, &mut handles).unwrap(); //~ E0597
}

fn cache() {
    let handle;
    let pool = LockFreePool::new(64, 128);
    handle = pool.cache(); //~ E0597
    handle.flush();
}

fn block_of_a_cache() {
    let pool = LockFreePool::new(64, 128);
    let mut handle;
    let cache = pool.cache();
    handle = cache.alloc().unwrap(); //~ E0597
    handle[0] = 1;
}

fn value() {
    let handle;
    let pool = TypedPool::<String>::new(4);
    handle = pool.alloc(String::from("value")).unwrap(); //~ E0597
    assert_eq!(handle.len(), 5);
}

fn main() {
    block();
    uninitialised_block();
    block_that_was_waited_for();
    blocks();
    cache();
    block_of_a_cache();
    value();
}
