// SPDX-License-Identifier: Apache-2.0
//! Many threads clone, cut, send and drop views at the same time. Each owner must be released
//! exactly once, by the thread that drops the last view, and without a lock held.

use aegis_memory::arena::Arena;
use aegis_memory::buffer::{Buffer, BufferPool, WhenEmpty};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

const THREADS: usize = 4;

/// A number that differs a little from call to call.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

/// An owner of bytes that counts its drops.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Whichever thread drops the last view, the memory must still be whole.
        assert!(self.0.iter().all(|&byte| byte == self.0[0]));
        self.1.fetch_add(1, SeqCst);
    }
}

/// Clones, cuts and drops views of one memory at random. Each view must show the same byte
/// everywhere.
fn churn(buffer: &Buffer, seed: u64, steps: usize) {
    let mut state = seed;
    let mut views = vec![buffer.clone()];
    for _ in 0..steps {
        let i = next(&mut state) % views.len();
        let at = next(&mut state) % (views[i].len() + 1);
        match next(&mut state) % 5 {
            0 => views.push(views[i].clone()),
            1 => views.push(views[i].slice(at..)),
            2 => {
                let part = views[i].split_to(at);
                views.push(part);
            }
            3 => {
                let part = views[i].split_off(at);
                assert!(views[i].try_unsplit(part).is_ok() || at == 0);
            }
            _ if views.len() > 1 => drop(views.swap_remove(i)),
            _ => {}
        }
        assert!(views.iter().all(|view| view.first().map_or(true, |&byte| byte == 7)));
        if views.len() > 40 {
            views.truncate(1);
        }
    }
}

#[test]
fn clone_and_drop_storm_releases_each_owner_exactly_once() {
    for round in 0..20 {
        let drops = Arc::new(AtomicUsize::new(0));
        let buffer = Buffer::from_owner(Counted(vec![7; 1000], drops.clone()));
        let start = Arc::new(Barrier::new(THREADS));
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (buffer, start, drops) = (buffer.clone(), start.clone(), drops.clone());
                thread::spawn(move || {
                    start.wait();
                    churn(&buffer, (round * THREADS + thread) as u64, 300);
                    assert_eq!(drops.load(SeqCst), 0, "there is a handle still");
                })
            })
            .collect();
        drop(buffer);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(drops.load(SeqCst), 1);
    }
}

#[test]
fn last_two_handles_dropped_at_once_release_once() {
    for _ in 0..2000 {
        let drops = Arc::new(AtomicUsize::new(0));
        let buffer = Buffer::from_owner(Counted(vec![7; 10], drops.clone()));
        let other = buffer.clone();
        thread::scope(|threads| {
            threads.spawn(move || drop(other));
            drop(buffer);
        });
        assert_eq!(drops.load(SeqCst), 1);
    }
}

#[test]
fn whoever_is_unique_may_write_after_others_have_read() {
    for _ in 0..500 {
        let mut writer = BufferPool::new(64, 1).get(64).unwrap();
        writer.extend_from_slice(&[7; 64]);
        let mut view = writer.freeze();
        let reader = view.clone();
        thread::scope(|threads| {
            threads.spawn(move || assert_eq!(reader, [7; 64]));
            let mut writer = loop {
                match view.try_into_mut() {
                    Ok(writer) => break writer,
                    Err(shared) => view = shared,
                }
                thread::yield_now();
            };
            writer.fill(8);
        });
    }
}

#[test]
fn pool_is_whole_after_buffers_went_from_thread_to_thread() {
    let pool = BufferPool::builder().class(64, 16).class_growing(256, 4, 16).build().unwrap();
    let (sender, receiver) = channel::<Buffer>();
    thread::scope(|threads| {
        for thread in 0..THREADS - 1 {
            let (pool, sender) = (&pool, sender.clone());
            threads.spawn(move || {
                let mut state = thread as u64;
                let mut sent = 0;
                while sent < 3000 {
                    let size = [64, 256][next(&mut state) % 2];
                    let Ok(mut writer) = pool.get(size) else {
                        thread::yield_now();
                        continue;
                    };
                    let mark = thread as u8 + 1;
                    writer.resize(64, mark);
                    let mut view = writer.freeze();
                    let part = view.split_off(next(&mut state) % 65);
                    sender.send(part).expect("the receiver outlives the senders");
                    assert!(view.iter().all(|&byte| byte == mark));
                    sent += 1;
                }
            });
        }
        drop(sender);
        for view in receiver {
            assert!(view.windows(2).all(|pair| pair[0] == pair[1]));
        }
    });
    let stats = pool.stats();
    assert!(stats.classes.iter().all(|class| class.in_use == 0), "{stats:?}");
    let most = stats.classes.iter().map(|class| class.max_capacity).sum::<usize>();
    let all: Vec<_> = std::iter::from_fn(|| pool.get(1).ok()).collect();
    assert_eq!(all.len(), most, "every buffer can be had again");
}

#[test]
fn more_threads_than_buffers_wait_and_all_are_served() {
    let wait = WhenEmpty::Wait(Duration::MAX);
    let pool = BufferPool::builder().class(64, 2).when_empty(wait).build().unwrap();
    let served = AtomicUsize::new(0);
    thread::scope(|threads| {
        for _ in 0..2 * THREADS {
            threads.spawn(|| {
                for _ in 0..200 {
                    let mut writer = pool.get(64).unwrap();
                    writer.extend_from_slice(b"mine");
                    served.fetch_add(1, SeqCst);
                    assert_eq!(writer.freeze(), "mine");
                }
            });
        }
    });
    assert_eq!(served.load(SeqCst), 2 * THREADS * 200);
    assert_eq!(pool.stats().classes[0].in_use, 0);
}

#[test]
fn release_may_use_the_pool_that_it_goes_back_to() {
    struct Reenters(Buffer, BufferPool, Arc<AtomicUsize>);
    impl AsRef<[u8]> for Reenters {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Reenters {
        fn drop(&mut self) {
            self.0.clear();
            let mut writer = self.1.get(64).expect("the buffer has just come back");
            writer.extend_from_slice(b"from the release");
            assert_eq!(writer.freeze(), "from the release");
            self.2.fetch_add(1, SeqCst);
        }
    }
    let pool = BufferPool::new(64, 1);
    let released = Arc::new(AtomicUsize::new(0));
    for _ in 0..100 {
        let mut writer = pool.get_timeout(64, Duration::MAX).unwrap();
        writer.extend_from_slice(b"inner");
        let inner = writer.freeze();
        let outer = Buffer::from_owner(Reenters(inner, pool.clone(), released.clone()));
        thread::spawn(move || drop(outer)).join().unwrap();
    }
    assert_eq!(released.load(SeqCst), 100);
}

#[test]
fn arena_buffers_are_read_and_released_anywhere() {
    let (sender, receiver) = channel();
    let reader = thread::spawn(move || {
        receiver.into_iter().map(|buffer: Buffer| buffer.len()).sum::<usize>()
    });
    let mut sent = 0;
    for i in 0..200 {
        let whole = Buffer::from_arena(Arena::new(64), |arena| arena.alloc_slice_fill(i, 7_u8));
        churn(&whole, i as u64, 5);
        sent += whole.len();
        sender.send(whole).unwrap();
    }
    drop(sender);
    assert_eq!(reader.join().unwrap(), sent);
}
