// SPDX-License-Identifier: Apache-2.0
//! Compiles programs that rustc must refuse, and compares rustc's report with what the programs
//! expect, as rustc's own tests do. Only the codes and the lines of errors are compared. Their
//! words are not, because they differ from one rustc to the next.
//!
//! - `//~ E0502` expects an error with this code on its own line; each `^` in `//~^ E0502` means
//!   one line further up.
//! - `//~ ERROR` expects an error that has no code.
//! - `//~? E0080 src/arena/forms.rs` expects an error in this file of the library, and a note that
//!   shows the line of the program which leads there.
//!
//! Each error must be expected, and each expected error must occur. An expectation of the last two
//! kinds says too little: a typing mistake has no code either. So a program with such an
//! expectation must compile with `--cfg corrected`.

#[path = "cargo.rs"]
mod cargo;

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the programs may use, and the version where there are several.
const CRATES: [(&str, &str); 2] = [("aegis_memory", ""), ("allocator_api2", "allocator-api2-0.2.")];

/// The rustc that has compiled the test, and the library that the test is linked with.
pub struct Compiler {
    crates: Vec<String>,
    /// The folders of crates and of macros. They differ if cargo is given a target.
    folders: BTreeSet<PathBuf>,
    out: PathBuf,
}

impl Compiler {
    pub fn new() -> Self {
        let mut cargo = cargo::command("test");
        cargo.args(["--no-run", "--message-format=json", "--test", "compile_fail"]);
        let output = cargo.output().expect("cargo starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let (mut crates, mut folders) = (Vec::new(), BTreeSet::new());
        for message in json(&output.stdout) {
            // A warning has no file.
            let Some(file) = message["filenames"][0].as_str() else { continue };
            folders.extend(Path::new(file).parent().map(Path::to_owned));
            let name = message["target"]["name"].as_str().unwrap_or_default();
            let manifest = message["manifest_path"].as_str().unwrap_or_default();
            let is_used = |(of, version): &(_, _)| *of == name && manifest.contains(version);
            if message["target"]["kind"][0] == "lib" && CRATES.iter().any(is_used) {
                crates.push(format!("{name}={file}"));
            }
        }
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
        fs::create_dir_all(&out).expect("the folder for tests can be written");
        Self { crates, folders, out }
    }

    /// Compiles the program. Returns whether rustc accepts it, and rustc's messages. Code is
    /// generated, because some types are refused only then, but not linked.
    fn run(&self, program: &Path, options: &[&str]) -> (bool, Vec<Value>) {
        let mut rustc = Command::new(env!("AEGIS_RUSTC"));
        rustc.arg(program).args(options).arg("--out-dir").arg(&self.out);
        rustc.args(["--edition=2021", "--error-format=json", "--emit=obj", "-Awarnings"]);
        rustc.args(["--target", env!("AEGIS_TARGET")]);
        for folder in &self.folders {
            rustc.arg("-L").arg(format!("dependency={}", folder.display()));
        }
        for file in &self.crates {
            rustc.args(["--extern", file]);
        }
        let output = rustc.output().expect("rustc starts");
        (output.status.success(), json(&output.stderr))
    }

    /// How rustc's report differs from what the program expects.
    pub fn check(&self, program: &Path) -> Vec<String> {
        let source = fs::read_to_string(program).expect("the program can be read");
        let mut expected = expected(&source);
        let (compiles, messages) = self.run(program, &[]);
        let mut faults = Vec::new();
        if compiles || expected.is_empty() {
            faults.push("it compiles or expects no error".to_owned());
        }
        let says_little = |error: &String| error.ends_with("ERROR") || !error.starts_with("line");
        if expected.iter().any(says_little) && !self.run(program, &["--cfg=corrected"]).0 {
            faults.push("it does not compile when corrected".to_owned());
        }
        for error in messages.iter().filter_map(|message| reported(program, message)) {
            match expected.iter().position(|other| *other == error) {
                Some(index) => drop(expected.remove(index)),
                None => faults.push(format!("not expected: {error}")),
            }
        }
        faults.extend(expected.iter().map(|error| format!("not reported: {error}")));
        faults
    }

    /// As [`check`](Self::check), for a program with this name and text.
    pub fn check_text(&self, name: &str, text: &str) -> Vec<String> {
        let program = self.out.join(name).with_extension("rs");
        fs::write(&program, text).expect("the folder for tests can be written");
        self.check(&program)
    }
}

/// One JSON value in each line.
fn json(printed: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(printed);
    let value = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {text}"));
    text.lines().map(value).collect()
}

/// The errors that a program expects, each as its place and its code.
fn expected(source: &str) -> Vec<String> {
    let mut errors = Vec::new();
    for (number, line) in (1..).zip(source.lines()) {
        let Some((_, note)) = line.split_once("//~") else { continue };
        let lines_up = note.bytes().take_while(|&byte| byte == b'^').count();
        let words: Vec<&str> = note[lines_up..].split_whitespace().collect();
        match words[..] {
            ["?", code, file] => {
                errors.push(format!("{file}: {code}"));
                errors.push(format!("line {number}: note"));
            }
            [code] => errors.push(format!("line {}: {code}", number - lines_up)),
            _ => panic!("an expectation that is none: {line}"),
        }
    }
    errors
}

/// The error in a message, or the note that shows a line of the program, in the same form as above,
/// if the message has one.
fn reported(program: &Path, message: &Value) -> Option<String> {
    let level = message["level"].as_str()?;
    let code = message["code"]["code"].as_str();
    let span = message["spans"].as_array()?.iter().find(|span| span["is_primary"] == true);
    if level == "note" {
        let place = place(program, span?);
        return place.starts_with("line").then(|| format!("{place}: note"));
    }
    if !level.starts_with("error") {
        return None;
    }
    match (code, span) {
        // The last message, which only counts the errors.
        (None, None) => None,
        (Some(code), None) => Some(format!("no place: {code}")),
        (_, Some(span)) => Some(format!("{}: {}", place(program, span), code.unwrap_or("ERROR"))),
    }
}

/// Where the span begins. For code that a macro makes, this is where the macro is used.
fn place(program: &Path, mut span: &Value) -> String {
    while !span["expansion"].is_null() {
        span = &span["expansion"]["span"];
    }
    let file = Path::new(span["file_name"].as_str().expect("a span has a file"));
    if file == program {
        return format!("line {}", span["line_start"]);
    }
    file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(file).display().to_string()
}
