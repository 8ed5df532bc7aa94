// SPDX-License-Identifier: Apache-2.0
//! Objects that are kept between uses, with all that they have allocated.
//!
//! The idle objects lie in a vector under a mutex. It never grows, so putting an object back
//! allocates nothing. No function of the user runs under the mutex: objects are made, reset, measured
//! and dropped by the thread that has them.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem::{align_of, size_of, ManuallyDrop};
use core::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::budget::{MemoryBudget, Reservation};
use crate::error::{expect, AllocError};
use crate::heap;

/// A bounded stock of objects that are expensive to make, such as vectors with their capacity,
/// parsers and connections. It is `Send` and `Sync` if its objects are `Send`.
///
/// [`get`](Self::get) hands out an object of the stock, or a new one. When its guard is dropped, the
/// object is reset and goes back. It is not dropped, so it keeps what it has allocated. If the stock
/// is full, or a [budget](Self::with_budget) has no room for the object, the object is dropped.
///
/// For arenas there is an [`ArenaRecycler`](crate::arena::ArenaRecycler), and for bytes a
/// [`BufferPool`](crate::buffer::BufferPool).
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::ObjectPool;
///
/// // At most 16 vectors are kept.
/// let lines = ObjectPool::new(16, Vec::<String>::new, Vec::clear);
/// let mut line = lines.get();
/// line.extend(["one", "two"].map(String::from));
/// let capacity = line.capacity();
/// drop(line);
///
/// let line = lines.get();
/// assert_eq!((line.len(), line.capacity()), (0, capacity));
/// ```
pub struct ObjectPool<T> {
    idle: Mutex<Vec<Idle<T>>>,
    max_idle: usize,
    make: Box<dyn Fn() -> T + Send + Sync>,
    reset: Box<dyn Fn(&mut T) + Send + Sync>,
    charge: Option<Charge<T>>,
}

/// An object in the stock, and what it is charged with.
struct Idle<T> {
    object: T,
    _charged: Option<Reservation>,
}

struct Charge<T> {
    budget: MemoryBudget,
    bytes_of: Box<dyn Fn(&T) -> usize + Send + Sync>,
}

impl<T> ObjectPool<T> {
    /// Makes a pool that keeps at most `max_idle` objects. `make` makes an object, and `reset` brings
    /// an object that comes back into the state of a new one.
    ///
    /// # Panics
    ///
    /// When [`try_new`](Self::try_new) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::ObjectPool;
    ///
    /// let texts = ObjectPool::new(4, || String::with_capacity(4096), String::clear);
    /// texts.get().push_str("a text");
    /// assert!(texts.get().is_empty());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new(
        max_idle: usize,
        make: impl Fn() -> T + Send + Sync + 'static,
        reset: impl Fn(&mut T) + Send + Sync + 'static,
    ) -> Self {
        expect(Self::try_new(max_idle, make, reset))
    }

    /// Makes a pool that keeps at most `max_idle` objects.
    ///
    /// # Errors
    ///
    /// [`AllocError::OutOfMemory`] when Rust's heap has no room for `max_idle` objects or for the
    /// functions, [`AllocError::InvalidLayout`] when no vector can hold so many objects.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::ObjectPool;
    ///
    /// let texts = ObjectPool::try_new(4, String::new, String::clear)?;
    /// assert!(texts.get().is_empty());
    /// assert!(ObjectPool::try_new(usize::MAX, String::new, String::clear).is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_new(
        max_idle: usize,
        make: impl Fn() -> T + Send + Sync + 'static,
        reset: impl Fn(&mut T) + Send + Sync + 'static,
    ) -> Result<Self, AllocError> {
        Ok(Self {
            idle: Mutex::new(room_for(max_idle)?),
            max_idle,
            make: boxed(make)?,
            reset: boxed(reset)?,
            charge: None,
        })
    }

    /// Charges each idle object to a budget, with the bytes that `bytes_of` says it keeps. An object
    /// for which the budget has no room is dropped instead of kept. An object that is out is not
    /// charged.
    ///
    /// # Panics
    ///
    /// When [`try_with_budget`](Self::try_with_budget) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::budget::MemoryBudget;
    /// use aegis_memory::pool::ObjectPool;
    ///
    /// let budget = MemoryBudget::new("idle vectors", 1000);
    /// let pool = ObjectPool::new(16, Vec::<u8>::new, Vec::clear).with_budget(&budget, Vec::capacity);
    /// pool.get().reserve_exact(600);
    /// assert_eq!((pool.idle(), budget.used()), (1, 600));
    /// pool.get().reserve_exact(2000);
    /// assert_eq!((pool.idle(), budget.used()), (0, 0)); // too large to be kept
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_budget(
        self,
        budget: &MemoryBudget,
        bytes_of: impl Fn(&T) -> usize + Send + Sync + 'static,
    ) -> Self {
        expect(self.try_with_budget(budget, bytes_of))
    }

    /// Charges each idle object to a budget, with the bytes that `bytes_of` says it keeps.
    ///
    /// # Errors
    ///
    /// [`AllocError::OutOfMemory`] when Rust's heap has no room for the function. The pool is dropped
    /// then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::{budget::MemoryBudget, pool::ObjectPool};
    /// let budget = MemoryBudget::new("idle texts", 1000);
    /// let pool = ObjectPool::new(16, String::new, String::clear);
    /// let pool = pool.try_with_budget(&budget, String::capacity)?;
    /// assert!(pool.get().is_empty());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_with_budget(
        mut self,
        budget: &MemoryBudget,
        bytes_of: impl Fn(&T) -> usize + Send + Sync + 'static,
    ) -> Result<Self, AllocError> {
        self.trim(0);
        self.charge = Some(Charge { budget: budget.clone(), bytes_of: boxed(bytes_of)? });
        Ok(self)
    }

    /// Hands out the object that was put back last, or a new one if the stock is empty.
    ///
    /// # Panics
    ///
    /// When the function that makes objects panics.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = aegis_memory::pool::ObjectPool::new(4, String::new, String::clear);
    /// let mut text = pool.get();
    /// text.push('a');
    /// ```
    pub fn get(&self) -> Reusable<'_, T> {
        let object = self.take().unwrap_or_else(|| (self.make)());
        Reused { object: ManuallyDrop::new(object), pool: self }
    }

    /// As [`get`](Self::get), but the guard keeps the pool alive instead of borrowing it.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::ObjectPool;
    /// use std::sync::Arc;
    ///
    /// let pool = Arc::new(ObjectPool::new(4, String::new, String::clear));
    /// let mut text = pool.get_owned();
    /// let worker = std::thread::spawn(move || text.push_str("from another thread"));
    /// worker.join().expect("no panic");
    /// assert_eq!(pool.idle(), 1);
    /// ```
    pub fn get_owned(self: &Arc<Self>) -> OwnedReusable<T> {
        let object = self.take().unwrap_or_else(|| (self.make)());
        Reused { object: ManuallyDrop::new(object), pool: Arc::clone(self) }
    }

    /// Hands out the object that was put back last, if the stock has one.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = aegis_memory::pool::ObjectPool::new(4, String::new, String::clear);
    /// assert!(pool.get_idle().is_none());
    /// drop(pool.get());
    /// assert!(pool.get_idle().is_some());
    /// ```
    pub fn get_idle(&self) -> Option<Reusable<'_, T>> {
        let object = self.take()?;
        Some(Reused { object: ManuallyDrop::new(object), pool: self })
    }

    /// Resets an object and puts it into the stock, as the drop of a guard does. It need not have
    /// come from this pool.
    ///
    /// # Panics
    ///
    /// When the function that resets objects panics, or the one that measures them. The object is
    /// dropped then.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = aegis_memory::pool::ObjectPool::new(4, String::new, String::clear);
    /// pool.put(String::with_capacity(1000));
    /// assert_eq!(pool.get().capacity(), 1000);
    /// ```
    pub fn put(&self, mut object: T) {
        (self.reset)(&mut object);
        if self.idle() == self.max_idle {
            return;
        }
        let charged = match &self.charge {
            None => None,
            Some(charge) => match charge.budget.try_reserve((charge.bytes_of)(&object)) {
                Ok(reservation) => Some(reservation),
                Err(_) => return,
            },
        };
        // What finds no place is dropped at the end, when the mutex is free.
        let mut rest = Some(Idle { object, _charged: charged });
        let mut stock = self.stock();
        if stock.len() < self.max_idle {
            stock.extend(rest.take());
        }
        drop(stock);
    }

    /// Drops idle objects until at most `keep` are left.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = aegis_memory::pool::ObjectPool::new(4, String::new, String::clear);
    /// drop((pool.get(), pool.get()));
    /// pool.trim(1);
    /// assert_eq!(pool.idle(), 1);
    /// ```
    pub fn trim(&self, keep: usize) {
        loop {
            let mut stock = self.stock();
            let excess = if stock.len() > keep { stock.pop() } else { None };
            drop(stock);
            if excess.is_none() {
                return;
            }
        }
    }

    /// How many objects are in the stock.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = aegis_memory::pool::ObjectPool::new(4, String::new, String::clear);
    /// drop((pool.get(), pool.get()));
    /// assert_eq!(pool.idle(), 2);
    /// ```
    pub fn idle(&self) -> usize {
        self.stock().len()
    }

    /// How many objects the stock holds at most.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = aegis_memory::pool::ObjectPool::new(4, String::new, String::clear);
    /// assert_eq!(pool.max_idle(), 4);
    /// ```
    pub fn max_idle(&self) -> usize {
        self.max_idle
    }

    fn take(&self) -> Option<T> {
        // The charge ends when the mutex is free, because that can call functions of the user.
        let idle = self.stock().pop();
        idle.map(|idle| idle.object)
    }

    fn stock(&self) -> MutexGuard<'_, Vec<Idle<T>>> {
        // No code that can panic runs under the mutex.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A vector with room for this number of objects.
fn room_for<T>(objects: usize) -> Result<Vec<Idle<T>>, AllocError> {
    let (size, align) = (size_of::<Idle<T>>(), align_of::<Idle<T>>());
    let bytes = size.checked_mul(objects).filter(|bytes| *bytes <= isize::MAX as usize);
    let bytes = bytes.ok_or(AllocError::invalid(usize::MAX, align))?;
    let mut room = Vec::new();
    match room.try_reserve_exact(objects) {
        Ok(()) => Ok(room),
        Err(_) => Err(AllocError::out_of_memory(bytes, align, 0)),
    }
}

fn boxed<F>(function: F) -> Result<Box<F>, AllocError> {
    heap::try_box(function).map_err(|_| AllocError::no_memory_for::<F>())
}

impl<T> fmt::Debug for ObjectPool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (idle, max_idle) = (self.idle(), self.max_idle);
        f.debug_struct("ObjectPool").field("idle", &idle).field("max_idle", &max_idle).finish()
    }
}

/// The guard of an object from an [`ObjectPool`]. It borrows the pool.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{ObjectPool, Reusable};
///
/// let pool = ObjectPool::new(4, String::new, String::clear);
/// let text: Reusable<'_, String> = pool.get();
/// assert!(text.is_empty());
/// ```
pub type Reusable<'p, T> = Reused<T, &'p ObjectPool<T>>;

/// The guard of an object from an [`ObjectPool`]. It keeps the pool alive.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{ObjectPool, OwnedReusable};
/// use std::sync::Arc;
///
/// let pool = Arc::new(ObjectPool::new(4, String::new, String::clear));
/// let text: OwnedReusable<String> = pool.get_owned();
/// drop(pool);
/// assert!(text.is_empty());
/// ```
pub type OwnedReusable<T> = Reused<T, Arc<ObjectPool<T>>>;

/// The guard of an object from an [`ObjectPool`]. `H` is a reference or an `Arc` to the pool. The
/// guard derefs to the object, and its drop [puts](ObjectPool::put) the object back. Its usual names
/// are [`Reusable`] and [`OwnedReusable`].
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{ObjectPool, Reused};
///
/// fn fill<H: std::ops::Deref<Target = ObjectPool<String>>>(mut text: Reused<String, H>) {
///     text.push('a');
/// }
///
/// let pool = ObjectPool::new(4, String::new, String::clear);
/// fill(pool.get());
/// assert_eq!(pool.idle(), 1);
/// ```
pub struct Reused<T, H: Deref<Target = ObjectPool<T>>> {
    object: ManuallyDrop<T>,
    pool: H,
}

impl<T, H: Deref<Target = ObjectPool<T>>> Reused<T, H> {
    /// Takes the object out of its guard, so that it does not go back.
    ///
    /// This is an associated function, so that it hides no method of `T`.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{ObjectPool, Reused};
    ///
    /// let pool = ObjectPool::new(4, String::new, String::clear);
    /// let text: String = Reused::into_inner(pool.get());
    /// assert_eq!((text.len(), pool.idle()), (0, 0));
    /// ```
    pub fn into_inner(this: Self) -> T {
        let mut this = ManuallyDrop::new(this);
        // SAFETY: the guard is not used or dropped again, except for its handle below.
        let object = unsafe { ManuallyDrop::take(&mut this.object) };
        // SAFETY: as above.
        unsafe { core::ptr::drop_in_place(&mut this.pool) };
        object
    }
}

impl<T, H: Deref<Target = ObjectPool<T>>> Drop for Reused<T, H> {
    fn drop(&mut self) {
        // SAFETY: the object is not used again.
        let object = unsafe { ManuallyDrop::take(&mut self.object) };
        self.pool.put(object);
    }
}

impl<T, H: Deref<Target = ObjectPool<T>>> Deref for Reused<T, H> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T, H: Deref<Target = ObjectPool<T>>> DerefMut for Reused<T, H> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.object
    }
}

impl<T: fmt::Debug, H: Deref<Target = ObjectPool<T>>> fmt::Debug for Reused<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
