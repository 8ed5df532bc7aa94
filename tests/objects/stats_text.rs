// SPDX-License-Identifier: Apache-2.0
//! What statistics say as text, line for line.

use aegis_memory::arena::{Arena, ArenaRecycler, ArenaStats, LockFreeArena, RecyclerStats};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{BufferClassStats, BufferPool, BufferPoolStats};
use aegis_memory::pool::{Pool, PoolStats};

/// The text of statistics, one element a line.
fn lines(stats: &impl ToString) -> Vec<String> {
    stats.to_string().lines().map(str::to_owned).collect()
}

/// The value behind a name. It has the last column, and the names have the first.
fn value(lines: &[String], name: &str) -> String {
    let found = lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no line {name} in {lines:#?}")).trim_start().to_owned()
}

/// A size as a person writes it.
fn size(bytes: usize) -> String {
    match bytes {
        0..=1023 => format!("{bytes} B"),
        1024..=1_048_000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => panic!("{bytes} bytes are more than these tests use"),
    }
}

#[test]
fn arena_says_ten_lines() {
    assert_eq!(
        lines(&ArenaStats::default()),
        [
            "capacity_bytes   0 B",
            "reserved_bytes   0 B",
            "used_bytes       0 B",
            "peak_used_bytes  0 B",
            "remaining_bytes  0 B",
            "wasted_bytes     0 B",
            "block_count        0",
            "acquired_count     0",
            "released_count     0",
            "reset_count        0",
        ]
    );
    let mut arena = Arena::builder().no_debug().capacity(100_000).build().expect("memory");
    arena.alloc(1536);
    arena.reset();
    arena.alloc(1000);
    let (stats, lines) = (arena.stats(), lines(&arena.stats()));
    // A checker's gap counts as used.
    assert_eq!(lines[2], format!("used_bytes       {:>8}", size(stats.used_bytes)));
    assert_eq!(lines[3], "peak_used_bytes   1.5 KiB");
    assert_eq!(lines[6], "block_count             1");
    assert_eq!(lines[9], "reset_count             1");
    assert_eq!(value(&lines, "capacity_bytes"), size(stats.capacity_bytes));
    assert_eq!(value(&lines, "reserved_bytes"), size(stats.reserved_bytes));
    assert_eq!(value(&lines, "remaining_bytes"), size(stats.remaining_bytes));
    assert_eq!(
        lines.concat().len(),
        10 * lines[0].len(),
        "the lines are as long as the longest: {lines:#?}"
    );
    let shared = LockFreeArena::new(64).stats();
    assert_eq!(shared.to_string().lines().count(), 10);
}

#[test]
fn pool_says_fifteen_lines() {
    assert_eq!(PoolStats::default().to_string().lines().count(), 15);
    let pool = Pool::builder().block_size(4096).blocks(8).max_blocks(16).build().expect("memory");
    let _blocks = (pool.alloc(), pool.alloc(), pool.alloc());
    let stats = pool.stats();
    let expected = [
        ("block_bytes", size(stats.block_bytes)),
        ("stride_bytes", size(stats.stride_bytes)),
        ("align_bytes", size(stats.align_bytes)),
        ("capacity", "8".to_owned()),
        ("max_capacity", "16".to_owned()),
        ("in_use", "3".to_owned()),
        ("available", "5".to_owned()),
        ("peak_in_use", "3".to_owned()),
        ("parked", "0".to_owned()),
        ("slab_count", "1".to_owned()),
        ("reserved_bytes", size(stats.reserved_bytes)),
        ("acquired_count", stats.acquired_count.to_string()),
        ("released_count", "0".to_owned()),
        ("cache_reserve_bytes", "0 B".to_owned()),
        ("max_cache_count", "0".to_owned()),
    ];
    let width = expected.iter().map(|(_, value)| value.len()).max().expect("lines");
    let expected = expected.map(|(name, value)| format!("{name:<19}  {value:>width$}"));
    assert_eq!(lines(&stats), expected);
}

#[test]
fn buffer_pool_says_five_lines_for_each_class_and_six_of_its_own() {
    assert_eq!(
        lines(&BufferClassStats::default()),
        [
            "buffer_bytes  0 B",
            "capacity        0",
            "max_capacity    0",
            "in_use          0",
            "parked          0",
        ]
    );
    assert_eq!(BufferPoolStats::default().to_string().lines().count(), 6);
    let pool = BufferPool::builder().class(512, 4).class(65_536, 2).build().expect("memory");
    let _buffer = pool.get(60_000).expect("a buffer");
    let stats = pool.stats();
    let reserved = size(stats.reserved_bytes);
    let width = reserved.len().max("64.0 KiB".len());
    let of_pool = |name: &str, value: &str| format!("{name:<23}  {value:>width$}");
    let of_class =
        |index: usize, name: &str, value: &str| of_pool(&format!("classes[{index}].{name}"), value);
    let parked = |class: usize| stats.classes[class].parked.to_string();
    assert_eq!(
        lines(&stats),
        [
            of_class(0, "buffer_bytes", "512 B"),
            of_class(0, "capacity", "4"),
            of_class(0, "max_capacity", "4"),
            of_class(0, "in_use", "0"),
            of_class(0, "parked", &parked(0)),
            of_class(1, "buffer_bytes", "64.0 KiB"),
            of_class(1, "capacity", "2"),
            of_class(1, "max_capacity", "2"),
            of_class(1, "in_use", "1"),
            of_class(1, "parked", &parked(1)),
            of_pool("heap_count", "0"),
            of_pool("heap_bytes", "0 B"),
            of_pool("wait_count", "0"),
            of_pool("timeout_count", "0"),
            of_pool("refused_count", "0"),
            of_pool("reserved_bytes", &reserved),
        ]
    );
}

#[test]
fn budget_says_its_name_and_whether_it_has_a_limit() {
    let root = MemoryBudget::new("process", MemoryBudget::UNLIMITED);
    let query = root.child("the query é", 3 << 20);
    let held = query.reserve(1_572_864);
    drop(query.reserve(1024));
    query.try_reserve(usize::MAX).expect_err("more than the limit");
    assert_eq!(
        lines(&query.stats()),
        [
            "name             the query é",
            "used_bytes       1.5 MiB",
            "peak_bytes       1.5 MiB",
            "limit_bytes      3.0 MiB",
            "depth                  0",
            "level                  1",
            "waiting_count          0",
            "refused_count          1",
            "wait_count             0",
            "timeout_count          0",
            "reclaim_count          0",
            "reclaimed_bytes      0 B",
        ]
    );
    drop(held);
    assert_eq!(
        lines(&root.stats()),
        [
            "name             process",
            "used_bytes            0 B",
            "peak_bytes        1.5 MiB",
            "limit_bytes      no limit",
            "depth                   0",
            "level                   0",
            "waiting_count           0",
            "refused_count           0",
            "wait_count              0",
            "timeout_count           0",
            "reclaim_count           0",
            "reclaimed_bytes       0 B",
        ]
    );
}

#[test]
fn recycler_says_four_lines() {
    let recycler = ArenaRecycler::new(4, 1024);
    let first = recycler.get();
    drop((recycler.get(), recycler.get()));
    drop(recycler.get());
    assert_eq!(
        lines(&recycler.stats()),
        ["idle_count    2", "out_count     1", "made_count    3", "reused_count  1"]
    );
    drop(first);
    assert_eq!(RecyclerStats::default().to_string().lines().count(), 4);
}

#[test]
fn sizes_of_any_magnitude_have_a_unit() {
    let budget = MemoryBudget::new("sizes", 0);
    for (bytes, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1 << 20, "1.0 MiB"),
        (5 << 29, "2.5 GiB"),
    ] {
        budget.set_limit(bytes);
        assert_eq!(value(&lines(&budget.stats()), "limit_bytes"), text);
    }
}
