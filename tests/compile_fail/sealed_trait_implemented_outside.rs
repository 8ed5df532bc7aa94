//! The traits that are bounds only have the implementors that they come with.
use aegis_memory::arena::ArenaKind;
use aegis_memory::pool::{BlockByte, BlockPool, PoolKind};

struct Mine;

impl BlockPool for Mine {} //~ E0277
impl PoolKind for Mine {} //~ E0277
impl ArenaKind for Mine {} //~ E0277
impl BlockByte for Mine {} //~ E0277

fn main() {}
