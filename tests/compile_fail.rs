// SPDX-License-Identifier: Apache-2.0
//! Programs that break a promise of the library must not compile, and rustc must give the reasons
//! that the programs themselves name. `tests/support/programs.rs` says how a program names them.
//! The last tests check the method itself.

#[path = "compile_pass/every_promise_kept.rs"]
mod every_promise_kept;
#[path = "support/programs.rs"]
mod programs;

use programs::Compiler;
use std::path::{Path, PathBuf};
use std::thread;

/// The programs in a folder of `tests`.
fn programs_in(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = folder.read_dir().expect("the folder can be read");
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("it has a name").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    assert!(!files.is_empty(), "{} has no program", folder.display());
    files
}

#[test]
fn programs_that_break_a_promise_do_not_compile() {
    let mut programs = programs_in("compile_fail");
    if cfg!(feature = "std") {
        programs.extend(programs_in("compile_fail/std"));
    }
    if cfg!(feature = "allocator-api2") {
        programs.extend(programs_in("compile_fail/allocator"));
    }
    if cfg!(feature = "collections") {
        programs.extend(programs_in("compile_fail/collections"));
    }
    let compiler = Compiler::new();
    let check = |program: &PathBuf| {
        let faults = compiler.check(program).into_iter();
        faults.map(|fault| format!("{}: {fault}\n", program.display())).collect::<String>()
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let faults: String = thread::scope(|threads| {
        let parts = programs.chunks(programs.len().div_ceil(workers));
        let parts = parts.map(|part| threads.spawn(|| part.iter().map(check).collect::<String>()));
        let parts: Vec<_> = parts.collect();
        parts.into_iter().map(|part| part.join().expect("no panic")).collect()
    });
    assert!(faults.is_empty(), "{} programs:\n{faults}", programs.len());
}

#[test]
fn program_that_keeps_every_promise_runs() {
    every_promise_kept::main();
}

/// Checks these programs as the ones above. Each has a fault in what it expects, and the check must
/// report the fault.
#[test]
fn programs_that_fail_otherwise_than_expected_are_reported() {
    let cases: [(&str, &str, &[&str]); 10] = [
        ("as_expected", "fn main() {\n let _: u8 = ();//~ E0308\n}", &[]),
        ("a_line_up", "fn main() {\n let _: u8 = ();\n //~^ E0308\n}", &[]),
        (
            "compiles",
            "fn main() {} //~ E0308",
            &["it compiles or expects no error", "not reported: line 1: E0308"],
        ),
        (
            "another_code",
            "fn main() { let _: u8 = (); } //~ E0502",
            &["not expected: line 1: E0308", "not reported: line 1: E0502"],
        ),
        (
            "another_line",
            "fn main() {\n let _: u8 = (); \n} //~ E0308",
            &["not expected: line 2: E0308", "not reported: line 3: E0308"],
        ),
        (
            "another_file",
            "fn main() { let _: u8 = (); } //~? E0308 src/arena.rs",
            &[
                "it does not compile when corrected",
                "not expected: line 1: E0308",
                "not reported: src/arena.rs: E0308",
                "not reported: line 1: note",
            ],
        ),
        (
            "one_error_more",
            "fn main() {\n let _: u8 = (); //~ E0308\n let _: i8 = ();\n}",
            &["not expected: line 3: E0308"],
        ),
        (
            "one_error_less",
            "fn main() {\n let _: u8 = (); //~ E0308\n} //~ E0308",
            &["not reported: line 3: E0308"],
        ),
        (
            "nothing_expected",
            "fn main() { let _: u8 = (); }",
            &["it compiles or expects no error", "not expected: line 1: E0308"],
        ),
        ("typing_mistake", "fn main() { let } //~ ERROR", &["it does not compile when corrected"]),
    ];
    let compiler = Compiler::new();
    for (name, text, faults) in cases {
        assert_eq!(compiler.check_text(name, text), faults, "{name}");
    }
}
