// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::{LockFreePool, Pool};
use allocator_api2::boxed::Box;

fn declared_before_its_pool() {
    let number;
    let pool = Pool::new(64, 1);
    number = Box::new_in(1, &pool); //~ E0597
    assert_eq!(*number, 1);
}

fn used_after_its_cache() {
    let pool = LockFreePool::new(64, 1);
    let cache = pool.cache();
    let number = Box::new_in(1, &cache);
    drop(cache); //~ E0505
    assert_eq!(*number, 1);
}

fn sent_to_another_thread() {
    let pool = Pool::new(64, 1);
    let number = Box::new_in(1, &pool);
    std::thread::scope(|threads| {
        threads.spawn(move || drop(number)); //~ E0277
    });
}

fn main() {
    declared_before_its_pool();
    used_after_its_cache();
    sent_to_another_thread();
}
