// SPDX-License-Identifier: Apache-2.0
//! Keeps panics of user code out of the C core, and gives each back to the call that it belongs to.
//!
//! The core calls finalizers, block sources and owners written in Rust. A panic in one must not
//! unwind through C, so it is caught at the border ([`contain`]), the core finishes its work in a
//! consistent state, and the panic goes on from the call that had led to it. Without `std` nothing
//! can be caught, and the panic becomes an abort.
//!
//! The rule: whatever of the core may run user code is called inside [`call`], or inside
//! [`call_keeping`] where a success must not be lost. Both take the panics that were contained
//! since they began, and no others. User code that the core runs starts with none either: so what
//! it calls, on objects of its own, is never cut short by a panic that came before. What a raw call
//! of the C functions contains stays behind, unseen by any other call, until the thread ends.
//!
//! Per thread there is one payload at most, in a `Cell` without a destructor: it is never gone, so
//! all of this works in the destructors of thread-local variables too. As long as no panic was
//! contained in the process, a call costs two loads of a flag.

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
        /// The first payload contained since the innermost call began; of `Box::into_raw`, so that
        /// nothing is to be dropped.
        static CAUGHT: Cell<Option<NonNull<dyn Any + Send>>> = const { Cell::new(None) };

        /// Drops at the thread's end what a raw call has left behind. Made by the first panic.
        static SWEEPER: Sweeper = const { Sweeper };
    }

    struct Sweeper;

    impl Drop for Sweeper {
        fn drop(&mut self) {
            discard(replace(None));
        }
    }

    /// Whether a panic was ever contained. Orders nothing: a thread looks for its own only.
    static EVER: AtomicBool = AtomicBool::new(false);

    #[inline(always)]
    fn ever() -> bool {
        EVER.load(Ordering::Relaxed)
    }

    /// Exchanges this thread's payload.
    fn replace(payload: Option<Payload>) -> Option<Payload> {
        let new = payload.map(|payload| NonNull::from(Box::leak(payload)));
        // SAFETY: a pointer in the cell is of a box, which is in nobody else's hands.
        let owned = |old: NonNull<dyn Any + Send>| unsafe { Box::from_raw(old.as_ptr()) };
        match CAUGHT.try_with(|caught| caught.replace(new)) {
            Ok(old) => old.map(owned),
            // A system without thread-local variables of its own, at the thread's very end.
            Err(_) => {
                discard(new.map(owned));
                None
            }
        }
    }

    /// Keeps a payload for the innermost call; a second one is dropped.
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

    /// Drops a payload. If that panics, the new payload is forgotten: its drop could panic too.
    fn discard(payload: Option<Payload>) {
        if let Some(payload) = payload {
            mem::forget(run(|| drop(payload)));
        }
    }

    /// What calls around the present one have contained, out of the way of what runs now.
    struct Aside(Option<Payload>);

    impl Aside {
        fn new() -> Self {
            Self(if ever() { replace(None) } else { None })
        }

        /// Puts it back, and returns what was contained meanwhile.
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

    /// Runs user code, which finds no payload and leaves none.
    fn run<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
        let aside = Aside::new();
        let result = catch_unwind(AssertUnwindSafe(f));
        // A raw call of the user's contained it.
        discard(aside.end());
        result
    }

    /// Runs user code for the core; if it panics, keeps the first such panic for the innermost
    /// [`call`] and gives `otherwise`.
    pub(crate) fn contain<R>(otherwise: R, f: impl FnOnce() -> R) -> R {
        run(f).unwrap_or_else(|payload| {
            keep(payload);
            otherwise
        })
    }

    /// Runs user code for the core; a panic in it goes no further than the panic hook.
    pub(crate) fn swallow(f: impl FnOnce()) {
        if let Err(payload) = run(f) {
            discard(Some(payload));
        }
    }

    /// Ends the process.
    pub(crate) fn abort() -> ! {
        std::process::abort()
    }

    /// Calls the core for what leaves nothing to lose, because the object has it: a reset, a plain
    /// allocation, a drop. A panic that it contains goes on from here, when the core is done and
    /// `core` has put what it got in its place.
    #[inline(always)]
    pub(crate) fn call<R>(core: impl FnOnce() -> R) -> R {
        call_keeping(|_| false, core)
    }

    /// Calls the core for what would be lost if it did not reach the caller: a block, a buffer, an
    /// object. A panic that it contains goes on only if the call has failed; if it has succeeded
    /// all the same, the panic ends here, and was a refusal that something else made good.
    #[inline(always)]
    pub(crate) fn call_keeping<R>(
        succeeded: impl FnOnce(&R) -> bool,
        core: impl FnOnce() -> R,
    ) -> R {
        if ever() {
            return call_aside(succeeded, core);
        }
        // Nothing to be set aside.
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

    /// Lets a panic go on, unless the call has succeeded or the thread is panicking already.
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

    /// Calls the core. Nothing can have been contained.
    #[inline(always)]
    pub(crate) fn call<R>(core: impl FnOnce() -> R) -> R {
        core()
    }

    /// Calls the core. Nothing can have been contained.
    #[inline(always)]
    pub(crate) fn call_keeping<R>(
        _succeeded: impl FnOnce(&R) -> bool,
        core: impl FnOnce() -> R,
    ) -> R {
        core()
    }
}

pub(crate) use imp::{abort, call, call_keeping, contain, swallow};
