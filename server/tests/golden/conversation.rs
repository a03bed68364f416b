//! The format of conversation files.
//!
//! | line | what |
//! |---|---|
//! | `open NAME [websocket ∣ polling ∣ upgrade]` | NAME opens a transport, and is told the usual |
//! | `close NAME` | NAME's transport is cut |
//! | `NAME > FRAME` | NAME sends |
//! | `NAME < PATTERN` | the next that NAME receives |
//! | `  original NUMBER: PATTERN` | what the original would have sent instead; NUMBER of 2.5 or 2.7 says why not |
//! | `NAME never NUMBER: PATTERN` | what NAME must not receive from here on, although the original would send it |
//! | `NAME ended` | NAME's transport is closed by the server |
//! | `api PATH BODY -> STATUS PATTERN` | another process asks |
//! | `call LABEL PATH BODY`, `answer LABEL STATUS PATTERN` | the same in two steps |
//! | `sql STATEMENT` | the rest of the application writes |
//! | `row VALUE = QUERY` | a row that must come to hold this; as JSON if it is an object |
//! | `settled` | the store has answered all that it was asked |
//! | `store fails ∣ slows ∣ restarts ∣ recovers` | what the database does |
//!
//! At the end of a conversation no peer may have received anything else.

use std::fs;
use std::path::{Path, PathBuf};

/// A conversation file: its path, and its steps with their line numbers.
pub struct Conversation {
    pub path: PathBuf,
    pub steps: Vec<(usize, Step)>,
}

#[derive(Debug)]
pub enum Step {
    Open { who: String, by: By },
    Close { who: String },
    Send { who: String, frame: String },
    Expect { who: String, pattern: String, original: Option<String> },
    Never { who: String, pattern: String },
    Ended { who: String },
    Api { path: String, body: String, status: u16, pattern: String },
    Call { label: String, path: String, body: String },
    Answer { label: String, status: u16, pattern: String },
    Sql(String),
    Row { value: String, query: String },
    Settled,
    Store(DatabaseFault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    WebSocket,
    Polling,
    Upgrade,
}

/// What a database does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseFault {
    /// It refuses, or does not answer in time.
    Fails,
    /// It answers nothing until it recovers, which is soon.
    Slows,
    /// It goes away and comes back.
    Restarts,
    Recovers,
}

impl Conversation {
    /// All files of a folder, by name.
    pub fn all(folder: &Path) -> Vec<Self> {
        let mut paths: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|found| found == "txt"))
            .collect();
        paths.sort();
        paths.into_iter().map(Self::read).collect()
    }

    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        let mut steps: Vec<(usize, Step)> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = format!("{}:{number}: {line}", path.display());
            if let Some(rest) = line.strip_prefix("original ") {
                let Some((_, Step::Expect { original, .. })) = steps.last_mut() else { panic!("{place}") };
                *original = Some(deviation(rest, &place));
            } else {
                steps.push((number, step(line).unwrap_or_else(|| panic!("{place}"))));
                if let Some((_, Step::Never { pattern, .. })) = steps.last_mut() {
                    *pattern = deviation(pattern, &place);
                }
            }
        }
        Self { path, steps }
    }
}

/// `NUMBER: PATTERN`, where the number names an item of the contract.
fn deviation(text: &str, place: &str) -> String {
    let (number, pattern) = text.split_once(": ").unwrap_or_else(|| panic!("{place}"));
    assert!(is_number(number), "no item of 2.5 or 2.7: {place}");
    pattern.to_owned()
}

/// Whether there is such an item.
pub fn is_number(text: &str) -> bool {
    let item = |prefix: &str| text.strip_prefix(prefix).and_then(|item| item.parse::<u8>().ok());
    item("2.5.").is_some_and(|item| (1..=22).contains(&item))
        || item("2.7.").is_some_and(|item| (1..=12).contains(&item))
}

fn step(line: &str) -> Option<Step> {
    let Some((first, rest)) = line.split_once(' ') else {
        return (line == "settled").then_some(Step::Settled);
    };
    let owned = |text: &str| text.to_owned();
    Some(match first {
        "open" => {
            let (who, by) = rest.split_once(' ').unwrap_or((rest, "websocket"));
            let by = match by {
                "websocket" => By::WebSocket,
                "polling" => By::Polling,
                "upgrade" => By::Upgrade,
                _ => return None,
            };
            Step::Open { who: owned(who), by }
        }
        "close" => Step::Close { who: owned(rest) },
        "sql" => Step::Sql(owned(rest)),
        "row" => {
            let (value, query) = rest.split_once(" = ")?;
            Step::Row { value: owned(value), query: owned(query) }
        }
        "store" => Step::Store(match rest {
            "fails" => DatabaseFault::Fails,
            "slows" => DatabaseFault::Slows,
            "restarts" => DatabaseFault::Restarts,
            "recovers" => DatabaseFault::Recovers,
            _ => return None,
        }),
        "api" => {
            let (path, rest) = rest.split_once(' ')?;
            let (body, answer) = rest.rsplit_once(" -> ")?;
            let (status, pattern) = answer.split_once(' ')?;
            Step::Api { path: owned(path), body: owned(body), status: status.parse().ok()?, pattern: owned(pattern) }
        }
        "call" => {
            let mut parts = rest.splitn(3, ' ').map(owned);
            Step::Call { label: parts.next()?, path: parts.next()?, body: parts.next()? }
        }
        "answer" => {
            let mut parts = rest.splitn(3, ' ').map(owned);
            Step::Answer { label: parts.next()?, status: parts.next()?.parse().ok()?, pattern: parts.next()? }
        }
        who => match rest.split_once(' ') {
            Some((">", frame)) => Step::Send { who: owned(who), frame: owned(frame) },
            Some(("<", pattern)) => Step::Expect { who: owned(who), pattern: owned(pattern), original: None },
            Some(("never", pattern)) => Step::Never { who: owned(who), pattern: owned(pattern) },
            None if rest == "ended" => Step::Ended { who: owned(who) },
            Some(_) | None => return None,
        },
    })
}
