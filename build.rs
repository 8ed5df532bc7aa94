// SPDX-License-Identifier: Apache-2.0
//! Compiles the C core with `cc` and tells dependent crates where its headers are.
//!
//! With feature `bindgen` the raw bindings are generated into `OUT_DIR`. Without it, the checked-in
//! file `src/bindings.rs` is used, and the build needs nothing but a C compiler.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let include = Path::new(&root).join("include");
    for dir in ["include", "csrc"] {
        println!("cargo:rerun-if-changed={dir}");
    }
    println!("cargo:include={}", include.display());
    // For the tests that compile C and Rust in the same way as this script.
    for name in ["TARGET", "HOST", "PROFILE", "RUSTC"] {
        let value = env::var(name).expect("cargo sets these four");
        println!("cargo:rustc-env=AEGIS_{name}={value}");
    }
    tell_version();
    tell_allocator();
    let part = part();
    tell_part(part);
    compile_core(&include, part);
    link_atomics();
    #[cfg(feature = "bindgen")]
    generate_bindings(&include);
}

/// Sets `aegis_diagnostic` for a rustc that knows attributes of the namespace `diagnostic`, which are
/// errors before Rust 1.78. A rustc whose version is not understood counts as an old one.
fn tell_version() {
    let rustc = env::var_os("RUSTC").expect("cargo sets RUSTC");
    let output = Command::new(rustc).arg("-vV").output().expect("cargo has run this rustc");
    let minor = minor_version(&String::from_utf8_lossy(&output.stdout)).unwrap_or(0);
    if minor >= 80 {
        // Cargo warns of this line before Rust 1.80, which asks for it.
        println!(
            "cargo:rustc-check-cfg=cfg(aegis_allocator, aegis_allocator_clone, aegis_diagnostic, \
             aegis_hosted, aegis_sanitizer, aegis_std_allocator, aegis_threads, \
             aegis_unstable_allocator)"
        );
    }
    // For tests/warm_request.rs. The compiler's own `cfg(sanitize)` is unstable.
    if env::var_os("CARGO_CFG_SANITIZE").is_some() {
        println!("cargo:rustc-cfg=aegis_sanitizer");
    }
    if minor >= 78 {
        println!("cargo:rustc-cfg=aegis_diagnostic");
    }
}

/// Sets `aegis_std_allocator` if the standard library's trait `Allocator` can be implemented: with
/// feature `nightly`, and with a compiler for which it is stable. Sets `aegis_unstable_allocator`
/// if it is not stable, so that the crate has to name the compiler's feature. Sets
/// `aegis_allocator_clone` if there is also a trait for allocators whose clones are the same
/// allocator. Sets `aegis_allocator` if there is any allocator trait to implement.
fn tell_allocator() {
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let rustc = || {
        let mut rustc = Command::new(env::var_os("RUSTC").expect("cargo sets RUSTC"));
        // These can name a compiler's features too.
        let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
        rustc.args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
        rustc.arg("--target").arg(env::var_os("TARGET").expect("cargo sets TARGET"));
        rustc
    };
    let compiles = |program: &str| compiles(rustc(), Path::new(&out), program);
    let with = |feature: &str| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    let is_stable = compiles(ALLOCATOR);
    let is_std = is_stable || with("NIGHTLY");
    let feature = if is_stable { "" } else { "#![feature(allocator_api)]\n" };
    let clones = is_std && compiles(&[feature, ALLOCATOR, ALLOCATOR_CLONE].concat());
    let lines = ["ALLOCATOR_API2", "ALLOCATOR_API2_03", "ALLOCATOR_API2_04"];
    for (name, is_set) in [
        ("aegis_std_allocator", is_std),
        ("aegis_unstable_allocator", is_std && !is_stable),
        ("aegis_allocator_clone", clones),
        ("aegis_allocator", is_std || lines.into_iter().any(with)),
    ] {
        if is_set {
            println!("cargo:rustc-cfg={name}");
        }
    }
}

/// Whether this rustc compiles a program. Writes to `out`.
pub(crate) fn compiles(mut rustc: Command, out: &Path, program: &str) -> bool {
    let source = out.join("allocator.rs");
    fs::write(&source, program).expect("the folder can be written");
    rustc.args(["--edition=2021", "--crate-type=lib", "--emit=metadata", "--cap-lints=allow"]);
    let status = rustc.arg("--out-dir").arg(out).arg(source).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A program that compiles if the trait is stable.
pub(crate) const ALLOCATOR: &str = "\
#![no_std]
use core::alloc::{AllocError, Allocator, Layout};
use core::ptr::NonNull;
#[derive(Clone)]
pub struct Empty;
unsafe impl Allocator for Empty {
    fn allocate(&self, _: Layout) -> Result<NonNull<[u8]>, AllocError> { Err(AllocError) }
    unsafe fn deallocate(&self, _: NonNull<u8>, _: Layout) {}
}
";

/// What is added to that program if there is a trait for clones too.
const ALLOCATOR_CLONE: &str = "unsafe impl core::alloc::AllocatorClone for Empty {}\n";

/// The second number of Rust 1.x, from what `rustc -vV` prints.
pub(crate) fn minor_version(text: &str) -> Option<u32> {
    let release = text.lines().find_map(|line| line.strip_prefix("release: 1."))?;
    release.split('.').next()?.parse().ok()
}

/// How much of the core a target can have: see `csrc/one_thread.txt`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    /// `AEGIS_OMIT_THREADS`: a C library without threads.
    OneThread,
    /// `AEGIS_FREESTANDING`: no C library.
    Freestanding,
}

/// The part for the target. `--cfg aegis_part="one_thread"` or `"freestanding"` in RUSTFLAGS asks for
/// less than that, for tests.
fn part() -> Part {
    let cfg = |name: &str| env::var(format!("CARGO_CFG_{name}")).unwrap_or_default();
    match cfg("AEGIS_PART").as_str() {
        "one_thread" => Part::OneThread,
        "freestanding" => Part::Freestanding,
        _ => part_of(&cfg("TARGET_OS"), &cfg("TARGET_FEATURE")),
    }
}

/// The part for an operating system and target features. Targets without an operating system have
/// `none` or `unknown` for it. Of the targets of WASI those with threads have the feature `atomics`.
pub(crate) fn part_of(os: &str, features: &str) -> Part {
    match os {
        "none" | "unknown" => Part::Freestanding,
        "wasi" if !features.split(',').any(|feature| feature == "atomics") => Part::OneThread,
        _ => Part::All,
    }
}

/// Sets `aegis_threads` if the core is for several threads, and `aegis_hosted` if it has a C
/// library.
fn tell_part(part: Part) {
    if part == Part::All {
        println!("cargo:rustc-cfg=aegis_threads");
    }
    if part != Part::Freestanding {
        println!("cargo:rustc-cfg=aegis_hosted");
    }
}

fn compile_core(include: &Path, part: Part) {
    let mut core = cc::Build::new();
    core.include(include)
        .std("c11")
        .flag_if_supported("-fvisibility=hidden")
        // The program or library that contains the core must not export the core's functions.
        .define("AEGIS_STATIC", None)
        // The compiler's command may ask for link-time optimisation, and so may a user's CFLAGS.
        .flag_if_supported("-fno-lto");
    refuse_lto();
    if env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("msvc") {
        // Without this option Microsoft's compiler has no <stdatomic.h>. clang-cl does not know it.
        core.flag_if_supported("/experimental:c11atomics");
    }
    match part {
        Part::All => core.files(c_files(Path::new("csrc"))),
        Part::OneThread => core.files(listed(true)).define("AEGIS_OMIT_THREADS", None),
        // The default source is Rust's allocator: see src/freestanding.rs.
        Part::Freestanding => core
            .files(listed(false))
            .flag_if_supported("-ffreestanding")
            .define("AEGIS_FREESTANDING", None)
            .define("AEGIS_I_FIRST_ACQUIRE", "aegis_i_rust_acquire")
            .define("AEGIS_I_FIRST_RELEASE", "aegis_i_rust_release"),
    };
    let is_dev = env::var("PROFILE").as_deref() == Ok("debug");
    if is_dev || env::var_os("CARGO_FEATURE_DEBUG").is_some() {
        core.define("AEGIS_DEBUG", None);
    }
    if env::var_os("CARGO_FEATURE_VALGRIND").is_some() {
        core.define("AEGIS_VALGRIND", None);
    }
    core.compile("aegis_memory");
}

/// The C files of a folder and of the folders in it, in a fixed order.
pub(crate) fn c_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("the package has csrc");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("csrc can be read").path()).collect();
    paths.sort();
    let (dirs, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    let is_c = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "c");
    files.into_iter().filter(is_c).chain(dirs.iter().flat_map(|dir| c_files(dir))).collect()
}

/// The C files of the core for one thread, with those that need a C library or without them.
fn listed(hosted: bool) -> Vec<PathBuf> {
    let list = fs::read_to_string("csrc/one_thread.txt").expect("the package has the list");
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| match line.strip_suffix(" hosted") {
            Some(name) => hosted.then_some(name),
            None => Some(line),
        })
        .map(|name| Path::new("csrc").join(name))
        .collect()
}

/// Links libatomic if the core calls it. Some processors have no atomic operations of 8 bytes, and
/// whether a compiler then makes a call also depends on its flags. So this function searches the
/// compiled objects.
fn link_atomics() {
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let library = Path::new(&out).join("libaegis_memory.a");
    let calls = calls_libatomic(&fs::read(library).expect("the library has just been made"));
    if calls {
        println!("cargo:rustc-link-lib=atomic");
    }
    // Also for tests/c_tests.rs.
    println!("cargo:rustc-env=AEGIS_PRIVATE_LIBRARIES={}", if calls { "-latomic" } else { "" });
}

/// Whether a symbol is one of libatomic's functions, such as `__atomic_load_8`. In every format of
/// object files, names as long as these lie between zero bytes. Some formats put `_` before the
/// name.
pub(crate) fn calls_libatomic(objects: &[u8]) -> bool {
    objects.split(|&byte| byte == 0).any(|name| {
        let name = name.strip_prefix(b"_").filter(|rest| rest.starts_with(b"__")).unwrap_or(name);
        match name.strip_prefix(b"__atomic_") {
            // The size may be any. Debug information has longer names, of variables.
            Some(b"load" | b"store" | b"exchange" | b"compare_exchange") => true,
            Some(sized) => sized.last().is_some_and(u8::is_ascii_digit),
            None => false,
        }
    })
}

/// Switches off link-time optimisation in a user's CFLAGS, because rustc cannot link its objects.
/// CFLAGS come after the flags that `cc` gets here and win over them, so this function changes
/// CFLAGS.
fn refuse_lto() {
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let of_target = [format!("CFLAGS_{target}"), format!("CFLAGS_{}", target.replace('-', "_"))];
    let general = ["TARGET_CFLAGS", "HOST_CFLAGS", "CFLAGS"].map(String::from);
    for name in of_target.into_iter().chain(general) {
        match env::var(&name) {
            Ok(flags) if flags.contains("-flto") => env::set_var(name, flags + " -fno-lto"),
            _ => {}
        }
    }
}

#[cfg(feature = "bindgen")]
fn generate_bindings(include: &Path) {
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("bindings.rs");
    bindgen::Builder::default()
        .header(include.join("aegis_memory.h").display().to_string())
        .clang_arg(format!("-I{}", include.display()))
        // A function without this attribute is hidden and would have no binding.
        .clang_arg("-fvisibility=hidden")
        .clang_arg("-DAEGIS_SHARED=")
        .allowlist_item("(aegis|AEGIS)_.*")
        // Each C99 inline function has an external definition in the core, so Rust can call it.
        .generate_inline_functions(true)
        .rust_target(bindgen::RustTarget::stable(75, 0).expect("bindgen knows Rust 1.75"))
        .use_core()
        .layout_tests(false)
        .generate_comments(false)
        .disable_header_comment()
        .formatter(bindgen::Formatter::Prettyplease)
        .raw_line(
            "/* Generated by bindgen from include/aegis_memory.h: see tests/bindings_fresh.rs. */",
        )
        .generate()
        .expect("bindgen could not read include/aegis_memory.h")
        .write_to_file(&out)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", out.display()));
}
