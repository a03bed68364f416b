//! Recorded traffic between the front end and the original, with the program in the original's place.
//!
//! The browsers' side is sent again, event by event, each behind the effects of the one before. What the original's
//! backend emitted enters over the HTTP API. What each browser receives is then compared with what it received.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::thread::{self, JoinHandle};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use roomcast_yjs::{Document, DocumentLimits, Source, Verdict};
use serde_json::{Value, json};

use crate::common::{HttpAnswer, Program, api};
use crate::conversation::By;
use crate::database::{API_KEY, Database};
use crate::pattern::split;
use crate::peer::{Peer, ReceivedFrame};
use crate::play::{FENCE, FENCE_ACK, eventually, signed, start};
use crate::transcript::{Cast, RecordedRow, after, rows};

/// What is known of a recording when it has been replayed.
#[derive(Default)]
pub struct ReplayOutcome {
    /// What each browser's connection received, then and now.
    pub received: Vec<ThenAndNow>,
    /// When each update was sent.
    pub sent: BTreeMap<String, usize>,
    /// Updates that brought nothing new when they were sent.
    pub echoes: BTreeSet<String>,
    /// Updates of those who may not write.
    pub unheard: BTreeSet<String>,
    /// What came of those who are not in the document: awareness, and leaving.
    pub outside: BTreeSet<String>,
    /// Updates that came before what they build on.
    pub early: BTreeSet<String>,
    /// Users, by the number of their connection.
    pub users: Vec<String>,
    /// Documents, and the users whose request to join was refused because they had no session yet.
    pub refused: BTreeSet<(String, String)>,
}

impl ReplayOutcome {
    /// An update by its text.
    pub fn key(&self, data: &Value) -> String {
        json!([data["document_id"], data["socket_id"], data["update"]]).to_string()
    }
}

#[derive(Default)]
pub struct ThenAndNow {
    pub place: String,
    pub then: Vec<String>,
    pub now: Vec<String>,
    /// The documents that it has left by itself.
    pub left: BTreeSet<String>,
}

/// Replays a recording.
pub fn replay(path: &Path, database: &mut Database) -> ReplayOutcome {
    let rows = rows(path);
    let cast = Cast::of(&rows);
    database.create();
    database.execute(&cast.sql());
    let is_polling = rows.iter().any(|row| matches!(row, RecordedRow::Open { by: By::Polling, .. }));
    let transports = [("ENABLE_WEBSOCKET_SUPPORT", if is_polling { "False" } else { "True" })];
    let (program, address) = start(database, &transports);
    let mut stage = TranscriptStage {
        transports,
        address,
        program: Some(program),
        database,
        cast,
        browsers: BTreeMap::new(),
        gone: Vec::new(),
        then_sids: Vec::new(),
        now_sids: Vec::new(),
        injected: BTreeMap::new(),
        documents: BTreeMap::new(),
        sent: BTreeMap::new(),
        echoes: BTreeSet::new(),
        unheard: BTreeSet::new(),
        outside: BTreeSet::new(),
        early: BTreeSet::new(),
        users: Vec::new(),
        refused: BTreeSet::new(),
        step: String::new(),
        restart_due: false,
    };
    let heard = |row: &RecordedRow| !matches!(row, RecordedRow::GivenUp { .. });
    let rows_heard = rows.iter().enumerate().filter(|(_, row)| heard(row));
    let last: BTreeMap<&str, usize> = rows_heard.filter_map(|(at, row)| Some((row.conn()?, at))).collect();
    for (at, row) in rows.iter().enumerate() {
        stage.row(row);
        // A connection without later rows has ended.
        if let Some(conn) = row.conn()
            && last.get(conn) == Some(&at)
        {
            stage.last(conn);
        }
    }
    if rows.iter().any(|row| matches!(row, RecordedRow::Sent { frame, .. } if frame.starts_with("42[\"heartbeat\""))) {
        stage.check_heartbeat();
    }
    stage.outcome()
}

struct TranscriptStage<'d> {
    transports: [(&'static str, &'static str); 1],
    address: SocketAddr,
    program: Option<Program>,
    database: &'d mut Database,
    cast: Cast,
    browsers: BTreeMap<String, Browser>,
    gone: Vec<ThenAndNow>,
    /// Socket.IO ids by number of the connection, in the recording and in the replay.
    then_sids: Vec<String>,
    now_sids: Vec<String>,
    /// How often the backend's events have been sent, by target and text.
    injected: BTreeMap<(String, String), usize>,
    documents: BTreeMap<String, Document>,
    sent: BTreeMap<String, usize>,
    echoes: BTreeSet<String>,
    unheard: BTreeSet<String>,
    outside: BTreeSet<String>,
    early: BTreeSet<String>,
    users: Vec<String>,
    refused: BTreeSet<(String, String)>,
    step: String,
    /// The server has gone away when the next connection closes.
    restart_due: bool,
}

struct Browser {
    by: By,
    who: String,
    peer: Peer,
    received: ThenAndNow,
    is_in: bool,
    /// How often each of the backend's events has been received in the recording.
    counted: BTreeMap<String, usize>,
    calls: VecDeque<(String, JoinHandle<HttpAnswer>)>,
    /// The document that it wants to be in, or is in.
    joining: Option<String>,
    /// What it has received when it left the last one.
    left_at: usize,
    /// The event whose attachment comes next.
    attaching: Option<String>,
}

impl TranscriptStage<'_> {
    fn row(&mut self, row: &RecordedRow) {
        match row {
            RecordedRow::Step(text) => {
                self.step.clone_from(text);
                // Both end the program in good order here: what a kill may cost is the stores' affair.
                if text.contains("is restarted") {
                    self.restart();
                }
                self.restart_due = text.contains("SIGKILL");
            }
            RecordedRow::Open { who, conn, by } => self.open(who, conn, *by),
            RecordedRow::Close { .. } if std::mem::take(&mut self.restart_due) => self.restart(),
            RecordedRow::Close { conn } | RecordedRow::GivenUp { conn } => self.close(conn),
            RecordedRow::Sent { conn, frame } => self.send(conn, frame),
            RecordedRow::SentBinary { conn, bytes } => {
                let Some(browser) = self.browsers.get_mut(conn) else { return };
                browser.peer.send_binary(bytes.clone());
                let event = browser.attaching.take().unwrap();
                self.note_update(conn, &event, Some(bytes));
                self.fence(conn);
            }
            RecordedRow::Received { conn, frame } => self.receive(conn, frame),
        }
    }

    fn open(&mut self, who: &str, conn: &str, by: By) {
        // A page that is loaded again closes its connection without a word; that it polls no more is found out later.
        let before = self.browsers.iter().filter(|(_, browser)| browser.who == who && by == By::WebSocket);
        for conn in before.map(|(conn, _)| conn.clone()).collect::<Vec<_>>() {
            self.close(&conn);
        }
        let (peer, open) = Peer::open(self.address, by);
        let place = format!("{conn} ({})", self.step);
        let received = ThenAndNow { place, then: Vec::new(), now: vec![open], left: BTreeSet::new() };
        let browser = Browser {
            by,
            who: who.to_owned(),
            peer,
            received,
            is_in: false,
            counted: BTreeMap::new(),
            calls: VecDeque::new(),
            joining: None,
            left_at: 0,
            attaching: None,
        };
        self.browsers.insert(conn.to_owned(), browser);
    }

    /// A browser has no later rows. If it polls, the server notices later, and packets sent meanwhile go unseen.
    fn last(&mut self, conn: &str) {
        self.fence(conn);
        match self.browsers.get_mut(conn) {
            Some(browser) if browser.by == By::Polling => browser.is_in = false,
            Some(_) => self.close(conn),
            None => {}
        }
    }

    fn close(&mut self, conn: &str) {
        self.fence(conn);
        let Some(browser) = self.browsers.remove(conn) else { return };
        browser.peer.cut();
        self.gone.push(browser.received);
    }

    fn send(&mut self, conn: &str, frame: &str) {
        let frame = self.now(conn, frame);
        let Some(browser) = self.browsers.get_mut(conn) else { return };
        if frame == "3" {
            return;
        }
        if frame.starts_with("40") {
            browser.peer.send(&frame);
            let ReceivedFrame::Text(connected) = browser.peer.next() else { panic!("{conn}: no answer to CONNECT") };
            self.now_sids.push(sid(&connected));
            self.users.push(self.cast.user(&browser.who).to_owned());
            browser.received.now.push(connected);
            browser.is_in = true;
            return;
        }
        if let Some(ack) = frame.strip_prefix("43") {
            let (_, answer) = split(ack);
            let (id, call) = browser.calls.pop_front().unwrap();
            browser.peer.send(&format!("43{id}{answer}"));
            let answered = call.join().unwrap();
            assert_eq!((answered.status, answered.body), (200, format!("{{\"data\":{answer}}}")), "{conn}");
            return self.fence(conn);
        }
        browser.peer.send(&frame);
        if frame.contains("\"ydoc:document:join\"") {
            browser.joining = after(&frame, "\"document_id\":\"");
        }
        if frame.starts_with("45") {
            browser.attaching = Some(frame);
            return;
        }
        self.note_update(conn, &frame, None);
        self.fence(conn);
    }

    /// What comes of the document that an update is for.
    fn note_update(&mut self, conn: &str, frame: &str, attachment: Option<&[u8]>) {
        let (_, body) = split(frame);
        let Ok(Value::Array(event)) = serde_json::from_str(body) else { return };
        let [Value::String(name), data, ..] = event.as_slice() else { return };
        let Some(document) = data.get("document_id").and_then(Value::as_str) else { return };
        let who = self.browsers.get(conn).map(|browser| browser.who.clone()).unwrap_or_default();
        let is_in = self.browsers.get(conn).is_some_and(|browser| browser.is_in_document(document));
        let is_reader = self.cast.is_reader(&who, document);
        let key = json!([data["document_id"], data["socket_id"], data["update"]]).to_string();
        let key = numbered(&key, &self.now_sids);
        if name == "ydoc:document:update" {
            self.sent.insert(key.clone(), self.sent.len());
        }
        match name.as_str() {
            "ydoc:document:update" if is_reader => {
                self.unheard.insert(key);
            }
            "ydoc:document:update" => {
                let update = match attachment {
                    Some(bytes) => bytes.to_vec(),
                    None => self::bytes(&data["update"]),
                };
                let known = self
                    .documents
                    .entry(document.to_owned())
                    .or_insert_with(|| Document::new(DocumentLimits::default()));
                match known.apply(&update, Source::Resync) {
                    Verdict::Applied => {}
                    Verdict::NothingNew => drop(self.echoes.insert(key)),
                    Verdict::Missing(_) => drop(self.early.insert(key)),
                    Verdict::Bad(reason) => panic!("{conn}: {reason:?}"),
                }
            }
            "ydoc:awareness:update" if !is_in => {
                let text = numbered(&json!([document, data["update"]]).to_string(), &self.now_sids);
                self.outside.insert(text);
            }
            "ydoc:document:leave" if !is_in => {
                self.outside.insert(json!([document, data["user_id"]]).to_string());
            }
            "ydoc:document:leave" => {
                let browser = self.browsers.get_mut(conn).unwrap();
                browser.left_at = browser.received.now.len();
                browser.received.left.insert(document.to_owned());
            }
            _ => {}
        }
    }

    fn receive(&mut self, conn: &str, frame: &str) {
        if frame == "2" {
            return;
        }
        if frame.starts_with("40{") {
            self.then_sids.push(sid(frame));
        }
        let Some(browser) = self.browsers.get_mut(conn) else { return };
        browser.received.then.push(frame.to_owned());
        if frame.contains("Failed to join document")
            && let Some(document) = browser.joining.clone()
        {
            self.refused.insert((document, self.cast.user(&browser.who).to_owned()));
        }
        let Some(target) = self.cast.backend_target(&browser.who, frame) else { return };
        let (head, body) = split(frame);
        let (_, data) =
            body.strip_prefix('[').and_then(|body| body.strip_suffix(']')).unwrap().split_once(',').unwrap();
        let event: Vec<Value> = serde_json::from_str(body).unwrap();
        let name = event[0].as_str().unwrap().to_owned();
        if head.len() > 2 {
            return self.call(conn, &name, data);
        }
        let counted = browser.counted.entry(body.to_owned()).or_default();
        *counted += 1;
        let counted = *counted;
        let injected = self.injected.entry((target.clone(), body.to_owned())).or_default();
        // Others have received it before.
        let before = *injected;
        if counted <= before {
            return;
        }
        *injected += 1;
        if frame.contains("channel:created") {
            let sql = self.cast.next_channel(&target);
            self.database.execute(&sql);
        }
        let (kind, id) = target.split_once(' ').unwrap();
        let body = format!(r#"{{"to":{{"{kind}":"{id}"}},"event":"{name}","data":{data}}}"#);
        let answer = api(self.address, "/api/emit", API_KEY, &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        if frame.contains("channel:created") {
            self.settle();
        }
    }

    fn call(&mut self, conn: &str, name: &str, data: &str) {
        let session = self.now_sid(conn);
        let data = self.now(conn, data);
        let body = format!(r#"{{"to":{{"session":"{session}"}},"event":"{name}","data":{data}}}"#);
        let address = self.address;
        let call = thread::Builder::new().spawn(move || api(address, "/api/call", API_KEY, &body)).unwrap();
        let browser = self.browsers.get_mut(conn).unwrap();
        let id = loop {
            let ReceivedFrame::Text(frame) = browser.peer.next() else { panic!("{conn}: no call") };
            let id = call_id(&frame);
            browser.received.now.push(frame);
            if let Some(id) = id {
                break id;
            }
        };
        browser.calls.push_back((id, call));
    }

    /// Behind everything that this browser has sent. What it has received is kept.
    fn fence(&mut self, conn: &str) {
        let Some(browser) = self.browsers.get_mut(conn).filter(|browser| browser.is_in) else { return };
        browser.peer.send(FENCE);
        loop {
            match browser.peer.next() {
                ReceivedFrame::Text(frame) if frame == FENCE_ACK => return,
                ReceivedFrame::Text(frame) => browser.received.now.push(frame),
                ReceivedFrame::Binary(bytes) => {
                    browser.received.now.push(format!("b{}", BASE64_STANDARD.encode(bytes)))
                }
                ReceivedFrame::End => panic!("{conn} ({}): the server has closed it", self.step),
            }
        }
    }

    /// Checks that the time of the last activity has been written for the user.
    fn check_heartbeat(&mut self) {
        let query =
            format!("SELECT CAST(last_active_at AS TEXT) FROM \"user\" WHERE id = '{}'", self.cast.user("alice"));
        assert!(eventually(|| self.database.text(&query).is_some_and(|text| text.len() == "1795163791".len())));
    }

    fn settle(&self) {
        let idle = || crate::common::get(self.address, "/metrics").body.contains("\nroomcast_app_queries 0\n");
        assert!(eventually(idle));
    }

    fn restart(&mut self) {
        for conn in self.browsers.keys().cloned().collect::<Vec<_>>() {
            self.fence(&conn);
            let browser = self.browsers.remove(&conn).unwrap();
            self.gone.push(browser.received);
        }
        let mut program = self.program.take().unwrap();
        program.signal("TERM");
        assert_eq!(program.end().0.code(), Some(0));
        let (program, address) = start(self.database, &self.transports);
        (self.program, self.address) = (Some(program), address);
    }

    /// A text of the recording with tokens and with the ids of now.
    fn now(&self, conn: &str, text: &str) -> String {
        let who = self.browsers.get(conn).map_or("", |browser| browser.who.as_str());
        let mut text = text.to_owned();
        if text.contains("<TOKEN>") {
            text = text.replace("<TOKEN>", &signed(&json!({ "id": self.cast.user(who), "jti": who })));
        }
        for (then, now) in self.then_sids.iter().zip(&self.now_sids) {
            text = text.replace(then, now);
        }
        text
    }

    fn now_sid(&self, conn: &str) -> String {
        let browser = self.browsers.get(conn).unwrap();
        sid(browser.received.now.iter().find(|frame| frame.starts_with("40{")).unwrap())
    }

    fn outcome(mut self) -> ReplayOutcome {
        for conn in self.browsers.keys().cloned().collect::<Vec<_>>() {
            self.close(&conn);
        }
        let Self { gone, then_sids, now_sids, sent, echoes, unheard, outside, early, users, refused, .. } = self;
        let received = gone.into_iter().map(|received| ThenAndNow {
            then: received.then.iter().map(|frame| plain(frame, &then_sids)).collect(),
            now: received.now.iter().map(|frame| plain(frame, &now_sids)).collect(),
            ..received
        });
        ReplayOutcome { received: received.collect(), sent, echoes, unheard, outside, early, users, refused }
    }
}

impl Browser {
    /// Whether it has been told the document's state.
    fn is_in_document(&self, document: &str) -> bool {
        self.received.now[self.left_at..]
            .iter()
            .any(|frame| frame.contains("\"ydoc:document:state\"") && frame.contains(document))
    }
}

/// A frame without what differs from run to run.
fn plain(frame: &str, sids: &[String]) -> String {
    let (head, body) = split(frame);
    let head = if call_id(frame).is_some() { "42#" } else { head };
    let Ok(mut value) = serde_json::from_str::<Value>(body) else { return frame.to_owned() };
    if head == "0" {
        value["sid"] = json!("");
    }
    if value[0] == "ydoc:document:state" {
        // A set, of which the front end takes the size; and an update, of which there are several forms: how far each
        // client is known in it.
        if let Some(sessions) = value[1]["sessions"].as_array_mut() {
            sessions.sort_by_key(|session| sids.iter().position(|sid| session == sid));
        }
        value[1]["state"] = json!(state_vector(&bytes(&value[1]["state"])));
    }
    numbered(&format!("{head}{value}"), sids)
}

/// The bytes of a JSON array.
fn bytes(array: &Value) -> Vec<u8> {
    let numbers = array.as_array().map(Vec::as_slice).unwrap_or_default();
    numbers.iter().map(|number| u8::try_from(number.as_u64().unwrap()).unwrap()).collect()
}

fn state_vector(state: &[u8]) -> Vec<u8> {
    let mut document = Document::new(DocumentLimits::default());
    assert!(!matches!(document.apply(state, Source::Stored), Verdict::Missing(_) | Verdict::Bad(_)));
    document.state_vector().to_vec()
}

fn numbered(text: &str, sids: &[String]) -> String {
    let mut text = text.to_owned();
    for (number, sid) in sids.iter().enumerate() {
        text = text.replace(sid.as_str(), &format!("sid {number}"));
    }
    text
}

fn sid(connected: &str) -> String {
    crate::common::string_field(connected, "sid")
}

/// The id that an event is to be acknowledged by.
fn call_id(frame: &str) -> Option<String> {
    let id = split(frame).0.strip_prefix("42")?;
    (!id.is_empty()).then(|| id.to_owned())
}
