// SPDX-License-Identifier: Apache-2.0
//! The picture of an arena's blocks.

use core::{fmt, ptr};

use super::one_owner::Arena;
use crate::ffi;

/// Draws an arena's blocks and their fill. From [`Arena::layout`].
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

/// Characters of a bar.
const BAR: usize = 32;

impl Arena {
    /// A picture of the blocks and their fill, as text.
    pub fn layout(&self) -> ArenaLayout<'_> {
        ArenaLayout { arena: self }
    }
}

/// Bytes in the unit a person would choose.
struct Size(usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut unit = "B";
        let mut value = self.0 as f64;
        for larger in ["KiB", "MiB", "GiB", "TiB"] {
            if value < 1024.0 {
                break;
            }
            value /= 1024.0;
            unit = larger;
        }
        let decimals = usize::from(unit != "B");
        write!(f, "{value:.decimals$} {unit}")
    }
}

impl fmt::Display for ArenaLayout<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.arena.stats();
        let plural = if stats.block_count == 1 { "" } else { "s" };
        write!(
            f,
            "arena: {} of {} used in {} block{plural}",
            Size(stats.used_bytes),
            Size(stats.capacity_bytes),
            stats.block_count
        )?;
        let mut info = ffi::aegis_arena_block_info { capacity_bytes: 0, used_bytes: 0, state: 0 };
        let mut block = ptr::null();
        for number in 1.. {
            // SAFETY: walks the arena, which does not change meanwhile.
            block = unsafe { ffi::aegis_arena_next_block(self.arena.as_raw(), block, &mut info) };
            if block.is_null() {
                break;
            }
            write!(f, "\n{number:>3} ")?;
            draw(f, &info)?;
        }
        Ok(())
    }
}

/// One block: its state, a bar, and its fill.
fn draw(f: &mut fmt::Formatter<'_>, info: &ffi::aegis_arena_block_info) -> fmt::Result {
    let state = match info.state {
        ffi::AEGIS_ARENA_BLOCK_CURRENT => "current",
        ffi::AEGIS_ARENA_BLOCK_CLOSED => "closed ",
        _ => "idle   ",
    };
    let share = info.used_bytes as f64 / info.capacity_bytes.max(1) as f64;
    let full = (share * BAR as f64).round_ties_up();
    write!(f, "{state} [{:#<full$}{:.<empty$}] ", "", "", empty = BAR - full)?;
    write!(f, "{} of {}", Size(info.used_bytes), Size(info.capacity_bytes))
}

/// Rounding that `core` offers no function for.
trait RoundTiesUp {
    fn round_ties_up(self) -> usize;
}

impl RoundTiesUp for f64 {
    fn round_ties_up(self) -> usize {
        (self + 0.5) as usize
    }
}
