// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::{Arena, LockFreeArena};
use aegis_memory::pool::{Pool, TypedPool};
use allocator_api2::alloc::Allocator;
use std::sync::Arc;

// What owns an arena or a pool is no allocator: it could be reset or dropped while a collection has
// memory of it.

fn collection_in<A: Allocator>(_: A) {}

fn main() {
    collection_in(Arena::new(64)); //~ E0277
    collection_in(&mut Arena::new(64)); //~ E0277
    collection_in(Box::new(Arena::new(64))); //~ E0277
    collection_in(Arc::new(LockFreeArena::new(64))); //~ E0277
    collection_in(Pool::new(64, 1)); //~ E0277
    collection_in(&TypedPool::<u8>::new(1)); //~ E0277
}
