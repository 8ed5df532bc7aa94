// SPDX-License-Identifier: Apache-2.0
//! A server of `tokio` reads from its sockets into pages of a pool, and cuts the lines out of them
//! without a copy. `AsyncReadExt::read_buf` fills the room of a `BufferMut`, because that is a
//! `bytes::BufMut`. A task that finds no page free waits for one and costs no thread, so the pool
//! bounds the memory of all connections together.
//!
//! The answer is a chain of buffers, of which one is the longest line. `write_all_buf` writes it
//! with vectored writes.
//!
//! ```text
//! cargo run --release --features bytes --example tokio_read [CONNECTIONS]    (default: 20)
//! ```

use aegis_memory::buffer::{Buffer, BufferChain, BufferMut, BufferPool};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

const PAGE_BYTES: usize = 4096;
const PAGES: usize = 8;
const LINES: usize = 300;

/// What a client sends as its line of this number: up to 110 bytes and the line's end.
fn line(connection: usize, number: usize) -> String {
    format!("{connection:04} {number:04} {}\n", "x".repeat((connection + 7 * number) % 100))
}

/// The first of the longest lines of a client.
fn longest_line(connection: usize) -> String {
    let lines = (0..LINES).rev().map(|number| line(connection, number));
    lines.max_by_key(String::len).unwrap_or_default()
}

/// The page with room behind its bytes: the same one, if its lines are gone, or another one.
async fn with_room(pool: &BufferPool, mut page: BufferMut) -> io::Result<BufferMut> {
    if page.remaining_capacity() > 0 || page.try_reclaim(1) {
        return Ok(page);
    }
    // A task that waits for a page must not hold one. So the beginning of a line is copied out.
    let rest = page.to_vec();
    drop(page);
    let mut next = pool.get_async(PAGE_BYTES).await.map_err(io::Error::other)?;
    next.try_extend_from_slice(&rest).map_err(io::Error::other)?;
    if next.remaining_capacity() == 0 {
        return Err(io::Error::other("a line is longer than a page"));
    }
    Ok(next)
}

/// Reads lines until the client has sent all, and answers with their number and the longest one.
async fn serve(mut stream: TcpStream, pool: BufferPool) -> io::Result<usize> {
    let mut page = pool.get_async(PAGE_BYTES).await.map_err(io::Error::other)?;
    let (mut count, mut bytes, mut longest) = (0, 0, Buffer::new());
    loop {
        page = with_room(&pool, page).await?;
        let mut searched = page.len();
        if stream.read_buf(&mut page).await? == 0 {
            break;
        }
        while let Some(at) = page[searched..].iter().position(|&byte| byte == b'\n') {
            // The line is a part of the page, which is home again when the last such part is gone.
            let line = page.split_to(searched + at + 1).freeze();
            searched = 0;
            count += 1;
            bytes += line.len();
            if line.len() > longest.len() {
                // Its page would be missing to the others for as long as this connection lasts.
                // (`compact` would leave a line in place that takes up half of the page.)
                longest = Buffer::copy_from_slice(&line);
            }
        }
    }
    drop(page);
    let number = Buffer::from(format!("{count} lines, the longest: "));
    let mut answer = BufferChain::from([number, longest]);
    stream.write_all_buf(&mut answer).await?;
    Ok(bytes)
}

/// Sends the lines, and returns how many bytes they are and whether the answer is right.
async fn ask(address: SocketAddr, connection: usize) -> io::Result<(usize, bool)> {
    let mut stream = TcpStream::connect(address).await?;
    let mut bytes = 0;
    for number in 0..LINES {
        let line = line(connection, number);
        stream.write_all(line.as_bytes()).await?;
        bytes += line.len();
    }
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let longest = longest_line(connection);
    Ok((bytes, answer == format!("{LINES} lines, the longest: {longest}")))
}

/// Waits for all tasks. The first error ends the others.
async fn all<T: 'static>(tasks: &mut JoinSet<io::Result<T>>) -> io::Result<Vec<T>> {
    let mut results = Vec::new();
    while let Some(done) = tasks.join_next().await {
        results.push(done.map_err(io::Error::other)??);
    }
    Ok(results)
}

async fn run(connections: usize) -> io::Result<()> {
    let pool = BufferPool::try_new(PAGE_BYTES, PAGES).map_err(io::Error::other)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (mut clients, mut servers) = (JoinSet::new(), JoinSet::new());
    for connection in 0..connections {
        clients.spawn(ask(address, connection));
        let (stream, _) = listener.accept().await?;
        servers.spawn(serve(stream, pool.clone()));
    }
    let asked = all(&mut clients).await?;
    let read: usize = all(&mut servers).await?.iter().sum();
    let sent: usize = asked.iter().map(|(bytes, _)| bytes).sum();
    if read != sent || !asked.iter().all(|(_, right)| *right) {
        return Err(io::Error::other("what arrived is not what was sent"));
    }
    println!("read      {read} bytes in lines on {connections} connections, verified");
    let stats = pool.stats();
    println!("pages     {PAGES} of {PAGE_BYTES} bytes, {} of them out", stats.classes[0].in_use);
    Ok(())
}

fn main() -> ExitCode {
    let connections = match std::env::args().nth(1).map(|text| text.parse()) {
        None => 20,
        Some(Ok(connections)) => connections,
        Some(Err(_)) => {
            eprintln!("usage: tokio_read [CONNECTIONS]");
            return ExitCode::from(2);
        }
    };
    let runtime = Builder::new_current_thread().enable_io().build();
    match runtime.and_then(|runtime| runtime.block_on(run(connections))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tokio_read: {error}");
            ExitCode::FAILURE
        }
    }
}
