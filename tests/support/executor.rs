// SPDX-License-Identifier: Apache-2.0
//! What runs futures in the tests: a thread that sleeps between polls, and many tasks on one thread.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{pin, Pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs one future on this thread, which sleeps until it is woken.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => thread::park(),
        }
    }
}

/// A waker that counts its calls.
#[derive(Default)]
pub struct Calls(AtomicUsize);

impl Calls {
    pub fn new() -> (Arc<Self>, Waker) {
        let calls = Arc::<Self>::default();
        (calls.clone(), Waker::from(calls))
    }

    pub fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Polls a future once.
pub fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// The numbers of the tasks that are to be polled, in the order of their wake-ups.
type Ready = Arc<Mutex<VecDeque<usize>>>;

struct Number {
    ready: Ready,
    number: usize,
}

impl Wake for Number {
    fn wake(self: Arc<Self>) {
        self.ready.lock().unwrap().push_back(self.number);
    }
}

/// Runs tasks on one thread, each polled only when it was woken. No other thread wakes them, so if
/// tasks are left and none is ready, a wake-up is lost. Returns how many polls there were.
pub fn run_tasks<'a>(tasks: Vec<Pin<Box<dyn Future<Output = ()> + 'a>>>) -> usize {
    let ready: Ready = Arc::new(Mutex::new((0..tasks.len()).collect()));
    let mut tasks: Vec<Option<_>> = tasks.into_iter().map(Some).collect();
    let mut polls = 0;
    while tasks.iter().any(Option::is_some) {
        let number = ready.lock().unwrap().pop_front().expect("a wake-up is lost");
        let Some(task) = tasks[number].as_mut() else { continue };
        let waker = Waker::from(Arc::new(Number { ready: ready.clone(), number }));
        polls += 1;
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            tasks[number] = None;
        }
    }
    polls
}

/// Lets the other tasks run once.
pub async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
