//! Words and paths that must not stand in a crate, and words that must not stand in prose.
//!
//! Owns: what makes code impure, how a word of the application differs from ordinary text, and which words a comment does
//! without. Must never know: which crates are pure.

use crate::source::SourceFile;

/// Paths that stand nowhere in a pure crate.
const IMPURE_PATHS: &[&str] = &[
    "Instant::now",
    "RandomState",
    "SystemTime::now",
    "async_std",
    "smol",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "thread",
    "tokio",
];

/// Words that stand nowhere in a pure crate.
const IMPURE_WORDS: &[&str] = &["async", "await", "thread_local", "transact_mut"];

/// Clocks, threads, sockets, files, processes, randomness and `async` in a file.
pub fn impurities(path: &str, source: &SourceFile) -> Vec<String> {
    let is_impure = |text: &str| {
        let text = format!("::{text}::");
        IMPURE_PATHS.iter().any(|impure| text.contains(&format!("::{impure}::")))
    };
    let paths = source.paths().into_iter().map(|used| (used.line, used.text())).filter(|(_, text)| is_impure(text));
    let words = source.words().filter(|(_, word)| IMPURE_WORDS.contains(word));
    let faults = paths.chain(words.map(|(line, word)| (line, word.to_owned())));
    faults.map(|(line, what)| format!("{path}:{line}: {what}")).collect()
}

/// String literals with one of these words, where it begins a word and no blank follows.
pub fn spoken(path: &str, source: &SourceFile, words: &[&str]) -> Vec<String> {
    let says = |text: &str, word: &str| {
        text.match_indices(word).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == ' ') && !text[at + word.len()..].starts_with(' ')
        })
    };
    let spoken = source.literals().iter().filter(|(_, text)| words.iter().any(|word| says(text, word)));
    spoken.map(|(line, text)| format!("{path}:{line}: {text:?} is a word of the application")).collect()
}

/// Words that comments and documents do without: a subject or a plain clause says more.
const VAGUE_WORDS: &[&str] = &[
    "anybody",
    "everybody",
    "hitherto",
    "in earnest",
    "nobody",
    "somebody",
    "to be had",
    "what has come",
    "whatever",
    "whichever",
    "whoever",
    "whom",
];

/// Comments of a Rust file with a vague word.
pub fn vague_comments(path: &str, text: &str) -> Vec<String> {
    vague(path, comments(text))
}

/// Comments of a script, of a configuration or of a conversation with a vague word.
pub fn vague_script(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_start()));
    vague(path, lines.filter(|(_, line)| line.starts_with('#') || line.starts_with("//")))
}

/// Lines of a document with a vague word.
pub fn vague_lines(path: &str, text: &str) -> Vec<String> {
    vague(path, text.lines().enumerate().map(|(at, line)| (at + 1, line)))
}

/// Docs of a single line that are too short to say more than the name does.
pub fn empty_docs(path: &str, text: &str) -> Vec<String> {
    let doc =
        |line: &'_ str| line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(str::trim).map(str::len);
    let lines: Vec<Option<usize>> = text.lines().map(|line| doc(line.trim())).collect();
    let is_alone = |at: usize| (at == 0 || lines[at - 1].is_none()) && lines.get(at + 1).copied().flatten().is_none();
    let short =
        lines.iter().enumerate().filter(|(at, doc)| doc.is_some_and(|len| len <= DOC_BYTES_EMPTY) && is_alone(*at));
    short.map(|(at, _)| format!("{path}:{}: the doc says no more than the name", at + 1)).collect()
}

fn comments(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_start()));
    lines.filter(|(_, line)| line.starts_with("//"))
}

fn vague<'a>(path: &str, lines: impl Iterator<Item = (usize, &'a str)>) -> Vec<String> {
    let says = |line: &str, word: &str| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '`' || c == '"';
        line.match_indices(word)
            .any(|(at, _)| !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part))
    };
    let faults = lines.flat_map(|(at, line)| {
        let line = line.to_lowercase();
        VAGUE_WORDS.iter().filter(move |word| says(&line, word)).map(move |word| (at, word))
    });
    faults.map(|(at, word)| format!("{path}:{at}: \"{word}\" is vague")).collect()
}

/// "The servers." is a doc of this length.
const DOC_BYTES_EMPTY: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impurity_is_found() {
        let found = |text: &str| impurities("x.rs", &SourceFile::parse(text)).len();
        for text in [
            "let a = Instant::now();",
            "std::time::SystemTime::now()",
            "use std::thread;",
            "use std::{sync::Arc, thread::{self, JoinHandle}};",
            "async fn f() {}",
            "f(async move { x })",
            "use std::{fmt, net::{TcpStream}};",
            "use std::net::*;",
            "tokio::spawn(x)",
            "doc.transact_mut()",
            "use std::hash::{BuildHasher, RandomState};",
            "thread_local! {}",
        ] {
            assert_ne!(found(text), 0, "{text}");
        }
        assert_eq!(
            found("// Instant::now\nconst A: &str = \"tokio::\"; fn f(now: Instant) { net::x(); transact() }"),
            0
        );
    }

    #[test]
    fn a_vague_word_is_found() {
        let found = |text: &str| vague_comments("x", text).len();
        assert_eq!(
            found(
                "/// Whoever comes.\n    // told to nobody\nfn nobody() {}\n/// A `nobody`, a \"nobody\" and whomever."
            ),
            2
        );
        assert_eq!(vague_lines("x", "Whatever\nit is").len(), 1);
        assert_eq!(vague_script("x", "# Whoever\n  // nobody\nnobody > 40").len(), 2);
    }

    #[test]
    fn an_empty_doc_is_found() {
        let found = |text: &str| empty_docs("x", text).len();
        assert_eq!(found("/// The name.\nname: u8,\n/// Their number.\nnumber: u8,\n/// # Errors\n///\n/// None."), 1);
    }

    #[test]
    fn a_word_of_the_application_is_found() {
        let words = ["channel:", "note:", "user:{", "user-join", "ydoc:"];
        let found = |text: &str| spoken("rooms.rs", &SourceFile::parse(text), &words).len();
        assert_eq!(found(r#"join("channel:1")"#), 1);
        assert_eq!(found(r##"br#"42["user-join",{}]"#"##), 1);
        assert_eq!(found(r#"format!("P:ydoc:{id}") "x""#), 1);
        assert_eq!(found(r#"format!("user:{id}") "user:secret@host""#), 1);
        assert_eq!(found("// the \"channel:\" rooms\n \"a channel: x\" \"keynote:1\" \"note: see\" 'n'"), 0);
    }
}
