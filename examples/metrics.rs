// SPDX-License-Identifier: Apache-2.0
//! A tree of budgets as metrics for Prometheus, in its text format, over a local socket. Only the
//! standard library is used.
//!
//! `cargo run --example metrics` asks itself once and prints the answer. With `-- --serve` it
//! prints its address and answers `GET /metrics` until it is stopped, while queries come and go.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use aegis_memory::arena::Arena;
use aegis_memory::budget::{BudgetStats, MemoryBudget};

/// A metric: the end of its name, its type, what it means, and how it is read. `None` is infinite.
type Metric = (&'static str, &'static str, &'static str, fn(&BudgetStats) -> Option<u64>);

/// What is exported. Each further statistic is one line; the name of a counter ends in `_total`.
const METRICS: &[Metric] = &[
    ("used_bytes", "gauge", "Bytes charged to the budget now.", |b| Some(b.used_bytes as u64)),
    ("peak_bytes", "gauge", "The most bytes charged so far.", |b| Some(b.peak_bytes as u64)),
    ("limit_bytes", "gauge", "The bytes that can be charged.", |b| bounded(b.limit_bytes)),
];

fn bounded(limit: usize) -> Option<u64> {
    (limit != MemoryBudget::UNLIMITED).then_some(limit as u64)
}

/// The path of each budget: the names from the first budget down, with `/` between them. Prometheus
/// refuses two samples with the same labels, so a path that exists already gets a number.
fn paths(tree: &[BudgetStats]) -> Vec<String> {
    let (mut paths, mut seen) = (Vec::with_capacity(tree.len()), HashSet::new());
    // A parent comes before its children, so these are the paths from the first budget to the last.
    let mut above: Vec<String> = Vec::new();
    for budget in tree {
        above.truncate(budget.depth as usize);
        let parent = above.last().map_or(String::new(), |path| format!("{path}/"));
        let mut path = format!("{parent}{}", budget.name);
        for number in 2.. {
            if seen.insert(path.clone()) {
                break;
            }
            path = format!("{parent}{}#{number}", budget.name);
        }
        above.push(path.clone());
        paths.push(path);
    }
    paths
}

/// The value of a label, as the format has it between quotation marks.
fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The whole text: each metric with its samples, one for each budget.
fn exposition(budget: &MemoryBudget) -> String {
    let tree = budget.snapshot();
    let labels: Vec<_> = paths(&tree).iter().map(|path| escape(path)).collect();
    let mut text = String::new();
    for (name, kind, help, read) in METRICS {
        let name = format!("aegis_memory_budget_{name}");
        _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (budget, label) in tree.iter().zip(&labels) {
            let value = read(budget).map_or("+Inf".to_string(), |value| value.to_string());
            _ = writeln!(text, "{name}{{budget=\"{label}\"}} {value}");
        }
    }
    // Who held the memory at the peak. A rank keeps consumers of the same name apart.
    let name = "aegis_memory_budget_peak_consumer_bytes";
    let peak = budget.peak_report();
    if !peak.consumers.is_empty() {
        let help = "Bytes that the largest consumers held at the peak, within a sixteenth of it.";
        _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    }
    for (i, consumer) in peak.consumers.iter().enumerate() {
        let (of, who) = (&labels[0], escape(consumer.name.as_str()));
        let (rank, bytes) = (i + 1, consumer.direct_bytes);
        _ = writeln!(text, "{name}{{budget=\"{of}\",rank=\"{rank}\",consumer=\"{who}\"}} {bytes}");
    }
    text
}

/// The most bytes of a request that are read.
const MAX_REQUEST: u64 = 8 << 10;
/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads a request up to the empty line behind its head. Returns its first line.
fn read_request(stream: &TcpStream) -> io::Result<String> {
    let (mut head, mut piece) = (Vec::new(), [0; 1024]);
    let mut stream = stream.take(MAX_REQUEST);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => head.extend_from_slice(&piece[..count]),
        }
    }
    let head = String::from_utf8_lossy(&head);
    Ok(head.lines().next().unwrap_or_default().to_string())
}

/// Answers one request.
fn answer(mut stream: TcpStream, budget: &MemoryBudget) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = read_request(&stream)?;
    let (status, body) = match request.split(' ').collect::<Vec<_>>()[..] {
        ["GET", "/metrics", _] => ("200 OK", exposition(budget)),
        ["GET", ..] => ("404 Not Found", "the metrics are at /metrics\n".to_string()),
        _ => ("405 Method Not Allowed", "only GET is answered\n".to_string()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Asks once, as Prometheus does, and returns the body of the answer.
fn ask(address: SocketAddr, mut stream: TcpStream) -> Result<String, Box<dyn Error + Send + Sync>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or("the answer has no body")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("the answer is {head}").into());
    }
    Ok(body.to_string())
}

/// A query that takes as many rows of 100 bytes as its budget allows.
fn run_query(budget: &MemoryBudget) {
    let arena = Arena::builder().budget(budget).max_block(64 << 10).build();
    if let Ok(arena) = arena {
        while arena.try_alloc(100).is_ok() {}
    }
}

fn run(serve: bool) -> Result<(), Box<dyn Error + Send + Sync>> {
    let process = MemoryBudget::new("process", 64 << 20);
    let database = process.child("db", 16 << 20);
    let _cache = database.child("page cache", MemoryBudget::UNLIMITED).reserve(3 << 20);
    let query = database.child("query", 1 << 20);
    // Two budgets of the same name, which holds characters that the format escapes.
    let _reports =
        [1000, 2000].map(|bytes| process.child(r#"report "C:\now""#, 4096).reserve(bytes));
    run_query(&query);

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    if !serve {
        // The connection waits for the server, so the server finds one.
        let stream = TcpStream::connect(address)?;
        let body = thread::scope(|scope| {
            let server = scope.spawn(|| answer(listener.accept()?.0, &process));
            let body = ask(address, stream);
            server.join().expect("the server does not panic").map_err(Into::into).and(body)
        })?;
        print!("{body}");
        return Ok(());
    }
    println!("http://{address}/metrics");
    thread::spawn(move || loop {
        run_query(&query);
        thread::sleep(Duration::from_millis(100));
    });
    for stream in listener.incoming() {
        // A client that goes away is its own problem.
        if let Err(error) = stream.and_then(|stream| answer(stream, &process)) {
            eprintln!("metrics: {error}");
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let serve = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--serve"] => true,
        _ => {
            eprintln!("usage: metrics [--serve]");
            return ExitCode::from(2);
        }
    };
    match run(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("metrics: {error}");
            ExitCode::FAILURE
        }
    }
}
