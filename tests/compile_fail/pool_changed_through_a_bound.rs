//! A bound on a kind of pool or arena reaches no method that makes or changes one.
use aegis_memory::arena::ArenaKind;
use aegis_memory::ffi;
use aegis_memory::pool::PoolKind;

fn shrink<P: PoolKind>(pool: &mut P) {
    pool.shrink(0);
    pool.figures();
}

unsafe fn make<P: PoolKind, A: ArenaKind>(
    pool: &ffi::aegis_pool_options,
    arena: &ffi::aegis_arena_options,
) {
    unsafe { P::make(pool, 0) };
    let _ = unsafe { A::make(arena) };
}

fn key<P: PoolKind>(pool: &mut P) {
    pool.shrink(Default::default(), 0);
}

fn main() {}
