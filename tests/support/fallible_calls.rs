// SPDX-License-Identifier: Apache-2.0
//! Reads the crate's source and finds the public functions that return a `Result` or an `Option`,
//! so that a test can see whether one is missing in its tables.
//!
//! A function counts as public if it is declared `pub` or belongs to a trait. The reader knows only
//! what it needs of Rust: comments, string and character literals, and the braces around functions,
//! `impl` blocks and macros.

use std::collections::BTreeSet;
use std::path::Path;

/// The names have the form `file name`: `arena/builder.rs build`.
pub fn fallible_calls() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut calls, mut folders) = (BTreeSet::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the crate's source") {
            let path = entry.expect("the crate's source").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("bindings.rs") {
                let text = std::fs::read_to_string(&path).expect("the crate's source");
                let file = path.strip_prefix(&root).expect("it is inside").display().to_string();
                let file = file.replace('\\', "/");
                calls.extend(calls_of(&text).into_iter().map(|name| format!("{file} {name}")));
            }
        }
    }
    calls
}

/// The names of the public fallible functions of one file.
pub fn calls_of(text: &str) -> BTreeSet<String> {
    let code = without_comments_and_texts(text);
    let aliases: Vec<&str> = code
        .split("type ")
        .skip(1)
        .filter_map(|rest| rest.split_once('='))
        .filter(|(_, means)| means.trim_start().starts_with("Result<"))
        .map(|(name, _)| name.trim())
        .collect();
    let (mut calls, mut around, mut header) = (BTreeSet::new(), Vec::new(), String::new());
    for character in code.chars() {
        match character {
            '{' => {
                let header = std::mem::take(&mut header);
                calls.extend(fallible_name(&header, &around, &aliases));
                around.push(header);
            }
            '}' => {
                around.pop();
                header.clear();
            }
            ';' => header.clear(),
            _ => header.push(character),
        }
    }
    calls
}

/// Replaces comments and the content of string and character literals by blanks.
fn without_comments_and_texts(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text.chars().peekable());
    while let Some(character) = rest.next() {
        match character {
            '/' if rest.peek() == Some(&'/') => while rest.next_if(|&c| c != '\n').is_some() {},
            '"' => {
                while let Some(inner) = rest.next().filter(|&c| c != '"') {
                    if inner == '\\' {
                        rest.next();
                    }
                }
            }
            '\'' => {
                // A character literal, or the start of a lifetime, which has no second quote.
                let ahead: Vec<char> = rest.clone().take(2).collect();
                if ahead.first() == Some(&'\\') {
                    rest.next();
                    rest.next();
                    while rest.next_if(|&c| c != '\'').is_some() {}
                    rest.next();
                } else if ahead.get(1) == Some(&'\'') {
                    rest.next();
                    rest.next();
                }
            }
            _ => code.push(character),
        }
    }
    code
}

/// The name of the function that a block belongs to, if that function is public and fallible.
fn fallible_name(header: &str, around: &[String], aliases: &[&str]) -> Option<String> {
    let words = |text: &str, word: &str| text.split_whitespace().any(|w| w == word);
    let is_item = |(at, _): &(usize, &str)| {
        header[at + 3..].starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
    };
    let (at, _) = header.match_indices("fn ").find(is_item)?;
    let (before, after) = (&header[..at], &header[at + 3..]);
    let is_of_a_trait = around.last().is_some_and(|block| {
        let start = block.split_once("impl");
        start.is_some_and(|(_, what)| words(what, "for"))
    });
    let is_nested = around.iter().any(|block| words(block, "fn"));
    if is_nested || !(words(before, "pub") || is_of_a_trait) {
        return None;
    }
    let signature = after.split(" where").next()?.split("\nwhere").next()?;
    let (_, returns) = signature.rsplit_once("->")?;
    // An arrow inside the parameters does not belong to the function.
    let is_open = returns.matches(')').count() > returns.matches('(').count();
    let names: Vec<&str> = returns.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let fails = |name: &&str| ["Result", "Option"].contains(name) || aliases.contains(name);
    if is_open || !names.iter().any(fails) {
        return None;
    }
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(after[..end].to_owned())
}
