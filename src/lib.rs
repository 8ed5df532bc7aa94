// SPDX-License-Identifier: Apache-2.0
#![no_std]
#![cfg_attr(aegis_unstable_allocator, feature(allocator_api))]
// What only the forms for several threads use is left in.
#![cfg_attr(not(aegis_threads), allow(dead_code))]
// docs.rs sets this: its pages say which items need which feature. Items also depend on
// conditions that say nothing to a reader: those of build.rs, and one of the standard library.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(docsrs, allow(unexpected_cfgs))]
#![cfg_attr(
    docsrs,
    doc(auto_cfg(hide(
        aegis_allocator,
        aegis_allocator_clone,
        aegis_hosted,
        aegis_threads,
        no_global_oom_handling
    )))
)]
#![doc = include_str!("../README.md")]
#![doc = include_str!("../docs/features.md")]
// Shows arenas, pools and budgets in gdb: docs/c-guide.md says how gdb is allowed to load it.
#![debugger_visualizer(gdb_script_file = "../csrc/gdb/aegis_memory.py")]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(aegis_allocator)]
mod allocator;
pub mod arena;
pub mod budget;
#[cfg(aegis_threads)]
pub mod buffer;
mod build_flags;
#[cfg(all(feature = "std", aegis_threads))]
pub mod cache;
#[cfg(feature = "collections")]
pub mod collections;
mod error;
pub mod ffi;
#[cfg(not(aegis_hosted))]
mod freestanding;
mod heap;
mod lines;
pub mod pool;
mod request;
mod sealed;
mod short_list;
pub mod source;
mod unshared;
mod unwind;

pub use build_flags::{build_flags, is_debug, BuildFlags};
pub use error::{AllocError, AllocOrInitError, What};
pub use short_list::ShortList;

/// The pages of `docs/`, whose code is run with that of the README.
#[cfg(doctest)]
mod docs {
    #[doc = include_str!("../docs/architecture.md")]
    mod architecture {}
    #[doc = include_str!("../docs/c-guide.md")]
    mod c_guide {}
    #[doc = include_str!("../docs/choosing.md")]
    mod choosing {}
    #[doc = include_str!("../docs/contributing.md")]
    mod contributing {}
    #[doc = include_str!("../docs/cpp-guide.md")]
    mod cpp_guide {}
    #[doc = include_str!("../docs/migrating.md")]
    mod migrating {}
    #[doc = include_str!("../docs/other-libraries.md")]
    mod other_libraries {}
    #[doc = include_str!("../docs/security.md")]
    mod security {}
}
