// SPDX-License-Identifier: Apache-2.0
//! The table of `tests/out_of_memory.rs` for collections.

use aegis_memory::arena::{Arena, FixedArena, LockedArena};
use aegis_memory::collections::{ArenaString, ArenaVec};
use aegis_memory::source::Global;
use std::fmt::Write as _;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

use crate::failing_heap::Row;
use crate::{full, Counted};

const BYTES: &[u8] = &[7; 900];

/// Makes a call that needs memory on an empty collection, made by `$of`, in arenas with a source
/// and in one under a budget that refuses. A collection that is refused stays empty.
macro_rules! on_empty {
    ($probe:ident, $of:expr, |$it:ident| $call:expr) => {{
        let heap_arena = Arena::builder().source(Global).build().expect("no block yet");
        #[allow(unused_mut)]
        let mut $it = $of(&heap_arena);
        let result = $probe.may_fail(|| $call.map(|_| ()));
        assert!(result.is_ok() || $it.is_empty());
        let heap_arena = LockedArena::builder().source(Global).build().expect("no block yet");
        #[allow(unused_mut)]
        let mut $it = $of(&heap_arena);
        let result = $probe.may_fail(|| $call.map(|_| ()));
        assert!(result.is_ok() || $it.is_empty());
        let (full, _root, _held) = full();
        let full_arena = Arena::builder().budget(&full).build().expect("no block yet");
        #[allow(unused_mut)]
        let mut $it = $of(&full_arena);
        let result = $probe.fails(|| $call.map(|_| ()));
        assert!(result.is_err() && $it.is_empty() && $it.capacity() == 0);
    }};
}

macro_rules! row {
    ($($covers:literal),+; $run:expr) => { Row { covers: &[$($covers),+], run: $run } };
}

pub fn rows() -> Vec<Row> {
    let mut rows = vectors();
    rows.extend(texts());
    rows
}

fn vectors() -> Vec<Row> {
    vec![
        row!("collections/vec.rs try_with_capacity_in", "collections/vec.rs try_reserve",
             "collections/vec.rs try_reserve_exact"; |probe| {
            on_empty!(probe, ArenaVec::<u64, _>::new_in, |vec| {
                ArenaVec::<u64, _>::try_with_capacity_in(900, vec.arena())
            });
            on_empty!(probe, ArenaVec::<u64, _>::new_in, |vec| vec.try_reserve(900));
            on_empty!(probe, ArenaVec::<u64, _>::new_in, |vec| vec.try_reserve_exact(900));
        }),
        row!("collections/edit.rs try_push", "collections/edit.rs try_insert"; |probe| {
            let drops = Arc::new(AtomicUsize::new(0));
            let item = || Counted::with(&drops);
            on_empty!(probe, ArenaVec::new_in, |vec| vec.try_push(item()));
            on_empty!(probe, ArenaVec::new_in, |vec| vec.try_insert(0, item()));
            assert_eq!(drops.load(SeqCst), 6, "each is dropped once");
        }),
        row!("collections/vec.rs try_from_iter_in", "collections/extend.rs try_extend"; |probe| {
            let items = || (0..9000_u32).filter(|i| i % 2 == 0);
            on_empty!(probe, ArenaVec::<u32, _>::new_in, |vec| {
                ArenaVec::try_from_iter_in(items(), vec.arena())
            });
            on_empty!(probe, ArenaVec::new_in, |vec| {
                vec.try_extend(items()).map_err(|error| {
                    vec.clear();
                    error
                })
            });
        }),
        row!("collections/extend.rs try_extend_from_slice",
             "collections/extend.rs try_extend_from_slice_copy",
             "collections/vec_from.rs try_from_slice_in"; |probe| {
            on_empty!(probe, ArenaVec::new_in, |vec| vec.try_extend_from_slice(BYTES));
            on_empty!(probe, ArenaVec::new_in, |vec| vec.try_extend_from_slice_copy(BYTES));
            on_empty!(probe, ArenaVec::<u8, _>::new_in, |vec| {
                ArenaVec::try_from_slice_in(BYTES, vec.arena())
            });
        }),
        row!("collections/extend.rs try_resize", "collections/extend.rs try_resize_with"; |probe| {
            on_empty!(probe, ArenaVec::new_in, |vec| vec.try_resize(900, 7_u64));
            on_empty!(probe, ArenaVec::new_in, |vec| vec.try_resize_with(900, || 7_u64));
        }),
        row!("collections/extend.rs try_append", "collections/extend.rs try_extend_from_within",
             "collections/edit.rs try_split_off"; |probe| {
            let own = Arena::default();
            let mut other = ArenaVec::from_slice_in(BYTES, &own);
            on_empty!(probe, ArenaVec::new_in, |vec| {
                other.resize(900, 7);
                vec.try_append(&mut other)
            });
            let mut memory = [MaybeUninit::uninit(); 2000];
            let arena = FixedArena::new(&mut memory);
            let mut vec = ArenaVec::from_slice_in(BYTES, &arena);
            while arena.try_alloc(8).is_ok() {}
            assert!(probe.quiet(|| vec.try_extend_from_within(..)).is_err());
            assert!(probe.quiet(|| vec.try_split_off(1)).is_err());
            assert_eq!(vec, BYTES);
        }),
        #[cfg(feature = "std")]
        row!("collections/vec_traits.rs write", "collections/vec_traits.rs write_all",
             "collections/vec_traits.rs flush"; |probe| {
            use std::io::Write;
            on_empty!(probe, ArenaVec::new_in, |vec| vec.write(BYTES));
            on_empty!(probe, ArenaVec::new_in, |vec| vec.write_all(BYTES));
            let arena = Arena::default();
            probe.quiet(|| ArenaVec::new_in(&arena).flush()).expect("it does nothing");
        }),
    ]
}

fn texts() -> Vec<Row> {
    vec![
        row!("collections/string.rs try_with_capacity_in", "collections/string.rs try_reserve",
             "collections/string.rs try_reserve_exact"; |probe| {
            on_empty!(probe, ArenaString::new_in, |text| {
                ArenaString::try_with_capacity_in(900, text.arena())
            });
            on_empty!(probe, ArenaString::new_in, |text| text.try_reserve(900));
            on_empty!(probe, ArenaString::new_in, |text| text.try_reserve_exact(900));
        }),
        row!("collections/string_edit.rs try_push", "collections/string_edit.rs try_push_str",
             "collections/string_edit.rs try_insert", "collections/string_edit.rs try_insert_str",
             "collections/string_edit.rs try_replace_range"; |probe| {
            on_empty!(probe, ArenaString::new_in, |text| text.try_push('a'));
            on_empty!(probe, ArenaString::new_in, |text| text.try_push('é'));
            on_empty!(probe, ArenaString::new_in, |text| text.try_push_str("a text"));
            on_empty!(probe, ArenaString::new_in, |text| text.try_insert(0, 'a'));
            on_empty!(probe, ArenaString::new_in, |text| text.try_insert_str(0, "a text"));
            on_empty!(probe, ArenaString::new_in, |text| text.try_replace_range(.., "a text"));
        }),
        row!("collections/string_edit.rs try_extend_from_within",
             "collections/string_edit.rs try_split_off"; |probe| {
            let mut memory = [MaybeUninit::uninit(); 256];
            let arena = FixedArena::new(&mut memory);
            let mut text = ArenaString::from_str_in("abc", &arena);
            while arena.try_alloc(8).is_ok() {}
            probe.quiet(|| text.try_extend_from_within(..)).expect_err("the memory is full");
            probe.quiet(|| text.try_split_off(1)).map(|_| ()).expect_err("the memory is full");
            assert_eq!(text, "abc");
        }),
        row!("collections/string_from.rs try_from_str_in",
             "collections/string_from.rs try_from_fmt_in",
             "collections/string_from.rs try_from_utf8_lossy_in"; |probe| {
            on_empty!(probe, ArenaString::new_in, |text| {
                ArenaString::try_from_str_in("a text", text.arena())
            });
            on_empty!(probe, ArenaString::new_in, |text| {
                ArenaString::try_from_fmt_in(format_args!("{:900}", 7), text.arena())
            });
            on_empty!(probe, ArenaString::new_in, |text| {
                ArenaString::try_from_utf8_lossy_in(b"a\xFFtext", text.arena())
            });
        }),
        row!("collections/string_traits.rs write_str",
             "collections/string_traits.rs write_char"; |probe| {
            on_empty!(probe, ArenaString::new_in, |text| text.write_str("a text"));
            on_empty!(probe, ArenaString::new_in, |text| text.write_char('a'));
        }),
    ]
}
