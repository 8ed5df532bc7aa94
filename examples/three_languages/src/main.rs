// SPDX-License-Identifier: Apache-2.0
//! One arena in three languages: Rust makes an arena under a budget, C fills it with a list of time
//! zones, C++ makes a sorted `std::pmr::vector` of the list in the same arena, and Rust reads the
//! vector where it is. Nothing is copied between the languages, and one reset frees it all.
//!
//! `cargo run --manifest-path examples/three_languages/Cargo.toml`

use std::ffi::{c_char, CStr};
use std::{ptr, slice};

use aegis_memory::arena::Arena;
use aegis_memory::budget::MemoryBudget;
use aegis_memory::{ffi, AllocError};

const TABLE: &str = include_str!("../../data/zone1970.tab");

/// A time zone, as `zones.h` has it.
#[repr(C)]
struct Zone {
    name: *const c_char,
    name_bytes: usize,
    latitude: i32,
}

impl Zone {
    fn name(&self) -> &str {
        // SAFETY: zones_parse has set both fields to bytes in the arena, which the zone is in too.
        let bytes = unsafe { slice::from_raw_parts(self.name.cast::<u8>(), self.name_bytes) };
        std::str::from_utf8(bytes).expect("the table is UTF-8")
    }
}

#[repr(C)]
struct Zones {
    first: *const Zone,
    count: usize,
}

extern "C" {
    fn zones_parse(
        arena: *mut ffi::aegis_arena,
        text: *const c_char,
        text_bytes: usize,
        list: *mut *mut ZoneList,
    ) -> bool;
    fn zones_sort(arena: *mut ffi::aegis_arena, list: *const ZoneList, sorted: *mut Zones) -> bool;
}

/// Only C and C++ look inside.
#[repr(C)]
struct ZoneList {
    _private: [u8; 0],
}

/// The time zones of the table, the northernmost first: a slice of what the arena holds.
fn sorted_zones<'a>(arena: &'a Arena, table: &str) -> Result<&'a [Zone], String> {
    let raw = arena.as_raw();
    let mut list = ptr::null_mut();
    let mut sorted = Zones { first: ptr::null(), count: 0 };
    // SAFETY: the arena is good and used by this thread alone. The table has that many bytes.
    let is_done = unsafe {
        zones_parse(raw, table.as_ptr().cast(), table.len(), &mut list)
            && zones_sort(raw, list, &mut sorted)
    };
    if !is_done {
        let mut text = [0; 512];
        // SAFETY: `text` has that many bytes, and the call ends what it writes with a zero byte.
        let why = unsafe {
            ffi::aegis_arena_explain(raw, text.as_mut_ptr(), text.len());
            CStr::from_ptr(text.as_ptr())
        };
        return Err(why.to_string_lossy().into_owned());
    }
    // SAFETY: these are the elements of the vector. It is in the arena, which is borrowed for as long
    // as the slice is, so that nobody can reset it meanwhile, and nothing changes the vector.
    Ok(unsafe { slice::from_raw_parts(sorted.first, sorted.count) })
}

fn main() -> Result<(), AllocError> {
    let budget = MemoryBudget::new("time zones", 1 << 20);
    let mut arena = Arena::builder().budget(&budget).build()?;
    for _request in 0..2 {
        let zones = sorted_zones(&arena, TABLE).expect("a megabyte is enough");
        println!(
            "{} time zones from {} to {}",
            zones.len(),
            zones[0].name(),
            zones[zones.len() - 1].name()
        );
        assert!(zones.windows(2).all(|pair| pair[0].latitude >= pair[1].latitude));
        assert_eq!(arena.stats().reserved_bytes, budget.used());
        // Destroys C++'s vector and frees what C has allocated.
        arena.reset();
        assert_eq!(arena.stats().used_bytes, 0);
    }

    let tight = MemoryBudget::new("too tight", 8 << 10);
    let small = Arena::builder().budget(&tight).build()?;
    match sorted_zones(&small, TABLE) {
        Ok(_) => unreachable!("the table needs more than that"),
        Err(why) => println!("{why}"),
    }
    Ok(())
}
