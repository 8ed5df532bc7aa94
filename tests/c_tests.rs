// SPDX-License-Identifier: Apache-2.0
//! The C tests under `cargo test`: the core and each program of `tests/c` are compiled by the compiler
//! that `cc` finds, and the program is run and must end with exit code 0. No CMake is needed.

#[path = "support/compiler.rs"]
mod compiler;
#[path = "support/runner.rs"]
mod runner;

use compiler::compiler;
use runner::command_for;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const WARNINGS: &[&str] =
    &["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wstrict-prototypes"];

/// The folders of `csrc` that the core's files are in.
const CORE_DIRS: &[&str] = &["", "base", "arena", "pool", "buffer"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The C files of a directory, in a fixed order.
fn c_files(dir: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(dir)).expect("the directory can be read");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the entry can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    files.sort();
    files
}

/// The compiler at work in a new directory of this name, with the flags of all C files. They make a
/// debug build, whatever the profile is.
fn command(name: &str) -> (Command, PathBuf) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c_tests").join(name);
    fs::create_dir_all(&dir).expect("the directory can be made");
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

fn succeed(mut command: Command) {
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
fn private_libraries() -> std::str::SplitWhitespace<'static> {
    env!("AEGIS_PRIVATE_LIBRARIES").split_whitespace()
}

/// Builds the program, linked with `libraries` as well.
fn compile(name: &str, libraries: &[&str]) -> PathBuf {
    let (mut command, dir) = command(name);
    let program = dir.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if compiler().is_like_msvc() {
        command.arg(format!("/Fe{}", program.display()));
    } else {
        command.arg("-o").arg(&program);
    }
    command.arg(root().join("tests/c").join(format!("{name}.c")));
    command.args(core()).args(libraries).args(private_libraries());
    succeed(command);
    program
}

fn run(name: &str) {
    let program = compile(name, &[]);
    run_program(name, &mut command_for(&program));
}

fn run_program(name: &str, program: &mut Command) {
    let output = program.current_dir(root()).output().expect("the program can run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{name} ended with {}:\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains(" passed, 0 failed"), "{name} ended without its closing line:\n{said}");
}

macro_rules! c_tests {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*
    };
}

c_tests! {
    arena_blocks_test
    arena_budget_test
    arena_failure_test
    arena_fill_test
    arena_flags_test
    arena_guard_test
    arena_hooks_test
    arena_leak_test
    arena_local_test
    arena_mark_test
    arena_memory_test
    arena_model_test
    arena_own_blocks_test
    arena_recycler_test
    arena_reserve_test
    arena_scope_reset_test
    arena_scope_test
    arena_test
    bad_source_test
    base_test
    budget_pressure_test
    budget_sum_test
    budget_test
    budget_text_test
    budget_threads_test
    buffer_map_test
    buffer_memory_test
    buffer_model_test
    buffer_mut_test
    buffer_nesting_test
    buffer_pool_barrier_test
    buffer_pool_fork_test
    buffer_pool_stress_test
    buffer_pool_test
    buffer_pool_wait_test
    buffer_test
    buffer_threads_test
    cancel_test
    count_limit_test
    error_record_test
    error_test
    fork_test
    lock_free_arena_defer_test
    lock_free_arena_memory_test
    lock_free_arena_stress_test
    lock_free_arena_test
    lock_free_pool_test
    locked_arena_calls_test
    locked_arena_test
    locked_pool_fork_test
    locked_pool_growth_test
    locked_pool_test
    poison_test
    pool_cache_test
    pool_nested_test
    pool_stress_test
    pool_test
    source_test
}

/// A program with a copy of the core linked in, which loads another one from a shared library.
#[cfg(unix)]
#[test]
fn two_copies_of_the_core_share_objects() {
    let (mut command, dir) = command("shared");
    let library = dir.join("libaegis_memory_second.so");
    command.args(["-fPIC", "-shared", "-fvisibility=hidden", "-DAEGIS_SHARED", "-DAEGIS_BUILD"]);
    command
        .arg("-o")
        .arg(&library)
        .args(CORE_DIRS.iter().flat_map(|folder| c_files(&format!("csrc/{folder}"))))
        .arg("-pthread");
    command.args(private_libraries());
    succeed(command);
    let program = compile("two_copies", &["-pthread", "-ldl"]);
    run_program("two_copies", command_for(&program).arg(library));
}

#[test]
fn every_c_test_is_listed_here() {
    let files: Vec<String> = c_files("tests/c")
        .iter()
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|stem| stem.ends_with("_test"))
        .collect();
    assert_eq!(files, NAMES, "tests/c and the list of c_tests! differ");
}
