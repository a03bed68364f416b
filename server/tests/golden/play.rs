//! Conversations, carried on with the program.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use roomcast_auth::sign_hs256;
use serde_json::Value;

use crate::SECRET;
use crate::common::{HttpAnswer, Program, api, get};
use crate::conversation::{By, Conversation, Step};
use crate::database::{API_KEY, Database};
use crate::pattern::Names;
use crate::peer::{Peer, ReceivedFrame};

/// Carries all of them on, each with a new world and a new process.
pub fn play_all(conversations: &[Conversation], database: &mut Database) {
    assert!(!conversations.is_empty());
    for conversation in conversations {
        database.create();
        let (program, address) = start(database, &[]);
        database.started();
        let place = format!("{} on {:?}", conversation.path.file_name().unwrap().display(), database.kind());
        let mut stage = ConversationStage::new(address, database);
        for (line, step) in &conversation.steps {
            stage.place = format!("{place}, line {line}");
            stage.step(step);
        }
        stage.place = format!("{place}, at its end");
        stage.end();
        drop(program);
    }
}

/// The program on a database.
pub fn start(database: &Database, more: &[(&str, &str)]) -> (Program, SocketAddr) {
    let variables = database.variables();
    let variables = variables.iter().map(|(name, value)| (*name, value.as_str()));
    Program::serve(&[], &variables.chain(more.iter().copied()).collect::<Vec<_>>())
}

/// A token of a user, as Open WebUI signs it.
pub fn token(user: &str) -> String {
    signed(&serde_json::json!({ "id": user, "jti": format!("token-of-{user}") }))
}

/// A token with these claims.
pub fn signed(claims: &Value) -> String {
    sign_hs256(SECRET.as_bytes(), &claims.to_string())
}

struct ConversationStage<'d> {
    address: SocketAddr,
    database: &'d mut Database,
    names: Names,
    peers: BTreeMap<String, Actor>,
    calls: BTreeMap<String, JoinHandle<HttpAnswer>>,
    place: String,
}

struct Actor {
    peer: Peer,
    upgrade: bool,
    is_in: bool,
    never: Vec<String>,
}

impl<'d> ConversationStage<'d> {
    fn new(address: SocketAddr, database: &'d mut Database) -> Self {
        Self {
            address,
            database,
            names: Names::default(),
            peers: BTreeMap::new(),
            calls: BTreeMap::new(),
            place: String::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Open { who, by } => self.open(who, *by),
            Step::Close { who } => {
                self.fence(who);
                self.peers.remove(who).unwrap().peer.cut();
            }
            Step::Send { who, frame } => {
                let frame = self.names.fill(frame, &token);
                self.actor(who).peer.send(&frame);
            }
            Step::Expect { who, pattern, original } => self.expect(who, pattern, original.as_deref()),
            Step::Never { who, pattern } => self.actor(who).never.push(pattern.clone()),
            Step::Ended { who } => {
                let mut actor = self.peers.remove(who).unwrap();
                assert_eq!(actor.peer.next(), ReceivedFrame::End, "{}", self.place);
            }
            Step::Api { path, body, status, pattern } => {
                let answer = api(self.address, path, API_KEY, &self.names.fill(body, &token));
                self.answered(&answer, *status, pattern);
            }
            Step::Call { label, path, body } => {
                let (address, path, body) = (self.address, path.clone(), self.names.fill(body, &token));
                let call = thread::Builder::new().spawn(move || api(address, &path, API_KEY, &body)).unwrap();
                self.calls.insert(label.clone(), call);
            }
            Step::Answer { label, status, pattern } => {
                let answer = self.calls.remove(label).unwrap().join().unwrap();
                self.answered(&answer, *status, pattern);
            }
            Step::Sql(sql) => self.database.execute(sql),
            Step::Row { value, query } => self.row(value, query),
            Step::Settled => self.settled(),
            Step::Store(fault) => self.database.fault(*fault),
        }
    }

    fn open(&mut self, who: &str, by: By) {
        let (peer, open) = Peer::open(self.address, by);
        let upgrades = if by == By::WebSocket { "[]" } else { r#"["websocket"]"# };
        let usual = format!(
            r#"0{{"sid":"$any","upgrades":{upgrades},"pingTimeout":20000,"pingInterval":25000,"maxPayload":16777216}}"#
        );
        assert!(self.names.is_like(&usual, &open), "{}: {open}", self.place);
        let actor = Actor { peer, upgrade: by == By::Upgrade, is_in: false, never: Vec::new() };
        let before = self.peers.insert(who.to_owned(), actor);
        assert!(before.is_none(), "{}: it is open", self.place);
    }

    fn expect(&mut self, who: &str, pattern: &str, original: Option<&str>) {
        let frame = self.receive(who);
        assert!(self.names.is_like(pattern, &frame), "{}: {who} received {frame}\n   and not {pattern}", self.place);
        if let Some(original) = original {
            assert!(!self.names.is_like(original, &frame), "{}: this is what the original sends", self.place);
        }
        if pattern.starts_with("40{") {
            let actor = self.peers.get_mut(who).unwrap();
            actor.is_in = true;
            if std::mem::take(&mut actor.upgrade) {
                let mut actor = self.peers.remove(who).unwrap();
                actor.peer = actor.peer.upgrade();
                self.peers.insert(who.to_owned(), actor);
            }
        }
        if pattern == "41" {
            self.actor(who).is_in = false;
        }
    }

    fn receive(&mut self, who: &str) -> String {
        let actor = self.peers.get_mut(who).unwrap_or_else(|| panic!("{}: {who} is not open", self.place));
        let frame = match actor.peer.next() {
            ReceivedFrame::Text(frame) => frame,
            other @ (ReceivedFrame::Binary(_) | ReceivedFrame::End) => {
                panic!("{}: {who} received {other:?}", self.place)
            }
        };
        for never in &actor.never {
            assert!(!self.names.is_like(never, &frame), "{}: {who} received {frame}", self.place);
        }
        frame
    }

    /// Checks that the peer has received nothing besides what was expected.
    fn fence(&mut self, who: &str) {
        if self.actor(who).is_in {
            self.actor(who).peer.send(FENCE);
            let frame = self.receive(who);
            assert_eq!(frame, FENCE_ACK, "{}: {who} received more", self.place);
        }
    }

    fn answered(&mut self, answer: &HttpAnswer, status: u16, pattern: &str) {
        let is_like = self.names.is_like(pattern, &answer.body);
        assert!(answer.status == status && is_like, "{}: {answer:?}", self.place);
    }

    /// Rows are written when their time has come.
    fn row(&mut self, value: &str, query: &str) {
        let mut found = None;
        let came = eventually(|| {
            found = self.database.text(query);
            match (&found, serde_json::from_str::<Value>(value)) {
                (Some(found), Ok(json @ Value::Object(_))) => serde_json::from_str(found).ok() == Some(json),
                (Some(found), _) => found == value,
                (None, _) => false,
            }
        });
        assert!(came, "{}: it is {found:?}", self.place);
    }

    fn settled(&self) {
        let settled =
            eventually(|| get(self.address, "/metrics").body.lines().any(|line| line == "roomcast_app_queries 0"));
        assert!(settled, "{}: a question is open", self.place);
    }

    fn end(mut self) {
        assert!(self.calls.is_empty(), "{}: a call has no answer", self.place);
        for who in self.peers.keys().cloned().collect::<Vec<_>>() {
            self.fence(&who);
        }
    }

    fn actor(&mut self, who: &str) -> &mut Actor {
        self.peers.get_mut(who).unwrap_or_else(|| panic!("{}: {who} is not open", self.place))
    }
}

/// Asks again until it is so, for a time.
#[expect(clippy::disallowed_methods, reason = "nothing here is replayed")]
pub fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if is_so() {
            return true;
        }
        thread::yield_now();
    }
    false
}

/// Does nothing, in the turn of its socket.
pub const FENCE: &str = r#"4299999["events:channel",{"channel_id":"-","data":{"type":"fence"}}]"#;
pub const FENCE_ACK: &str = "4399999[]";
const PATIENCE: Duration = Duration::from_secs(60);
