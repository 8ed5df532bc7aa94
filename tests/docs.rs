// SPDX-License-Identifier: Apache-2.0
//! The README and `docs/`: their C code is compiled and run, their pictures are what the library
//! draws, and what they link to and name is there. Their Rust code runs as documentation tests
//! (`src/lib.rs`).
//!
//! - A block of C with a `main` is a program. Another one is the body of a `main`, with the usual
//!   includes. Each must end with exit code 0 and be reported of no misuse.
//! - If the next block is `text output`, the program must print just that.

#[path = "support/c_programs.rs"]
mod c_programs;
#[path = "support/compiler.rs"]
mod compiler;
#[path = "support/differ.rs"]
mod differ;
#[allow(dead_code)]
#[path = "../examples/pictures.rs"]
mod pictures;
#[path = "support/runner.rs"]
mod runner;

use c_programs::{compile_and_run, directory, root};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const INCLUDES: &str = "#include <aegis_memory.h>\n#include <stdio.h>\n#include <stdlib.h>\n";
/// What a block of code may be. Without a language it would be Rust to rustdoc.
const LANGUAGES: [&str; 9] =
    ["c", "cmake", "cpp", "meson", "rust", "sh", "text", "text output", "toml"];

/// A fenced block of code.
struct Block {
    /// The line of its fence.
    line: usize,
    language: String,
    code: String,
}

/// A page, as its headings, its links and its blocks of code.
struct Page {
    /// From the root of the package.
    name: String,
    /// Lines outside of blocks, with their numbers.
    prose: Vec<(usize, String)>,
    blocks: Vec<Block>,
}

impl Page {
    fn read(path: &Path) -> Self {
        let name = path.strip_prefix(root()).expect("a file of the package").display();
        let name = name.to_string().replace('\\', "/");
        let text = fs::read_to_string(path).expect("the page can be read");
        let (mut prose, mut blocks) = (Vec::new(), Vec::new());
        let mut open: Option<Block> = None;
        for (line, text) in (1..).zip(text.lines()) {
            match (&mut open, text.strip_prefix("```")) {
                (None, Some(language)) => {
                    let language = language.to_owned();
                    open = Some(Block { line, language, code: String::new() });
                }
                (Some(_), Some("")) => blocks.extend(open.take()),
                (Some(block), _) => block.code += &format!("{text}\n"),
                (None, None) => prose.push((line, text.to_owned())),
            }
        }
        assert!(open.is_none(), "{name}: a block of code does not end");
        Self { name, prose, blocks }
    }

    /// The README and every page of `docs/`.
    fn all() -> Vec<Self> {
        let docs = fs::read_dir(root().join("docs")).expect("the package has docs");
        let mut paths: Vec<PathBuf> = docs
            .map(|entry| entry.expect("docs can be read").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
            .chain([root().join("README.md")])
            .collect();
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    /// The names that links give the headings, as GitHub makes them: of several that are alike the
    /// later ones are numbered.
    fn anchors(&self) -> Vec<String> {
        let mut seen = BTreeMap::new();
        let headings = self.prose.iter().filter(|(_, line)| line.starts_with('#'));
        let anchor = |(_, line): &(usize, String)| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            let name: String = text.chars().filter(kept).collect::<String>().replace(' ', "-");
            let count = seen.entry(name.clone()).or_insert(0);
            *count += 1;
            if *count == 1 {
                name
            } else {
                format!("{name}-{}", *count - 1)
            }
        };
        headings.map(anchor).collect()
    }

    /// The targets of links and pictures, with their lines.
    fn links(&self) -> Vec<(usize, &str)> {
        let mut links = Vec::new();
        for (line, text) in &self.prose {
            let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            links.extend(targets.map(|target| (*line, target)));
        }
        links
    }
}

/// A C program of a block's code.
fn program_of(code: &str) -> String {
    if code.contains("int main(") {
        return code.to_owned();
    }
    format!("{INCLUDES}int main(void) {{\n{code}\nreturn 0;\n}}\n")
}

/// The linker's option for the other library that a block's program uses, which the first line
/// names.
fn other_library(code: &str) -> Option<&str> {
    code.lines().next()?.strip_prefix("/* Link with ")?.strip_suffix(" */")
}

/// Whether the headers of a block are installed, and the library that it is linked with.
fn is_installed(name: &str, code: &str, library: &str) -> bool {
    let (mut command, dir) = c_programs::command(name);
    let includes: Vec<_> = code.lines().filter(|line| line.starts_with("#include <")).collect();
    let probe = includes.join("\n") + "\nint main(void) { return 0; }\n";
    fs::write(dir.join("probe.c"), probe).expect("the program can be written");
    let output = command.args(["probe.c", "-o", "probe", library]).output();
    output.expect("the C compiler can be run").status.success()
}

#[test]
fn c_code_compiles_and_does_what_it_says() {
    let mut count = 0;
    for page in Page::all() {
        for (i, block) in page.blocks.iter().enumerate().filter(|(_, b)| b.language == "c") {
            let place = format!("{}:{}", page.name, block.line);
            let name = place.replace(['/', '.', ':'], "_");
            let file = directory(&name).join("program.c");
            fs::write(&file, program_of(&block.code)).expect("the program can be written");
            let library = other_library(&block.code);
            if library.is_some_and(|library| !is_installed(&name, &block.code, library)) {
                continue;
            }
            let options: Vec<_> = ["-pthread"].into_iter().chain(library).collect();
            let output = compile_and_run(&name, &file, &options);
            let printed = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(!errors.contains("aegis-memory: "), "{place} is reported: {errors}");
            // Some numbers, such as those of side memory, depend on the width of an address, and on the
            // gaps that AddressSanitizer wants.
            let is_usual = cfg!(target_pointer_width = "64") && !aegis_memory::build_flags().asan;
            let shows = |block: &&Block| block.language == "text output" && is_usual;
            if let Some(next) = page.blocks.get(i + 1).filter(shows) {
                let mend = "Correct the program, or the `text output` below it.";
                let program = format!("what {place} prints");
                differ::assert_same_text((&program, &printed), ("the page", &next.code), mend);
            }
            count += 1;
        }
    }
    assert!(count >= 10, "only {count} programs were found");
}

#[test]
fn every_block_of_code_has_a_language() {
    for page in Page::all() {
        for Block { line, language, .. } in &page.blocks {
            let plain = language.split(',').next().unwrap_or_default();
            let known = LANGUAGES.contains(&plain);
            assert!(known, "{}:{line}: a block of \"{language}\"", page.name);
        }
    }
}

#[test]
fn the_pictures_of_the_readme_are_what_the_example_prints() {
    let flags = aegis_memory::build_flags();
    // A checker of memory has a gap behind each allocation.
    if flags.asan || flags.valgrind {
        return;
    }
    let drawn = pictures::pictures().expect("there is memory") + "\n";
    let readme = Page::read(&root().join("README.md"));
    let shown = readme.blocks.iter().any(|block| block.code == drawn);
    assert!(shown, "the README does not show this:\n{drawn}");
}

/// Whether this is the repository and not the package, which lacks what only the repository's own
/// checks need.
fn is_repository() -> bool {
    root().join(".ci/run").exists()
}

/// Why a link leads nowhere.
fn fault(pages: &[Page], page: &Page, target: &str) -> Option<&'static str> {
    if target.starts_with("https://") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = Path::new(&page.name).parent().expect("a page lies in a folder");
    let mut file = folder.join(path);
    if path.is_empty() {
        file = PathBuf::from(&page.name);
    } else if let Ok(outside) = Path::new(path).strip_prefix("..") {
        file = outside.to_owned();
    }
    if !root().join(&file).exists() {
        // The package is without the integrations.
        let is_left_out = file.starts_with("integrations") && !is_repository();
        return if is_left_out { None } else { Some("no such file") };
    }
    let is_there = |page: &Page| page.anchors().iter().any(|name| name == anchor);
    match pages.iter().find(|page| Path::new(&page.name) == file) {
        _ if anchor.is_empty() => None,
        Some(page) if is_there(page) => None,
        _ => Some("no such heading"),
    }
}

#[test]
fn every_link_leads_to_a_file_or_a_heading() {
    let pages = Page::all();
    let mut faults = Vec::new();
    for page in &pages {
        for (line, target) in page.links() {
            let fault = fault(&pages, page, target);
            faults.extend(fault.map(|why| format!("{}:{line}: {target}: {why}", page.name)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_page_is_run_by_rustdoc_and_linked_from_the_readme() {
    let library = fs::read_to_string(root().join("src/lib.rs")).expect("the library's text");
    let readme = Page::read(&root().join("README.md"));
    for Page { name, .. } in Page::all() {
        assert!(library.contains(&format!("include_str!(\"../{name}\")")), "{name} is not run");
        let is_linked = readme.links().iter().any(|(_, target)| *target == name);
        assert!(is_linked || name == "README.md", "{name} is not linked");
    }
}

/// The lines of a section of the manifest, without comments.
fn section<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
    let (_, lines) = manifest.split_once(&format!("\n[{name}]\n")).expect("the manifest has it");
    lines
        .lines()
        .take_while(|line| !line.starts_with('['))
        .filter(|l| !l.starts_with('#'))
        .collect()
}

/// The manifest as it is written. In a package cargo has put another form of it in its place.
fn manifest() -> String {
    let read = |name| fs::read_to_string(root().join(name));
    read("Cargo.toml.orig").or_else(|_| read("Cargo.toml")).expect("the manifest")
}

#[test]
fn table_of_features_is_that_of_the_manifest() {
    let manifest = manifest();
    let mut features: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in section(&manifest, "features") {
        let Some((name, means)) = line.split_once(" = ") else { continue };
        features.insert(name, means.split('"').skip(1).step_by(2).collect());
    }
    let default = features.remove("default").expect("the default features");
    let page = Page::read(&root().join("docs/features.md"));
    let rows = page.prose.iter().filter(|(_, line)| line.starts_with("| `"));
    for (line, row) in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let name = cells[0].trim_end_matches(" (default)").trim_matches('`');
        let means = features.remove(name).unwrap_or_else(|| panic!("line {line}: {name} is none"));
        assert_eq!(default.contains(&name), cells[0].ends_with(" (default)"), "{name}");
        let is_feature = |means: &&&str| !means.contains(['/', ':']);
        let others: Vec<_> = means.iter().filter(is_feature).map(|m| format!("`{m}`")).collect();
        assert_eq!(others.join(", "), cells[2], "what {name} turns on");
    }
    assert!(features.is_empty(), "no row for {:?}", features.keys());
}

/// The words between two texts, of which the first occurs once in a script.
fn words_of<'a>(script: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    let (_, rest) = script.split_once(before).expect(before);
    rest.split_once(after).expect(after).0.split_whitespace().collect()
}

/// What the scripts run and compile: the machine, and the cells of its row in the README. Others never
/// ran.
fn platforms_of_the_scripts() -> BTreeMap<String, [String; 3]> {
    let read = |name: &str| fs::read_to_string(root().join(name)).expect("the script");
    let (platforms, zig, ci) = (read("tests/platforms"), read("tests/zig"), read(".ci/run"));
    let windows = read("tests/windows");
    let in_ci = words_of(&ci, "\ntests/platforms ", "\n");
    assert!(in_ci.len() >= 2 && ci.contains("tests/windows"), "CI runs some of them");
    let with_rust = words_of(&platforms, "rust=yes all=(", ")");
    let mut rows = BTreeMap::new();
    let mut add = |machine: &str, c: &str, rust: &str, by: String| {
        rows.insert(machine.to_owned(), [c.to_owned(), rust.to_owned(), by]);
    };
    for machine in words_of(&platforms, "\nall=(", ")") {
        let rust = if with_rust.contains(&machine) { "ran" } else { "never" };
        let ci = if in_ci.contains(&machine) { "`.ci/run` (C); " } else { "" };
        add(machine, "ran", rust, format!("{ci}`tests/platforms`"));
    }
    for target in words_of(&zig, "|| set -- ", "\n") {
        let c = if target.ends_with("-macos") { "compiled, not run" } else { "ran" };
        add(target, c, "never", "`tests/zig`".to_owned());
    }
    let is_run = |machine: &str| windows.contains(&format!("build \"$name\" {machine}-gcc"));
    for machine in ["x86_64-w64-mingw32", "i686-w64-mingw32"] {
        assert!(windows.contains(&format!("{machine}-gcc")), "{machine}");
        let c = if is_run(machine) { "ran" } else { "compiled, not run" };
        add(machine, c, "never", "`.ci/run` (C); `tests/windows`".to_owned());
    }
    let bare = read("tests/bare");
    assert!(ci.contains("tests/bare --short"), "CI runs a part");
    for (machine, c, in_ci) in [
        ("wasm32-wasi", "a part ran", "`.ci/run` (a part)"),
        ("wasm32-unknown-unknown", "one program ran", "`.ci/run`"),
        ("thumbv7em-none-eabi", "one program ran", "`.ci/run`"),
    ] {
        assert!(bare.contains(machine), "{machine}");
        add(machine, c, "never", format!("{in_ci}; `tests/bare`"));
    }
    rows
}

#[test]
fn table_of_platforms_is_what_the_scripts_run() {
    if !is_repository() {
        return;
    }
    let mut wanted = platforms_of_the_scripts();
    let readme = Page::read(&root().join("README.md"));
    let mut lines = readme.prose.iter().map(|(_, line)| line.as_str());
    let _ = lines.find(|line| line.starts_with("| platform |")).expect("the table");
    for row in lines.skip(1).take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let cell =
            |i: usize| cells[i].trim_start_matches('[').split(']').next().unwrap_or_default();
        let found = [cell(1), cell(2), cells[3]];
        match cells[0].split('`').nth(1) {
            Some(machine) => {
                let row = wanted.remove(machine).unwrap_or_else(|| panic!("{machine}: no script"));
                assert_eq!(found, row, "the cells of {machine}");
            }
            // The machine that all of this is developed on, and those that no script knows.
            None if cells[0] == "Linux, x86-64" => assert_eq!(found, ["ran", "ran", "`.ci/run`"]),
            None => assert_eq!(found, ["never", "never", ""], "{}", cells[0]),
        }
    }
    assert!(wanted.is_empty(), "no row for {:?}", wanted.keys());
}

#[test]
fn docs_rs_shows_every_feature_that_adds_items() {
    let manifest = manifest();
    let names =
        section(&manifest, "features").into_iter().filter_map(|line| line.split_once(" = "));
    // docs.rs shows what a stable compiler has. The others add no items.
    let hidden = ["default", "nightly", "allocator-api2-nightly", "debug", "valgrind", "bindgen"];
    let wanted = names.map(|(name, _)| name).filter(|name| !hidden.contains(name));
    let shown = section(&manifest, "package.metadata.docs.rs").join(" ");
    for name in wanted {
        assert!(shown.contains(&format!("\"{name}\"")), "{name} is not shown");
    }
    assert!(shown.contains("rustdoc-args = [\"--cfg\", \"docsrs\"]"), "marks need this");
}

/// The texts of all files of a folder and those below it.
fn texts_of(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            all += &texts_of(&path);
        } else {
            all += &fs::read_to_string(&path).unwrap_or_default();
        }
    }
    all
}

/// The words of code in a page's prose, with their lines.
fn code_words(page: &Page) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    for (line, text) in &page.prose {
        for span in text.split('`').skip(1).step_by(2) {
            words.extend(span.split_whitespace().next().map(|word| (*line, word)));
        }
    }
    words
}

#[test]
fn files_and_functions_that_are_named_are_there() {
    let code: String =
        ["include", "csrc", "src"].iter().map(|folder| texts_of(&root().join(folder))).collect();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut faults = Vec::new();
    for page in &Page::all() {
        for (line, word) in code_words(page) {
            let folder = word.split_once('/').map_or("", |(folder, _)| folder);
            let is_path =
                matches!(folder, "csrc" | "src" | "include" | "tests" | "examples" | ".ci");
            let is_one = !word.contains(['*', '<', ';']);
            let is_missing = match word.strip_suffix("()") {
                Some(name) => !code
                    .contains(&format!("{}(", name.rsplit([':', '.', ' ']).next().unwrap_or(name))),
                None if is_path && is_one => is_repository() && !root().join(word).exists(),
                None if word.starts_with("aegis_") && word.chars().all(is_name) => {
                    !word.ends_with('_') && !code.contains(word)
                }
                None => false,
            };
            if is_missing {
                faults.push(format!("{}:{line}: {word} is not there", page.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
