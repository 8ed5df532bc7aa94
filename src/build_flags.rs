// SPDX-License-Identifier: Apache-2.0
//! How the C core was built. The functions ask the linked core itself, because cargo unites the
//! features that the crates of a program request.

use crate::ffi;

/// How the C core was built: see [`build_flags`].
///
/// # Examples
///
/// ```
/// let flags = aegis_memory::build_flags();
/// println!("debug build: {}, AddressSanitizer: {}", flags.debug, flags.asan);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildFlags {
    /// Guard bytes, fill patterns, reports of misuse and the core's own checks are compiled in. This
    /// is so in cargo's dev profile and with feature `debug`.
    pub debug: bool,
    /// AddressSanitizer is told of every allocation.
    pub asan: bool,
    /// Valgrind's memcheck is told of every allocation: feature `valgrind`.
    pub valgrind: bool,
}

/// Returns how the C core was built: which checks are compiled in. Each of them makes every
/// allocation slower.
///
/// # Examples
///
/// ```
/// let flags = aegis_memory::build_flags();
/// assert_eq!(flags.debug, aegis_memory::is_debug());
/// ```
#[must_use]
pub fn build_flags() -> BuildFlags {
    // SAFETY: any thread may call this.
    let flags = unsafe { ffi::aegis_build_flags() };
    BuildFlags {
        debug: flags & ffi::AEGIS_BUILD_DEBUG != 0,
        asan: flags & ffi::AEGIS_BUILD_ASAN != 0,
        valgrind: flags & ffi::AEGIS_BUILD_VALGRIND != 0,
    }
}

/// Whether the C core is a debug build: [`BuildFlags::debug`].
///
/// # Examples
///
/// ```
/// if aegis_memory::is_debug() {
///     println!("do not measure this build");
/// }
/// ```
#[must_use]
pub fn is_debug() -> bool {
    build_flags().debug
}
