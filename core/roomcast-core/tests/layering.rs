//! The house rules that the compiler does not know: which room may open a door to which, what must stand nowhere in
//! the core, how long a file may be, what the core may depend on. The checkers take text, so that each is shown to fail
//! on a small made-up source.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use source::Source;

#[path = "layering/source.rs"]
mod source;

#[test]
fn doors_open_downwards() {
    assert_none(core_sources().iter().flat_map(|(path, source)| doors_upwards(path, source)));
}

#[test]
fn the_application_stays_upstairs() {
    assert_none(core_sources().iter().flat_map(|(path, source)| application_strings(path, source)));
}

#[test]
fn nothing_in_the_core_has_a_clock_a_thread_or_a_socket() {
    assert_none(core_sources().iter().flat_map(|(path, source)| impurities(path, source)));
}

#[test]
fn every_file_says_what_it_is() {
    let silent = |(path, text): (String, String)| (!text.starts_with("//!")).then(|| format!("{path}: no module doc"));
    assert_none(texts(&core().join("src")).into_iter().filter_map(silent));
}

#[test]
fn files_are_short() {
    let long = |(path, text): (String, String)| {
        let lines = lines_before_tests(&text);
        (lines >= FILE_LINES_MAX).then(|| format!("{path}: {lines} lines before its tests"))
    };
    let workspace = texts(core().join("../..").as_path());
    assert!(workspace.iter().any(|(path, _)| path == "server/src/main.rs"), "the walk reaches every member");
    assert_none(workspace.into_iter().filter_map(long));
}

#[test]
fn the_core_depends_on_no_runtime() {
    let tree = ["tree", "-p", "roomcast-core", "-e", "normal", "--prefix", "depth", "--no-dedupe", "--offline"];
    let output = Command::new(env!("CARGO")).args(tree).current_dir(core()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("serde_json v"), "not a tree: {tree}");
    assert_none(runtimes(&tree, TOLERATED));
}

#[test]
fn a_door_upwards_is_found() {
    for (path, text, count) in [
        ("socket_io/mod.rs", "use crate::engine_io::Packet;", 0),
        ("engine_io/mod.rs", "use crate::socket_io::Packet;", 1),
        ("engine_io/session.rs", "use crate::{engine_io::a, slab::{Slab}, rooms::{b, c::d}, server};", 3),
        ("engine_io/session.rs", "use super::super::{server::Server, time};", 1),
        ("engine_io/session.rs", "use super::packet; mod tests { use super::super::packet; use super::*; }", 0),
        ("engine_io/session.rs", "mod tests { use super::super::super::rooms; }", 1),
        ("slab.rs", "fn f() { super::server::run() }", 1),
        ("slab.rs", "mod tests { use super::*; } use crate::id::SlabKey;", 0),
        ("slab.rs", "fn f(x: &crate::websocket::Frame) -> crate::time::Instant {}", 1),
        ("rooms.rs", "use crate::socket_io::Namespace; use crate::rooms::Target;", 0),
        ("rooms.rs", "use crate::cluster;", 1),
        ("client/mod.rs", "use crate::server;", 1),
        ("server/mod.rs", "use crate::{rooms, cluster, time};", 0),
        ("server/mod.rs", "use crate::client;", 1),
        ("slab.rs", "crate::slab_key! { pub struct Key; } $crate::id::SlabKey", 0),
        ("slab.rs", "use crate::cellar;", 1),
        ("cellar.rs", "", 1),
        ("lib.rs", "pub use crate::server::Server;", 0),
        (
            "slab.rs",
            "// crate::server\n/* /* crate::client */ crate::rooms */ const A: &str = r#\"crate::http \" \"#;",
            0,
        ),
        ("slab.rs", "const Q: char = '\"'; fn f<'a>(x: &'a str) { crate::server::f() } // '\"", 1),
    ] {
        assert_eq!(doors_upwards(path, &Source::parse(text)).len(), count, "{path}: {text}");
    }
}

#[test]
fn an_application_string_is_found() {
    let found = |path: &str, text: &str| application_strings(path, &Source::parse(text)).len();
    assert_eq!(found("rooms.rs", r#"join("channel:1")"#), 1);
    assert_eq!(found("rooms.rs", r##"br#"42["user-join",{}]"#"##), 1);
    assert_eq!(found("server/mod.rs", r#"format!("P:ydoc:{id}") "x""#), 1);
    assert_eq!(found("rooms.rs", r#"format!("user:{id}") "user:secret@host""#), 1);
    assert_eq!(found("openwebui/rooms.rs", r#"join("channel:1")"#), 0);
    assert_eq!(found("rooms.rs", "// the \"channel:\" rooms\n \"a channel: x\" \"keynote:1\" \"note: see\" 'n'"), 0);
}

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
        "tokio::spawn(x)",
        "doc.transact_mut()",
        "use std::hash::{BuildHasher, RandomState};",
        "thread_local! {}",
    ] {
        assert_ne!(found(text), 0, "{text}");
    }
    assert_eq!(found("// Instant::now\nconst A: &str = \"tokio::\"; fn f(now: Instant) { net::x(); transact() }"), 0);
}

#[test]
fn lines_are_counted_up_to_the_tests() {
    assert_eq!(lines_before_tests("a\nb\n"), 2);
    assert_eq!(lines_before_tests("a\nb\n#[cfg(test)]\nmod tests {\nb\n}\n"), 2);
    assert_eq!(lines_before_tests("#[cfg(test)]\nmod tests;\n#[cfg(test)]\nuse x;\na\n"), 5);
}

#[test]
fn a_runtime_is_found() {
    let tree = "0roomcast-core v0.1.0 (/x)\n1base64 v0.23.1\n1jwt v1.0.0\n2rand_core v0.6.4\n3getrandom v0.2.17\n";
    let tolerated = [Tolerated { name: "getrandom", by: "jwt", reason: "" }];
    assert_eq!(runtimes(tree, &tolerated).len(), 0);
    assert_eq!(runtimes(tree, &[]).len(), 1);
    assert_eq!(runtimes(&format!("{tree}1other v1.0.0\n2getrandom v0.2.17\n"), &tolerated).len(), 1);
    assert_eq!(runtimes(&format!("{tree}1other v1.0.0\n2tokio v1.0.0\n1mio v1.0.0\n"), &tolerated).len(), 2);
    assert_eq!(runtimes("0roomcast-core v0.1.0\n1jwt v1.0.0\n", &tolerated).len(), 1, "nothing needs the exception");
}

/// The house from the ground up. A room may use the floors below its own.
const FLOORS: &[(&[&str], Neighbours)] = &[
    (&["time", "id", "slab", "queue", "rng", "timer"], Neighbours::Meet),
    (&["http", "websocket"], Neighbours::Meet),
    (&["engine_io"], Neighbours::Meet),
    (&["socket_io"], Neighbours::Meet),
    (&["rooms", "cluster"], Neighbours::Strangers),
    (&["server", "client"], Neighbours::Strangers),
];

/// Whether the rooms of one floor may use each other.
#[derive(Clone, Copy, PartialEq)]
enum Neighbours {
    Meet,
    Strangers,
}

/// Macros that stand at the root of the crate; they belong to the ground floor.
const ROOT_MACROS: &[&str] = &["slab_key"];

/// Words of the application protocol. One counts where it begins a word and no blank follows.
const APPLICATION: &[&str] = &[
    "channel:",
    "chat:",
    "doc_note",
    "events:",
    "join-channels",
    "join-note",
    "note:",
    "note-events",
    "open-webui",
    "open_webui",
    "session_pool",
    "usage_pool",
    "user-join",
    // Not `user:`, which is how a URL names somebody.
    "user:{",
    "ydoc:",
];

/// Paths that stand nowhere in the core.
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

/// Words that stand nowhere in the core.
const IMPURE_WORDS: &[&str] = &["async", "await", "thread_local", "transact_mut"];

/// A file is read as a whole or not at all.
const FILE_LINES_MAX: usize = 600;

/// Runtimes, and the randomness of the operating system.
const RUNTIMES: &[&str] = &["async-io", "async-std", "getrandom", "hyper", "mio", "polling", "rand", "smol", "tokio"];

/// A crate of [`RUNTIMES`] that is in the tree below one that is needed.
struct Tolerated {
    name: &'static str,
    by: &'static str,
    reason: &'static str,
}

const TOLERATED: &[Tolerated] = &[];

fn doors_upwards(path: &str, source: &Source) -> Vec<String> {
    let own = room(path);
    if own == "lib" {
        return Vec::new();
    }
    let Some(own_floor) = floor(own) else { return vec![format!("{path}: `{own}` has no floor in FLOORS")] };
    let own_depth = path.trim_end_matches("/mod.rs").split('/').count();
    let mut faults = Vec::new();
    for used in source.paths() {
        let Some(other) = used.room_below(own_depth) else { continue };
        let is_allowed = ROOT_MACROS.contains(&other)
            || floor(other).is_some_and(|other_floor| {
                let may_meet = other == own || FLOORS[own_floor].1 == Neighbours::Meet;
                other_floor < own_floor || other_floor == own_floor && may_meet
            });
        if !is_allowed {
            faults.push(format!("{path}:{}: `{own}` uses `{other}`", used.line));
        }
    }
    faults
}

fn application_strings(path: &str, source: &Source) -> Vec<String> {
    if room(path) == "openwebui" {
        return Vec::new();
    }
    let says = |text: &str, word: &str| {
        text.match_indices(word).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == ' ') && !text[at + word.len()..].starts_with(' ')
        })
    };
    let spoken = source.literals().iter().filter(|(_, text)| APPLICATION.iter().any(|word| says(text, word)));
    spoken.map(|(line, text)| format!("{path}:{line}: {text:?} belongs into openwebui")).collect()
}

fn impurities(path: &str, source: &Source) -> Vec<String> {
    let is_impure = |text: &str| {
        let text = format!("::{text}::");
        IMPURE_PATHS.iter().any(|impure| text.contains(&format!("::{impure}::")))
    };
    let paths = source.paths().into_iter().map(|used| (used.line, used.text())).filter(|(_, text)| is_impure(text));
    let words = source.words().filter(|(_, word)| IMPURE_WORDS.contains(word));
    let faults = paths.chain(words.map(|(line, word)| (line, word.to_owned())));
    faults.map(|(line, what)| format!("{path}:{line}: {what}")).collect()
}

fn lines_before_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let is_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
    lines.windows(2).position(is_tests).unwrap_or(lines.len())
}

/// `tree` is what `cargo tree --prefix depth` prints.
fn runtimes(tree: &str, tolerated: &[Tolerated]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut is_needed = vec![false; tolerated.len()];
    let mut by = "";
    for line in tree.lines() {
        let package = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let name = package.split(' ').next().unwrap_or_default();
        if line.strip_suffix(package) == Some("1") {
            by = name;
        }
        if RUNTIMES.contains(&name) {
            match tolerated.iter().position(|entry| (entry.name, entry.by) == (name, by)) {
                Some(at) => is_needed[at] = true,
                None => faults.push(format!("{name} by way of {by}")),
            }
        }
    }
    let idle = tolerated.iter().zip(is_needed).filter(|(_, is_needed)| !is_needed);
    faults.extend(idle.map(|(entry, _)| format!("nothing needs the exception for {} ({})", entry.name, entry.reason)));
    faults
}

/// The first part of a path below `src`.
fn room(path: &str) -> &str {
    path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|(rooms, _)| rooms.contains(&room))
}

fn core() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn core_sources() -> Vec<(String, Source)> {
    let texts = texts(&core().join("src"));
    assert!(texts.iter().any(|(path, _)| path == "lib.rs"), "the walk reaches the core");
    texts.into_iter().map(|(path, text)| (path, Source::parse(&text))).collect()
}

/// Every Rust file below `root` that is neither generated nor a test, bench or example, with its path from there.
fn texts(root: &Path) -> Vec<(String, String)> {
    let (mut open, mut found) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_left_out = ["target", "node_modules", "tests", "benches", "examples"].contains(&name);
            if path.is_dir() {
                if !is_left_out && !name.starts_with('.') {
                    open.push(path);
                }
            } else if name.ends_with(".rs") && name != "tests.rs" {
                let relative = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                found.push((relative, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn assert_none(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
