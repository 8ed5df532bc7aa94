// SPDX-License-Identifier: Apache-2.0
//! Keeps panics of user code out of the C core.
//!
//! The core calls finalizers and block sources written in Rust. A panic in one must not unwind
//! through C, so it is caught at the border, the core finishes its work in a consistent state, and
//! the safe function that had called the core lets the panic go on. Without `std` nothing can be
//! caught, and the panic becomes an abort.

#[cfg(feature = "std")]
mod imp {
    use core::cell::RefCell;
    use core::sync::atomic::{AtomicBool, Ordering};
    use std::any::Any;
    use std::boxed::Box;
    use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

    std::thread_local! {
        static CAUGHT: RefCell<Option<Box<dyn Any + Send>>> = const { RefCell::new(None) };
    }

    /// Whether a panic was ever contained. Orders nothing: a thread looks for its own only.
    static EVER: AtomicBool = AtomicBool::new(false);

    /// Runs `f`; if it panics, keeps the first such panic for [`resume`] and gives `otherwise`.
    pub(crate) fn contain<R>(otherwise: R, f: impl FnOnce() -> R) -> R {
        catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
            EVER.store(true, Ordering::Relaxed);
            let late = CAUGHT.with(|caught| match &mut *caught.borrow_mut() {
                Some(_) => Some(payload),
                empty => {
                    *empty = Some(payload);
                    None
                }
            });
            if let Some(late) = late {
                discard(late);
            }
            otherwise
        })
    }

    /// Runs `f`; a panic in it goes no further than the panic hook.
    pub(crate) fn swallow(f: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
            discard(payload);
        }
    }

    /// Ends the process.
    pub(crate) fn abort() -> ! {
        std::process::abort()
    }

    /// Drops a payload. If that panics, the new payload is forgotten: its drop could panic too.
    fn discard(payload: Box<dyn Any + Send>) {
        core::mem::forget(catch_unwind(AssertUnwindSafe(|| drop(payload))));
    }

    /// [`resume`] for a path too short to look at a thread-local variable each time.
    #[inline]
    pub(crate) fn resume_if_any() {
        if EVER.load(Ordering::Relaxed) {
            resume();
        }
    }

    /// Lets a contained panic of this thread go on, unless the thread is panicking already.
    pub(crate) fn resume() {
        let payload = CAUGHT.with(|caught| caught.borrow_mut().take());
        if let Some(payload) = payload {
            if std::thread::panicking() {
                discard(payload);
            } else {
                resume_unwind(payload);
            }
        }
    }
}

#[cfg(not(feature = "std"))]
mod imp {
    struct AbortOnUnwind;

    impl Drop for AbortOnUnwind {
        fn drop(&mut self) {
            // A panic while unwinding aborts the process.
            panic!("a finalizer or block source panicked");
        }
    }

    /// Ends the process, by a panic while unwinding.
    pub(crate) fn abort() -> ! {
        let _bomb = AbortOnUnwind;
        panic!("a reference count overflowed");
    }

    /// Runs `f`; a panic in it aborts.
    pub(crate) fn contain<R>(_otherwise: R, f: impl FnOnce() -> R) -> R {
        let bomb = AbortOnUnwind;
        let result = f();
        core::mem::forget(bomb);
        result
    }

    /// Runs `f`; a panic in it aborts.
    pub(crate) fn swallow(f: impl FnOnce()) {
        contain((), f);
    }

    /// Nothing can have been contained.
    pub(crate) fn resume() {}

    /// Nothing can have been contained.
    pub(crate) fn resume_if_any() {}
}

pub(crate) use imp::{abort, contain, resume, resume_if_any, swallow};
