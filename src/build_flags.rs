// SPDX-License-Identifier: Apache-2.0
//! How the C core was built. It is what is linked that is asked, since cargo unites the features
//! that a program's crates ask for.

use crate::ffi;

/// How the C core was built: see [`build_flags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildFlags {
    /// Guard bytes, fill patterns, reports of misuse and the core's own checks are compiled in: in
    /// cargo's dev profile, or with feature `debug`.
    pub debug: bool,
    /// AddressSanitizer is told of every allocation.
    pub asan: bool,
    /// Valgrind's memcheck is told of every allocation: feature `valgrind`.
    pub valgrind: bool,
}

/// Says how the C core was built: what it checks beside its work, which slows every allocation.
///
/// # Examples
///
/// ```
/// let flags = aegis_memory::build_flags();
/// assert_eq!(flags.debug, aegis_memory::is_debug());
/// ```
#[must_use]
pub fn build_flags() -> BuildFlags {
    // SAFETY: any thread may ask.
    let flags = unsafe { ffi::aegis_build_flags() };
    BuildFlags {
        debug: flags & ffi::AEGIS_BUILD_DEBUG != 0,
        asan: flags & ffi::AEGIS_BUILD_ASAN != 0,
        valgrind: flags & ffi::AEGIS_BUILD_VALGRIND != 0,
    }
}

/// Whether the C core is a debug build: [`BuildFlags::debug`].
#[must_use]
pub fn is_debug() -> bool {
    build_flags().debug
}
