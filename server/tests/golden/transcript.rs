//! Recordings as they stand in files, and who and what is in them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::conversation::By;
use crate::pattern::split;

/// One row of a recording, of any transport.
pub enum RecordedRow {
    Step(String),
    Open {
        who: String,
        conn: String,
        by: By,
    },
    Close {
        conn: String,
    },
    /// The server notices that the client has stopped polling.
    GivenUp {
        conn: String,
    },
    Sent {
        conn: String,
        frame: String,
    },
    SentBinary {
        conn: String,
        bytes: Vec<u8>,
    },
    Received {
        conn: String,
        frame: String,
    },
}

impl RecordedRow {
    pub fn conn(&self) -> Option<&str> {
        match self {
            Self::Step(_) => None,
            Self::Open { conn, .. }
            | Self::Close { conn }
            | Self::GivenUp { conn }
            | Self::Sent { conn, .. }
            | Self::SentBinary { conn, .. }
            | Self::Received { conn, .. } => Some(conn),
        }
    }
}

/// The rows of a file. A connection's name is made unique; those that failed are left out.
pub fn rows(path: &Path) -> Vec<RecordedRow> {
    let text = fs::read_to_string(path).unwrap();
    let mut opened: BTreeMap<String, usize> = BTreeMap::new();
    let mut rows = Vec::new();
    let mut polls = Polls::default();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let name = field("conn");
        let kind = field("kind");
        if kind == "poll" {
            polls.row(&row, &mut rows);
            continue;
        }
        if kind == "ws-open" {
            *opened.entry(name.clone()).or_default() += 1;
        }
        let conn = format!("{name}.{}", opened.get(&name).copied().unwrap_or_default());
        match (kind.as_str(), row["dir"].as_str(), row["binary"].as_str()) {
            ("step", ..) => rows.push(RecordedRow::Step(field("text"))),
            ("ws-open", ..) => rows.push(RecordedRow::Open { who: field("who"), conn, by: By::WebSocket }),
            ("ws-close", ..) => rows.push(RecordedRow::Close { conn }),
            ("ws-error", ..) => rows.retain(|row| row.conn() != Some(&conn)),
            ("frame", Some("c>s"), Some(binary)) => {
                rows.push(RecordedRow::SentBinary { conn, bytes: BASE64_STANDARD.decode(binary).unwrap() });
            }
            ("frame", Some("c>s"), None) => rows.push(RecordedRow::Sent { conn, frame: field("data") }),
            ("frame", Some("s>c"), Some(binary)) => {
                rows.push(RecordedRow::Received { conn, frame: format!("b{binary}") })
            }
            ("frame", Some("s>c"), None) => rows.push(RecordedRow::Received { conn, frame: field("data") }),
            _ => {}
        }
    }
    polls.end(&mut rows);
    let opened: BTreeSet<String> = rows
        .iter()
        .filter_map(|row| match row {
            RecordedRow::Open { conn, .. } => Some(conn.clone()),
            RecordedRow::Step(_)
            | RecordedRow::Close { .. }
            | RecordedRow::GivenUp { .. }
            | RecordedRow::Sent { .. }
            | RecordedRow::SentBinary { .. }
            | RecordedRow::Received { .. } => None,
        })
        .collect();
    rows.retain(|row| row.conn().is_none_or(|conn| opened.contains(conn)));
    rows
}

/// Who and what there is.
pub struct Cast {
    alice: String,
    bob: String,
    /// The channels that are made while they talk, in order.
    made: VecDeque<String>,
    channel: String,
    notes: BTreeSet<String>,
    /// The note that Bob may only read.
    read_only: String,
    /// The member that the last channel was made for.
    creating: Option<(String, BTreeSet<String>)>,
}

impl Cast {
    pub fn of(rows: &[RecordedRow]) -> Self {
        let mut cast = Self {
            alice: String::new(),
            bob: String::new(),
            made: VecDeque::new(),
            channel: String::new(),
            notes: BTreeSet::new(),
            read_only: String::new(),
            creating: None,
        };
        let mut step = "";
        for row in rows {
            match row {
                RecordedRow::Step(text) => step = text,
                RecordedRow::Sent { frame, .. } | RecordedRow::Received { frame, .. } => {
                    let is_sent = matches!(row, RecordedRow::Sent { .. });
                    for (name, id) in [("Alice Admin", &mut cast.alice), ("Bob User", &mut cast.bob)] {
                        if let Some(found) = before(frame, &format!("\",\"name\":\"{name}\""), "\"user\":{\"id\":\"") {
                            *id = found;
                        }
                    }
                    if let Some(note) = after(frame, "\"document_id\":\"note:") {
                        if step.contains("read-only") && is_sent {
                            cast.read_only.clone_from(&note);
                        }
                        cast.notes.insert(note);
                    }
                    if let Some(channel) = after(frame, "\"channel_id\":\"") {
                        if is_sent && cast.channel.is_empty() {
                            cast.channel = channel;
                        } else if channel != cast.channel && !cast.made.contains(&channel) {
                            cast.made.push_back(channel);
                        }
                    }
                }
                RecordedRow::Open { .. }
                | RecordedRow::Close { .. }
                | RecordedRow::GivenUp { .. }
                | RecordedRow::SentBinary { .. } => {}
            }
        }
        cast
    }

    pub fn user(&self, who: &str) -> &str {
        if who.starts_with("alice") { &self.alice } else { &self.bob }
    }

    pub fn is_reader(&self, who: &str, document: &str) -> bool {
        !who.starts_with("alice") && document.strip_prefix("note:") == Some(&self.read_only)
    }

    pub fn sql(&self) -> String {
        let Self { alice, bob, channel, .. } = self;
        let mut sql = format!(
            r#"INSERT INTO "user" (id, name, email, role, profile_image_url, created_at, updated_at, last_active_at)
            VALUES ('{alice}', 'Alice Admin', 'a', 'admin', '/user.png', 1, 1, 1),
                ('{bob}', 'Bob User', 'b', 'user', '/user.png', 1, 1, 1);
            INSERT INTO channel (id, user_id, name) VALUES ('{channel}', '{alice}', 'harness-room');"#
        );
        for note in &self.notes {
            let read = json!({ "group_ids": [], "user_ids": [bob] });
            let write = if *note == self.read_only { json!({}) } else { read.clone() };
            let access = json!({ "read": read, "write": write });
            sql.push_str(&format!(
                "INSERT INTO note (id, user_id, title, access_control) VALUES ('{note}', '{alice}', 'N', '{access}');"
            ));
        }
        sql
    }

    /// Makes the channel that a user is told of; each of them is told of each.
    pub fn next_channel(&mut self, target: &str) -> String {
        if let Some((_, told)) = &mut self.creating
            && told.insert(target.to_owned())
        {
            return String::new();
        }
        let channel = self.made.pop_front().unwrap();
        let Self { alice, bob, .. } = self;
        let mut sql =
            format!("INSERT INTO channel (id, user_id, name, type) VALUES ('{channel}', '{alice}', '', 'dm');");
        for user in [alice, bob] {
            sql.push_str(&format!(
                "INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES ('{channel}-{user}', \
                 '{channel}', '{user}', 1);"
            ));
        }
        self.creating = Some((channel, BTreeSet::from([target.to_owned()])));
        sql
    }

    /// The recipient, if the backend sent this.
    pub fn backend_target(&self, who: &str, frame: &str) -> Option<String> {
        let (head, body) = split(frame);
        if !head.starts_with("42") {
            return None;
        }
        let event: Value = serde_json::from_str(body).ok()?;
        let data = &event[1];
        match event[0].as_str()? {
            "events" => Some(format!("user {}", self.user(who))),
            "note-events" => Some(format!("room note:{}", data["id"].as_str()?)),
            "events:channel" if data["data"]["type"] == "channel:created" => Some(format!("user {}", self.user(who))),
            "events:channel" if data["data"]["type"] != "typing" => {
                Some(format!("room channel:{}", data["channel_id"].as_str()?))
            }
            _ => None,
        }
    }
}

/// What stands between this and a quotation mark.
pub fn after(text: &str, start: &str) -> Option<String> {
    let from = text.find(start)? + start.len();
    text[from..].split('"').next().map(str::to_owned)
}

/// What stands between `start` and the first `end`.
fn before(text: &str, end: &str, start: &str) -> Option<String> {
    let to = text.find(end)?;
    let from = text[..to].rfind(start)? + start.len();
    Some(text[from..to].to_owned())
}

/// Pollers that are there, by Engine.IO id, and when each was last heard of.
#[derive(Default)]
struct Polls(BTreeMap<String, f64>);

impl Polls {
    fn row(&mut self, row: &Value, rows: &mut Vec<RecordedRow>) {
        let field = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let now = row["t"].as_f64().unwrap();
        // One that is silent is given up.
        self.0.retain(|conn, heard| {
            let is_there = *heard + GIVEN_UP_SECS > now;
            if !is_there {
                rows.push(RecordedRow::GivenUp { conn: conn.clone() });
            }
            is_there
        });
        if row["status"] != 200 {
            return;
        }
        let (url, received) = (field("url"), field("received"));
        let Some((_, conn)) = url.split_once("&sid=") else {
            let conn = after(&received, "\"sid\":\"").unwrap();
            self.0.insert(conn.clone(), now);
            rows.push(RecordedRow::Open { who: field("who"), conn: conn.clone(), by: By::Polling });
            rows.push(RecordedRow::Received { conn, frame: received });
            return;
        };
        let conn = conn.to_owned();
        if !self.0.contains_key(&conn) {
            return;
        }
        self.0.insert(conn.clone(), now);
        if field("method") == "POST" {
            for frame in field("sent").split('\x1e') {
                rows.push(match frame.strip_prefix('b') {
                    Some(binary) => {
                        RecordedRow::SentBinary { conn: conn.clone(), bytes: BASE64_STANDARD.decode(binary).unwrap() }
                    }
                    None => RecordedRow::Sent { conn: conn.clone(), frame: frame.to_owned() },
                });
            }
        } else {
            // A page that went away took some answers along.
            for frame in received.split('\x1e').filter(|frame| !frame.starts_with("<unreadable")) {
                rows.push(RecordedRow::Received { conn: conn.clone(), frame: frame.to_owned() });
            }
        }
    }

    fn end(self, rows: &mut Vec<RecordedRow>) {
        rows.extend(self.0.into_keys().map(|conn| RecordedRow::GivenUp { conn }));
    }
}

/// Interval and timeout of the original's heartbeat.
const GIVEN_UP_SECS: f64 = 45.0;
