// SPDX-License-Identifier: Apache-2.0
//! Tests files as buffers: whole files and pieces, things that cannot be mapped, and files that are
//! truncated under their mapping. A buffer must show the file's bytes or the call must name the
//! reason, and a call that copies must find a truncated file before it reads from it.

use crate::support::panic_of;
use aegis_memory::buffer::{Buffer, BufferChain, MapError};
use aegis_memory::AllocError;
use std::fs::{self, File};
use std::io::{BufRead, ErrorKind, Read};
use std::ops::Bound;
use std::path::PathBuf;

/// A file that is removed when this is dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("aegis-{name}-{}", std::process::id()));
        fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A test that fails has a message of its own.
        let _ = fs::remove_file(&self.0);
    }
}

/// Bytes whose values tell their offsets.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 256) as u8).collect()
}

#[test]
fn mapped_file_is_its_content_on_every_thread() {
    let content = pattern(100_000);
    let file = Temporary::new("whole", &content);
    // SAFETY: nobody changes the file.
    let buffer = unsafe { Buffer::map_file(&file.0) }.unwrap();
    assert_eq!(buffer, content);
    buffer.check_file().unwrap();
    let tail = buffer.slice(99_990..);
    let other = buffer.try_into_mut().expect_err("a mapping cannot be written");
    drop(other);
    let tail = std::thread::spawn(move || tail.clone()).join().unwrap();
    assert_eq!(tail, content[99_990..]);
    let mut copy = tail.into_mut();
    copy[0] = !copy[0];
    assert_eq!(fs::read(&file.0).unwrap(), content, "the copy is not the file");
}

#[test]
fn pieces_of_a_file_begin_and_end_at_any_byte() {
    let content = pattern(20_000);
    let temporary = Temporary::new("pieces", &content);
    let file = File::open(&temporary.0).unwrap();
    for (start, end) in [(0, 20_000), (1, 2), (4096, 8192), (4095, 12_289), (19_999, 20_000)] {
        // SAFETY: nobody changes the file.
        let piece = unsafe { Buffer::map(&file, start as u64..end as u64) }.unwrap();
        assert_eq!(piece, content[start..end], "{start}..{end}");
    }
    // SAFETY: as above.
    let (behind, rest) = unsafe {
        let behind = (Bound::Excluded(9_u64), Bound::Included(11));
        (Buffer::map(&file, behind).unwrap(), Buffer::map(&file, 10_000..).unwrap())
    };
    drop(file);
    assert!(behind == content[10..12] && rest == content[10_000..]);
}

#[test]
fn empty_files_and_pieces_are_empty_buffers() {
    let empty = Temporary::new("empty", b"");
    let full = Temporary::new("full", b"full");
    // SAFETY: nobody changes the files.
    let (whole, piece) =
        unsafe { (Buffer::map_file(&empty.0), Buffer::map(&File::open(&full.0).unwrap(), 4..4)) };
    assert!(whole.unwrap().is_empty() && piece.unwrap().is_empty());
}

#[test]
#[allow(clippy::reversed_empty_ranges)]
fn what_cannot_be_mapped_is_refused_with_its_reason() {
    let kind = |result: Result<Buffer, MapError>| result.unwrap_err().kind();
    let temporary = Temporary::new("refused", b"0123456789");
    let missing = temporary.0.with_extension("missing");
    // SAFETY: nothing is mapped.
    assert_eq!(kind(unsafe { Buffer::map_file(missing) }), ErrorKind::NotFound);
    let file = File::open(&temporary.0).unwrap();
    let map = |start: u64, end: u64| {
        // SAFETY: nothing is mapped.
        kind(unsafe { Buffer::map(&file, start..end) })
    };
    assert_eq!(map(0, 11), ErrorKind::InvalidInput);
    assert_eq!(map(11, 12), ErrorKind::InvalidInput);
    assert_eq!(map(3, 2), ErrorKind::InvalidInput);
    assert_eq!(map(0, u64::MAX), ErrorKind::InvalidInput);
    assert_eq!(map(u64::MAX - 1, u64::MAX), ErrorKind::InvalidInput);
    // SAFETY: nothing is mapped.
    let past_all = unsafe { Buffer::map(&file, ..=u64::MAX) };
    assert_eq!(kind(past_all), ErrorKind::InvalidInput);
    #[cfg(unix)]
    {
        // SAFETY: nothing is mapped.
        let directory = unsafe { Buffer::map_file(std::env::temp_dir()) };
        assert_eq!(kind(directory), ErrorKind::InvalidInput);
        let write_only = File::options().write(true).open(&temporary.0).unwrap();
        // SAFETY: nothing is mapped.
        let denied = unsafe { Buffer::map(&write_only, ..) };
        assert_eq!(kind(denied), ErrorKind::PermissionDenied);
    }
}

#[cfg(unix)]
#[test]
fn truncated_file_is_found_out_before_its_bytes_are_copied() {
    let temporary = Temporary::new("truncated", &pattern(50_000));
    // SAFETY: the file is truncated below, but no byte is looked at until it is whole again.
    let buffer = unsafe { Buffer::map_file(&temporary.0) }.unwrap();
    let mut part = buffer.slice(40_000..40_010);
    let file = File::options().write(true).open(&temporary.0).unwrap();
    file.set_len(100).unwrap();
    assert_eq!(buffer.check_file().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    let text = |bytes| format!("the mapped file was truncated: {bytes} bytes were to be copied");
    assert_eq!(part.try_compact().unwrap_err().to_string(), text(10));
    assert_eq!(panic_of(|| part.compact()), text(10));
    let (buffer, error) = buffer.try_into_mut_or_copy().unwrap_err();
    assert!(matches!(error, AllocError::Truncated { requested: 50_000, .. }), "{error:?}");
    assert_eq!(panic_of(|| buffer.into_mut()), text(50_000));
    file.set_len(50_000).unwrap();
    part.check_file().unwrap();
    part.compact();
    assert_eq!(part, [0; 10]);
}

/// A file of three pages and a mapping of it, made before the file was cut to ten bytes. A call
/// that reads the bytes that are gone would end the process.
#[cfg(unix)]
fn cut(name: &str) -> (Temporary, File, Buffer) {
    let temporary = Temporary::new(name, &[7; 3 * 65_536]);
    // SAFETY: no byte is looked at after the file is truncated.
    let buffer = unsafe { Buffer::map_file(&temporary.0) }.unwrap();
    let file = File::options().write(true).open(&temporary.0).unwrap();
    file.set_len(10).unwrap();
    (temporary, file, buffer)
}

#[cfg(unix)]
const TRUNCATED: &str = "the mapped file was truncated";

#[cfg(unix)]
#[test]
fn chain_with_a_truncated_part_is_found_out_before_it_is_copied() {
    let (_file, _, map) = cut("chain");
    let part = || map.slice(65_536..131_072);
    let chains: [BufferChain; 3] = [
        [part(), Buffer::from("x")].into(),
        [Buffer::from("x"), part()].into(),
        [part(), Buffer::from("x"), map.slice(..20), part()].into(),
    ];
    for chain in chains {
        let (kept, error) = chain.clone().try_into_buffer().unwrap_err();
        assert!(matches!(error, AllocError::Truncated { .. }), "{error:?}");
        assert_eq!(kept.len(), chain.len());
        assert!(panic_of(|| chain.clone().into_buffer().len()).starts_with(TRUNCATED));
        let mut rest = chain.clone();
        let error = rest.write_vectored_to(&mut Vec::new()).unwrap_err();
        assert_eq!((error.kind(), rest.len()), (ErrorKind::UnexpectedEof, chain.len()));
    }
    let single = BufferChain::from(part());
    assert_eq!(single.into_buffer().len(), 65_536, "nothing is copied");
    let (front, back) = (map.slice(..100), map.slice(100..200));
    assert_eq!(BufferChain::from([front, back]).into_buffer().len(), 200, "they meet");
}

#[cfg(unix)]
#[test]
fn reading_a_truncated_file_is_an_error_and_loses_nothing() {
    let (_file, _, map) = cut("read");
    let mut into = [0; 64];
    let eof = |result: std::io::Result<usize>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    };
    let mut buffer = map.slice(65_536..);
    eof(buffer.read(&mut into));
    eof(buffer.read_to_end(&mut Vec::new()));
    eof(buffer.read_line(&mut String::new()));
    eof(std::io::copy(&mut buffer, &mut std::io::sink()).map(|count| count as usize));
    assert!(buffer.fill_buf().is_err() && buffer.len() == 131_072);
    assert_eq!(buffer.read(&mut []).unwrap(), 0, "no bytes are not touched");
    buffer.advance(131_072);
    assert_eq!(buffer.read(&mut into).unwrap(), 0, "at the end");

    let mut chain: BufferChain = [Buffer::from("head"), map.slice(65_536..), map.clone()].into();
    assert_eq!(chain.read(&mut into).unwrap(), 4, "what comes before is read");
    assert_eq!(into[..4], *b"head");
    let len = chain.len();
    eof(chain.read(&mut into));
    eof(chain.read_until(7, &mut Vec::new()));
    assert_eq!(chain.len(), len);
}

#[cfg(all(unix, feature = "bytes"))]
#[test]
fn bytes_of_a_truncated_file_are_not_copied_by_buf() {
    use bytes::Buf;
    let (_file, _, map) = cut("bytes");
    let mut buffer = map.slice(65_536..);
    assert_eq!(panic_of(|| Buf::copy_to_slice(&mut buffer, &mut [0; 64])), TRUNCATED);
    Buf::copy_to_slice(&mut buffer, &mut []);
    assert_eq!(panic_of(|| buffer.try_copy_to_slice(&mut [0; 64])), TRUNCATED);
    assert!(buffer.try_copy_to_slice(&mut [0; 131_073]).is_err());
    assert_eq!((buffer.len(), buffer.copy_to_bytes(100).len()), (131_072, 100), "not copied");
    let mut chain: BufferChain = [Buffer::from("head"), map.slice(65_536..)].into();
    assert_eq!(panic_of(|| chain.copy_to_bytes(5)), TRUNCATED);
    assert_eq!(panic_of(|| Buf::copy_to_slice(&mut chain, &mut [0; 64])), TRUNCATED);
    assert_eq!(panic_of(|| chain.try_copy_to_slice(&mut [0; 64])), TRUNCATED);
    assert!(chain.try_copy_to_slice(&mut vec![0; 131_077]).is_err());
    let mut head = [0; 4];
    chain.clone().try_copy_to_slice(&mut head).unwrap();
    assert_eq!((head, chain.len()), (*b"head", 131_076));
    Buf::copy_to_slice(&mut chain, &mut head);
    assert_eq!((&head, chain.len()), (b"head", 131_072), "nothing was taken before");
}

#[cfg(unix)]
#[test]
fn file_that_was_truncated_and_has_grown_again_is_zero_where_it_was_cut() {
    let (_file, file, map) = cut("grown");
    file.set_len(3 * 65_536).unwrap();
    map.check_file().unwrap();
    let chain: BufferChain = [map.slice(..10), map.slice(65_536..65_546)].into();
    assert_eq!(chain.into_buffer(), [[7; 10], [0; 10]].concat());
    file.set_len(3 * 65_536 - 1).unwrap();
    assert!(map.check_file().is_err(), "one byte less than the mapping");
}

#[cfg(unix)]
fn reason(path: impl AsRef<std::path::Path>) -> (ErrorKind, String) {
    // SAFETY: nothing is mapped.
    let error = unsafe { Buffer::map_file(path) }.unwrap_err();
    (error.kind(), error.to_string())
}

/// A pipe that nobody writes to must not be waited for. If a call waited, the test would not end.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_at_once_and_named() {
    use std::os::unix::ffi::OsStrExt;
    let name = |what: &str| (ErrorKind::InvalidInput, format!("{what} cannot be mapped"));
    let pipe = Temporary::new("pipe", b"");
    fs::remove_file(&pipe.0).unwrap();
    let c_path = std::ffi::CString::new(pipe.0.as_os_str().as_bytes()).unwrap();
    // SAFETY: a terminated path.
    assert_eq!(unsafe { libc::mkfifo(c_path.as_ptr(), 0o600) }, 0);
    assert_eq!(reason(&pipe.0), name("a pipe"));
    let socket = Temporary::new("socket", b"");
    fs::remove_file(&socket.0).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(&socket.0).unwrap();
    assert_eq!(reason(&socket.0), name("a socket"));
    drop(listener);
    assert_eq!(reason(std::env::temp_dir()), name("a directory"));
    assert_eq!(reason("/dev/null"), name("a device"));
    assert_eq!(reason("/dev/zero"), name("a device"));
    let device = File::open("/dev/zero").unwrap();
    // SAFETY: nothing is mapped.
    let error = unsafe { Buffer::map(&device, ..) }.unwrap_err();
    assert_eq!((error.kind(), error.to_string()), name("a device"));
    // SAFETY: nothing is mapped.
    let error = unsafe { Buffer::map(&File::open("LICENSE").unwrap(), 1 << 40..) }.unwrap_err();
    let outside = "range 1099511627776.. is out of bounds of a file of 11358 bytes";
    assert_eq!(error.to_string(), outside);
}

#[cfg(target_os = "linux")]
#[test]
fn path_is_taken_as_it_is() {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::OsStr::from_bytes(b"Cargo.toml\0.bak");
    assert_eq!(reason(path).0, ErrorKind::InvalidInput);
    assert_eq!(reason("").0, ErrorKind::NotFound);
    let odd = std::env::temp_dir().join(std::ffi::OsStr::from_bytes(b"aegis-\xff\xfe"));
    let odd = Temporary(odd.with_extension(std::process::id().to_string()));
    fs::write(&odd.0, "odd").unwrap();
    let link = Temporary::new("link", b"");
    fs::remove_file(&link.0).unwrap();
    std::os::unix::fs::symlink(&odd.0, &link.0).unwrap();
    // SAFETY: nobody changes the file.
    let (direct, linked) = unsafe { (Buffer::map_file(&odd.0), Buffer::map_file(&link.0)) };
    assert_eq!((direct.unwrap(), linked.unwrap()), ("odd".into(), "odd".into()));
}

#[cfg(target_os = "linux")]
#[test]
fn file_that_the_system_makes_up_is_read() {
    let content = fs::read("/proc/version").unwrap();
    // SAFETY: what is mapped is a copy.
    let buffer = unsafe { Buffer::map_file("/proc/version") }.unwrap();
    assert_eq!(buffer, content);
    buffer.check_file().unwrap();
    let file = File::open("/proc/version").unwrap();
    // SAFETY: as above.
    let (piece, rest) = unsafe { (Buffer::map(&file, 2..5), Buffer::map(&file, 6..)) };
    assert!(piece.unwrap() == content[2..5] && rest.unwrap() == content[6..]);
    // SAFETY: nothing is mapped.
    let outside = unsafe { Buffer::map(&file, ..content.len() as u64 + 1) }.unwrap_err();
    let text = format!("range ..{} is not inside of the file", content.len() + 1);
    assert_eq!(outside.to_string(), text);
    let mut writer = buffer.try_into_mut().expect("the copy is its own");
    writer[0] = b'!';
}
