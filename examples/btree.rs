// SPDX-License-Identifier: Apache-2.0
//! A B+tree in a file that is larger than the page cache: two threads insert and two read, and at the
//! end the tree is compared with a `BTreeMap`. It has a log, and survives being killed at any moment:
//! `tests/btree_crash.rs` does that.
//!
//! ```sh
//! cargo run --release --example btree
//! cargo run --release --example btree -- --fill FOLDER   # inserts until it is killed
//! ```

#[path = "support/btree/mod.rs"]
mod btree;

use btree::Tree;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const FRAMES: usize = 64;
const WRITERS: u64 = 2;
const KEYS: u64 = 20_000;
/// A thread that fills the tree makes its inserts durable after so many of them.
const COMMIT_AFTER: u64 = 64;

/// Inserts the keys of a thread, and reads some of them again.
fn insert(tree: &Tree, thread: u64) -> Result<(), Box<dyn Error + Send + Sync>> {
    for index in 0..KEYS {
        let key = btree::key_of(thread, index);
        tree.insert(key, btree::value_of(key))?;
        if index % 100 == 0 && tree.get(key)? != Some(btree::value_of(key)) {
            return Err(format!("key {key} is not there after its insert").into());
        }
    }
    Ok(())
}

/// Looks keys up and scans the tree while it grows. Returns how many look-ups found their key.
fn read(tree: &Tree, end: &AtomicBool) -> Result<usize, Box<dyn Error + Send + Sync>> {
    let mut found = 0;
    let mut index = 0;
    while !end.load(Ordering::Relaxed) {
        index = (index * 5 + 1) % KEYS;
        let key = btree::key_of(index % WRITERS, index);
        if let Some(value) = tree.get(key)? {
            found += 1;
            if value != btree::value_of(key) {
                return Err(format!("key {key} has the value {value}").into());
            }
        }
        if index % 4096 == 1 {
            let mut last = None;
            let mut sorted = true;
            tree.scan(|key, _| {
                sorted &= last < Some(key);
                last = Some(key);
            })?;
            if !sorted {
                return Err("a scan found keys that are out of order".into());
            }
        }
    }
    Ok(found)
}

/// The whole example. Returns what it prints.
fn run(folder: &Path) -> Result<String, Box<dyn Error + Send + Sync>> {
    let tree = Tree::open(folder, FRAMES)?;
    let end = AtomicBool::new(false);
    let found = thread::scope(|scope| -> Result<usize, Box<dyn Error + Send + Sync>> {
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| read(&tree, &end))).collect();
        let writers: Vec<_> = (0..WRITERS)
            .map(|thread| {
                scope.spawn({
                    let tree = &tree;
                    move || insert(tree, thread)
                })
            })
            .collect();
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        end.store(true, Ordering::Relaxed);
        for result in written {
            result.expect("a writer ends")?;
        }
        readers.into_iter().map(|reader| reader.join().expect("a reader ends")).sum()
    })?;
    tree.checkpoint()?;

    let expected: BTreeMap<u64, u64> = (0..WRITERS)
        .flat_map(|thread| (0..KEYS).map(move |index| btree::key_of(thread, index)))
        .map(|key| (key, btree::value_of(key)))
        .collect();
    let mut entries = Vec::new();
    tree.scan(|key, value| entries.push((key, value)))?;
    if !entries.iter().copied().eq(expected) {
        return Err("the tree and the BTreeMap differ".into());
    }
    let stats = tree.cache().stats();
    let pages = btree::check_files(folder)?;
    Ok(format!(
        "{} entries in {pages} pages, as in a BTreeMap; {} frames\n{found} look-ups by the readers \
         found their key\nthe log was asked for {} times before pages were written\n{stats}\n\n{}",
        entries.len(),
        stats.frame_count,
        tree.log_asked(),
        tree.cache().layout()
    ))
}

/// Inserts until the process is killed, and says after each commit how far each thread has come.
fn fill(folder: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    let tree = Tree::open(folder, FRAMES)?;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS)
            .map(|thread| {
                let tree = &tree;
                scope.spawn(move || -> Result<(), Box<dyn Error + Send + Sync>> {
                    let first = btree::count_of(tree, thread)?;
                    for index in first.. {
                        let key = btree::key_of(thread, index);
                        tree.insert(key, btree::value_of(key))?;
                        if index % COMMIT_AFTER == 0 {
                            tree.commit()?;
                            let mut out = std::io::stdout().lock();
                            writeln!(out, "{thread} {index}")?;
                            out.flush()?;
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a thread ends"))
    })
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let folder = std::env::temp_dir().join(format!("aegis-btree-{}", std::process::id()));
            let result = run(&folder);
            std::fs::remove_dir_all(&folder)?;
            println!("{}", result?);
            Ok(())
        }
        ["--fill", folder] => fill(Path::new(folder)),
        _ => Err("usage: btree [--fill FOLDER]".into()),
    }
}
