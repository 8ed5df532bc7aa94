//! A bound on a public trait reaches no method that hands out or takes raw blocks.
use aegis_memory::pool::{BlockPool, LockFreePool};

fn take<P: BlockPool>(pool: &P) {
    pool.take(true).unwrap();
    P::take(pool, false).unwrap();
    pool.take_n(2, true, |_| ()).unwrap();
}

fn give_back<P: BlockPool>(pool: &P, block: std::ptr::NonNull<u8>) {
    pool.index_of(block);
    pool.block_bytes();
    unsafe { pool.give_back(block) };
    unsafe { pool.give_back_n([block].into_iter()) };
}

fn main() {
    let pool = LockFreePool::new(64, 4);
    take(&pool);
    give_back(&pool, std::ptr::NonNull::dangling());
}
