// SPDX-License-Identifier: Apache-2.0
//! A view of no bytes must hold nothing, neither memory nor an owner, in whatever way it became
//! empty. The tables name the functions that they call, and a test compares these names with the
//! source: a new function that may make an empty view must be in a table.

use aegis_memory::arena::Arena;
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{Buffer, BufferChain, BufferMut, BufferPool};
use aegis_memory::ffi;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

/// An owner without bytes that counts its drops.
struct Nothing {
    _alive: Arc<()>,
}

impl AsRef<[u8]> for Nothing {
    fn as_ref(&self) -> &[u8] {
        &[]
    }
}

/// Whether a buffer has neither bytes nor an owner.
fn holds_nothing(buffer: &Buffer) -> bool {
    // SAFETY: reads a field of a live buffer.
    let owner = unsafe { (*buffer.as_raw()).owner };
    let keeps_none = owner.is_null() && buffer.retained_bytes() == 0;
    buffer.is_empty() && keeps_none && !buffer.is_unique() && !buffer.same_memory(buffer)
}

type Way = (&'static str, &'static [&'static str], fn(Buffer) -> Buffer);

/// Ways to get a view of no bytes from a buffer of nine: what the way is, the functions that it
/// tests, and the way.
const WAYS: &[Way] = &[
    ("the rest", &["Buffer split_to"], |mut all| {
        drop(all.split_to(all.len()));
        all
    }),
    ("the front", &["Buffer split_to"], |mut all| all.split_to(0)),
    ("the back", &["Buffer split_off"], |mut all| all.split_off(all.len())),
    ("the rest", &["Buffer split_off"], |mut all| {
        drop(all.split_off(0));
        all
    }),
    ("all", &["Buffer advance"], |mut all| {
        all.advance(all.len());
        all
    }),
    ("to 0", &["Buffer truncate"], |mut all| {
        all.truncate(0);
        all
    }),
    ("all", &["Buffer clear"], |mut all| {
        all.clear();
        all
    }),
    ("3..3", &["Buffer slice"], |all| all.slice(3..3)),
    ("9..", &["Buffer try_slice"], |all| all.try_slice(9..).unwrap()),
    ("a part of it", &["Buffer slice_ref"], |all| all.slice_ref(&all[3..3])),
    ("the end", &["Buffer slice_ref"], |all| all.slice_ref(&all[9..])),
    ("anything", &["Buffer try_slice_ref"], |all| all.try_slice_ref(&[]).unwrap()),
    ("of an empty one", &["Buffer clone"], |all| all.slice(9..).clone()),
    ("of two empty ones", &["Buffer try_unsplit"], |all| {
        let mut front = all.slice(..0);
        front.try_unsplit(all.slice(0..0)).unwrap();
        front
    }),
    ("of an empty one", &["Buffer compact", "Buffer try_compact"], |mut all| {
        all.advance(9);
        all.compact();
        all
    }),
    ("and cleared", &["Buffer into_mut", "Buffer try_into_mut_or_copy"], |all| {
        let mut writer = all.into_mut();
        writer.clear();
        writer.freeze()
    }),
    ("and cut to 0", &["Buffer try_into_mut"], |all| {
        let mut writer = all.try_into_mut().unwrap();
        writer.truncate(0);
        writer.freeze()
    }),
    ("of the front 0", &["BufferMut split_to", "BufferMut split_off"], |all| {
        let mut writer = all.into_mut();
        drop(writer.split_off(9));
        writer.split_to(0).freeze()
    }),
    ("to the end", &["Buffer read"], |mut all| {
        std::io::copy(&mut all, &mut std::io::sink()).unwrap();
        all
    }),
    ("all", &["Buffer consume"], |mut all| {
        std::io::BufRead::consume(&mut all, 9);
        all
    }),
    ("of empty parts", &["BufferChain into_buffer", "BufferChain try_into_buffer"], |all| {
        BufferChain::from([all.slice(..0), all.slice(2..2)]).into_buffer()
    }),
    ("all, and what is left", &["BufferChain advance"], |all| {
        let mut chain = BufferChain::from([all.slice(..4), all.slice(4..)]);
        chain.advance(9);
        chain.into_buffer()
    }),
    ("an empty one", &["BufferChain push", "BufferChain try_push"], |all| {
        let mut chain = BufferChain::new();
        chain.push(all.slice(9..));
        chain.into_iter().next().unwrap_or_default()
    }),
    ("all of it", &["BufferChain read", "BufferChain consume"], |all| {
        let mut chain = BufferChain::from(all);
        std::io::copy(&mut chain, &mut std::io::sink()).unwrap();
        chain.into_buffer()
    }),
    ("all of it", &["BufferChain write_vectored_to"], |all| {
        let mut chain = BufferChain::from([all.slice(..4), all.slice(4..)]);
        chain.write_vectored_to(&mut Vec::new()).unwrap();
        chain.into_buffer()
    }),
    ("none", &["Buffer take"], |all| all.take(0)),
    ("and cleared", &["Buffer try_into_vec"], |all| {
        let mut writer = BufferMut::from(all);
        writer.advance(9);
        writer.freeze().try_into_vec().unwrap().into()
    }),
    ("an empty one", &["BufferChain push_front", "BufferChain try_push_front"], |all| {
        let mut chain = BufferChain::new();
        chain.push_front(all.slice(9..));
        chain.into_iter().next().unwrap_or_default()
    }),
    ("none and all", &["BufferChain split_to", "BufferChain try_split_to"], |all| {
        let mut chain = BufferChain::from([all.slice(..4), all.slice(4..)]);
        assert!(chain.split_to(0).into_iter().next().is_none());
        drop(chain.split_to(4));
        drop(chain.split_to(5));
        chain.into_buffer()
    }),
    ("to nothing", &["BufferChain truncate", "BufferChain take", "BufferChain clear"], |all| {
        let mut chain = BufferChain::from([all.slice(..4), all.slice(4..)]);
        chain.truncate(4);
        chain = chain.take(0);
        chain.clear();
        chain.into_buffer()
    }),
    ("of nothing", &["BufferChain chain"], |all| {
        let none = all.slice(9..).chain(all.slice(..0)).chain(BufferChain::new());
        none.into_iter().next().unwrap_or_default()
    }),
    #[cfg(feature = "bytes")]
    ("none", &["Buffer copy_to_bytes"], |mut all| bytes::Buf::copy_to_bytes(&mut all, 0).into()),
    #[cfg(feature = "bytes")]
    ("the rest", &["Buffer copy_to_bytes"], |mut all| {
        drop(bytes::Buf::copy_to_bytes(&mut all, 9));
        all
    }),
    #[cfg(feature = "bytes")]
    ("all", &["Buffer copy_to_slice", "Buffer try_copy_to_slice"], |mut all| {
        bytes::Buf::try_copy_to_slice(&mut all, &mut [0; 9]).unwrap();
        all
    }),
    #[cfg(feature = "bytes")]
    ("all", &["BufferChain copy_to_slice", "BufferChain try_copy_to_slice"], |all| {
        let mut chain = BufferChain::from(all);
        bytes::Buf::try_copy_to_slice(&mut chain, &mut [0; 9]).unwrap();
        chain.into_buffer()
    }),
    #[cfg(feature = "bytes")]
    ("the rest", &["BufferChain copy_to_bytes"], |all| {
        let mut chain = BufferChain::from(all);
        drop(bytes::Buf::copy_to_bytes(&mut chain, 9));
        chain.into_buffer()
    }),
    #[cfg(feature = "bytes")]
    ("an empty part", &["Buffer from"], |all| bytes::Bytes::from(all).slice(9..).into()),
    #[cfg(feature = "bytes")]
    ("advanced", &["Buffer from"], |all| {
        let mut bytes = bytes::Bytes::from(all);
        bytes::Buf::advance(&mut bytes, 9);
        bytes.into()
    }),
];

/// Functions that may return or change a view, and are in no row of [`WAYS`].
const OTHERS: &[(&str, &[&str])] = &[
    (
        "make a view of what is not a buffer: `what_is_made_without_bytes_holds_nothing`",
        &[
            "Buffer new",
            "Buffer from_static",
            "Buffer copy_from_slice",
            "Buffer copy_from_slice_in",
            "Buffer try_copy_from_slice",
            "Buffer try_copy_from_slice_in",
            "Buffer from_owner",
            "Buffer from_owner_sized",
            "Buffer try_from_owner",
            "Buffer try_from_owner_sized",
            "Buffer try_from_vec",
            "Buffer from_arena",
            "Buffer try_from_arena",
            "Buffer map",
            "Buffer map_file",
            "Buffer default",
            "Buffer from",
            "Buffer from_iter",
            "BufferMut freeze",
            "BufferMut split",
        ],
    ),
    (
        "take a handle from C as it is: see `c_may_lend_no_bytes_with_an_owner`",
        &["Buffer from_raw", "Buffer borrow_raw"],
    ),
    ("only show bytes", &["Buffer fill_buf", "BufferChain fill_buf", "Buffer into_iter"]),
    ("show or give the buffers of a chain", &["BufferChain iter", "BufferChain into_iter"]),
    ("drops the handle", &["Buffer drop"]),
    (
        "give back the view that they refuse",
        &["BufferMut try_put_buffer", "Buffer try_into_vec_or_copy"],
    ),
    (
        "make a chain, into which only `push` puts buffers",
        &["BufferChain new", "BufferChain from", "BufferChain from_iter", "BufferChain extend"],
    ),
];

#[test]
fn view_of_no_bytes_holds_nothing() {
    for (name, functions, way) in WAYS {
        let pool = BufferPool::new(64, 1);
        let mut page = pool.get(64).unwrap();
        page.extend_from_slice(b"frame one");
        let rest = way(page.freeze());
        assert!(holds_nothing(&rest), "{functions:?}, {name}");
        assert!(pool.get(64).is_ok(), "{functions:?}, {name}");
    }
}

/// The functions of one file that are public or of a trait, and that return a view or change one,
/// in the form `Type name`.
fn view_functions(text: &str) -> BTreeSet<String> {
    let (mut found, mut of, mut of_a_trait) = (BTreeSet::new(), "", false);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("impl") || line.starts_with("unsafe impl") {
            let header = line.trim_end_matches([' ', '{', '}']);
            of = header.rsplit(' ').next().unwrap_or("");
            of_a_trait = header.contains(" for ");
        }
        let Some((before, name)) = line.split_once("fn ") else { continue };
        let is_method = before.starts_with("    ") && !before.starts_with("     ");
        let is_public = before.trim_start().starts_with("pub ") || (of_a_trait && before == "    ");
        let is_ours = ["Buffer", "BufferMut", "BufferChain"].contains(&of);
        if !(is_method && is_public && is_ours) {
            continue;
        }
        let mut signature = line.to_owned();
        while !signature.contains(['{', ';']) {
            signature.push_str(lines.next().expect("a function has a body"));
        }
        let returns = signature.rsplit_once("->").map_or("", |(_, returns)| returns);
        let word = |word: &str| returns.split(|c: char| !c.is_alphanumeric()).any(|w| w == word);
        let makes_a_view = match of {
            "BufferMut" => word("Buffer") || (word("Self") && name.starts_with("split")),
            _ => word("Self") || word("Buffer") || word("BufferMut"),
        };
        if makes_a_view || (of != "BufferMut" && signature.contains("&mut self")) {
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
            found.insert(format!("{of} {}", &name[..end]));
        }
    }
    found
}

#[test]
fn every_function_that_may_make_an_empty_view_is_in_a_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/buffer");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if cfg!(feature = "bytes") || !path.ends_with("interop.rs") {
            found.extend(view_functions(&std::fs::read_to_string(path).unwrap()));
        }
    }
    let others = OTHERS.iter().flat_map(|(_, names)| *names).copied();
    let listed: BTreeSet<_> = WAYS.iter().flat_map(|way| way.1).copied().chain(others).collect();
    let missing: Vec<_> = found.iter().filter(|name| !listed.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "in no table: {missing:#?}");
    let gone: Vec<_> = listed.iter().filter(|name| !found.contains(**name)).collect();
    assert!(gone.is_empty(), "in a table and not in the source: {gone:#?}");
}

#[test]
fn what_is_made_without_bytes_holds_nothing() {
    let pool = BufferPool::new(64, 1);
    let mut page = pool.get(64).unwrap();
    assert!(holds_nothing(&page.split().freeze()));
    assert!(holds_nothing(&page.freeze()) && pool.get(64).is_ok());
    assert!(holds_nothing(&Buffer::from(Vec::with_capacity(100))));
    let alive = Arc::new(());
    assert!(holds_nothing(&Buffer::from_owner(Nothing { _alive: alive.clone() })));
    assert!(holds_nothing(&Buffer::from_owner_sized(Nothing { _alive: alive.clone() }, 1000)));
    assert!(holds_nothing(&Buffer::new()) && holds_nothing(&Buffer::default()));
    assert!(holds_nothing(&Buffer::from_static(b"")) && holds_nothing(&Buffer::from_iter([])));
    assert!(holds_nothing(&Buffer::copy_from_slice(b"")));
    assert_eq!(Arc::strong_count(&alive), 1);
    let file = File::open(std::env::current_exe().unwrap()).unwrap();
    // SAFETY: nobody changes the program that runs.
    assert!(holds_nothing(&unsafe { Buffer::map(&file, 1..1) }.unwrap()));
    let budget = MemoryBudget::new("none", 0);
    assert!(holds_nothing(&Buffer::copy_from_slice_in(b"", &budget)));
    let budget = MemoryBudget::new("arena", 4096);
    let arena = Arena::builder().budget(&budget).build().unwrap();
    arena.alloc_static(alive.clone());
    assert!(holds_nothing(&Buffer::from_arena(arena, |_| b"")));
    assert_eq!((Arc::strong_count(&alive), budget.used()), (1, 0));
}

/// The one view of no bytes that has an owner: C made it, and has not narrowed it yet. Whatever a
/// caller does to it next gives the owner up.
#[test]
fn c_may_lend_no_bytes_with_an_owner() {
    static RELEASES: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn released(_: *mut std::ffi::c_void) {
        RELEASES.fetch_add(1, SeqCst);
    }
    let lend = || {
        let mut raw = Buffer::new().into_raw();
        let none = std::ptr::null_mut();
        // SAFETY: no bytes are lent, and the release function uses no context.
        let status = unsafe {
            let data = std::ptr::null();
            ffi::aegis_buffer_wrap_sized(&mut raw, data, 0, 9, Some(released), none, none.cast())
        };
        assert_eq!(status, 0);
        // SAFETY: the core has just made it, and its release may run anywhere.
        unsafe { Buffer::from_raw(raw) }
    };
    type Next = fn(Buffer) -> Buffer;
    let ways: &[(&str, Next)] = &[
        ("slice", |all| all.slice(..)),
        ("try_slice_ref", |all| all.try_slice_ref(&all).unwrap()),
        ("split_to", |mut all| all.split_to(0)),
        ("split_off", |mut all| all.split_off(0)),
        ("truncate", |mut all| {
            all.truncate(0);
            all
        }),
        ("advance", |mut all| {
            all.advance(0);
            all
        }),
        ("compact", |mut all| {
            all.compact();
            all
        }),
        ("try_unsplit", |mut all| {
            all.try_unsplit(Buffer::new()).unwrap();
            all
        }),
        ("try_unsplit, as the back", |all| {
            let mut front = Buffer::new();
            front.try_unsplit(all.slice(..)).unwrap();
            front
        }),
        ("into a chain", |all| BufferChain::from(all).into_buffer()),
        ("into a writer", |all| all.into_mut().freeze()),
    ];
    for (round, (name, way)) in ways.iter().enumerate() {
        let lent = lend();
        assert_eq!((lent.retained_bytes(), RELEASES.load(SeqCst)), (9, round), "{name}");
        let rest = way(lent);
        assert!(holds_nothing(&rest), "{name}");
        assert_eq!(RELEASES.load(SeqCst), round + 1, "{name}");
    }
    #[cfg(feature = "bytes")]
    {
        let bytes = bytes::Bytes::from(lend());
        assert!(bytes.is_empty() && RELEASES.load(SeqCst) == ways.len() + 1);
    }
}
