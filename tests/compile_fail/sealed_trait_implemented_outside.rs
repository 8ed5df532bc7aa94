//! The traits that serve as bounds are sealed: a type of another crate cannot implement them.
use aegis_memory::arena::ArenaKind;
use aegis_memory::pool::{BlockByte, BlockPool, PoolKind};

struct Mine;

impl BlockPool for Mine {} //~ E0277
impl PoolKind for Mine {} //~ E0277
impl ArenaKind for Mine {} //~ E0277
impl BlockByte for Mine {} //~ E0277

fn main() {}
