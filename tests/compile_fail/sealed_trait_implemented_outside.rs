//! The traits that are bounds only have the implementors that they come with.
use aegis_memory::arena::ArenaKind;
use aegis_memory::pool::{BlockByte, BlockPool, PoolKind};

struct Mine;

impl BlockPool for Mine {}
impl PoolKind for Mine {}
impl ArenaKind for Mine {}
impl BlockByte for Mine {}

fn main() {}
