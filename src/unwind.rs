// SPDX-License-Identifier: Apache-2.0
//! Keeps panics of user code out of the C core. Each panic continues from the call that led to it.
//!
//! The core calls finalizers, block sources, owners and reclaimers that are written in Rust. A panic in one of
//! them must not unwind through C. So [`contain`] catches it at the border, and the core finishes
//! its work in a consistent state. Then the panic continues from the call of the core that led to
//! it. Without `std` a panic cannot be caught, so it aborts the process.
//!
//! The invariants:
//!
//! 1. Every call of the core that may run user code is made inside [`call`], or inside
//!    [`call_keeping`] if a success must not be lost.
//! 2. The two take only the panics that were contained since they began. `Aside::new` sets an
//!    earlier panic aside, and `Aside::end` puts it back.
//! 3. User code that the core runs begins without a contained panic: `run` sets the present one
//!    aside. So a panic from before never cuts short what this code calls on objects of its own.
//! 4. No other call sees a panic that a raw call of a C function has contained. Inside of user code
//!    that the core runs, `run` drops it at the end. Elsewhere it stays until the thread ends, and
//!    `Sweeper` drops it.
//! 5. A thread has at most one payload: `keep` drops a second one. The payload is in a `Cell`
//!    without a destructor, which exists as long as the thread. So all of this also works in the
//!    destructors of thread-local variables.
//!
//! By 1 and 2 only the innermost call around a contained panic takes it. There the panic continues
//! or ends (`settle`). By 3 this is also true when user code makes calls of its own.
//!
//! As long as no panic was contained in the process, a call costs two loads of the flag `EVER`.

#[cfg(feature = "std")]
mod imp {
    use core::cell::Cell;
    use core::mem;
    use core::ptr::NonNull;
    use core::sync::atomic::{AtomicBool, Ordering};
    use std::any::Any;
    use std::boxed::Box;
    use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

    type Payload = Box<dyn Any + Send>;

    std::thread_local! {
        /// The first payload that was contained since the innermost call began. It is a raw pointer
        /// to a box, so that the cell needs no drop.
        static CAUGHT: Cell<Option<NonNull<dyn Any + Send>>> = const { Cell::new(None) };

        /// Drops, at the end of the thread, the payload that a raw call has left behind. The first
        /// panic creates it.
        static SWEEPER: Sweeper = const { Sweeper };
    }

    struct Sweeper;

    impl Drop for Sweeper {
        fn drop(&mut self) {
            discard(replace(None));
        }
    }

    /// Whether a panic was ever contained. The flag orders nothing, because a thread looks only for
    /// its own panics.
    static EVER: AtomicBool = AtomicBool::new(false);

    #[inline(always)]
    fn ever() -> bool {
        EVER.load(Ordering::Relaxed)
    }

    /// Replaces the payload of this thread, and returns the old one.
    fn replace(payload: Option<Payload>) -> Option<Payload> {
        let new = payload.map(|payload| NonNull::from(Box::leak(payload)));
        // SAFETY: a pointer in the cell comes from a box, which no other code owns.
        let owned = |old: NonNull<dyn Any + Send>| unsafe { Box::from_raw(old.as_ptr()) };
        match CAUGHT.try_with(|caught| caught.replace(new)) {
            Ok(old) => old.map(owned),
            // This happens on a system without native thread-local variables, at the very end of
            // the thread.
            Err(_) => {
                discard(new.map(owned));
                None
            }
        }
    }

    /// Keeps a payload for the innermost call. If there is one already, the new one is dropped.
    fn keep(payload: Payload) {
        EVER.store(true, Ordering::Relaxed);
        _ = SWEEPER.try_with(|_| ());
        let (first, late) = match replace(None) {
            Some(first) => (first, Some(payload)),
            None => (payload, None),
        };
        replace(Some(first));
        discard(late);
    }

    /// Drops a payload. If that panics, the new payload is forgotten, because its drop could panic
    /// too.
    fn discard(payload: Option<Payload>) {
        if let Some(payload) = payload {
            mem::forget(run(|| drop(payload)));
        }
    }

    /// The payload that the calls around the present one have contained, set aside while other code
    /// runs.
    struct Aside(Option<Payload>);

    impl Aside {
        fn new() -> Self {
            Self(if ever() { replace(None) } else { None })
        }

        /// Puts the payload back, and returns the one that was contained meanwhile.
        fn end(mut self) -> Option<Payload> {
            let before = self.0.take();
            mem::forget(self);
            if ever() {
                replace(before)
            } else {
                None
            }
        }
    }

    impl Drop for Aside {
        fn drop(&mut self) {
            discard(replace(self.0.take()));
        }
    }

    /// Runs user code, which finds no payload and leaves none behind.
    fn run<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
        let aside = Aside::new();
        let result = catch_unwind(AssertUnwindSafe(f));
        // A raw call in the user code has contained this payload.
        discard(aside.end());
        result
    }

    /// Runs user code for the core. If the code panics, this function returns `otherwise`, and the
    /// first such panic is kept for the innermost [`call`].
    pub(crate) fn contain<R>(otherwise: R, f: impl FnOnce() -> R) -> R {
        run(f).unwrap_or_else(|payload| {
            keep(payload);
            otherwise
        })
    }

    /// Runs user code for the core. A panic in it is reported by the panic hook and ends here.
    pub(crate) fn swallow(f: impl FnOnce()) {
        if let Err(payload) = run(f) {
            discard(Some(payload));
        }
    }

    /// Ends the process.
    pub(crate) fn abort() -> ! {
        std::process::abort()
    }

    /// Calls the core for an operation that cannot lose its result, because the object keeps it: a
    /// reset, a plain allocation, a drop. If a panic is contained in the call, it continues from
    /// here. At that moment the core has finished, and `core` has put its result in its place.
    #[inline(always)]
    pub(crate) fn call<R>(core: impl FnOnce() -> R) -> R {
        call_keeping(|_| false, core)
    }

    /// Calls the core for a result that would be lost if it did not reach the caller: a block, a
    /// buffer, an object. If a panic is contained in the call, it continues only if the call has
    /// failed. If the call has succeeded all the same, the panic ends here: another request has
    /// replaced the refused one.
    #[inline(always)]
    pub(crate) fn call_keeping<R>(
        succeeded: impl FnOnce(&R) -> bool,
        core: impl FnOnce() -> R,
    ) -> R {
        if ever() {
            return call_aside(succeeded, core);
        }
        // There is no payload to set aside.
        let result = core();
        if ever() {
            settle(replace(None), || succeeded(&result));
        }
        result
    }

    #[inline(never)]
    fn call_aside<R>(succeeded: impl FnOnce(&R) -> bool, core: impl FnOnce() -> R) -> R {
        let aside = Aside::new();
        let result = core();
        settle(aside.end(), || succeeded(&result));
        result
    }

    /// Continues a panic, unless the call has succeeded or the thread is panicking already.
    #[inline]
    fn settle(payload: Option<Payload>, succeeded: impl FnOnce() -> bool) {
        if let Some(payload) = payload {
            if succeeded() || std::thread::panicking() {
                discard(Some(payload));
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
        panic!("a reference count overflowed, or a pinned value was forgotten");
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

    /// Calls the core. Without `std` no panic can be contained.
    #[inline(always)]
    pub(crate) fn call<R>(core: impl FnOnce() -> R) -> R {
        core()
    }

    /// Calls the core. Without `std` no panic can be contained.
    #[inline(always)]
    pub(crate) fn call_keeping<R>(
        _succeeded: impl FnOnce(&R) -> bool,
        core: impl FnOnce() -> R,
    ) -> R {
        core()
    }
}

/// Calls `f` for a function that must not unwind. A panic aborts the process.
#[cfg(aegis_std_allocator)]
#[inline(always)]
pub(crate) fn never<R>(f: impl FnOnce() -> R) -> R {
    struct AbortOnUnwind;

    impl Drop for AbortOnUnwind {
        fn drop(&mut self) {
            abort();
        }
    }

    let bomb = AbortOnUnwind;
    let result = f();
    core::mem::forget(bomb);
    result
}

pub(crate) use imp::{abort, call, call_keeping, contain, swallow};
