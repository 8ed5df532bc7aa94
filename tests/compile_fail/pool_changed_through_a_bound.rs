//! A bound on a kind of pool or arena gives access to no method that makes or changes one.
use aegis_memory::arena::ArenaKind;
use aegis_memory::ffi;
use aegis_memory::pool::PoolKind;

fn shrink<P: PoolKind>(pool: &mut P) {
    pool.shrink(0); //~ E0061
    pool.figures(); //~ E0061
}

unsafe fn make<P: PoolKind, A: ArenaKind>(
    pool: &ffi::aegis_pool_options,
    arena: &ffi::aegis_arena_options,
) {
    unsafe { P::make(pool, 0) }; //~ E0061
    let _ = unsafe { A::make(arena) }; //~ E0061
}

fn key<P: PoolKind>(pool: &mut P) {
    pool.shrink(Default::default(), 0); //~ E0277
}

fn main() {}
