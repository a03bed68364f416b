//! Words and paths that must not stand in a crate.
//!
//! Owns: what makes code impure, and how a word of the application differs from ordinary text. Must never know: which
//! crates are pure.

use crate::source::Source;

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
pub fn impurities(path: &str, source: &Source) -> Vec<String> {
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
pub fn spoken(path: &str, source: &Source, words: &[&str]) -> Vec<String> {
    let says = |text: &str, word: &str| {
        text.match_indices(word).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == ' ') && !text[at + word.len()..].starts_with(' ')
        })
    };
    let spoken = source.literals().iter().filter(|(_, text)| words.iter().any(|word| says(text, word)));
    spoken.map(|(line, text)| format!("{path}:{line}: {text:?} is a word of the application")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impurity_is_found() {
        let found = |text: &str| impurities("x.rs", &Source::parse(text)).len();
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
    fn a_word_of_the_application_is_found() {
        let words = ["channel:", "note:", "user:{", "user-join", "ydoc:"];
        let found = |text: &str| spoken("rooms.rs", &Source::parse(text), &words).len();
        assert_eq!(found(r#"join("channel:1")"#), 1);
        assert_eq!(found(r##"br#"42["user-join",{}]"#"##), 1);
        assert_eq!(found(r#"format!("P:ydoc:{id}") "x""#), 1);
        assert_eq!(found(r#"format!("user:{id}") "user:secret@host""#), 1);
        assert_eq!(found("// the \"channel:\" rooms\n \"a channel: x\" \"keynote:1\" \"note: see\" 'n'"), 0);
    }
}
