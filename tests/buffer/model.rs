// SPDX-License-Identifier: Apache-2.0
//! Runs random sequences of every operation on views and writers, compared with a model of plain
//! vectors and with the same calls in C. Contents, addresses, lengths, refusals and counts must
//! agree.

use aegis_memory::buffer::{Buffer, BufferChain, BufferMut};
use aegis_memory::ffi;
use proptest::prelude::*;
use std::mem::MaybeUninit;
use std::ptr;

const NONE: ffi::aegis_buffer =
    ffi::aegis_buffer { data: ptr::null(), length: 0, owner: ptr::null_mut() };
const NO_WRITER: ffi::aegis_buffer_mut = ffi::aegis_buffer_mut {
    data: ptr::null_mut(),
    length: 0,
    capacity: 0,
    owner: ptr::null_mut(),
    initialized: 0,
};

#[derive(Clone, Debug)]
enum Op {
    Make(u8, Vec<u8>),
    Clone(usize),
    Drop(usize),
    Slice(usize, usize, usize),
    SliceRef(usize, usize, usize),
    SplitTo(usize, usize),
    SplitOff(usize, usize),
    Truncate(usize, usize),
    Advance(usize, usize),
    Unsplit(usize, usize),
    Compact(usize),
    IntoMut(usize, bool),
    Freeze(usize),
    WriterSplitTo(usize, usize),
    WriterSplitOff(usize, usize),
    WriterUnsplit(usize, usize),
    Extend(usize, Vec<u8>),
    Change(usize, usize, u8),
    Resize(usize, usize, u8),
    Reserve(usize, usize),
    Initialize(usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    // Any of the existing ones, or one of the latest three, which are mostly neighbours.
    let i = || prop_oneof![any::<usize>(), usize::MAX - 2..=usize::MAX];
    let at = || 0..40_usize;
    let bytes = || proptest::collection::vec(any::<u8>(), 0..30);
    prop_oneof![
        3 => (0..6_u8, bytes()).prop_map(|(kind, bytes)| Op::Make(kind, bytes)),
        2 => i().prop_map(Op::Clone),
        2 => i().prop_map(Op::Drop),
        3 => (i(), at(), at()).prop_map(|(i, a, b)| Op::Slice(i, a, b)),
        1 => (i(), at(), at()).prop_map(|(i, a, b)| Op::SliceRef(i, a, b)),
        3 => (i(), at()).prop_map(|(i, at)| Op::SplitTo(i, at)),
        3 => (i(), at()).prop_map(|(i, at)| Op::SplitOff(i, at)),
        1 => (i(), at()).prop_map(|(i, at)| Op::Truncate(i, at)),
        1 => (i(), at()).prop_map(|(i, at)| Op::Advance(i, at)),
        4 => (i(), i()).prop_map(|(i, j)| Op::Unsplit(i, j)),
        1 => i().prop_map(Op::Compact),
        2 => (i(), any::<bool>()).prop_map(|(i, copy)| Op::IntoMut(i, copy)),
        2 => i().prop_map(Op::Freeze),
        3 => (i(), at()).prop_map(|(i, at)| Op::WriterSplitTo(i, at)),
        3 => (i(), at()).prop_map(|(i, at)| Op::WriterSplitOff(i, at)),
        6 => (i(), i()).prop_map(|(i, j)| Op::WriterUnsplit(i, j)),
        6 => (i(), bytes()).prop_map(|(i, bytes)| Op::Extend(i, bytes)),
        2 => (i(), at(), any::<u8>()).prop_map(|(i, at, byte)| Op::Change(i, at, byte)),
        1 => (i(), at(), any::<u8>()).prop_map(|(i, at, byte)| Op::Resize(i, at, byte)),
        1 => (i(), at()).prop_map(|(i, at)| Op::Reserve(i, at)),
        2 => (i(), at()).prop_map(|(i, at)| Op::Initialize(i, at)),
    ]
}

/// A view that Rust has made, the same view made by C, and its bytes.
struct View {
    rust: Buffer,
    c: Buffer,
    model: Vec<u8>,
}

/// A writer that Rust has made, the same writer made by C, and its bytes. Each of the two writers
/// has memory of its own.
struct Writer {
    rust: BufferMut,
    c: BufferMut,
    model: Vec<u8>,
}

/// The index below `count` that a number in an operation stands for. The largest numbers stand for
/// the last few indices.
fn pick(i: usize, count: usize) -> usize {
    match usize::MAX - i {
        from_end @ 0..=2 => count - 1 - from_end.min(count - 1),
        _ => i % count,
    }
}

#[derive(Default)]
struct World {
    views: Vec<View>,
    writers: Vec<Writer>,
}

/// The offset in the owner's memory, the capacity of that memory, and the count of references.
fn place(data: *const u8, owner: *mut ffi::aegis_buffer_owner) -> Option<(usize, usize, usize)> {
    if owner.is_null() {
        return None;
    }
    // SAFETY: the owner of a live handle, which one thread uses.
    let owner = unsafe { &*owner };
    Some((data as usize - owner.base as usize, owner.capacity_bytes, owner.references))
}

fn same_raw(rust: &ffi::aegis_buffer, c: &ffi::aegis_buffer) {
    assert_eq!(rust.length, c.length);
    assert_eq!(place(rust.data, rust.owner), place(c.data, c.owner));
}

fn as_view(c: ffi::aegis_buffer) -> Buffer {
    assert!(!c.data.is_null());
    // SAFETY: C has just made the handle.
    unsafe { Buffer::from_raw(c) }
}

fn as_writer(c: ffi::aegis_buffer_mut) -> BufferMut {
    assert!(!c.data.is_null());
    // SAFETY: C has just made the handle, and all its bytes were written.
    unsafe { BufferMut::from_raw(c) }
}

/// The C struct of a view, for calls that change it.
fn raw(buffer: &mut Buffer) -> *mut ffi::aegis_buffer {
    let buffer: *mut Buffer = buffer;
    buffer.cast()
}

impl World {
    fn check(&mut self) {
        for View { rust, c, model } in &self.views {
            assert!(rust == model && c == model);
            assert_eq!(rust.is_unique(), c.is_unique());
            // SAFETY: live views.
            unsafe { same_raw(&*rust.as_raw(), &*c.as_raw()) };
        }
        for Writer { rust, c, model } in &mut self.writers {
            assert!(rust == model && c == model);
            // SAFETY: live writers.
            let (rust, c) = unsafe { (&*rust.as_raw(), &*c.as_raw()) };
            assert_eq!((rust.length, rust.capacity), (c.length, c.capacity));
            assert_eq!(rust.initialized, c.initialized);
            assert_eq!(place(rust.data, rust.owner), place(c.data, c.owner));
        }
        let chain: BufferChain = self.views.iter().map(|view| view.rust.clone()).collect();
        let models: Vec<u8> = self.views.iter().flat_map(|view| view.model.clone()).collect();
        assert!(chain == models[..] && chain.len() == models.len());
        assert!(chain.into_buffer() == models);
    }

    fn make(&mut self, kind: u8, mut bytes: Vec<u8>) {
        static FIXED: [u8; 64] = [b'x'; 64];
        if kind == 4 {
            bytes.fill(b'x');
        }
        if kind == 5 {
            bytes.truncate(10);
            let [rust, c] = [(); 2].map(|()| {
                let mut writer = BufferMut::with_capacity(30);
                writer.extend_from_slice(&bytes);
                writer
            });
            self.writers.push(Writer { rust, c, model: bytes });
            return;
        }
        let make = || match kind {
            0 => Buffer::from_owner(bytes.clone()),
            1 => Buffer::copy_from_slice(&bytes),
            2 => Buffer::from({
                let mut vec = Vec::with_capacity(40);
                vec.extend_from_slice(&bytes);
                vec
            }),
            4 => Buffer::from_static(&FIXED[..bytes.len()]),
            _ => {
                let mut writer = BufferMut::with_capacity(bytes.len() + 10);
                writer.extend_from_slice(&bytes);
                writer.freeze()
            }
        };
        self.views.push(View { rust: make(), c: make(), model: bytes });
    }

    /// One operation on a view: long because it lists them all.
    fn view(&mut self, op: &Op) {
        let (&Op::Clone(i)
        | &Op::Drop(i)
        | &Op::Slice(i, ..)
        | &Op::SliceRef(i, ..)
        | &Op::SplitTo(i, _)
        | &Op::SplitOff(i, _)
        | &Op::Truncate(i, _)
        | &Op::Advance(i, _)
        | &Op::Unsplit(i, _)
        | &Op::Compact(i)
        | &Op::IntoMut(i, _)) = op
        else {
            return self.writer(op);
        };
        if self.views.is_empty() {
            return;
        }
        let i = pick(i, self.views.len());
        let View { rust, c, model } = &mut self.views[i];
        let mut made = NONE;
        let new = match *op {
            Op::Clone(_) => {
                // SAFETY: a live handle.
                assert_eq!(unsafe { ffi::aegis_buffer_retain(raw(c), &mut made) }, 0);
                Some((rust.clone(), model.clone()))
            }
            Op::Drop(_) => {
                let View { c, .. } = self.views.swap_remove(i);
                // SAFETY: the handle is given to C.
                assert_eq!(unsafe { ffi::aegis_buffer_release(&mut c.into_raw()) }, 0);
                None
            }
            Op::Slice(_, start, end) => {
                // SAFETY: live handles.
                let status = unsafe { ffi::aegis_buffer_slice(raw(c), start, end, &mut made) };
                let part = rust.try_slice(start..end);
                assert_eq!(
                    (part.is_some(), status == 0),
                    (model.get(start..end).is_some(), part.is_some())
                );
                part.map(|part| (part, model[start..end].to_vec()))
            }
            Op::SliceRef(_, start, end) => {
                let end = end.min(model.len());
                let start = start.min(end);
                // SAFETY: a live handle.
                let status = unsafe { ffi::aegis_buffer_slice(raw(c), start, end, &mut made) };
                assert_eq!(status, 0);
                Some((rust.slice_ref(&rust[start..end]), model[start..end].to_vec()))
            }
            Op::SplitTo(_, at) => {
                // SAFETY: a live handle.
                let status = unsafe { ffi::aegis_buffer_split_to(raw(c), at, &mut made) };
                assert_eq!(status == 0, at <= model.len());
                (status == 0).then(|| {
                    let rest = model.split_off(at);
                    (rust.split_to(at), std::mem::replace(model, rest))
                })
            }
            Op::SplitOff(_, at) => {
                // SAFETY: a live handle.
                let status = unsafe { ffi::aegis_buffer_split_off(raw(c), at, &mut made) };
                assert_eq!(status == 0, at <= model.len());
                (status == 0).then(|| (rust.split_off(at), model.split_off(at)))
            }
            Op::Truncate(_, len) => {
                rust.truncate(len);
                model.truncate(len);
                let c = raw(c);
                // SAFETY: a live handle.
                assert_eq!(unsafe { ffi::aegis_buffer_slice(c, 0, model.len(), c) }, 0);
                None
            }
            Op::Advance(_, count) => {
                let (c, len) = (raw(c), model.len());
                // SAFETY: a live handle.
                let status = unsafe { ffi::aegis_buffer_slice(c, count, len, c) };
                assert_eq!(status == 0, count <= len);
                if count <= len {
                    rust.advance(count);
                    model.drain(..count);
                }
                None
            }
            Op::Unsplit(_, j) => {
                // Mostly the view that begins where this one ends, if there is one.
                let end = self.views[i].rust.as_ptr_range().end;
                let next = self.views.iter().position(|view| view.rust.as_ptr() == end);
                let j = next.filter(|_| j % 4 != 0).unwrap_or(pick(j, self.views.len()));
                if i != j {
                    self.unsplit(i, j);
                }
                None
            }
            Op::Compact(_) => {
                rust.compact();
                let (c, none) = (raw(c), ptr::null_mut());
                // SAFETY: a live handle.
                assert_eq!(unsafe { ffi::aegis_buffer_compact(c, none, ptr::null_mut()) }, 0);
                None
            }
            Op::IntoMut(_, copy) => {
                self.make_writer(i, copy);
                None
            }
            _ => unreachable!("handled above"),
        };
        if let Some((rust, model)) = new {
            self.views.push(View { rust, c: as_view(made), model });
        }
    }

    fn unsplit(&mut self, i: usize, j: usize) {
        let back = self.views.swap_remove(j);
        let i = if i == self.views.len() { j } else { i };
        let front = &mut self.views[i];
        let mut c_back = back.c.into_raw();
        // SAFETY: live handles.
        let status = unsafe { ffi::aegis_buffer_unsplit(raw(&mut front.c), &mut c_back) };
        match front.rust.try_unsplit(back.rust) {
            Ok(()) => {
                assert_eq!((status, c_back.data), (0, ptr::null()));
                front.model.extend(back.model);
            }
            Err(rust) => {
                assert_ne!(status, 0);
                self.views.push(View { rust, c: as_view(c_back), model: back.model });
            }
        }
    }

    fn make_writer(&mut self, i: usize, copy: bool) {
        let View { rust, c, model } = self.views.swap_remove(i);
        let (mut c, mut made) = (c.into_raw(), NO_WRITER);
        if copy {
            // SAFETY: a live handle.
            let status = unsafe {
                ffi::aegis_buffer_into_mut(&mut c, &mut made, ptr::null_mut(), ptr::null_mut())
            };
            assert_eq!(status, 0);
            self.writers.push(Writer { rust: rust.into_mut(), c: as_writer(made), model });
            return;
        }
        // SAFETY: a live handle.
        let status = unsafe { ffi::aegis_buffer_try_into_mut(&mut c, &mut made) };
        match rust.try_into_mut() {
            Ok(rust) => {
                assert_eq!(status, 0);
                self.writers.push(Writer { rust, c: as_writer(made), model });
            }
            Err(rust) => {
                assert_ne!(status, 0);
                self.views.push(View { rust, c: as_view(c), model });
            }
        }
    }

    /// One operation on a writer: long because it lists them all.
    fn writer(&mut self, op: &Op) {
        let (&Op::Freeze(i)
        | &Op::WriterSplitTo(i, _)
        | &Op::WriterSplitOff(i, _)
        | &Op::WriterUnsplit(i, _)
        | &Op::Extend(i, _)
        | &Op::Change(i, ..)
        | &Op::Resize(i, ..)
        | &Op::Reserve(i, _)
        | &Op::Initialize(i, _)) = op
        else {
            return;
        };
        if self.writers.is_empty() {
            return;
        }
        let i = pick(i, self.writers.len());
        let Writer { rust, c, model } = &mut self.writers[i];
        let mut made = NO_WRITER;
        match *op {
            Op::Freeze(_) => {
                let Writer { rust, c, model } = self.writers.swap_remove(i);
                // SAFETY: the handle is given to C.
                let c = unsafe { ffi::aegis_buffer_mut_freeze(&mut c.into_raw()) };
                self.views.push(View { rust: rust.freeze(), c: as_view(c), model });
            }
            Op::WriterSplitTo(_, at) => {
                // SAFETY: a live handle.
                let status = unsafe { ffi::aegis_buffer_mut_split_to(c.as_raw(), at, &mut made) };
                assert_eq!(status == 0, at <= model.len());
                if status == 0 {
                    let (rust, c) = (rust.split_to(at), as_writer(made));
                    let model = model.drain(..at).collect();
                    self.writers.push(Writer { rust, c, model });
                }
            }
            Op::WriterSplitOff(_, at) => {
                let fits = at <= rust.capacity();
                // SAFETY: a live handle.
                let status = unsafe { ffi::aegis_buffer_mut_split_off(c.as_raw(), at, &mut made) };
                assert_eq!(status == 0, fits);
                if fits {
                    let (rust, c) = (rust.split_off(at), as_writer(made));
                    let model = model.drain(at.min(model.len())..).collect();
                    self.writers.push(Writer { rust, c, model });
                }
            }
            Op::WriterUnsplit(_, j) => {
                // Mostly the writer that begins where this one ends, if there is one.
                let end =
                    self.writers[i].rust.as_ptr().wrapping_add(self.writers[i].rust.capacity());
                let next = self.writers.iter().position(|writer| writer.rust.as_ptr() == end);
                let j = next.filter(|_| j % 4 != 0).unwrap_or(pick(j, self.writers.len()));
                if i != j {
                    self.unsplit_writers(i, j);
                }
            }
            Op::Extend(_, ref bytes) => {
                let (data, length) = (bytes.as_ptr().cast(), bytes.len());
                // SAFETY: a live handle.
                let status = unsafe { ffi::aegis_buffer_mut_append(c.as_raw(), data, length) };
                let fits = rust.try_extend_from_slice(bytes).is_ok();
                assert_eq!(status == 0, fits);
                if fits {
                    model.extend_from_slice(bytes);
                }
            }
            Op::Change(_, at, byte) => {
                if let Some(place) = model.get_mut(at) {
                    (*place, rust[at], c[at]) = (byte, byte, byte);
                }
            }
            Op::Resize(_, len, byte) => {
                let fits = rust.try_resize(len, byte).is_ok();
                assert_eq!((fits, c.try_resize(len, byte).is_ok()), (len <= rust.capacity(), fits));
                if fits {
                    model.resize(len, byte);
                }
            }
            Op::Reserve(_, additional) => {
                rust.reserve(additional);
                assert!(rust.remaining_capacity() >= additional);
                let (c, none) = (c.as_raw(), ptr::null_mut());
                // SAFETY: a live handle.
                let status =
                    unsafe { ffi::aegis_buffer_mut_reserve(c, additional, none, ptr::null_mut()) };
                assert_eq!(status, 0);
            }
            Op::Initialize(_, count) => {
                let count = count.min(rust.remaining_capacity());
                for writer in [rust, c] {
                    writer.spare_capacity_mut()[..count].fill(MaybeUninit::new(9));
                    // SAFETY: a live writer, of which so many bytes have been stored.
                    unsafe { (*writer.as_raw()).initialized = writer.len() + count };
                }
            }
            _ => unreachable!("handled above"),
        }
    }

    fn unsplit_writers(&mut self, i: usize, j: usize) {
        let back = self.writers.swap_remove(j);
        let i = if i == self.writers.len() { j } else { i };
        let front = &mut self.writers[i];
        let mut c_back = back.c.into_raw();
        // SAFETY: live handles.
        let status = unsafe { ffi::aegis_buffer_mut_unsplit(front.c.as_raw(), &mut c_back) };
        match front.rust.try_unsplit(back.rust) {
            Ok(()) => {
                assert_eq!((status, c_back.data), (0, ptr::null_mut()));
                front.model.extend(back.model);
            }
            Err(rust) => {
                assert_ne!(status, 0);
                self.writers.push(Writer { rust, c: as_writer(c_back), model: back.model });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn views_and_writers_do_as_vectors_and_as_c_do(ops in proptest::collection::vec(op(), 1..80)) {
        let mut world = World::default();
        for op in ops {
            match op {
                Op::Make(kind, bytes) => world.make(kind, bytes),
                op => world.view(&op),
            }
            world.check();
        }
    }
}
