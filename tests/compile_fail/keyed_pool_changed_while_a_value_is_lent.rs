// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::KeyedPool;

fn main() {
    let mut pool = KeyedPool::new(2);
    let key = pool.insert(String::new());
    let value = &pool[key];
    pool.remove(key); //~ E0502
    drop(value.len());
    let entry = pool.vacant_entry();
    pool.insert(String::new()); //~ E0499
    entry.insert(String::new());
}
