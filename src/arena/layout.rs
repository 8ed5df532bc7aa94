// SPDX-License-Identifier: Apache-2.0
//! A picture of the blocks of an arena.

use core::fmt;

use super::chunks::Blocks;
use super::one_owner::Arena;
use crate::ffi;
use crate::lines::Size;

/// A picture of the blocks of an arena and of how full they are, from [`Arena::layout`].
///
/// ```
/// let arena = aegis_memory::arena::Arena::new(1000);
/// arena.alloc(500);
/// let picture = arena.layout().to_string();
/// assert!(picture.contains("1 current"));
/// ```
pub struct ArenaLayout<'a> {
    arena: &'a Arena,
}

/// The length of a bar in characters.
const BAR: usize = 32;

impl Arena {
    /// A picture of the blocks and of how full they are, as text.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::Arena::new(1000);
    /// println!("{}", arena.layout());
    ///
    /// ```
    pub fn layout(&self) -> ArenaLayout<'_> {
        ArenaLayout { arena: self }
    }
}

impl fmt::Display for ArenaLayout<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.arena.stats();
        let plural = if stats.block_count == 1 { "" } else { "s" };
        write!(
            f,
            "arena: {} of {} used in {} block{plural}",
            Size(stats.used_bytes as u64),
            Size(stats.capacity_bytes as u64),
            stats.block_count
        )?;
        let (mut blocks, mut number) = (Blocks::of(self.arena), 0);
        while let Some(info) = blocks.next() {
            number += 1;
            write!(f, "\n{number:>3} ")?;
            draw(f, info)?;
        }
        Ok(())
    }
}

/// Draws one block: its state, a bar, and how full it is.
fn draw(f: &mut fmt::Formatter<'_>, info: &ffi::aegis_arena_block_info) -> fmt::Result {
    let state = match info.state {
        ffi::AEGIS_ARENA_BLOCK_CURRENT => "current",
        ffi::AEGIS_ARENA_BLOCK_CLOSED => "closed ",
        _ => "idle   ",
    };
    let share = info.used_bytes as f64 / info.capacity_bytes.max(1) as f64;
    let full = (share * BAR as f64).round_ties_up();
    write!(f, "{state} [{:#<full$}{:.<empty$}] ", "", "", empty = BAR - full)?;
    write!(f, "{} of {}", Size(info.used_bytes as u64), Size(info.capacity_bytes as u64))
}

/// Rounding, for which `core` has no function.
trait RoundTiesUp {
    fn round_ties_up(self) -> usize;
}

impl RoundTiesUp for f64 {
    fn round_ties_up(self) -> usize {
        (self + 0.5) as usize
    }
}
