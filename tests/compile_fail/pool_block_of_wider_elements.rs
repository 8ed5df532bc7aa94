//! A block is made of bytes: other elements would make it as many times too long as they are wide.
use aegis_memory::pool::{Block, LockFreePool, PoolBlock};

fn cast(pool: &LockFreePool) {
    let memory = pool.alloc().unwrap().into_raw();
    let block = unsafe { Block::<&LockFreePool, [u8; 8]>::from_raw(pool, memory.cast()) };
    println!("{} elements of 8 bytes in a block of 64", block.len());
}

fn of_anything<T>(block: PoolBlock<'_, LockFreePool, T>) {
    drop(block);
}

fn main() {
    let pool = LockFreePool::new(64, 4);
    cast(&pool);
}
