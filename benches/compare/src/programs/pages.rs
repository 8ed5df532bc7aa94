// SPDX-License-Identifier: Apache-2.0
//! Where pages of 4 KiB come from: this library's pool, heaps, and bump allocators with a list of
//! the pages that came back.

use std::alloc::Layout;
use std::ptr::NonNull;

use aegis_memory::pool::{Pool, PoolBlock};
use aegis_memory::source::Pages;
use allocator_api2::alloc::Allocator;

use crate::homes::Home;

/// The bytes of a page.
pub const PAGE_BYTES: usize = 4096;
/// The distance of pages: a cache line more than a page. If it were a power of two, equal places of
/// all pages would share a few sets of the caches, and the program would take about 5 % longer.
/// glibc's distance is 4112 bytes, and mimalloc has no size class between 4096 and 5120.
const STRIDE: usize = PAGE_BYTES + 64;

/// Pages are aligned as every heap aligns what it hands out.
const fn layout(bytes: usize) -> Layout {
    match Layout::from_size_align(bytes, 16) {
        Ok(layout) => layout,
        Err(_) => panic!("16 is a power of two"),
    }
}

/// A page of a heap.
const PAGE: Layout = layout(PAGE_BYTES);

/// A store of pages. What is not given back is freed with the store, or must be given back before,
/// as [`IS_HEAP`](Self::IS_HEAP) says.
pub trait PageStore {
    /// Whether pages are freed one by one only.
    const IS_HEAP: bool;

    /// A page that nobody else has, with any content.
    fn take(&mut self) -> NonNull<u8>;

    /// Takes a page back.
    ///
    /// # Safety
    ///
    /// - The page is of this store, and is not used again.
    unsafe fn give(&mut self, page: NonNull<u8>);
}

/// A pool that grows by 2 MiB, a huge page.
pub fn pool() -> Pool {
    const GROWTH: usize = (2 << 20) / STRIDE;
    let pool = Pool::builder().block_size(STRIDE).blocks(GROWTH).max_blocks(1 << 18);
    pool.source(Pages::new().huge_pages()).build().expect("memory")
}

impl PageStore for Pool {
    const IS_HEAP: bool = false;

    #[inline]
    fn take(&mut self) -> NonNull<u8> {
        self.alloc_uninit().expect("memory").into_raw().cast()
    }

    #[inline]
    unsafe fn give(&mut self, page: NonNull<u8>) {
        // SAFETY: the caller vouches for the page.
        drop(unsafe { PoolBlock::<Pool, std::mem::MaybeUninit<u8>>::from_raw(self, page) });
    }
}

/// The pages of a heap.
pub struct HeapPages<H>(pub H);

impl<H: Home> PageStore for HeapPages<H> {
    const IS_HEAP: bool = true;

    #[inline]
    fn take(&mut self) -> NonNull<u8> {
        self.0.allocator().allocate(PAGE).expect("memory").cast()
    }

    #[inline]
    unsafe fn give(&mut self, page: NonNull<u8>) {
        // SAFETY: the caller vouches for the page.
        unsafe { self.0.allocator().deallocate(page, PAGE) }
    }
}

/// The pages of a bump allocator. A page that came back begins with the address of the next such.
pub struct BumpPages<H> {
    home: H,
    free: Option<NonNull<Option<NonNull<u8>>>>,
}

impl<H: Home> BumpPages<H> {
    /// A store without pages.
    pub fn new(home: H) -> Self {
        Self { home, free: None }
    }
}

impl<H: Home> PageStore for BumpPages<H> {
    const IS_HEAP: bool = false;

    #[inline]
    fn take(&mut self) -> NonNull<u8> {
        let Some(page) = self.free else {
            return self.home.allocator().allocate(layout(STRIDE)).expect("memory").cast();
        };
        // SAFETY: `give` has written the next free page there.
        self.free = unsafe { page.read() }.map(NonNull::cast);
        page.cast()
    }

    #[inline]
    unsafe fn give(&mut self, page: NonNull<u8>) {
        let page = page.cast();
        // SAFETY: the caller does not use the page again, and pages are aligned for an address.
        unsafe { page.write(self.free.map(NonNull::cast)) };
        self.free = Some(page);
    }
}
