// SPDX-License-Identifier: Apache-2.0
//! An echo of messages of mixed sizes on a loopback socket. The server holds the latest messages,
//! as one does that may have to send them again.
//!
//! A client thread writes messages, each behind its length, and reads them back. The server thread
//! reads what is there, makes a message of its own memory of each, and writes them back by vectored
//! calls. The two ways to make messages: a buffer for each one; or a large buffer from which each
//! one is split off, as codecs over `BytesMut` do.

use std::io::{self, BufRead, BufReader, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use aegis_memory::buffer::{Buffer, BufferMut, BufferPool};
use aegis_memory::source::Pages;
use allocator_api2::vec::Vec as VecIn;
use bytes::{Bytes, BytesMut};

use super::{hash_of, random, random_below, Program, Rival, Work};
use super::{GLIBC_HUGE, MIMALLOC_HUGE, OURS};
use crate::homes::Mimalloc;

/// The largest message.
const MAX_BYTES: usize = 64 << 10;
/// The bytes of a length.
const HEAD: usize = 4;
/// The bytes that the client writes before it reads them back. They fit into the buffers of the
/// sockets, so the two do not wait for each other.
const BATCH_BYTES: usize = 96 << 10;
/// What the server reads at once.
const READ_BYTES: usize = 128 << 10;
/// The messages that the server writes at once, and those that it holds.
const MAX_BATCH: usize = 64;
const HELD: usize = 8192;
/// A buffer from which messages are split off.
const CHUNK_BYTES: usize = 256 << 10;

/// The bytes of a message: most are short, and the few long ones have most of the bytes.
fn size_of_message(number: u64) -> usize {
    let (least, greatest) = match random_below(number, 100) {
        0..50 => (32, 512),
        50..80 => (512, 4096),
        80..95 => (4096, 16 << 10),
        _ => (16 << 10, MAX_BYTES),
    };
    random_below(!number, (greatest - least) as u64) as usize + least
}

/// What makes messages.
trait Messages {
    type Message: AsRef<[u8]>;

    /// Reads a message of this many bytes.
    fn read(&mut self, bytes: usize, from: &mut impl BufRead) -> io::Result<Self::Message>;
}

/// Hands a message of this many bytes over in pieces, without a copy of them before.
#[inline]
fn pieces(
    mut bytes: usize,
    from: &mut impl BufRead,
    mut take: impl FnMut(&[u8]),
) -> io::Result<()> {
    while bytes > 0 {
        let there = from.fill_buf()?;
        if there.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let count = there.len().min(bytes);
        take(&there[..count]);
        from.consume(count);
        bytes -= count;
    }
    Ok(())
}

/// A way to make messages of a buffer for each one.
macro_rules! each {
    ($name:ty, $message:ty, $get:expr, $freeze:expr) => {
        impl Messages for $name {
            type Message = $message;

            #[inline]
            fn read(&mut self, bytes: usize, from: &mut impl BufRead) -> io::Result<$message> {
                let mut message = $get(self, bytes);
                pieces(bytes, from, |piece| message.extend_from_slice(piece))?;
                Ok($freeze(message))
            }
        }
    };
}

/// `BytesMut`, on the heap of the process.
struct BytesEach;
/// A vector, on the heap of the process.
struct VecEach;
/// A vector on mimalloc's heap.
struct MimallocEach;

/// A vector that appends bytes by one copy. That of `allocator-api2` copies them one by one.
struct MimallocVec(VecIn<u8, Mimalloc>);

impl MimallocVec {
    #[inline]
    fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.0.reserve(bytes.len());
        // SAFETY: there is room for the bytes, and all of them are written.
        unsafe {
            let end = self.0.as_mut_ptr().add(self.0.len());
            end.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            self.0.set_len(self.0.len() + bytes.len());
        }
    }
}

impl AsRef<[u8]> for MimallocVec {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

each!(
    BufferPool,
    Buffer,
    |pool: &BufferPool, bytes| pool.get(bytes).expect("memory"),
    BufferMut::freeze
);
each!(BytesEach, Bytes, |_: &_, bytes| BytesMut::with_capacity(bytes), BytesMut::freeze);
each!(VecEach, Vec<u8>, |_: &_, bytes| Vec::with_capacity(bytes), |vec| vec);
each!(
    MimallocEach,
    MimallocVec,
    |_: &_, bytes| MimallocVec(VecIn::with_capacity_in(bytes, Mimalloc)),
    |vec| vec
);

/// Large buffers of a pool, from which messages are split off.
struct PoolChunks {
    pool: BufferPool,
    chunk: BufferMut,
}

/// The same with `BytesMut`.
struct BytesChunks {
    chunk: BytesMut,
}

macro_rules! chunks {
    ($name:ident, $message:ty, $more:expr) => {
        impl Messages for $name {
            type Message = $message;

            #[inline]
            fn read(&mut self, bytes: usize, from: &mut impl BufRead) -> io::Result<$message> {
                if self.chunk.capacity() < bytes {
                    $more(self);
                }
                let chunk = &mut self.chunk;
                pieces(bytes, from, |piece| chunk.extend_from_slice(piece))?;
                Ok(chunk.split_to(bytes).freeze())
            }
        }
    };
}

chunks!(PoolChunks, Buffer, |chunks: &mut PoolChunks| {
    chunks.chunk = chunks.pool.get(CHUNK_BYTES).expect("memory");
});
chunks!(BytesChunks, Bytes, |chunks: &mut BytesChunks| {
    chunks.chunk = BytesMut::with_capacity(CHUNK_BYTES);
});

/// Writes messages, each behind its length.
fn write<M: AsRef<[u8]>>(messages: &[M], to: &mut impl Write) -> io::Result<()> {
    let mut lengths = [[0; HEAD]; MAX_BATCH];
    let mut slices = Vec::with_capacity(2 * MAX_BATCH);
    for (length, message) in lengths.iter_mut().zip(messages) {
        *length = (message.as_ref().len() as u32).to_le_bytes();
        slices.push(IoSlice::new(length));
        slices.push(IoSlice::new(message.as_ref()));
    }
    let mut slices = &mut slices[..];
    while !slices.is_empty() {
        let written = to.write_vectored(slices)?;
        IoSlice::advance_slices(&mut slices, written);
    }
    Ok(())
}

/// Echoes messages until the client closes its end.
fn serve<M: Messages>(mut messages: M, socket: &TcpStream) -> io::Result<()> {
    let mut from = BufReader::with_capacity(READ_BYTES, socket);
    let mut to = socket;
    let mut held = Vec::with_capacity(HELD);
    let mut batch = Vec::with_capacity(MAX_BATCH);
    let mut next = 0;
    while !from.fill_buf()?.is_empty() {
        while batch.len() < MAX_BATCH && (batch.is_empty() || from.buffer().len() >= HEAD) {
            let mut length = [0; HEAD];
            from.read_exact(&mut length)?;
            batch.push(messages.read(u32::from_le_bytes(length) as usize, &mut from)?);
        }
        write(&batch, &mut to)?;
        for message in batch.drain(..) {
            if held.len() < HELD {
                held.push(message);
            } else {
                held[next % HELD] = message;
            }
            next += 1;
        }
    }
    Ok(())
}

/// Sends messages, and returns a checksum of what comes back.
fn ask(count: u64, source: &[u8], mut socket: &TcpStream) -> io::Result<u64> {
    let mut back = vec![0; BATCH_BYTES + MAX_BYTES + HEAD];
    let mut sum = 0;
    let mut number = 0;
    while number < count {
        let (mut batch, mut bytes) = (Vec::with_capacity(MAX_BATCH), 0);
        while number < count && batch.len() < MAX_BATCH && bytes < BATCH_BYTES - MAX_BYTES {
            let size = size_of_message(number);
            let start = random(number) as usize % MAX_BYTES;
            batch.push(&source[start..start + size]);
            (number, bytes) = (number + 1, bytes + HEAD + size);
        }
        write(&batch, &mut socket)?;
        socket.read_exact(&mut back[..bytes])?;
        // The lengths, and the first and the last bytes of each message.
        let mut rest = &back[..bytes];
        for sent in batch {
            let (length, behind) = rest.split_at(HEAD);
            let (message, behind) = behind.split_at(sent.len());
            assert_eq!(length, (sent.len() as u32).to_le_bytes());
            let (first, last) = (&message[..16], &message[message.len() - 16..]);
            sum = random(sum ^ hash_of(first) ^ hash_of(last).rotate_left(7));
            rest = behind;
        }
    }
    Ok(sum)
}

fn prepare<M: Messages + 'static>(small: bool, make: fn() -> M) -> Work {
    let count = if small { 2000 } else { 200_000 };
    let source: Vec<u8> = (0..2 * MAX_BYTES as u64).map(|at| random(at) as u8).collect();
    Box::new(move || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        thread::scope(|threads| {
            let server = threads.spawn(|| {
                let (socket, _) = listener.accept()?;
                socket.set_nodelay(true)?;
                serve(make(), &socket)
            });
            let client = TcpStream::connect(address).and_then(|socket| {
                socket.set_nodelay(true)?;
                ask(count, &source, &socket)
            });
            server.join().expect("it does not panic").expect("the server's socket");
            client.expect("the client's socket")
        })
    })
}

/// A pool whose buffers are as large as a chunk.
fn pool_chunks() -> PoolChunks {
    let pool = BufferPool::builder().class_growing(CHUNK_BYTES, (2 << 20) / CHUNK_BYTES, 4096);
    let pool = pool.source(Pages::new().huge_pages()).build().expect("memory");
    PoolChunks { pool, chunk: BufferMut::with_capacity(0) }
}

/// A pool with a buffer for each message.
fn pool() -> BufferPool {
    (9..=16)
        .fold(BufferPool::builder(), |pool, shift| {
            pool.class_growing(1 << shift, (2 << 20) >> shift, HELD + MAX_BATCH)
        })
        .align(64)
        .source(Pages::new().huge_pages())
        .build()
        .expect("memory")
}

/// The program and its rows. `BytesMut` is on glibc's heap, and the last four rows have vectors.
pub fn program() -> Program {
    let bytes_chunks = |small| prepare(small, || BytesChunks { chunk: BytesMut::new() });
    let bytes_each = |small| prepare(small, || BytesEach);
    let mimalloc_each = |small| prepare(small, || MimallocEach);
    let vec_each = |small| prepare(small, || VecEach);
    Program {
        name: "echo",
        about: "an echo of 200,000 messages on a loopback socket; the latest 8192 are held",
        rivals: vec![
            Rival::new(OURS, |small| prepare(small, pool_chunks)),
            Rival::new("aegis-memory, one each", |small| prepare(small, pool)),
            Rival::new("BytesMut", bytes_chunks),
            Rival::set("BytesMut, huge pages", GLIBC_HUGE, bytes_chunks),
            Rival::new("BytesMut, one each", bytes_each),
            Rival::set("BytesMut, one each, huge pages", GLIBC_HUGE, bytes_each),
            Rival::new("mimalloc", mimalloc_each),
            Rival::set("mimalloc, huge pages", MIMALLOC_HUGE, mimalloc_each),
            Rival::new("glibc", vec_each),
            Rival::set("glibc, huge pages", GLIBC_HUGE, vec_each),
        ],
    }
}
