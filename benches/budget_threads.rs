// SPDX-License-Identifier: Apache-2.0
//! Measures budgets that two or more threads use, where Criterion does not fit. What is compared
//! takes turns in one run, so that other work of the machine slows all of it alike. Three parts:
//!
//! - `children`: two threads charge and uncharge at the leaves. A root with 1,000 children is
//!   compared with a root with 2.
//! - `handing over`: two threads wait for each other in turn, on budgets and on semaphores made of
//!   a mutex and a condition variable.
//! - `wake-ups`: one of many waiting requests is served at a time. The kernel's counts of voluntary
//!   context switches tell how many other waiting threads ran meanwhile. For a budget this must be
//!   none. Linux only.
//!
//! `cargo bench --bench budget_threads [-- PART]`; with `--test` the work is small and the times
//! mean nothing.

mod support;

use std::env;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Instant;

use aegis_memory::budget::MemoryBudget;
use aegis_memory::ffi;
use support::turns::Quartiles;
use support::work::at_once_with;

const BLOCK: usize = 64 << 10;
/// A wait with this end must not reach it.
const LONG_NS: u64 = 60_000_000_000;

/// How much is done: all, or enough to see that it works.
#[derive(Clone, Copy)]
struct Work {
    is_test: bool,
}

impl Work {
    fn of(self, all: usize) -> usize {
        if self.is_test {
            all.div_ceil(100).max(2)
        } else {
            all
        }
    }
}

fn charge(budget: &MemoryBudget) {
    // SAFETY: the budget is alive, and no error is asked for.
    let status = unsafe {
        ffi::aegis_budget_charge_timeout(budget.as_raw(), BLOCK, LONG_NS, ptr::null_mut())
    };
    assert_eq!(status, 0, "the budget makes room in time");
}

fn uncharge(budget: &MemoryBudget) {
    // SAFETY: the budget is alive, and has been charged as much.
    let status = unsafe { ffi::aegis_budget_uncharge(budget.as_raw(), BLOCK) };
    assert_eq!(status, 0, "the budget was charged");
}

/// Runs contenders in turn, and prints the nanoseconds of each, and how many times the first
/// contender's time it takes. The ratio is made of the times of one turn.
fn take_turns(turns: usize, contenders: &[(&str, &dyn Fn() -> f64)]) {
    let mut times = vec![Vec::new(); contenders.len()];
    // The first turn warms up.
    for turn in 0..=turns {
        for i in 0..contenders.len() {
            // Each goes first in its turn.
            let i = (i + turn) % contenders.len();
            let time = contenders[i].1();
            if turn != 0 {
                times[i].push(time);
            }
        }
    }
    for ((name, _), own) in contenders.iter().zip(&times) {
        let ratios = own.iter().zip(&times[0]).map(|(time, first)| time / first);
        let Quartiles { low, median, high } = Quartiles::of(ratios);
        let ns = Quartiles::of(own.iter().copied()).median;
        println!("  {name:<38}{ns:>9.1} ns{median:>8.3} times ({low:.3} to {high:.3})");
    }
}

/// A root with some children.
struct Family {
    root: MemoryBudget,
    children: Vec<MemoryBudget>,
}

impl Family {
    fn new(children: usize) -> Self {
        let root = MemoryBudget::new("root", MemoryBudget::UNLIMITED / 2);
        let child = |_| root.child("child", MemoryBudget::UNLIMITED / 2);
        Self { children: (0..children).map(child).collect(), root }
    }

    /// The nanoseconds of a charge and its uncharge, while that many threads make them. Each thread
    /// goes round in its half of the first `used` children.
    fn charge(&self, threads: usize, used: usize, pairs: usize) -> f64 {
        let next = AtomicUsize::new(0);
        let half = used / 2;
        let take_half = || {
            let first = next.fetch_add(half, Ordering::Relaxed);
            &self.children[first..first + half]
        };
        let time = at_once_with(threads, take_half, |own| {
            for child in own.iter().cycle().take(pairs) {
                charge(child);
                uncharge(child);
            }
        });
        assert_eq!(self.root.used(), 0);
        time.as_nanos() as f64 / pairs as f64
    }
}

fn children(work: Work) {
    println!("children: two threads charge and uncharge");
    let (few, many) = (Family::new(2), Family::new(1000));
    // Many, so that the threads run at the same time for most of it. The one thread alone shows
    // whether they did: then its time is far less than theirs.
    let pairs = work.of(100_000);
    take_turns(
        work.of(60),
        &[
            ("2 children", &|| few.charge(2, 2, pairs)),
            ("1,000 children, of which 2 are charged", &|| many.charge(2, 2, pairs)),
            ("1,000 children, all are charged", &|| many.charge(2, 1000, pairs)),
            ("2 children, one thread alone", &|| few.charge(1, 2, pairs)),
        ],
    );
}

/// Something of which there is one, and which threads wait for. It is taken when it is new.
trait Permit: Sync {
    fn acquire(&self);
    fn release(&self);
}

impl Permit for MemoryBudget {
    fn acquire(&self) {
        charge(self);
    }

    fn release(&self) {
        uncharge(self);
    }
}

fn budget() -> MemoryBudget {
    let budget = MemoryBudget::new("permit", BLOCK);
    charge(&budget);
    budget
}

/// The semaphore of every textbook.
struct Semaphore {
    free: Mutex<usize>,
    changed: Condvar,
    wakes_all: bool,
}

impl Semaphore {
    fn new(wakes_all: bool) -> Self {
        Self { free: Mutex::new(0), changed: Condvar::new(), wakes_all }
    }
}

impl Permit for Semaphore {
    fn acquire(&self) {
        let free = self.free.lock().expect("no panic");
        *self.changed.wait_while(free, |free| *free == 0).expect("no panic") -= 1;
    }

    fn release(&self) {
        *self.free.lock().expect("no panic") += 1;
        if self.wakes_all {
            self.changed.notify_all();
        } else {
            self.changed.notify_one();
        }
    }
}

/// The nanoseconds from a release by one thread until another thread has what it waited for.
fn hand_over(make: impl Fn() -> Box<dyn Permit>, rounds: usize) -> f64 {
    let (there, back) = (make(), make());
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..rounds {
                there.acquire();
                back.release();
            }
        });
        for _ in 0..rounds {
            there.release();
            back.acquire();
        }
    });
    start.elapsed().as_nanos() as f64 / (2 * rounds) as f64
}

fn handing_over(work: Work) {
    println!("handing over: from one thread to another that waits");
    let rounds = work.of(2_000);
    take_turns(
        work.of(50),
        &[
            ("mutex and condition variable", &|| {
                hand_over(|| Box::new(Semaphore::new(false)), rounds)
            }),
            ("budget", &|| hand_over(|| Box::new(budget()), rounds)),
        ],
    );
}

/// What the kernel says of waiting threads.
#[cfg(target_os = "linux")]
mod kernel {
    use std::fs;
    use std::sync::Mutex;
    use std::thread;
    use std::time::Duration;

    use super::Permit;

    /// The number that the kernel has for this thread.
    fn this_thread() -> i32 {
        // SAFETY: takes nothing and cannot fail.
        unsafe { libc::gettid() }
    }

    /// Whether a thread of this process sleeps, and how often it has begun to.
    fn sleeps(thread: i32) -> (bool, u64) {
        let path = format!("/proc/self/task/{thread}/status");
        let status = fs::read_to_string(&path).expect("Linux has this file for each thread");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{path} has no {name}")).trim()
        };
        let count = field("voluntary_ctxt_switches:").parse().expect("a number");
        (field("State:").starts_with('S'), count)
    }

    /// Waits until all threads sleep and stay asleep. Returns how often each has begun to sleep.
    fn settle(threads: &[i32]) -> Vec<u64> {
        let look = || threads.iter().map(|&thread| sleeps(thread)).collect::<Vec<_>>();
        let mut before = look();
        loop {
            thread::sleep(Duration::from_millis(5));
            let now = look();
            if now == before && now.iter().all(|thread| thread.0) {
                return now.iter().map(|thread| thread.1).collect();
            }
            before = now;
        }
    }

    /// Lets threads wait for the permit and serves them one after the other. Returns how often
    /// threads other than the one that was served have woken and gone to sleep again.
    pub fn woken_others(permit: &dyn Permit, waiters: usize) -> u64 {
        let (waiting, served) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let have = |list: &Mutex<Vec<i32>>, count| {
            while list.lock().expect("no panic").len() != count {
                thread::sleep(Duration::from_millis(1));
            }
            list.lock().expect("no panic").clone()
        };
        let mut woken = 0;
        thread::scope(|scope| {
            for _ in 0..waiters {
                scope.spawn(|| {
                    waiting.lock().expect("no panic").push(this_thread());
                    permit.acquire();
                    served.lock().expect("no panic").push(this_thread());
                });
            }
            let mut left = have(&waiting, waiters);
            for count in 1..=waiters {
                let mut before: Vec<_> = left.iter().copied().zip(settle(&left)).collect();
                permit.release();
                let gone = have(&served, count);
                left.retain(|thread| !gone.contains(thread));
                before.retain(|(thread, _)| !gone.contains(thread));
                let after = settle(&left);
                woken +=
                    before.iter().zip(after).map(|(before, after)| after - before.1).sum::<u64>();
            }
        });
        woken
    }
}

#[cfg(target_os = "linux")]
fn wake_ups(work: Work) {
    let waiters = work.of(32).max(8);
    println!("wake-ups: {waiters} threads wait and are served one after the other");
    let print = |name: &str, woken| println!("  {name:<38}{woken:>9} wake-ups of other threads");
    for (name, all) in [("notify_all", true), ("notify_one", false)] {
        let name = format!("mutex, condition variable, {name}");
        print(&name, kernel::woken_others(&Semaphore::new(all), waiters));
    }
    let woken = kernel::woken_others(&budget(), waiters);
    print("budget", woken);
    assert_eq!(woken, 0, "a budget wakes the thread that it serves and no other");
}

#[cfg(not(target_os = "linux"))]
fn wake_ups(_work: Work) {
    println!("wake-ups: not measured, because this system does not count them for a thread");
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let work = Work { is_test: arguments.iter().any(|argument| argument == "--test") };
    let parts: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted =
        |name: &str| parts.is_empty() || parts.iter().any(|part| name.contains(part.as_str()));
    if is_wanted("children") {
        children(work);
    }
    if is_wanted("handing over") {
        handing_over(work);
    }
    if is_wanted("wake-ups") {
        wake_ups(work);
    }
}
