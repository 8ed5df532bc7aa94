// SPDX-License-Identifier: Apache-2.0
//! Budgets as memory pools of arrow: what arrow's buffers are charged to when they are claimed.

use std::boxed::Box;

use arrow_buffer::{MemoryPool, MemoryReservation};

use super::reservation::Reservation;
use super::tree::MemoryBudget;

/// A budget counts what arrow's buffers claim: `buffer.claim(&budget)` charges the capacity of the
/// buffer until it is dropped, or claimed by another pool. All arrays that share the buffer count
/// once.
///
/// Arrow claims memory that is in use already, so its `reserve` cannot fail. If the budget has no
/// room, it asks reclaimers, and what is still missing is charged beyond its limit
/// ([`force_reserve`](MemoryBudget::force_reserve)). `available` is negative then, and the budget
/// refuses all charges that can be refused until its use has fallen. So what limits a query is the
/// code that asks before it allocates. Arrow's part is that the memory is seen.
///
/// Arrow holds a lock of the buffer while it claims. So reclaimers and callbacks of the budget must
/// not claim the same buffer: they would wait for themselves.
///
/// Memory of this crate that is charged to a budget already, such as a page of a pool with a budget,
/// counts twice if it is claimed too.
///
/// # Examples
///
/// ```
/// use aegis_memory::budget::MemoryBudget;
/// use arrow_buffer::MemoryPool;
///
/// let query = MemoryBudget::new("query", 1000);
/// let column = arrow_buffer::Buffer::from_vec(vec![0_u8; 900]);
/// column.claim(&query);
/// assert_eq!((query.used(), query.available()), (900, 100));
///
/// let second = arrow_buffer::Buffer::from_vec(vec![0_u8; 300]);
/// second.claim(&query);
/// assert_eq!(query.available(), -200);
/// assert!(query.try_reserve(1).is_err());
/// drop(column);
/// assert_eq!(query.used(), 300);
/// ```
impl MemoryPool for MemoryBudget {
    fn reserve(&self, size: usize) -> Box<dyn MemoryReservation> {
        Box::new(self.force_reserve(size))
    }

    /// The limit without what is in use: negative if more is in use than the limit. An ancestor may
    /// have less.
    fn available(&self) -> isize {
        let stats = self.stats();
        let (limit, used) = (stats.limit_bytes as i128, stats.used_bytes as i128);
        (limit - used).clamp(isize::MIN as i128, isize::MAX as i128) as isize
    }

    fn used(&self) -> usize {
        self.stats().used_bytes
    }

    fn capacity(&self) -> usize {
        self.limit()
    }
}

/// A reservation grows beyond the limit of its budget here, as
/// [`force_grow`](Reservation::force_grow) says.
impl MemoryReservation for Reservation {
    fn size(&self) -> usize {
        self.bytes()
    }

    fn resize(&mut self, new_size: usize) {
        match new_size.checked_sub(self.bytes()) {
            Some(more) => self.force_grow(more),
            None => self.shrink(self.bytes() - new_size),
        }
    }
}
