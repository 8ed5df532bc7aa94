//! A bound on a public trait gives access to no method that hands out or takes raw blocks.
use aegis_memory::pool::{BlockPool, LockFreePool};

fn take<P: BlockPool>(pool: &P) {
    pool.take(true).unwrap(); //~ E0061
    P::take(pool, false).unwrap(); //~ E0061
    pool.take_n(2, true, |_| ()).unwrap(); //~ E0061
}

fn give_back<P: BlockPool>(pool: &P, block: std::ptr::NonNull<u8>) {
    pool.index_of(block); //~ E0061
    pool.block_bytes(); //~ E0061
    unsafe { pool.give_back(block) }; //~ E0061
    unsafe { pool.give_back_n([block].into_iter()) }; //~ E0061
}

fn main() {
    let pool = LockFreePool::new(64, 4);
    take(&pool);
    give_back(&pool, std::ptr::NonNull::dangling());
}
