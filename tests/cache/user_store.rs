// SPDX-License-Identifier: Apache-2.0
//! A store of the user that other tests use: memory, with a plan that says what each call does.

use aegis_memory::cache::{MemoryStore, PageStore, PageWrite};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// The call of a store that a plan is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Read,
    Write,
    Sync,
    Len,
}

type Plan = Box<dyn FnMut(Call) -> io::Result<()> + Send>;

/// A store that asks its plan before each call. The plan may panic.
pub struct UserStore {
    pub inner: MemoryStore,
    plan: Mutex<Plan>,
    /// So many pages each batch had.
    pub batches: Mutex<Vec<Vec<u64>>>,
    pub reads: AtomicUsize,
    drops: Arc<AtomicUsize>,
}

impl UserStore {
    /// A store of so many zeroed pages of 4096 bytes. The number counts its drops.
    pub fn new(
        pages: u64,
        plan: impl FnMut(Call) -> io::Result<()> + Send + 'static,
    ) -> (Arc<Self>, Arc<AtomicUsize>) {
        let (inner, drops) = (MemoryStore::new(), Arc::new(AtomicUsize::new(0)));
        inner.truncate(pages, 4096).expect("there is memory");
        let store = Self {
            inner,
            plan: Mutex::new(Box::new(plan)),
            batches: Mutex::default(),
            reads: AtomicUsize::new(0),
            drops: Arc::clone(&drops),
        };
        (Arc::new(store), drops)
    }

    pub fn set(&self, plan: impl FnMut(Call) -> io::Result<()> + Send + 'static) {
        *self.plan.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Box::new(plan);
    }

    fn ask(&self, call: Call) -> io::Result<()> {
        (self.plan.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))(call)
    }
}

/// A plan without faults.
pub fn good(_: Call) -> io::Result<()> {
    Ok(())
}

/// A plan in which one kind of call fails, with a text.
pub fn failing(which: Call, text: &'static str) -> impl FnMut(Call) -> io::Result<()> + Send {
    move |call| if call == which { Err(io::Error::other(text)) } else { Ok(()) }
}

/// A plan in which one kind of call panics.
pub fn panicking(which: Call, text: &'static str) -> impl FnMut(Call) -> io::Result<()> + Send {
    move |call| if call == which { panic!("{text}") } else { Ok(()) }
}

impl PageStore for UserStore {
    fn read(&self, first_page: u64, pages: &mut [&mut [u8]]) -> io::Result<usize> {
        self.reads.fetch_add(1, SeqCst);
        self.ask(Call::Read)?;
        self.inner.read(first_page, pages)
    }

    fn write_batch(&self, pages: &[PageWrite<'_>]) -> io::Result<()> {
        self.ask(Call::Write)?;
        self.batches.lock().unwrap().push(pages.iter().map(|page| page.page).collect());
        self.inner.write_batch(pages)
    }

    fn sync(&self) -> io::Result<()> {
        self.ask(Call::Sync)?;
        self.inner.sync()
    }

    fn len(&self, page_size: usize) -> io::Result<u64> {
        self.ask(Call::Len)?;
        self.inner.len(page_size)
    }

    fn truncate(&self, pages: u64, page_size: usize) -> io::Result<()> {
        self.inner.truncate(pages, page_size)
    }
}

impl Drop for UserStore {
    fn drop(&mut self) {
        self.drops.fetch_add(1, SeqCst);
    }
}
