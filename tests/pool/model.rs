// SPDX-License-Identifier: Apache-2.0
//! Runs random work on each kind of pool and on a cache, and compares it with a model. No block may
//! be out twice, and the statistics must agree with the model.

use crate::support::TestSource;
use aegis_memory::pool::{LockFreePool, LockedPool, Pool, PoolBlock, PoolCache, PoolStats};
use aegis_memory::AllocError;
use proptest::prelude::*;

/// What the random work drives: a pool of any kind, or a cache.
trait Subject {
    type Block<'a>: AsRef<[u8]> + AsMut<[u8]> + std::fmt::Debug
    where
        Self: 'a;
    fn take(&self) -> Result<Self::Block<'_>, AllocError>;
    fn index(block: &Self::Block<'_>) -> usize;
    fn figures(&self) -> PoolStats;
}

macro_rules! subject {
    ([$($life:lifetime)?] $Pool:ty, |$this:ident| $figures:expr) => {
        impl$(<$life>)? Subject for $Pool {
            type Block<'a> = PoolBlock<'a, $Pool> where Self: 'a;
            fn take(&self) -> Result<Self::Block<'_>, AllocError> {
                self.alloc()
            }
            fn index(block: &Self::Block<'_>) -> usize {
                block.index()
            }
            fn figures(&self) -> PoolStats {
                let $this = self;
                $figures
            }
        }
    };
}

subject!([] Pool, |pool| pool.stats());
subject!([] LockFreePool, |pool| pool.stats());
subject!([] LockedPool, |pool| pool.stats());
subject!(['p] PoolCache<'p>, |cache| cache.pool().stats());

/// Takes a block at low numbers and gives one back at high numbers, and checks after each step what
/// the pool promises.
fn drive<S: Subject>(subject: &S, ops: &[u16], max: usize, exact: bool) {
    let mut held: Vec<(S::Block<'_>, u8)> = Vec::new();
    for (step, &op) in ops.iter().enumerate() {
        let mark = step as u8;
        if op % 5 < 3 {
            match subject.take() {
                Ok(mut block) => {
                    assert!(block.as_ref().iter().all(|&byte| byte == 0), "not zero: {block:?}");
                    let index = S::index(&block);
                    assert!(
                        held.iter().all(|(other, _)| S::index(other) != index),
                        "twice: {index}"
                    );
                    block.as_mut().fill(mark);
                    held.push((block, mark));
                }
                Err(error) => {
                    assert!(matches!(error, AllocError::Exhausted { .. }), "{error}");
                    assert!(held.len() >= max, "{} of {max} are out", held.len());
                }
            }
        } else if !held.is_empty() {
            let (block, mark) = held.swap_remove(usize::from(op) % held.len());
            assert!(block.as_ref().iter().all(|&byte| byte == mark), "overwritten: {block:?}");
        }
        if exact {
            assert!(held.len() <= max);
        }
        let stats = subject.figures();
        assert_eq!(stats.in_use, held.len());
        assert_eq!(stats.available, stats.capacity.saturating_sub(stats.in_use));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_block_is_out_twice_and_the_figures_add_up(
        ops in prop::collection::vec(any::<u16>(), 0..300),
        size in 0_usize..200,
        blocks in 1_usize..20,
        more in 0_usize..60,
        clean: bool,
    ) {
        macro_rules! build {
            ($Pool:ident) => {{
                let builder = $Pool::builder().block_size(size).blocks(blocks);
                let builder = builder.max_blocks(blocks + more);
                if clean { builder } else { builder.source(TestSource::new().0) }
            }};
        }
        let max = blocks + more;
        drive(&build!(Pool).build().unwrap(), &ops, max, true);
        drive(&build!(LockFreePool).build().unwrap(), &ops, max, true);
        drive(&build!(LockedPool).build().unwrap(), &ops, max, true);
        let pool = build!(LockFreePool).caches(2).build().unwrap();
        drive(&pool.cache(), &ops, max, false);
        prop_assert_eq!(pool.stats().parked, 0);
        prop_assert_eq!(pool.in_use(), 0);
    }
}
