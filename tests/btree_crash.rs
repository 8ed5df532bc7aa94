// SPDX-License-Identifier: Apache-2.0
//! Kills the example `btree` at random moments while two threads insert, and opens the tree again.
//!
//! After each kill no page on disk may be newer than the log; every insert must be there that the
//! program had made durable; and of each thread's inserts, which have an order, those that are there
//! must be the first ones, as a `BTreeMap` has them. `AEGIS_KILLS` says how often; the default is
//! short. The files stay the same from kill to kill until they are large.
#![cfg(all(feature = "std", unix))]

#[allow(dead_code)] // The test inserts little.
#[path = "../examples/support/btree/mod.rs"]
mod btree;
#[path = "support/cargo.rs"]
mod cargo;

use btree::Tree;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Frames of the cache that the test reads with.
const FRAMES: usize = 32;
/// Pages from which on the files are made anew.
const LARGE: usize = 4_000;

/// Starts the example on a folder, kills it after a time, and returns how many inserts of each thread
/// it had made durable.
fn fill_and_kill(folder: &Path, after: Duration) -> [u64; 2] {
    let mut child = Command::new(cargo::example("btree"))
        .arg("--fill")
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example starts");
    let output = child.stdout.take().expect("a pipe");
    let reader = thread::spawn(move || {
        let mut durable = [0, 0];
        for line in BufReader::new(output).lines() {
            let line = line.expect("the example prints text");
            // The last line may be cut.
            let Some((thread, index)) = line.split_once(' ') else { continue };
            if let (Ok(thread), Ok(index)) = (thread.parse::<usize>(), index.parse::<u64>()) {
                durable[thread] = durable[thread].max(index + 1);
            }
        }
        durable
    });
    thread::sleep(after);
    child.kill().expect("the example runs until it is killed");
    let status = child.wait().expect("it ends");
    assert!(!status.success() && status.code().is_none(), "it ended by itself: {status}");
    reader.join().expect("the reader ends")
}

/// Opens the tree again and compares it with what must be there.
fn check(folder: &Path, durable: [u64; 2]) {
    let tree = Tree::open(folder, FRAMES).expect("the tree is whole");
    let mut expected = BTreeMap::new();
    for thread in 0..2 {
        let count = btree::count_of(&tree, thread).expect("the pages can be read");
        let least = durable[thread as usize];
        assert!(count >= least, "thread {thread}: {least} inserts were durable, {count} are there");
        expected.extend((0..count).map(|index| {
            let key = btree::key_of(thread, index);
            (key, btree::value_of(key))
        }));
    }
    let mut entries = Vec::new();
    tree.scan(|key, value| entries.push((key, value))).expect("the pages can be read");
    assert!(entries.iter().copied().eq(expected), "the tree has other entries");
}

/// The control of the control: a log that lacks its end is found out.
#[test]
fn a_page_that_is_newer_than_the_log_is_found() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("btree_newer");
    let _ = std::fs::remove_dir_all(&folder);
    let tree = Tree::open(&folder, FRAMES).expect("a tree is made");
    for index in 0..20_000 {
        let key = btree::key_of(0, index);
        tree.insert(key, btree::value_of(key)).expect("there is room");
    }
    drop(tree);
    btree::check_files(&folder).expect("no page is newer");
    let log = std::fs::File::options().write(true).open(folder.join("log")).expect("a log");
    log.set_len(1000).expect("it can be cut");
    let error = btree::check_files(&folder).expect_err("pages are newer than the log");
    assert!(error.to_string().contains("and the log ends at"), "{error}");
    std::fs::remove_dir_all(&folder).expect("the files go");
}

#[test]
fn a_tree_survives_kill_at_any_moment() {
    let kills: u32 =
        std::env::var("AEGIS_KILLS").map_or(4, |kills| kills.parse().expect("a number"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("btree_crash");
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).expect("a date").as_nanos() as u64;
    println!("seed {seed}");
    let mut random = seed;
    let mut pages = usize::MAX;
    let mut durable_in_all = 0;
    for kill in 0..kills {
        if pages > LARGE {
            let _ = std::fs::remove_dir_all(&folder);
        }
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let after = Duration::from_millis(20 + (random >> 33) % 400);
        let durable = fill_and_kill(&folder, after);
        durable_in_all += durable[0] + durable[1];
        pages = btree::check_files(&folder)
            .unwrap_or_else(|error| panic!("kill {kill} after {after:?}: {error}"));
        check(&folder, durable);
    }
    assert!(durable_in_all > 0, "no child came so far as to insert anything");
    let _ = std::fs::remove_dir_all(&folder);
}
