// SPDX-License-Identifier: Apache-2.0
//! What the examples that work on files share: how they end, files that remove themselves, and a
//! file to work on if the command line names none.
#![allow(dead_code)]

use aegis_memory::AllocError;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Why an example fails.
pub enum Failure {
    Io {
        what: &'static str,
        path: PathBuf,
        error: io::Error,
    },
    Memory(AllocError),
    /// Two files that should be equal are not. Contains the words for it.
    Differs(String),
}

impl Failure {
    /// Names what was to be done to which file, for `map_err`.
    pub fn io<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Self + 'a {
        move |error| Self::Io { what, path: path.to_path_buf(), error }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, path, error } => {
                write!(f, "cannot {what} '{}': {error}", path.display())
            }
            Self::Memory(error) => write!(f, "{error}"),
            Self::Differs(text) => f.write_str(text),
        }
    }
}

/// The exit code of the example with this name. If it has failed, prints why.
pub fn exit_code(name: &str, outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{name}: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The whole of an example whose only argument is a file, which may be missing.
pub fn run_on_file(name: &str, run: fn(Option<PathBuf>) -> Result<(), Failure>) -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if arguments.len() > 1 {
        eprintln!("usage: {name} [FILE]");
        return ExitCode::from(2);
    }
    exit_code(name, run(arguments.into_iter().next().map(PathBuf::from)))
}

/// A file that is removed when this is dropped.
pub struct Temporary(pub PathBuf);

impl Temporary {
    /// A file in this folder. Its name belongs to this example and this process only.
    pub fn new(folder: impl AsRef<Path>, example: &str, name: &str) -> Self {
        Self(folder.as_ref().join(format!("{example}-{}-{name}", std::process::id())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The file may not exist.
        let _ = fs::remove_file(&self.0);
    }
}

/// Fills a file with this many chunks of numbers that do not repeat (xorshift64).
pub fn write_numbers(path: &Path, chunk_count: usize, chunk_bytes: usize) -> io::Result<File> {
    let mut file = File::create(path)?;
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut chunk = vec![0; chunk_bytes];
    for _ in 0..chunk_count {
        for word in chunk.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&chunk)?;
    }
    Ok(file)
}
