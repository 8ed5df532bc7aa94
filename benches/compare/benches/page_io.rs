// SPDX-License-Identifier: Apache-2.0
//! Measures what the page cache makes of files: a scan beside a bare loop of reads, and dirty pages
//! written back at once beside page by page. All in turns; the ratios are what counts.
//!
//! Usage: `cargo bench --bench page_io [-- --short]`
//!
//! 1. A file is scanned page by page with the hint `Once`, through a cache of a sixteenth of its
//!    size, and beside it by `pread` of the same size into one buffer. The system has the file in
//!    its own cache, so what is compared is the work of the processor; with `O_DIRECT` the disk's.
//! 2. Half of the pages of a file are made dirty in a random order, and then written by `clean`, and
//!    beside it by `flush_page` for each of them in that order; and both with the sync that follows.

use std::fs::File;
use std::hint::black_box;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use aegis_memory::cache::{FileId, FileOptions, FileStore, Hint, PageCache};

/// The median, and the quartiles.
fn quartiles(mut numbers: Vec<f64>) -> [f64; 3] {
    numbers.sort_by(f64::total_cmp);
    [numbers[numbers.len() / 4], numbers[numbers.len() / 2], numbers[numbers.len() * 3 / 4]]
}

/// A line of the table: times of both, and the ratio of the other to ours within a turn.
fn print(name: &str, ours: &[Duration], other: &[Duration]) {
    let ms =
        |times: &[Duration]| quartiles(times.iter().map(|time| time.as_secs_f64() * 1e3).collect());
    let ratio =
        quartiles(ours.iter().zip(other).map(|(a, b)| b.as_secs_f64() / a.as_secs_f64()).collect());
    println!(
        "| {name} | {:.1} | {:.1} | {:.2} ({:.2} to {:.2}) |",
        ms(ours)[1],
        ms(other)[1],
        ratio[1],
        ratio[0],
        ratio[2]
    );
}

fn open(path: &Path, page: usize, frames: usize, direct: bool) -> io::Result<(PageCache, FileId)> {
    let options = FileOptions::new().create();
    let options = if direct { options.direct() } else { options };
    let cache = PageCache::builder().page_size(page).frames(frames).build()?;
    let file = cache.open(FileStore::open(path, options)?)?;
    Ok((cache, file))
}

/// Reads the file with `pread` into one buffer that is aligned as the system asks for.
fn bare(path: &Path, page: usize, pages: u64, direct: bool) -> io::Result<Duration> {
    let mut options = File::options();
    options.read(true);
    #[cfg(target_os = "linux")]
    if direct {
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, 0o40000);
    }
    let file = options.open(path)?;
    let mut memory = vec![0; page + 4096];
    let at = memory.as_ptr().align_offset(4096);
    let buffer = &mut memory[at..at + page];
    let start = Instant::now();
    let mut sum = 0;
    for number in 0..pages {
        file.read_exact_at(buffer, number * page as u64)?;
        sum += u64::from(buffer[number as usize % page]);
    }
    black_box(sum);
    Ok(start.elapsed())
}

fn scan(path: &Path, page: usize, pages: u64, direct: bool) -> io::Result<Duration> {
    let (cache, file) = open(path, page, (pages / 16).max(64) as usize, direct)?;
    // The memory of the frames is there before the scan, as in a server that runs.
    for number in 0..pages / 16 {
        cache.fresh(file, pages + number)?;
    }
    cache.discard(file, pages..)?;
    let start = Instant::now();
    let mut sum = 0;
    for number in 0..pages {
        let bytes = cache.read_with(file, number, Hint::Once)?;
        sum += u64::from(bytes[number as usize % page]);
    }
    black_box(sum);
    let time = start.elapsed();
    drop(cache);
    Ok(time)
}

/// Makes a file of this many bytes, all of which the disk has.
fn make_file(path: &Path, bytes: u64) -> io::Result<()> {
    let file = File::create(path)?;
    let piece = vec![7; 1 << 20];
    for at in (0..bytes).step_by(piece.len()) {
        file.write_all_at(&piece, at)?;
    }
    file.sync_all()
}

fn write_back(path: &Path, pages: u64, turns: usize) -> io::Result<()> {
    make_file(path, 2 * pages * 4096)?;
    let (cache, file) = open(path, 4096, pages as usize + 1024, false)?;
    let mut order: Vec<u64> = (0..2 * pages).collect();
    let mut state = 1_u64;
    for at in (1..order.len()).rev() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(at, (state >> 33) as usize % (at + 1));
    }
    order.truncate(pages as usize);
    let soil = || -> io::Result<()> {
        for &number in &order {
            let mut page = cache.write(file, number)?;
            page[0] = page[0].wrapping_add(1);
        }
        Ok(())
    };
    // Each is the time to write the pages, and the time with the sync.
    let (mut ours, mut other) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for turn in 0..=turns {
        soil()?;
        let start = Instant::now();
        let written = cache.clean(pages as usize)?;
        let ours_written = start.elapsed();
        assert_eq!(written, pages as usize);
        cache.flush(file)?;
        let ours_synced = start.elapsed();
        soil()?;
        let start = Instant::now();
        for &number in &order {
            cache.flush_page(file, number)?;
        }
        let other_written = start.elapsed();
        cache.flush(file)?;
        // The first turn warms up.
        if turn > 0 {
            ours[0].push(ours_written);
            ours[1].push(ours_synced);
            other[0].push(other_written);
            other[1].push(start.elapsed());
        }
    }
    let batch = cache.stats().largest_batch_count;
    print(&format!("{pages} dirty pages written, up to {batch} at once"), &ours[0], &other[0]);
    print("the same, and the sync", &ours[1], &other[1]);
    Ok(())
}

fn run(folder: &Path, short: bool) -> io::Result<()> {
    let bytes: u64 = if short { 16 << 20 } else { 256 << 20 };
    let path = folder.join("scan");
    make_file(&path, bytes)?;
    println!("| | ours, ms | other, ms | other / ours (quartiles) |\n| --- | ---: | ---: | ---: |");
    for (page, direct) in [(4096, false), (16384, false), (16384, true)] {
        let turns = if short { 3 } else { 11 };
        let (mut ours, mut other) = (Vec::new(), Vec::new());
        for turn in 0..=turns {
            let pages = bytes / page as u64;
            let (scan, bare) =
                (scan(&path, page, pages, direct)?, bare(&path, page, pages, direct)?);
            // The first turn warms up.
            if turn > 0 {
                ours.push(scan);
                other.push(bare);
            }
        }
        let how = if direct { "O_DIRECT" } else { "from the system's cache" };
        print(&format!("scan, pages of {page}, {how}"), &ours, &other);
    }
    write_back(
        &folder.join("write"),
        if short { 5_000 } else { 100_000 },
        if short { 3 } else { 7 },
    )
}

fn main() -> io::Result<()> {
    let short = std::env::args().any(|argument| argument == "--short");
    // Not the folder for temporary files, which may be memory.
    let program = std::env::current_exe()?;
    let folder = program.ancestors().nth(3).expect("target/release/deps").join("page_io");
    std::fs::create_dir_all(&folder)?;
    let result = run(&folder, short);
    std::fs::remove_dir_all(&folder)?;
    result
}
