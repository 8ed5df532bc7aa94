// SPDX-License-Identifier: Apache-2.0
//! How statistics are shown as text: a line for each of them, with its name and its value; and how
//! lines that the C core draws are shown.

use alloc::string::String;
use core::ffi::{c_char, c_void, CStr};
use core::fmt::{self, Write};
use core::str;

/// A number of bytes, shown in the largest unit that makes it at least 1.
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut unit = "B";
        let mut value = self.0 as f64;
        for larger in ["KiB", "MiB", "GiB", "TiB"] {
            if value < 1024.0 {
                break;
            }
            value /= 1024.0;
            unit = larger;
        }
        let decimals = usize::from(unit != "B");
        write!(f, "{value:.decimals$} {unit}")
    }
}

/// One line.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    /// The number of the size class that the line is about.
    pub(crate) class: Option<usize>,
    pub(crate) name: &'static str,
    pub(crate) value: Value<'a>,
}

/// What a line shows.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Bytes(usize),
    /// A sum of bytes over time, which may be more than an address space has.
    TotalBytes(u64),
    /// Bytes of a limit. `usize::MAX` stands for no limit.
    Limit(usize),
    Count(u64),
    Text(&'a str),
}

impl Line<'_> {
    fn name(&self, to: &mut impl Write) -> fmt::Result {
        match self.class {
            Some(class) => write!(to, "classes[{class}].{}", self.name),
            None => to.write_str(self.name),
        }
    }

    fn value(&self, to: &mut impl Write) -> fmt::Result {
        match self.value {
            Value::Limit(usize::MAX) => to.write_str("no limit"),
            Value::Bytes(bytes) | Value::Limit(bytes) => {
                write!(to, "{}", Size(bytes as u64))
            }
            Value::TotalBytes(bytes) => write!(to, "{}", Size(bytes)),
            Value::Count(count) => write!(to, "{count}"),
            Value::Text(text) => to.write_str(text),
        }
    }
}

/// The number of characters of a text.
fn length(text: impl FnOnce(&mut Characters) -> fmt::Result) -> usize {
    let mut characters = Characters(0);
    // It counts, which does not fail.
    _ = text(&mut characters);
    characters.0
}

struct Characters(usize);

impl Write for Characters {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.chars().count();
        Ok(())
    }
}

/// Writes the lines: names to the left, numbers to the right, each in a column. A text begins where
/// the column of the numbers does. No line feed stands behind the last line.
pub(crate) fn write_lines<'a>(
    f: &mut fmt::Formatter<'_>,
    lines: impl Iterator<Item = Line<'a>> + Clone,
) -> fmt::Result {
    let width_of = |line: Line<'_>| match line.value {
        Value::Text(_) => (length(|to| line.name(to)), None),
        _ => (length(|to| line.name(to)), Some(length(|to| line.value(to)))),
    };
    let widths = lines.clone().map(width_of);
    let (names, values) =
        widths.fold((0, 0), |most, line| (most.0.max(line.0), most.1.max(line.1.unwrap_or(0))));
    for (index, line) in lines.enumerate() {
        if index != 0 {
            f.write_char('\n')?;
        }
        let (name, value) = width_of(line);
        line.name(f)?;
        let pad = value.map_or(0, |value| values - value);
        write!(f, "{:1$}", "", names - name + 2 + pad)?;
        line.value(f)?;
    }
    Ok(())
}

/// Implements `Display` for statistics, with a line for each field. The kind of a field is a variant
/// of [`Value`]. A field that is missing does not compile.
macro_rules! display_lines {
    ($stats:ident { $($field:ident: $kind:ident),* $(,)? }) => {
        impl $stats {
            /// A line for each field. A size class of a pool has a number.
            #[allow(clippy::unnecessary_cast)]
            pub(crate) fn lines(
                &self,
                class: Option<usize>,
            ) -> impl Iterator<Item = $crate::lines::Line<'_>> + Clone {
                let Self { $($field),* } = self;
                [$($crate::lines::Line {
                    class,
                    name: stringify!($field),
                    value: $crate::lines::display_lines!(@$kind $field),
                }),*].into_iter()
            }
        }

        impl core::fmt::Display for $stats {
            /// A line for each of the statistics, with its name. Sizes have a unit.
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                $crate::lines::write_lines(f, self.lines(None))
            }
        }
    };
    (@Count $field:ident) => { $crate::lines::Value::Count(*$field as u64) };
    (@Text $field:ident) => { $crate::lines::Value::Text($field) };
    (@$kind:ident $field:ident) => { $crate::lines::Value::$kind(*$field) };
}

pub(crate) use display_lines;

/// Writes bytes that should be UTF-8. U+FFFD takes the place of those that are not.
pub(crate) fn write_lossy(to: &mut impl Write, mut bytes: &[u8]) -> fmt::Result {
    while let Err(error) = str::from_utf8(bytes) {
        let (text, rest) = bytes.split_at(error.valid_up_to());
        to.write_str(str::from_utf8(text).unwrap_or_default())?;
        to.write_char(char::REPLACEMENT_CHARACTER)?;
        bytes = &rest[error.error_len().unwrap_or(rest.len())..];
    }
    to.write_str(str::from_utf8(bytes).unwrap_or_default())
}

/// Receives a line of the core, with its context.
pub(crate) type Print = unsafe extern "C" fn(*mut c_void, *const c_char);

/// Shows what the core draws. `print` passes on a function that receives the lines, and its context,
/// and returns whether the core has drawn all.
pub(crate) fn draw(
    f: &mut fmt::Formatter<'_>,
    print: impl FnOnce(Print, *mut c_void) -> bool,
) -> fmt::Result {
    /// The text so far, or `None` when there was no memory for it.
    struct Lines(Option<String>);
    impl Write for Lines {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let lines = self.0.as_mut().ok_or(fmt::Error)?;
            if lines.try_reserve(text.len()).is_err() {
                self.0 = None;
                return Err(fmt::Error);
            }
            lines.push_str(text);
            Ok(())
        }
    }
    unsafe extern "C" fn push(lines: *mut c_void, line: *const c_char) {
        // SAFETY: the context is `lines` below, and the line is terminated.
        let (lines, line) = unsafe { (&mut *lines.cast::<Lines>(), CStr::from_ptr(line)) };
        let is_first = lines.0.as_ref().is_some_and(String::is_empty);
        let separator = if is_first { "" } else { "\n" };
        // `lines` remembers a failure.
        _ = lines.write_str(separator).and_then(|()| write_lossy(lines, line.to_bytes()));
    }
    let mut lines = Lines(Some(String::new()));
    let context: *mut Lines = &mut lines;
    let is_whole = print(push, context.cast());
    match lines.0 {
        Some(lines) if is_whole => f.write_str(&lines),
        _ => f.write_str("(no memory for the picture)"),
    }
}
