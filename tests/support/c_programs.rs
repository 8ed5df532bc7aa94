// SPDX-License-Identifier: Apache-2.0
//! C programs that tests compile over the core and run: no CMake is needed. The compiler is the one
//! that `cc` finds.
//!
//! The test that includes this file has the modules `compiler` and `runner` beside it.

use super::compiler::compiler;
use super::runner::command_for;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const WARNINGS: &[&str] =
    &["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wstrict-prototypes"];

/// The folders of `csrc` that the core's files are in.
pub const CORE_DIRS: &[&str] = &["", "base", "budget", "arena", "pool", "buffer", "cache"];

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The C files of a directory, in a fixed order.
pub fn c_files(dir: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(dir)).expect("the directory can be read");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the entry can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    files.sort();
    files
}

/// The directory of this name for what the test makes. Each test has a directory of its own.
pub fn directory(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME")).join(name);
    fs::create_dir_all(&dir).expect("the directory can be made");
    dir
}

/// The compiler at work in the directory of this name, with the flags of all C files. They make a
/// debug build, whatever the profile is.
pub fn command(name: &str) -> (Command, PathBuf) {
    let dir = directory(name);
    let tool = compiler();
    let mut command = tool.to_command();
    command.current_dir(&dir);
    let include = root().join("include");
    if tool.is_like_msvc() {
        command.args(["/std:c11", "/DAEGIS_DEBUG"]).arg(format!("/I{}", include.display()));
    } else {
        command.args(["-std=c11", "-DAEGIS_DEBUG"]).arg("-I").arg(include).args(WARNINGS);
    }
    (command, dir)
}

pub fn succeed(mut command: Command) {
    let output = command.output().expect("the C compiler can be run");
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The core's object files, compiled once for all programs.
fn core() -> &'static [PathBuf] {
    static CORE: OnceLock<Vec<PathBuf>> = OnceLock::new();
    CORE.get_or_init(|| {
        let extension = if compiler().is_like_msvc() { "obj" } else { "o" };
        let mut objects = Vec::new();
        // Files of different folders may have the same name, so each folder has its objects.
        for folder in CORE_DIRS {
            let (mut command, dir) = command(&format!("core/{folder}"));
            let files = c_files(&format!("csrc/{folder}"));
            objects.extend(files.iter().map(|file| {
                let name = file.file_name().expect("a file has a name");
                dir.join(name).with_extension(extension)
            }));
            command.arg("-c").args(files);
            succeed(command);
        }
        objects
    })
}

/// What the core needs beside it on this target, as build.rs found out.
pub fn private_libraries() -> std::str::SplitWhitespace<'static> {
    env!("AEGIS_PRIVATE_LIBRARIES").split_whitespace()
}

/// Builds the program of this name from one file, linked with `libraries` as well.
pub fn compile(name: &str, file: &Path, libraries: &[&str]) -> PathBuf {
    let (mut command, dir) = command(name);
    let program = dir.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if compiler().is_like_msvc() {
        command.arg(format!("/Fe{}", program.display()));
    } else {
        command.arg("-o").arg(&program);
    }
    command.arg(file).args(core()).args(libraries).args(private_libraries());
    succeed(command);
    program
}

/// Runs a program, which must end with exit code 0.
pub fn run(name: &str, program: &mut Command) -> Output {
    let output = program.current_dir(root()).output().expect("the program can run");
    assert!(
        output.status.success(),
        "{name} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Builds a program and runs it.
pub fn compile_and_run(name: &str, file: &Path, libraries: &[&str]) -> Output {
    run(name, &mut command_for(&compile(name, file, libraries)))
}
