// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::LockFreePool;

fn main() {
    let mut pool = LockFreePool::new(64, 128);
    let block = pool.alloc().unwrap();
    pool.trim(0); //~ E0502
    drop(block);
}
