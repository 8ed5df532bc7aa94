// SPDX-License-Identifier: Apache-2.0
//! Tests that buffers take part in what is built on the `bytes` crate: `tokio`'s readers and
//! writers, the codecs of `tokio-util`, and the bodies of `hyper`. Where these promise not to copy,
//! the bytes must stay at their address, and a page of a pool must come home when they are done.
#![cfg(all(feature = "std", feature = "bytes"))]

use ::bytes::{Buf, Bytes, BytesMut};
use aegis_memory::buffer::{Buffer, BufferChain, BufferMut, BufferPool};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::rt::ReadBufCursor;
use hyper::{Request, Response};
use std::convert::Infallible;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{ready, Context, Poll};
use tokio::io::{
    duplex, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf,
};
use tokio_util::codec::{Decoder, Encoder, FramedRead, LengthDelimitedCodec};

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(test)
}

/// A page of a pool with these bytes.
fn page_of(pool: &BufferPool, bytes: &[u8]) -> Buffer {
    let mut page = pool.get(bytes.len()).expect("a page");
    page.extend_from_slice(bytes);
    page.freeze()
}

fn out(pool: &BufferPool) -> usize {
    pool.stats().classes[0].in_use
}

#[test]
fn page_that_goes_through_bytes_and_back_stays_the_page() {
    let pool = BufferPool::new(4096, 1);
    let page = page_of(&pool, b"key=value");
    let data = page.as_ptr();
    let bytes = Bytes::from(page);
    let mut value = bytes.slice(4..);
    drop(bytes);
    let half = Buffer::from(value.split_to(2));
    assert_eq!((half.as_ptr(), &*half, &*value), (data.wrapping_add(4), &b"va"[..], &b"lue"[..]));
    assert!(half.retained_bytes() >= 4096 && out(&pool) == 1);
    let whole = Bytes::from_owner(half);
    assert_eq!(whole.as_ptr(), data.wrapping_add(4));
    drop((whole, value));
    assert_eq!(out(&pool), 0);
}

#[test]
fn socket_is_read_into_a_page_and_written_from_a_chain() {
    run(async {
        let pool = BufferPool::new(64, 2);
        let (mut near, mut far) = duplex(256);
        let body = page_of(&pool, b"the body of the message");
        let mut chain =
            BufferChain::from([Buffer::from("head: "), body.clone(), Buffer::from("!")]);
        near.write_all_buf(&mut chain).await.unwrap();
        assert!(chain.is_empty());
        near.write_all_buf(&mut body.slice(..3)).await.unwrap();
        drop((near, body));

        let mut page = pool.get(64).unwrap();
        let data = page.as_ptr();
        page.extend_from_slice(b"> ");
        while far.read_buf(&mut page).await.unwrap() != 0 {}
        assert_eq!(page, "> head: the body of the message!the");
        let head = page.split_to(8).freeze();
        assert_eq!((head.as_ptr(), &*head, &*page), (data, &b"> head: "[..], &page.to_vec()[..]));
        // A page that is full is the end of what `read_buf` reads, and no error.
        let mut full = BufferMut::from("full");
        assert_eq!(far.read_buf(&mut full).await.unwrap(), 0);
        drop((head, page));
        assert_eq!(out(&pool), 0);
    });
}

/// Frames of a length and as many bytes, as buffers. What is decoded is a part of the memory that
/// was read; `seen` keeps its address.
struct Frames {
    codec: LengthDelimitedCodec,
    seen: Arc<Mutex<Vec<usize>>>,
}

impl Decoder for Frames {
    type Item = Frame<Buffer>;
    type Error = io::Error;

    fn decode(&mut self, read: &mut BytesMut) -> io::Result<Option<Frame<Buffer>>> {
        let Some(frame) = self.codec.decode(read)? else { return Ok(None) };
        self.seen.lock().unwrap().push(frame.as_ptr() as usize);
        Ok(Some(Frame::data(frame.freeze().into())))
    }
}

impl Encoder<Buffer> for Frames {
    type Error = io::Error;

    fn encode(&mut self, frame: Buffer, into: &mut BytesMut) -> io::Result<()> {
        self.codec.encode(Bytes::from(frame), into)
    }
}

fn frames() -> Frames {
    Frames { codec: LengthDelimitedCodec::new(), seen: Arc::default() }
}

#[test]
fn codec_takes_buffers_and_its_frames_become_buffers_without_a_copy() {
    run(async {
        let pool = BufferPool::new(4096, 1);
        let page = page_of(&pool, &[7; 3000]);
        let mut codec = frames();
        let mut wire = BytesMut::new();
        for frame in [page.slice(..10), page.slice(10..), Buffer::new()] {
            codec.encode(frame, &mut wire).unwrap();
        }
        drop(page);
        assert_eq!((out(&pool), wire.len()), (0, 3000 + 3 * 4));
        // In one piece, a length and a frame need no copy at all on their way out.
        let (mut near, far) = duplex(500);
        let sender = tokio::spawn(async move {
            near.write_all(&wire).await.unwrap();
            let page = page_of(&pool, b"the last frame");
            let length = Buffer::copy_from_slice(&(page.len() as u32).to_be_bytes());
            near.write_all_buf(&mut length.chain(page)).await.unwrap();
            assert_eq!(out(&pool), 0);
        });
        // A body of `http-body-util` whose frames a codec reads.
        let seen = codec.seen.clone();
        let mut body = StreamBody::new(FramedRead::new(far, codec));
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            read.push(frame.unwrap().into_data().expect("no trailers"));
        }
        sender.await.unwrap();
        let lengths: Vec<_> = read.iter().map(Buffer::len).collect();
        assert_eq!(lengths, [10, 2990, 0, 14]);
        assert!(read[1].iter().all(|&byte| byte == 7) && read[3] == "the last frame");
        for (frame, seen) in read.iter().zip(seen.lock().unwrap().iter()) {
            assert!(frame.is_empty() || frame.as_ptr() as usize == *seen, "a copy");
        }
    });
}

/// A stream of `tokio` for `hyper`.
struct Io(DuplexStream);

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut copy = [0; 512];
        let room = into.remaining().min(copy.len());
        let mut read = ReadBuf::new(&mut copy[..room]);
        ready!(Pin::new(&mut self.0).poll_read(context, &mut read))?;
        into.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        table: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, table)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// A body of several buffers, each of which is a frame.
struct Parts(BufferChain);

impl Body for Parts {
    type Data = Buffer;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Buffer>, Infallible>>> {
        let first = self.0.iter().next().map(|part| part.len());
        let part = first.map(|len| self.0.split_to(len).into_buffer());
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.0.len() as u64)
    }
}

/// Answers with what was sent, between two pages of the pool.
async fn echo(pool: BufferPool, request: Request<Incoming>) -> hyper::Result<Response<Parts>> {
    let sent = request.into_body().collect().await?.to_bytes();
    let sent = Buffer::from(sent);
    let mut parts = BufferChain::from(page_of(&pool, b"you sent "));
    parts.push(sent);
    parts.push(page_of(&pool, b" to hyper"));
    Ok(Response::new(Parts(parts)))
}

#[test]
fn bodies_of_hyper_are_buffers() {
    run(async {
        let pool = BufferPool::new(4096, 3);
        let (near, far) = duplex(1000);
        let server = tokio::spawn({
            let pool = pool.clone();
            let service = hyper::service::service_fn(move |request| echo(pool.clone(), request));
            hyper::server::conn::http1::Builder::new().serve_connection(Io(far), service)
        });
        let handshake = hyper::client::conn::http1::handshake::<_, Full<Buffer>>(Io(near));
        let (mut client, connection) = handshake.await.unwrap();
        let connection = tokio::spawn(connection);
        for size in [0, 1, 3000] {
            let page = page_of(&pool, &vec![b'x'; size]);
            let request = Request::post("/").body(Full::new(page)).unwrap();
            let response = client.send_request(request).await.unwrap();
            let said = response.headers()["content-length"].to_str().unwrap().to_owned();
            // What came over the wire becomes a chain of buffers without a copy.
            let (mut body, mut got) = (response.into_body(), BufferChain::new());
            while let Some(frame) = body.frame().await {
                let data = frame.unwrap().into_data().expect("no trailers");
                let (address, part) = (data.as_ptr(), Buffer::from(data.clone()));
                assert_eq!(part.as_ptr(), address);
                got.push(part);
            }
            assert_eq!(said, got.len().to_string());
            let expected = format!("you sent {} to hyper", "x".repeat(size));
            assert!(got == expected.as_str() && got.remaining() == expected.len());
        }
        drop(client);
        connection.await.unwrap().unwrap();
        server.await.unwrap().unwrap();
        assert_eq!(out(&pool), 0, "all pages are home");
    });
}

#[test]
fn body_of_one_buffer_is_collected_without_a_copy() {
    run(async {
        let page = page_of(&BufferPool::new(64, 1), b"one page");
        let data = page.as_ptr();
        let collected = Full::new(page).collect().await.expect("it cannot fail");
        let bytes = collected.to_bytes();
        assert_eq!((bytes.as_ptr(), &*bytes), (data, &b"one page"[..]));
    });
}
