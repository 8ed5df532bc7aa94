// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::ObjectPool;

fn main() {
    let pool = ObjectPool::new(1, String::new, String::clear);
    let text = pool.get();
    drop(pool); //~ E0505
    text.len();
}
