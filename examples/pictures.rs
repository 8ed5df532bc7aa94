// SPDX-License-Identifier: Apache-2.0
//! The two pictures of the README: the blocks of an arena, and a tree of budgets. Both are drawn by
//! the library from what this program does.
//!
//! `cargo run --release --example pictures`

use aegis_memory::arena::Arena;
use aegis_memory::budget::MemoryBudget;
use aegis_memory::pool::Pool;
use aegis_memory::AllocError;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Two requests, of which the first is the larger one: the blocks that it needed are there for the
/// second.
fn serve(arena: &mut Arena) -> String {
    for request_rows in [500, 150] {
        arena.reset();
        for _ in 0..request_rows {
            arena.alloc(3 * KIB);
        }
    }
    arena.layout().to_string()
}

/// A server with a page cache and two queries, of which one sorts.
pub fn pictures() -> Result<String, AllocError> {
    let server = MemoryBudget::new("server", 64 * MIB);
    let page_cache = server.child("page cache", 24 * MIB);
    let queries = server.child("queries", 32 * MIB);
    let first = queries.child("query 1", 8 * MIB);
    let second = queries.child("query 2", 8 * MIB);
    let sort = second.child("sort", MemoryBudget::UNLIMITED);

    let pages = Pool::builder().block_size(16 * KIB).blocks(1024).budget(&page_cache).build()?;
    // The sizes drawn are those of every build: without what a debug build adds.
    let mut arena = Arena::builder().capacity(256 * KIB).budget(&first).no_debug().build()?;
    let blocks = serve(&mut arena);
    let runs = Arena::builder().capacity(6 * MIB).budget(&sort).build()?;
    // Memory that is not the library's counts too, until the reservation is dropped.
    drop(sort.reserve(MIB + MIB / 2));
    let tree = server.to_string();
    drop((pages, runs));
    Ok(format!("{blocks}\n\n{tree}"))
}

fn main() -> Result<(), AllocError> {
    println!("{}", pictures()?);
    Ok(())
}
