// SPDX-License-Identifier: Apache-2.0
//! Where blocks come from: the C heap, pages of the system, Rust's allocator, or a source of your
//! own.
//!
//! Every arena, pool and buffer pool acquires its memory in blocks, from a [`BlockSource`]. The
//! default is [`Heap`] for arenas and [`Pages`] for pools and buffer pools.
//!
//! ```
//! use aegis_memory::arena::Arena;
//! use aegis_memory::source::Pages;
//!
//! let arena = Arena::builder().capacity(1 << 20).source(Pages::new().prefault()).build()?;
//! assert!(arena.capacity() >= 1 << 20);
//! # Ok::<(), aegis_memory::AllocError>(())
//! ```

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::alloc::Layout;
use core::ffi::c_void;
use core::ptr::{self, NonNull};

use crate::error::AllocError;
use crate::{ffi, heap, unwind};

/// Memory that a [`BlockSource`] gives.
///
/// # Examples
///
/// ```
/// use aegis_memory::source::{BlockSource, Heap, SourceBlock};
/// use std::alloc::Layout;
///
/// let layout = Layout::new::<[u64; 100]>();
/// let SourceBlock { memory, zeroed, .. } = Heap.acquire(layout).expect("there is memory");
/// assert!(zeroed);
/// // SAFETY: it came from this source with this layout.
/// unsafe { Heap.release(memory, layout) };
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SourceBlock {
    /// The first of the bytes asked for.
    pub memory: NonNull<u8>,
    /// Whether every byte is zero. `false` is always safe: a zeroed allocation then clears the
    /// bytes.
    pub zeroed: bool,
}

/// A supplier of blocks.
///
/// If the source returns memory that is not aligned as asked for, the memory is released at once,
/// and the request fails with [`AllocError::BadSource`].
///
/// # Panics
///
/// A panic in a function of a source counts as a refusal. The call that led to the panic, such as
/// an allocation, a reset or a drop, first finishes its work and leaves everything consistent. Then
/// the panic continues from that call. If there are several panics in one call, the first one
/// continues. A panic never continues from another call.
///
/// A call may succeed in spite of the panic, because it has made another request. Its result is not
/// lost:
///
/// - After a plain allocation the panic continues, and the arena keeps the bytes.
/// - When a collection grows in an arena, the panic continues, and the collection still has its old
///   memory.
/// - After `alloc_static` the panic continues, and the value is in its place.
/// - A block of a pool, a buffer, an arena of a recycler and an object that a builder makes have to
///   reach the caller. So the call returns them, and the panic ends there: another request has
///   replaced the refused one. The panic hook has reported the panic.
///
/// If the thread is panicking already, a panic ends in the call. It also ends in a raw call of
/// [`crate::ffi`]. A panic that continues from a call in the drop of a thread-local variable can be
/// caught, like any other panic. If it leaves that drop, the standard library ends the process.
/// Without feature `std` a panic aborts the process.
///
/// All this is also true of the other code that an object calls: the drops of `alloc_static` values
/// and of owners of buffers.
///
/// # Safety
///
/// - A block is valid for reads and writes of `layout.size()` bytes, aligned to `layout.align()`,
///   and disjoint from every other live block, until it is released or the source is dropped.
/// - `zeroed` is true only if every byte of the block is zero and initialised.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::Arena;
/// use aegis_memory::source::{BlockSource, Heap, SourceBlock};
/// use std::alloc::Layout;
/// use std::ptr::NonNull;
///
/// /// The heap, for blocks of at most 1 MiB.
/// struct Small;
///
/// // SAFETY: the heap keeps the contract.
/// unsafe impl BlockSource for Small {
///     fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
///         (layout.size() <= 1 << 20).then(|| Heap.acquire(layout))?
///     }
///
///     unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
///         // SAFETY: the memory came from the heap with this layout.
///         unsafe { Heap.release(memory, layout) }
///     }
/// }
///
/// let arena = Arena::builder().source(Small).build()?;
/// assert!(arena.try_alloc(1000).is_ok() && arena.try_alloc(2 << 20).is_err());
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[cfg_attr(
    aegis_diagnostic,
    diagnostic::on_unimplemented(
        message = "`{Self}` is no source of blocks",
        label = "no `BlockSource`",
        note = "`Heap`, `Pages` and `Global` of `aegis_memory::source` are sources, and \
                `FromAllocator` makes one of an `allocator_api2` allocator",
        note = "a reference to a source has to be `'static`; an `Arc` of a source is a source",
    )
)]
pub unsafe trait BlockSource: Send + Sync {
    /// Acquires a block of `layout`, whose size is never 0. Returns `None` when there is no memory.
    fn acquire(&self, layout: Layout) -> Option<SourceBlock>;

    /// Releases a block.
    ///
    /// # Safety
    ///
    /// `memory` came from `acquire` of this source with this `layout` and is not used again.
    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout);
}

// SAFETY: every call goes to the referent, which keeps the contract.
unsafe impl<S: BlockSource + ?Sized> BlockSource for &'static S {
    fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
        (**self).acquire(layout)
    }

    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller keeps this function's contract, which is the same.
        unsafe { (**self).release(memory, layout) }
    }
}

// SAFETY: every call goes to the referent, which keeps the contract and lives as long as the `Arc`.
unsafe impl<S: BlockSource + ?Sized> BlockSource for Arc<S> {
    fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
        (**self).acquire(layout)
    }

    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller keeps this function's contract, which is the same.
        unsafe { (**self).release(memory, layout) }
    }
}

/// Acquires through a C source.
#[cfg(aegis_hosted)]
fn acquire_raw(source: ffi::aegis_source, layout: Layout) -> Option<SourceBlock> {
    let mut zeroed = false;
    let acquire = source.acquire?;
    // SAFETY: the source is a built-in one. Size and alignment are those of a layout, and the size
    // is not 0.
    let memory = unsafe { acquire(source.context, layout.size(), layout.align(), &mut zeroed) };
    Some(SourceBlock { memory: NonNull::new(memory.cast())?, zeroed })
}

/// Releases through a C source.
///
/// # Safety
///
/// - As for [`BlockSource::release`].
#[cfg(aegis_hosted)]
unsafe fn release_raw(source: ffi::aegis_source, memory: NonNull<u8>, layout: Layout) {
    if let Some(release) = source.release {
        // SAFETY: the caller vouches for memory and layout.
        unsafe { release(source.context, memory.as_ptr().cast(), layout.size(), layout.align()) }
    }
}

/// The C heap (`calloc`): the default of arenas. It zeroes blocks at no cost when they are new from
/// the system.
///
/// # Examples
///
/// ```
/// use aegis_memory::{arena::Arena, source::Heap};
///
/// let arena = Arena::builder().source(Heap).build()?;
/// arena.alloc(100);
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[cfg(aegis_hosted)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap;

// SAFETY: `calloc` and the other functions of the C heap keep the contract.
#[cfg(aegis_hosted)]
unsafe impl BlockSource for Heap {
    fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
        // SAFETY: returns a plain struct.
        acquire_raw(unsafe { ffi::aegis_source_heap() }, layout)
    }

    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller keeps this function's contract, which is the same.
        unsafe { release_raw(ffi::aegis_source_heap(), memory, layout) }
    }
}

/// Anonymous pages of the operating system: the default of pools and buffer pools. They are zeroed,
/// and a release returns them to the system.
///
/// # Examples
///
/// ```
/// use aegis_memory::{arena::Arena, source::Pages};
///
/// let arena = Arena::builder().source(Pages::new().huge_pages()).build()?;
/// arena.alloc(4 << 20);
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[cfg(aegis_hosted)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Pages {
    flags: u32,
}

#[cfg(aegis_hosted)]
impl Pages {
    /// Plain pages, which become resident when they are first used.
    ///
    /// # Examples
    ///
    /// ```
    /// let pages = aegis_memory::source::Pages::new();
    /// ```
    pub const fn new() -> Self {
        Self { flags: 0 }
    }

    /// Asks for huge pages for blocks of 2 MiB and more. This is a hint, which the system may
    /// ignore.
    ///
    /// # Examples
    ///
    /// ```
    /// let pages = aegis_memory::source::Pages::new().huge_pages();
    /// ```
    #[must_use]
    pub const fn huge_pages(self) -> Self {
        Self { flags: self.flags | ffi::AEGIS_PAGES_HUGE }
    }

    /// Makes each block resident when it is acquired, so that its first use does not fault.
    ///
    /// # Examples
    ///
    /// ```
    /// let pages = aegis_memory::source::Pages::new().prefault();
    /// ```
    #[must_use]
    pub const fn prefault(self) -> Self {
        Self { flags: self.flags | ffi::AEGIS_PAGES_PREFAULT }
    }
}

// SAFETY: fresh mappings are disjoint, aligned and zeroed.
#[cfg(aegis_hosted)]
unsafe impl BlockSource for Pages {
    fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
        // SAFETY: returns a plain struct.
        acquire_raw(unsafe { ffi::aegis_source_pages(self.flags) }, layout)
    }

    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller keeps this function's contract, which is the same.
        unsafe { release_raw(ffi::aegis_source_pages(self.flags), memory, layout) }
    }
}

/// Rust's global allocator (`alloc_zeroed`), which is the one that the program has set.
///
/// # Examples
///
/// ```
/// use aegis_memory::{arena::Arena, source::Global};
///
/// let arena = Arena::builder().source(Global).build()?;
/// arena.alloc(100);
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Global;

// SAFETY: the global allocator keeps the contract.
unsafe impl BlockSource for Global {
    fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
        // SAFETY: the size is not 0, by this function's contract.
        let memory = unsafe { alloc::alloc::alloc_zeroed(layout) };
        Some(SourceBlock { memory: NonNull::new(memory)?, zeroed: true })
    }

    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: `memory` came from `alloc_zeroed` with this layout.
        unsafe { alloc::alloc::dealloc(memory.as_ptr(), layout) }
    }
}

/// Makes a source of an allocator of one of the allocator traits, which is named by its module.
#[cfg(aegis_allocator)]
macro_rules! from_allocator {
    ($(#[$meta:meta])* $name:ident: $($module:ident)::+) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name<A>(pub A);

        const _: () = {
            use $($module)::+::Allocator;

            // SAFETY: the contract of `Allocator` covers this one. The source owns the allocator, so
            // its memory stays valid.
            unsafe impl<A: Allocator + Send + Sync> BlockSource for $name<A> {
                fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
                    let memory = self.0.allocate_zeroed(layout).ok()?;
                    Some(SourceBlock { memory: memory.cast(), zeroed: true })
                }

                unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
                    // SAFETY: `memory` came from this allocator with this layout.
                    unsafe { self.0.deallocate(memory, layout) }
                }
            }
        };
    };
}

#[cfg(feature = "allocator-api2")]
from_allocator!(
    /// Any allocator of `allocator-api2` 0.2 as a source.
    ///
    /// # Examples
    ///
    /// ```
    /// use allocator_api2::alloc::Global;
    /// use aegis_memory::{arena::Arena, source::FromAllocator};
    ///
    /// let arena = Arena::builder().source(FromAllocator(Global)).build()?;
    /// arena.alloc(100);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "allocator-api2")))]
    FromAllocator: allocator_api2::alloc
);

#[cfg(feature = "allocator-api2-03")]
from_allocator!(
    /// Any allocator of `allocator-api2` 0.3 as a source.
    ///
    /// # Examples
    ///
    /// ```
    /// # use allocator_api2_03 as allocator_api2;
    /// use allocator_api2::alloc::Global;
    /// use aegis_memory::{arena::Arena, source::FromAllocator03};
    ///
    /// let arena = Arena::builder().source(FromAllocator03(Global)).build()?;
    /// arena.alloc(100);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "allocator-api2-03")))]
    FromAllocator03: allocator_api2_03::alloc
);

#[cfg(feature = "allocator-api2-04")]
from_allocator!(
    /// Any allocator of `allocator-api2` 0.4 as a source.
    ///
    /// # Examples
    ///
    /// ```
    /// # use allocator_api2_04 as allocator_api2;
    /// use allocator_api2::alloc::Global;
    /// use aegis_memory::{arena::Arena, source::FromAllocator04};
    ///
    /// let arena = Arena::builder().source(FromAllocator04(Global)).build()?;
    /// arena.alloc(100);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "allocator-api2-04")))]
    FromAllocator04: allocator_api2_04::alloc
);

#[cfg(aegis_std_allocator)]
from_allocator!(
    /// Any allocator of the standard library's trait as a source.
    #[cfg_attr(docsrs, doc(cfg(feature = "nightly")))]
    FromStdAllocator: core::alloc
);

/// The source that a builder was given. `Ok(None)` stands for the default of the object. `Err`
/// means that there was no memory to keep the source; `build` returns this error.
pub(crate) type ChosenSource = Result<Option<OwnedSource>, AllocError>;

/// A chosen source as the C core takes it: null for the default.
pub(crate) fn raw_source(source: &Option<OwnedSource>) -> *const ffi::aegis_source {
    source.as_ref().map_or(ptr::null(), |source| &source.0)
}

/// A source as the C core takes it. The drop closes the source. When an object takes the source
/// over, this value is forgotten, so that only the object closes it.
pub(crate) struct OwnedSource(ffi::aegis_source);

impl OwnedSource {
    /// Boxes the source. `close` drops the box. If there is no memory for a box, the source is
    /// dropped here.
    pub(crate) fn try_new<S: BlockSource + 'static>(source: S) -> Result<Self, AllocError> {
        let source = heap::try_box(source).map_err(|_| AllocError::no_memory_for::<S>())?;
        Ok(Self(ffi::aegis_source {
            acquire: Some(acquire::<S>),
            release: Some(release::<S>),
            close: Some(close::<S>),
            context: Box::into_raw(source).cast(),
        }))
    }
}

impl Drop for OwnedSource {
    fn drop(&mut self) {
        if let Some(close) = self.0.close {
            // SAFETY: no object uses the source, because then this value would have been forgotten.
            unwind::call(|| unsafe { close(self.0.context) });
        }
    }
}

unsafe extern "C" fn acquire<S: BlockSource>(
    context: *mut c_void,
    size: usize,
    align: usize,
    zeroed: *mut bool,
) -> *mut c_void {
    // SAFETY: `context` is the box of `OwnedSource`, which lives until `close`.
    let source = unsafe { &*context.cast::<S>() };
    let Ok(layout) = Layout::from_size_align(size, align) else {
        return ptr::null_mut();
    };
    match unwind::contain(None, || source.acquire(layout)) {
        Some(block) => {
            // SAFETY: the core passes a valid pointer.
            unsafe { *zeroed = block.zeroed };
            block.memory.as_ptr().cast()
        }
        None => ptr::null_mut(),
    }
}

unsafe extern "C" fn release<S: BlockSource>(
    context: *mut c_void,
    memory: *mut c_void,
    size: usize,
    align: usize,
) {
    // SAFETY: `context` is the box of `OwnedSource`, which lives until `close`.
    let source = unsafe { &*context.cast::<S>() };
    if let (Ok(layout), Some(memory)) = (Layout::from_size_align(size, align), NonNull::new(memory))
    {
        // SAFETY: the core releases each block once, with the layout it was acquired with.
        unwind::contain((), || unsafe { source.release(memory.cast(), layout) });
    }
}

unsafe extern "C" fn close<S: BlockSource>(context: *mut c_void) {
    // SAFETY: `context` is the box of `OwnedSource`; the core closes a source once.
    unwind::contain((), || drop(unsafe { Box::from_raw(context.cast::<S>()) }));
}
