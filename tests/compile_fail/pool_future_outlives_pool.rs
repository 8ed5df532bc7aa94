// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::LockedPool;

fn main() {
    let pool = LockedPool::new(64, 1);
    let future = pool.alloc_async();
    drop(pool); //~ E0505
    drop(future);
}
