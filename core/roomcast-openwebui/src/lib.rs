//! The application protocol of Open WebUI, as a machine on top of the server.
//!
//! Owns: every event name, room name and rule of the application. Must never know: stores beyond their answers, or
//! transports.
//!
//! | file | what |
//! |---|---|
//! | [`settings`] | what it is told before it starts |
//! | [`query`], [`access`] | the vocabulary with the stores, and who may read and write what |
//! | [`requests`] | the vocabulary with the rest of the program |
//! | `wire` | names, payloads and rooms as they go over the wire |
//! | `sessions` | who is there: the records |
//! | `turn` | the events of one socket, in order |
//! | `login`, `recheck` | how a session begins, ends, and is looked at again |
//! | `channels`, `chats`, `usage` | what sessions do |
//! | `emitter`, `calls` | events that enter by roomcast |
//! | `documents` | documents, by `ydoc:*` and by y-protocols |
//! | `queries`, `writes`, `flush` | questions under way, what is yet to be written, and waiting for that |

pub mod access;
mod calls;
mod channels;
mod chats;
mod documents;
mod emitter;
mod flush;
mod login;
mod queries;
pub mod query;
mod recheck;
pub mod requests;
mod sessions;
pub mod settings;
mod turn;
mod usage;
mod wire;
mod writes;

use std::collections::{BTreeMap, VecDeque};

use bytestring::ByteString;

use self::calls::Calls;
use self::channels::Place;
use self::documents::Documents;
pub use self::documents::{Compat, DocumentCounters, DocumentCounts, DocumentSettings};
use self::flush::Life;
use self::queries::{Purpose, Queries};
use self::query::{Query, QueryId, Question, Reply, StoreError, User};
pub use self::requests::{
    DocumentChange, DocumentRefusal, DocumentState, Intent, LoginInfo, LogoutReason, Notice, Pool, Request, Response,
    To,
};
use self::sessions::{People, PersonId, Sockets, Stage};
pub use self::settings::{AdminChats, AppLimits, AuthRequirement, Notices, Settings, SettingsError};
use self::writes::{Row, Writes};
use roomcast_core::rng::Rng;
use roomcast_core::server::{
    App, AppRequestId, Command, Connect, Cx, Delivery, Emit, Event, Extent, Scope, SocketId, Target,
};
use roomcast_core::socket_io::Args;
use roomcast_core::time::Instant;
use roomcast_core::timer::{Fifo, Timers};

/// Open WebUI's real-time layer.
///
/// Run it with a server as a [`Stack`](roomcast_core::server::Stack). What is not its own is given back: sockets of other
/// namespaces and events of other names, these in the order in which they came, behind the built-in ones of the same
/// socket before them. `Connected` and `Disconnected` are given back as well, after they have been acted on.
#[derive(Debug)]
pub struct OpenWebUi {
    settings: Settings,
    rng: Rng,
    sockets: Sockets,
    people: People,
    logins: usize,
    /// Grows with each session: tells an answer about an earlier one.
    epoch: u64,
    /// Events that wait, of all sockets.
    held: usize,
    /// Models in use, and by how many sessions.
    models: BTreeMap<ByteString, u32>,
    calls: Calls,
    queries: Queries,
    writes: Writes,
    documents: Documents,
    /// Requests that wait until everything is stored.
    flushes: Timers<AppRequestId>,
    life: Life,

    rechecks: Timers<SocketId>,
    expiries: Timers<SocketId>,
    idles: Timers<SocketId>,
    channel_retries: Timers<PersonId>,
    typings: Fifo<(SocketId, Place)>,
    usages: Fifo<(SocketId, ByteString)>,

    given_back: VecDeque<Event>,
    answers: VecDeque<(AppRequestId, Response)>,
    notices: VecDeque<Notice>,
    queries_overdue: u64,
}

impl OpenWebUi {
    /// The application. `seed`: 32 bytes from the operating system's generator.
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        let mut rng = Rng::from_seed(seed);
        Self {
            sockets: Sockets::default(),
            people: People::new(rng.keyed_hash()),
            logins: 0,
            epoch: 0,
            held: 0,
            models: BTreeMap::new(),
            calls: Calls::default(),
            queries: Queries::default(),
            writes: Writes::new(rng.keyed_hash()),
            documents: Documents::new(&settings.documents, rng.keyed_hash()),
            settings,
            flushes: Timers::new(),
            life: Life::Serving,
            rechecks: Timers::new(),
            expiries: Timers::new(),
            idles: Timers::new(),
            channel_retries: Timers::new(),
            typings: Fifo::new(),
            usages: Fifo::new(),
            given_back: VecDeque::new(),
            answers: VecDeque::new(),
            notices: VecDeque::new(),
            queries_overdue: 0,
            rng,
        }
    }

    /// What must be all zeros once everybody has left and the store has answered.
    pub fn audit(&self) -> Audit {
        let records = || self.sockets.iter();
        Audit {
            sockets: self.sockets.len(),
            logins: self.logins,
            users: self.people.len(),
            models: self.models.len(),
            typing: records().map(|record| record.typing.len()).sum(),
            held_events: self.held,
            queries: self.queries.len(),
            writes: self.writes.len(),
            change_bytes: self.writes.change_bytes(),
            calls: self.calls.len(),
            documents: self.documents.counts(),
            timers: self.rechecks.len()
                + self.expiries.len()
                + self.idles.len()
                + self.channel_retries.len()
                + self.typings.len()
                + self.usages.len()
                + self.flushes.len()
                + self.writes.armed(),
            outputs: self.queries.unpolled() + self.given_back.len() + self.answers.len() + self.notices.len(),
        }
    }

    /// The settings that it runs by.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The user of a socket's session.
    pub fn user_of(&self, socket: SocketId) -> Option<&User> {
        let login = self.sockets.get(socket)?.login.as_ref()?;
        self.people.get(login.person).map(|person| &person.user)
    }

    fn is_own(&self, connect: &Connect) -> bool {
        let Scope { endpoint, namespace } = &self.settings.scope;
        connect.endpoint == *endpoint && connect.namespace == *namespace
    }

    fn handle_connecting(&mut self, connect: &Connect, cx: &mut Cx<'_>) {
        match self.settings.auth {
            AuthRequirement::Required => self.connecting(connect, cx),
            AuthRequirement::Optional => cx.command(Command::Accept { socket: connect.socket }),
        }
    }

    fn handle_connected(&mut self, connect: &Connect, cx: &mut Cx<'_>) {
        let was_asked = self.sockets.get(connect.socket).is_some();
        match self.settings.auth {
            AuthRequirement::Required if !was_asked => {
                // The namespace was opened to all by mistake: better nobody than anybody.
                let (target, extent) = (Target::Socket(connect.socket), Extent::Namespace);
                cx.command(Command::Disconnect { target, extent });
            }
            AuthRequirement::Required | AuthRequirement::Optional => self.connected(connect, cx),
        }
    }

    /// A socket is gone. How far it had come.
    fn handle_disconnected(&mut self, socket: SocketId, cx: &mut Cx<'_>) -> Option<Stage> {
        self.log_out(socket, LogoutReason::Disconnected, cx);
        let record = self.sockets.remove(socket)?;
        if let Some(timer) = record.recheck {
            self.rechecks.cancel(timer);
        }
        for parked in &record.parked {
            self.documents.unpark_timer(parked);
            cx.command(Command::Handled { session: record.peer });
        }
        self.forget_turn(record.peer, record.turn, record.held.len(), cx);
        Some(record.stage)
    }

    fn handle_answer(
        &mut self,
        id: QueryId,
        purpose: Purpose,
        reply: Result<query::StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        match purpose {
            Purpose::Turn(socket) => self.resume(id, socket, reply, cx),
            Purpose::Recheck { socket, epoch } => self.rechecked(socket, epoch, turn::user(reply), cx),
            Purpose::Channels(person) => self.channels_read(person, turn::channels(reply), cx),
            Purpose::NoteRoom { socket, epoch, note } => {
                let found = match reply {
                    Ok(query::StoreAnswer::Note(found)) => Ok(found),
                    Ok(_) => Err(StoreError::Corrupt),
                    Err(error) => Err(error),
                };
                self.note_rechecked((socket, epoch), &note, &found, cx);
            }
            Purpose::ChatRoom { socket, epoch, chat } => {
                let found = match reply {
                    Ok(query::StoreAnswer::Chat(found)) => Ok(found),
                    Ok(_) => Err(StoreError::Corrupt),
                    Err(error) => Err(error),
                };
                self.chat_rechecked((socket, epoch), &chat, &found, cx);
            }
            Purpose::Document(aim) => self.document_answered(id, aim, reply, cx),
            Purpose::Write(write) => {
                let result = reply.map(drop);
                let written = self.writes.handle_result(write, id, result, &mut self.queries, &self.settings, cx.now);
                if let Some((Row::Chat { chat, user }, at_secs)) = written {
                    self.chat_read(&chat, &user, at_secs, cx);
                }
            }
        }
    }

    fn ask(&mut self, question: Question, purpose: Purpose, cx: &Cx<'_>) -> QueryId {
        self.queries.ask(question, purpose, cx.now + self.settings.query_timeout)
    }

    fn join(&self, socket: SocketId, room: ByteString, cx: &mut Cx<'_>) {
        cx.command(Command::Join { target: Target::Socket(socket), room });
    }

    fn emit_to_room(&self, room: ByteString, name: ByteString, args: Args, cx: &mut Cx<'_>) {
        let target = Target::Room { namespace: self.settings.scope.clone(), room };
        cx.command(Command::Emit(Emit { target, name, args, delivery: Delivery::Reliable, ack: None }));
    }

    /// A store has not answered, and the peer should know that it was not its own fault.
    fn tell_unavailable(&self, socket: SocketId, cx: &mut Cx<'_>) {
        let args = Args::from_json_values(ByteString::from_static(wire::UNAVAILABLE)).unwrap_or_default();
        let (target, name) = (Target::Socket(socket), wire::ERROR);
        cx.command(Command::Emit(Emit { target, name, args, delivery: Delivery::Reliable, ack: None }));
    }

    fn notice(&mut self, notice: Notice) {
        match self.settings.notices {
            Notices::On => self.notices.push_back(notice),
            Notices::Off => {}
        }
    }
}

impl App for OpenWebUi {
    type Query = Query;
    type Reply = Reply;
    type Request = Request;
    type Response = Response;
    type Notice = Notice;

    fn handle_event(&mut self, event: Event, cx: &mut Cx<'_>) -> Option<Event> {
        match event {
            Event::Connecting(connect) if self.is_own(&connect) => {
                self.handle_connecting(&connect, cx);
                None
            }
            Event::Connected(connect) if self.is_own(&connect) => {
                self.handle_connected(&connect, cx);
                Some(Event::Connected(connect))
            }
            Event::Received { session, socket, name, args, ack } => {
                self.receive(session, socket, (name, args, ack), cx)
            }
            Event::Acked { emit, args, .. } if calls::is_call(emit) => {
                self.call_acked(emit, args);
                None
            }
            Event::AcksEnded { emit, end, .. } if calls::is_call(emit) => {
                self.call_ended(emit, end);
                None
            }
            Event::Disconnected { socket, reason } => match self.handle_disconnected(socket, cx) {
                // The layer above has never heard of it.
                Some(Stage::Asking) => None,
                Some(Stage::In) | None => Some(Event::Disconnected { socket, reason }),
            },
            Event::Opened { .. } | Event::Message { .. } | Event::Closed { .. } => self.protocol_event(event, cx),
            Event::Relieved { session } => {
                self.documents_relieved(session, cx);
                Some(Event::Relieved { session })
            }
            Event::Connecting(_) | Event::Connected(_) | Event::Acked { .. } | Event::AcksEnded { .. } => Some(event),
        }
    }

    fn handle_reply(&mut self, reply: Reply, cx: &mut Cx<'_>) {
        if let Some(purpose) = self.queries.answered(reply.id) {
            self.handle_answer(reply.id, purpose, reply.result, cx);
        }
        self.end_flushes(cx);
    }

    fn handle_request(&mut self, ticket: AppRequestId, request: Request, cx: &mut Cx<'_>) {
        self.request(ticket, request, cx);
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) {
        while let Some((id, purpose)) = self.queries.pop_overdue(cx.now) {
            self.queries_overdue += 1;
            match purpose {
                Purpose::Write(write) => self.writes.handle_overdue(write, id, &self.settings, cx.now),
                Purpose::Turn(_)
                | Purpose::Recheck { .. }
                | Purpose::Channels(_)
                | Purpose::NoteRoom { .. }
                | Purpose::ChatRoom { .. }
                | Purpose::Document(_) => self.handle_answer(id, purpose, Err(StoreError::Unavailable), cx),
            }
        }
        while let Some(socket) = self.expiries.pop_due(cx.now) {
            self.token_due(socket, cx);
        }
        while let Some(socket) = self.rechecks.pop_due(cx.now) {
            self.recheck(socket, cx);
        }
        while let Some(socket) = self.idles.pop_due(cx.now) {
            self.idle_due(socket, cx);
        }
        while let Some(person) = self.channel_retries.pop_due(cx.now) {
            self.channels_due(person, cx);
        }
        while let Some((socket, place)) = self.typings.pop_due(cx.now) {
            self.typing_due(socket, place, cx);
        }
        while let Some((socket, model)) = self.usages.pop_due(cx.now) {
            self.usage_due(socket, &model);
        }
        self.writes.handle_timeout(&mut self.queries, &self.settings, cx.now);
        self.documents_timeout(cx);
        self.end_flushes(cx);
        self.flushes_timeout(cx);
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.given_back.pop_front()
    }

    fn poll_query(&mut self) -> Option<Query> {
        self.queries.pop()
    }

    fn poll_response(&mut self) -> Option<(AppRequestId, Response)> {
        self.answers.pop_front()
    }

    fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [
            self.queries.next_deadline(),
            self.expiries.next_deadline(),
            self.rechecks.next_deadline(),
            self.idles.next_deadline(),
            self.channel_retries.next_deadline(),
            self.typings.next_deadline(),
            self.usages.next_deadline(),
            self.writes.next_deadline(),
            self.documents.next_deadline(),
            self.flushes.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn handle_end(&mut self, cx: &mut Cx<'_>) {
        self.end(cx);
    }

    fn is_settled(&self) -> bool {
        self.is_all_stored()
    }
}

/// What must be all zeros once everybody has left and the store has answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Audit {
    /// Sockets of the application, logged in or not.
    pub sockets: usize,
    /// Logged-in sockets.
    pub logins: usize,
    /// Users with at least one login.
    pub users: usize,
    /// Models in use.
    pub models: usize,
    /// Places where somebody has typed just now.
    pub typing: usize,
    /// Events that wait.
    pub held_events: usize,
    /// Questions under way.
    pub queries: usize,
    /// Rows that are being written, wait to be, or have been just now.
    pub writes: usize,
    /// Bytes of changes to messages among them.
    pub change_bytes: usize,
    /// Calls that wait for their answer.
    pub calls: usize,
    /// Documents, and who is in them.
    pub documents: DocumentCounts,
    /// Deadlines.
    pub timers: usize,
    /// Outputs that have not been polled.
    pub outputs: usize,
}

/// An id from a peer, if it can be one. Copied: a slice of a message would keep all of it in memory.
fn id(text: String, limits: &AppLimits) -> Option<ByteString> {
    (!text.is_empty() && text.len() <= limits.id_bytes_max).then(|| text.into())
}

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
