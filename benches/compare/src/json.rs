// SPDX-License-Identifier: Apache-2.0
//! A small parser of JSON whose values live in a home: an array and an object are vectors that grow,
//! and each text is copied.
//!
//! It knows what [`text_of`] makes: numbers are whole, and texts have no escapes.

use allocator_api2::vec::Vec as VecIn;

use crate::homes::Home;

/// A value of JSON.
pub enum Value<'a, H: Home> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(H::Text<'a>),
    /// Values in their order.
    Array(VecIn<Value<'a, H>, H::In<'a>>),
    /// Names and values in their order.
    Object(VecIn<(H::Text<'a>, Value<'a, H>), H::In<'a>>),
}

impl<H: Home> Value<'_, H> {
    /// How many values there are.
    pub fn count(&self) -> usize {
        1 + match self {
            Self::Array(values) => values.iter().map(Value::count).sum(),
            Self::Object(members) => members.iter().map(|(_, value)| value.count()).sum::<usize>(),
            Self::Null => 0,
            Self::Bool(value) => usize::from(*value),
            Self::Number(value) => usize::from(*value == i64::MIN),
            Self::Text(text) => usize::from(text.as_ref().is_empty()),
        }
    }
}

/// A text of this many bytes: rows of a table, which end with blanks.
pub fn text_of(bytes: usize) -> String {
    let mut text = String::from("[");
    for id in 0_u64.. {
        let separator = if id == 0 { "" } else { "," };
        let city = ["Lima", "Oslo", "Quito", "Ulaanbaatar"][id as usize % 4];
        let row = format!(
            "{separator}{{\"id\":{id},\"name\":\"user {id}\",\"city\":\"{city}\",\
             \"active\":{},\"parent\":null,\"scores\":[{},{},{}]}}",
            id % 3 == 0,
            id % 7,
            id % 11,
            id % 13,
        );
        if text.len() + row.len() >= bytes {
            break;
        }
        text += &row;
    }
    text += "]";
    text.extend(std::iter::repeat_n(' ', bytes.saturating_sub(text.len())));
    text
}

/// Reads a value, and nothing but blanks behind it.
pub fn parse<'a, H: Home>(home: &'a H, text: &str) -> Option<Value<'a, H>> {
    let mut parser = Parser { home, text, at: 0 };
    let value = parser.value()?;
    text[parser.at..].trim().is_empty().then_some(value)
}

struct Parser<'a, 't, H> {
    home: &'a H,
    text: &'t str,
    at: usize,
}

impl<'a, H: Home> Parser<'a, '_, H> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes the byte if it is the next one.
    fn pass(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn word(&mut self, word: &str, value: Value<'a, H>) -> Option<Value<'a, H>> {
        self.at += word.len();
        (self.text.get(self.at - word.len()..self.at) == Some(word)).then_some(value)
    }

    fn value(&mut self) -> Option<Value<'a, H>> {
        match self.peek()? {
            b'n' => self.word("null", Value::Null),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'"' => self.text().map(Value::Text),
            b'[' => self.array(),
            b'{' => self.object(),
            _ => self.number().map(Value::Number),
        }
    }

    fn number(&mut self) -> Option<i64> {
        let start = self.at;
        let mut number = 0_i64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            number = number.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
            self.at += 1;
        }
        (self.at > start).then_some(number)
    }

    #[inline(never)]
    fn text(&mut self) -> Option<H::Text<'a>> {
        if !self.pass(b'"') {
            return None;
        }
        let start = self.at;
        while self.peek()? != b'"' {
            self.at += 1;
        }
        self.at += 1;
        Some(self.home.text(self.text.get(start..self.at - 1)?))
    }

    #[inline(never)]
    fn array(&mut self) -> Option<Value<'a, H>> {
        self.at += 1;
        let mut values = VecIn::new_in(self.home.allocator());
        if self.pass(b']') {
            return Some(Value::Array(values));
        }
        loop {
            values.push(self.value()?);
            if self.pass(b']') {
                return Some(Value::Array(values));
            }
            if !self.pass(b',') {
                return None;
            }
        }
    }

    #[inline(never)]
    fn object(&mut self) -> Option<Value<'a, H>> {
        self.at += 1;
        let mut members = VecIn::new_in(self.home.allocator());
        if self.pass(b'}') {
            return Some(Value::Object(members));
        }
        loop {
            let name = self.text()?;
            if !self.pass(b':') {
                return None;
            }
            members.push((name, self.value()?));
            if self.pass(b'}') {
                return Some(Value::Object(members));
            }
            if !self.pass(b',') {
                return None;
            }
        }
    }
}
