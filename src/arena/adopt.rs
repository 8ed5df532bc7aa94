// SPDX-License-Identifier: Apache-2.0
//! Memory from elsewhere that an arena keeps as long as its own.

use core::ops::DerefMut;

#[cfg(aegis_threads)]
use super::lock_free::LockFreeArena;
#[cfg(aegis_threads)]
use super::locked::LockedArena;
use super::one_owner::Arena;
use crate::error::{expect, AllocError};

/// Writes the methods for a form of arena that has `alloc_static`.
macro_rules! adopt_forms {
    ($arena:ty) => {
        impl $arena {
            /// Takes over the owner of some memory, such as a `Vec`, a `Box` or a `String`, and lends
            /// what it owns as long as the arena lends its own memory. Nothing is copied except the
            /// owner itself. The arena drops the owner when it drops a value of
            /// [`alloc_static`](Self::alloc_static).
            ///
            /// The memory of the owner is not charged to the budget of the arena, and is not part of
            /// its statistics.
            ///
            /// # Panics
            ///
            /// When [`try_adopt`](Self::try_adopt) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// let mut arena = aegis_memory::arena::Arena::default();
            /// let bytes: &mut [u8] = arena.adopt(std::fs::read("Cargo.toml")?);
            /// let line = bytes.split(|&byte| byte == b'\n').next();
            /// assert_eq!(line, Some(&b"[package]"[..]));
            /// arena.reset(); // the vector is dropped
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[track_caller]
            pub fn adopt<O>(&self, owner: O) -> &mut O::Target
            where
                O: DerefMut + Send + 'static,
            {
                expect(self.try_adopt(owner))
            }

            /// Takes over the owner of some memory, and lends what it owns.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc). The owner is dropped then.
            ///
            /// # Examples
            ///
            /// ```
            /// let arena = aegis_memory::arena::Arena::default();
            /// let text: &mut str = arena.try_adopt(String::from("kept"))?;
            /// assert_eq!(text, "kept");
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn try_adopt<O>(&self, owner: O) -> Result<&mut O::Target, AllocError>
            where
                O: DerefMut + Send + 'static,
            {
                self.try_alloc_static(owner).map(|owner| &mut **owner)
            }
        }
    };
}

adopt_forms!(Arena);
#[cfg(aegis_threads)]
adopt_forms!(LockFreeArena);
#[cfg(aegis_threads)]
adopt_forms!(LockedArena);
