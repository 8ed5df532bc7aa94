// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::KeyedPool;

fn lent() -> &'static mut String {
    let mut pool = KeyedPool::new(1);
    pool.vacant_entry().insert(String::new()) //~ E0515
}

fn main() {
    let text = String::new();
    let mut pool = KeyedPool::new(1);
    pool.insert(&text);
    drop(text); //~ E0505
    drop(pool);
    lent();
}
