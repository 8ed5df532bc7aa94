// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::{LockFreePool, LockedPool, Pool, PoolBlock, PoolCache};

fn one_owner() -> PoolBlock<'static> {
    let pool = Pool::new(64, 1);
    pool.alloc().unwrap() //~ E0515
}

fn lock_free() -> PoolBlock<'static, LockFreePool> {
    let pool = LockFreePool::new(64, 1);
    pool.alloc().unwrap() //~ E0515
}

fn locked() -> &'static mut [u8] {
    let pool = LockedPool::new(64, 1);
    pool.alloc().unwrap().leak() //~ E0515
}

fn cached(cache: PoolCache<'_>) -> PoolBlock<'_, PoolCache<'_>> {
    cache.alloc().unwrap() //~ E0515
}

fn main() {
    one_owner();
    lock_free();
    locked();
    cached(LockFreePool::new(64, 1).cache());
}
