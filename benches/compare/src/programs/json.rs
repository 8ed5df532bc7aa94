// SPDX-License-Identifier: Apache-2.0
//! A JSON document that is parsed into a tree, walked and dropped, again and again.
//!
//! The parser knows all of JSON, except that a number is a whole one or an `f64`, and `\u` names one
//! character of the basic plane. It collects the children of an array or an object on a stack, and
//! moves them into a slice of their number when the last is read. So no vector grows in the home.
//! A text without escapes is copied from the document at once.

use aegis_memory::arena::Arena;
use aegis_memory::source::Pages;

use super::places::Slices;
use super::{hash_of, random, random_below, rivals, Program, Rival, Work};
use super::{GLIBC_HUGE, MIMALLOC_HUGE, OURS};
use crate::homes::{BumpScope, Home, Mimalloc, Std};

/// A value of JSON.
enum Value<'a, H: Slices> {
    Null,
    Bool(bool),
    Whole(i64),
    Float(f64),
    Text(H::Text<'a>),
    Array(H::Slice<'a, Value<'a, H>>),
    Object(H::Slice<'a, Member<'a, H>>),
}

type Member<'a, H> = (<H as Home>::Text<'a>, Value<'a, H>);

/// A number that every name and value of the tree changes.
fn checksum<H: Slices>(value: &Value<'_, H>) -> u64 {
    match value {
        Value::Null => 1,
        Value::Bool(value) => 2 + u64::from(*value),
        Value::Whole(value) => random(*value as u64),
        Value::Float(value) => random(value.to_bits()),
        Value::Text(text) => hash_of(text.as_ref().as_bytes()),
        Value::Array(values) => {
            values.iter().fold(4, |sum, value| random(sum).wrapping_add(checksum::<H>(value)))
        }
        Value::Object(members) => members.iter().fold(5, |sum, (name, value)| {
            let name = hash_of(name.as_ref().as_bytes());
            random(sum ^ name).wrapping_add(checksum::<H>(value))
        }),
    }
}

struct Parser<'a, 't, H: Slices> {
    home: &'a H,
    text: &'t str,
    at: usize,
    /// The values of the arrays and the members of the objects that are not complete.
    values: Vec<Value<'a, H>>,
    members: Vec<Member<'a, H>>,
    /// A text with escapes, while it is read.
    unescaped: String,
}

impl<'a, H: Slices> Parser<'a, '_, H> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes white space, and returns what is behind it.
    fn next(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    /// Passes white space, and the byte if it is the next one.
    fn pass(&mut self, byte: u8) -> bool {
        let is_next = self.next() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn word(&mut self, word: &str, value: Value<'a, H>) -> Option<Value<'a, H>> {
        let is_next = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        is_next.then_some(value)
    }

    fn value(&mut self) -> Option<Value<'a, H>> {
        match self.next()? {
            b'n' => self.word("null", Value::Null),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'"' => self.text().map(Value::Text),
            b'[' => self.array(),
            b'{' => self.object(),
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Option<Value<'a, H>> {
        let start = self.at;
        while let Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') = self.peek() {
            self.at += 1;
        }
        let digits = &self.text[start..self.at];
        let whole = digits.parse().map(Value::Whole);
        whole.or_else(|_| digits.parse().map(Value::Float)).ok()
    }

    fn text(&mut self) -> Option<H::Text<'a>> {
        if !self.pass(b'"') {
            return None;
        }
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => return self.escaped_text(start),
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(self.home.text(&self.text[start..self.at - 1]))
    }

    /// Goes on at the first escape of a text.
    #[cold]
    fn escaped_text(&mut self, mut start: usize) -> Option<H::Text<'a>> {
        self.unescaped.clear();
        loop {
            let byte = self.peek()?;
            self.at += 1;
            if byte != b'"' && byte != b'\\' {
                continue;
            }
            self.unescaped.push_str(&self.text[start..self.at - 1]);
            if byte == b'"' {
                return Some(self.home.text(&self.unescaped));
            }
            let escape = self.peek()?;
            self.at += 1;
            self.unescaped.push(match escape {
                b'n' => '\n',
                b't' => '\t',
                b'r' => '\r',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'u' => {
                    let digits = self.text.get(self.at..self.at + 4)?;
                    self.at += 4;
                    char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
                }
                b'"' | b'\\' | b'/' => escape.into(),
                _ => return None,
            });
            start = self.at;
        }
    }

    fn array(&mut self) -> Option<Value<'a, H>> {
        self.at += 1;
        let first = self.values.len();
        if !self.pass(b']') {
            loop {
                let value = self.value()?;
                self.values.push(value);
                if self.pass(b']') {
                    break;
                }
                if !self.pass(b',') {
                    return None;
                }
            }
        }
        Some(Value::Array(self.home.slice(self.values.drain(first..))))
    }

    fn object(&mut self) -> Option<Value<'a, H>> {
        self.at += 1;
        let first = self.members.len();
        if !self.pass(b'}') {
            loop {
                let name = self.text()?;
                if !self.pass(b':') {
                    return None;
                }
                let value = self.value()?;
                self.members.push((name, value));
                if self.pass(b'}') {
                    break;
                }
                if !self.pass(b',') {
                    return None;
                }
            }
        }
        Some(Value::Object(self.home.slice(self.members.drain(first..))))
    }
}

/// Reads a value, and nothing but white space behind it.
fn parse<'a, H: Slices>(home: &'a H, text: &str) -> Option<Value<'a, H>> {
    let (values, members, unescaped) = (Vec::new(), Vec::new(), String::new());
    let mut parser = Parser { home, text, at: 0, values, members, unescaped };
    let value = parser.value()?;
    parser.next().is_none().then_some(value)
}

/// A document of this many bytes: orders with a customer and a list of items each.
fn document(bytes: usize) -> String {
    use std::fmt::Write;
    let mut text = String::from("[\n");
    for id in 0_u64.. {
        let at = |field| random(id * 64 + field);
        let below = |field, end| random_below(id * 64 + field, end);
        let separator = if id == 0 { "" } else { ",\n" };
        write!(
            text,
            "{separator}{{\"id\": {id}, \"uuid\": \"{:016x}{:016x}\", \"customer\": \
             {{\"name\": \"customer {}\", \"mail\": \"c{}@example.com\", \"vip\": {}}}, \
             \"note\": {}, \"items\": [",
            at(0),
            at(1),
            below(2, 1 << 20),
            below(2, 1 << 20),
            below(3, 10) == 0,
            match below(4, 8) {
                0 => "\"leave at the \\\"back\\\" door\\nplease\"",
                1 => "\"a longer remark, as people write them when they have something to say\"",
                _ => "null",
            },
        )
        .expect("a string takes everything");
        for item in 0..below(5, 9) {
            let comma = if item == 0 { "" } else { ", " };
            let (part, count) = (below(10 + item, 100_000), 1 + below(20 + item, 9));
            let price = below(30 + item, 100_000) as f64 / 100.0;
            write!(text, "{comma}{{\"part\": \"P-{part:05}\", \"count\": {count}, ")
                .expect("as above");
            write!(text, "\"price\": {price:?}, \"tags\": [\"t{}\", \"new\"]}}", part % 50)
                .expect("as above");
        }
        text.push_str("]}");
        if text.len() >= bytes {
            break;
        }
    }
    text.push_str("\n]\n");
    text
}

fn prepare<H: Slices>(small: bool, make: fn() -> H) -> Work {
    let (bytes, rounds) = if small { (1 << 18, 2) } else { (8 << 20, 25) };
    let text = document(bytes);
    Box::new(move || {
        let mut home = make();
        let mut sum = 0;
        for _ in 0..rounds {
            let value = parse::<H>(&home, &text).expect("it is valid");
            sum = random(sum ^ checksum::<H>(&value));
            drop(value);
            home.reset();
        }
        sum
    })
}

/// The program and its rows.
pub fn program() -> Program {
    Program {
        name: "json",
        about: "a JSON document of 8 MiB: parsed into a tree, walked and dropped, 25 times",
        rivals: rivals!(
            |small| prepare(small, || {
                // The first block is a huge page. Smaller ones would be of usual pages.
                let arena = Arena::builder().source(Pages::new().huge_pages());
                arena.capacity(2 << 20).build().expect("memory")
            }),
            |small| prepare(small, bumpalo::Bump::new),
            |small| prepare(small, <BumpScope<true> as Home>::new),
            |small| prepare(small, || Mimalloc),
            |small| prepare(small, || Std)
        ),
    }
}
