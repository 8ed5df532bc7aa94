// SPDX-License-Identifier: Apache-2.0
use aegis_memory::buffer::BufferPool;

fn main() {
    let pool = BufferPool::new(64, 1);
    let future = pool.get_async(1);
    drop(pool); //~ E0505
    drop(future);
}
