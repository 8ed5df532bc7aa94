// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::LockFreePool;

fn main() {
    let pool = LockFreePool::new(64, 128);
    let cache = pool.cache();
    drop(pool); //~ E0505
    cache.flush();
}
