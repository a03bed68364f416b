//! The machine that composes all others.
//!
//! Owns: which machine gets what arrives, and what becomes of what they tell. Must never know: how a machine does it.
//!
//! | file | what is composed there |
//! |---|---|
//! | `audit` | what must be zero once all is over |
//! | `events` | the events of sockets, in turns |
//! | `guard` | who may send them, with 0.12 |
//! | `login`, `checks` | how a login begins, ends, and is checked again |
//! | `sharing` | sessions and uses of models, as other processes are to know them |
//! | `rooms`, `chats` | channels, notes and chats: rooms, typing, what was read |
//! | `found` | what a store has found, by its kind |
//! | `presence` | who is in a chat, over all nodes |
//! | `encryption` | conversations of encrypted channels |
//! | `emitter`, `requests` | what the rest of the program asks for |
//!
//! To add a timer or an event to a machine, change the machine and its lines in [`OpenWebUi::pump`],
//! [`App::handle_timeout`] and [`App::poll_timeout`].

mod audit;
mod chats;
mod checks;
mod emitter;
mod encryption;
mod events;
mod found;
mod guard;
mod login;
mod presence;
mod requests;
mod rooms;
mod sharing;

use std::collections::VecDeque;

use bytestring::ByteString;

pub use self::audit::Audit;
use self::found::{found_chat, found_note, read_outcome};
use crate::activity::{Activity, ActivityChange};
use crate::calls::{self, Calls};
use crate::channel_reads::ChannelReads;
use crate::documents::DocumentRecords;
use crate::elsewhere::Elsewhere;
use crate::encryption::TalkQueues;
use crate::flushes::Flushes;
use crate::pool::PoolDuties;
use crate::purpose::Purpose;
use crate::queries::{Late, Queries};
use crate::query::{Query, QueryId, Question, Reply, StoreAnswer, StoreError, User};
use crate::ration::Rations;
use crate::refusals::{Refusals, TokenRefusal, TokenRefusals};
use crate::requests::{LiveCounts, LogoutReason, Notice, Request, Response};
use crate::settings::{AuthRequirement, Notices, Settings};
use crate::sockets::{Sockets, Stage};
use crate::touches::Touches;
use crate::turn::TurnStep;
use crate::turns::Turns;
use crate::typing::Typing;
use crate::usage::Usage;
use crate::writes::{Output, Row, WritePace, Writes};
use roomcast_core::rng::Rng;
use roomcast_core::server::{
    App, AppRequestId, Command, Connect, Cx, Delivery, Emit, Event, Extent, Scope, SocketId, Target, Work,
};
use roomcast_core::socket_io::Args;
use roomcast_core::time::Instant;

/// Open WebUI's real-time layer.
///
/// Run it with a server as a [`Stack`](roomcast_core::server::Stack). What is not its own is given back: sockets of other
/// namespaces and events of other names, these in the order in which they came, behind the built-in ones of the same
/// socket before them. `Connected` and `Disconnected` are given back as well, after they have been acted on.
#[derive(Debug)]
pub struct OpenWebUi {
    pub(crate) settings: Settings,
    pub(crate) sockets: Sockets,
    pub(crate) turns: Turns<TurnStep>,
    rations: Rations,
    activity: Activity,
    channel_reads: ChannelReads,
    typing: Typing,
    usage: Usage,
    calls: Calls,
    elsewhere: Elsewhere,
    pool: PoolDuties,
    talks: TalkQueues,
    talk_rng: Rng,
    pub(crate) queries: Queries<Purpose>,
    writes: Writes,
    touches: Touches,
    pub(crate) documents: DocumentRecords,
    pub(crate) flushes: Flushes,
    refusals: Refusals,

    /// Sockets whose login ended, and whose turn may have waited for it.
    stranded: VecDeque<SocketId>,
    given_back: VecDeque<Event>,
    pub(crate) answers: VecDeque<(AppRequestId, Response)>,
    pub(crate) notices: VecDeque<Notice>,
}

impl OpenWebUi {
    /// The application. `seed`: 32 bytes from the operating system's generator.
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        let mut rng = Rng::from_seed(seed);
        let limits = &settings.limits;
        Self {
            turns: Turns::new(limits.held_events_max),
            rations: Rations::new(limits.dear_events_burst, limits.dear_events_per_second),
            activity: Activity::new(settings.idle_after),
            channel_reads: ChannelReads::new(&settings),
            typing: Typing::new(settings.typing_span, limits.typing_places_per_socket_max),
            usage: Usage::new(settings.usage_expiry, limits.models_per_socket_max),
            calls: Calls::new(limits.calls_max),
            elsewhere: Elsewhere::default(),
            pool: PoolDuties::new(settings.reap_interval),
            talks: TalkQueues::new(settings.talk_interval),
            talk_rng: rng.fork(),
            queries: Queries::default(),
            writes: Writes::new(&settings, rng.keyed_hash()),
            touches: Touches::new(&settings),
            documents: DocumentRecords::new(&settings.documents, rng.keyed_hash()),
            flushes: Flushes::new(),
            refusals: Refusals::default(),
            stranded: VecDeque::new(),
            given_back: VecDeque::new(),
            answers: VecDeque::new(),
            notices: VecDeque::new(),
            sockets: {
                let hash = rng.keyed_hash();
                Sockets::new(&settings, rng, hash)
            },
            settings,
        }
    }

    /// The settings that it runs by.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The user of a socket's login.
    pub fn user_of(&self, socket: SocketId) -> Option<&User> {
        self.sockets.user_of(socket)
    }

    /// How much there is of everything, and what was counted since startup.
    pub fn pool(&self) -> LiveCounts {
        LiveCounts {
            sockets: self.sockets.len(),
            logins: self.sockets.logins(),
            users: self.sockets.users(),
            active_users: self.activity.users().count(),
            models: self.usage.models().count(),
            queries: self.queries.len(),
            held_events: self.turns.held(),
            writes: self.writes.len() + self.touches.len(),
            change_bytes: self.writes.change_bytes(),
            calls: self.calls.len(),
            documents: self.documents.counts(),
            document_totals: self.documents.counters(),
            writes_lost: self.writes.lost() + self.touches.lost(),
            queries_overdue: self.queries.overdue(),
            token_refusals: self.refusals.counts(),
        }
    }

    /// Tokens refused since startup, by reason.
    pub const fn token_refusals(&self) -> TokenRefusals {
        self.refusals.counts()
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
                // The namespace was opened to all by mistake: a socket that was not asked for a token must leave.
                let (target, extent) = (Target::Socket(connect.socket), Extent::Namespace);
                cx.command(Command::Disconnect { target, extent });
            }
            AuthRequirement::Required | AuthRequirement::Optional => self.connected(connect, cx),
        }
    }

    /// A socket is gone. How far it had come.
    fn handle_disconnected(&mut self, socket: SocketId, cx: &mut Cx<'_>) -> Option<Stage> {
        self.log_out(socket, LogoutReason::Disconnected, cx);
        self.encryption_left(socket);
        self.unshare(socket, cx);
        self.documents.unstored_acks.forget_socket(socket);
        let record = self.sockets.remove(socket)?;
        for parked in &record.parked {
            self.documents.unpark_timer(parked);
            cx.command(Command::Handled { session: record.peer });
        }
        self.forget_turn(record.peer, socket, cx);
        Some(record.stage)
    }

    fn handle_answer(
        &mut self,
        id: QueryId,
        purpose: Purpose,
        reply: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        match purpose {
            Purpose::Turn(socket) => self.resume(id, socket, reply, cx),
            Purpose::Recheck { socket, epoch } => self.recheck_answered((socket, epoch), reply, cx),
            // Stored or not: a login does not depend on it.
            Purpose::Shared { socket, epoch, user } => self.checked(socket, epoch, Ok(Ok(user)), cx),
            Purpose::Told => {}
            // Stored or not: who is there is told as far as is known.
            Purpose::ChatLeft { chat } => self.publish_presence(&chat, cx),
            Purpose::Presence { chat } => self.presence_answered(chat, reply, cx),
            Purpose::Talk { channel } => self.talk_answered(&channel, reply, cx),
            Purpose::Reaped => self.reaped(reply, cx),
            Purpose::Channels(flight) => {
                let channels = match reply {
                    Ok(StoreAnswer::Channels(found)) => Ok(found),
                    Ok(_) => Err(StoreError::Corrupt),
                    Err(error) => Err(error),
                };
                self.channel_reads.handle_answer(flight, channels, cx.now);
            }
            Purpose::NoteRoom { socket, epoch, note } => {
                self.note_checked((socket, epoch), &note, &found_note(reply), cx);
            }
            Purpose::ChatRoom { socket, epoch, chat } => {
                self.chat_checked((socket, epoch), &chat, &found_chat(reply), cx);
            }
            Purpose::Document(aim) => self.document_answered(id, aim, reply, cx),
            Purpose::Write(write) => {
                let outcome = read_outcome(&reply);
                let written = self.writes.handle_result(write, id, reply.map(drop), cx.now);
                if let Some((Row::Chat { chat, user }, at_secs)) = written {
                    self.chat_read((&chat, &user), at_secs, outcome.as_ref(), cx);
                }
            }
            Purpose::Touches(flight) => self.touches.handle_answer(flight, reply.map(drop), cx.now),
        }
    }

    /// Carries on what the machines tell, until they tell nothing more.
    fn pump(&mut self, cx: &mut Cx<'_>) {
        loop {
            let asked = self.queries.len();
            while let Some(output) = self.writes.poll_output() {
                match output {
                    Output::Ask(write, question) => {
                        let deadline = cx.now + self.settings.query_timeout;
                        let id = self.queries.ask(question, Purpose::Write(write), Late::Counts, deadline);
                        self.writes.handle_asked(write, id);
                    }
                    Output::Forget(query) => self.queries.forget(query),
                }
            }
            // Behind the other writes, which people wait for.
            while let Some((flight, question)) = self.touches.poll_question() {
                self.ask(question, Purpose::Touches(flight), cx);
            }
            while let Some((flight, question)) = self.channel_reads.poll_question() {
                self.ask(question, Purpose::Channels(flight), cx);
            }
            self.begin_talks(cx);
            let mut is_quiet = asked == self.queries.len();
            while let Some(found) = self.channel_reads.poll_found() {
                self.channels_found(&found.user, found.channels, cx);
                is_quiet = false;
            }
            while let Some(socket) = self.stranded.pop_front() {
                self.resume_channels(socket, true, cx);
                is_quiet = false;
            }
            self.tell_typing(cx);
            while let Some(change) = self.activity.poll_change() {
                self.activity_changed(change, cx);
            }
            while let Some(answer) = self.calls.poll_response() {
                self.answers.push_back(answer);
            }
            if is_quiet {
                return;
            }
        }
    }

    fn activity_changed(&mut self, change: ActivityChange, cx: &mut Cx<'_>) {
        match change {
            ActivityChange::UserActive(user) => self.notice(Notice::UserActive { user }),
            ActivityChange::UserIdle(user) => self.notice(Notice::UserIdle { user }),
            ActivityChange::LoginActive(socket) | ActivityChange::LoginIdle(socket) => {
                let chats = self.sockets.get(socket).map(|record| record.chats.keys().cloned().collect::<Vec<_>>());
                for chat in chats.unwrap_or_default() {
                    self.publish_presence(&chat, cx);
                }
            }
        }
    }

    /// Asks a store. Without an answer in time the purpose is answered by [`StoreError::Unavailable`].
    pub(crate) fn ask(&mut self, question: Question, purpose: Purpose, cx: &Cx<'_>) -> QueryId {
        self.queries.ask(question, purpose, Late::Ignored, cx.now + self.settings.query_timeout)
    }

    pub(crate) fn join(&self, socket: SocketId, room: ByteString, cx: &mut Cx<'_>) {
        cx.command(Command::Join { target: Target::Socket(socket), room });
    }

    fn emit_to_room(&self, room: ByteString, name: ByteString, args: Args, cx: &mut Cx<'_>) {
        let target = Target::Room { namespace: self.settings.scope.clone(), room };
        cx.command(Command::Emit(Emit { target, name, args, delivery: Delivery::Reliable, ack: None }));
    }

    fn notice(&mut self, notice: Notice) {
        match self.settings.notices {
            Notices::On => self.notices.push_back(notice),
            Notices::Off => {}
        }
    }

    /// Whether nothing is to be kept back before it is stored.
    pub(crate) fn is_hurried(&self) -> bool {
        self.flushes.is_hurried()
    }

    fn hurry(&mut self, cx: &mut Cx<'_>) {
        self.writes.hurry(cx.now);
        self.touches.hurry(cx.now);
        self.flush_documents(cx);
    }

    fn is_all_stored(&self) -> bool {
        self.unstored() == 0
    }

    /// Documents and rows that are not stored.
    fn unstored(&self) -> usize {
        self.writes.unwritten() + self.touches.unwritten() + self.unstored_documents()
    }

    /// Answers those that wait for a flush, if everything is stored.
    fn end_flushes(&mut self, cx: &mut Cx<'_>) {
        if self.flushes.len() == 0 || !self.is_all_stored() {
            return;
        }
        while let Some(request) = self.flushes.pop_done() {
            self.answers.push_back((request, Response::Flushed { unstored: 0 }));
        }
        self.end_hurry(cx);
    }

    /// Answers those that have waited for a flush for as long as they would.
    fn flushes_timeout(&mut self, cx: &mut Cx<'_>) {
        while let Some(request) = self.flushes.pop_due(cx.now) {
            self.answers.push_back((request, Response::Flushed { unstored: self.unstored() }));
            self.end_hurry(cx);
        }
    }

    /// Everything is stored at its own pace again, once nothing waits for a flush.
    fn end_hurry(&mut self, cx: &mut Cx<'_>) {
        if !self.flushes.is_hurried() {
            self.writes.set_pace(WritePace::Spaced);
            self.touches.stop_hurrying();
            self.reopen_journals(cx);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what is another's goes on, also an event that is new")]
    fn handle_own(&mut self, event: Event, cx: &mut Cx<'_>) -> Option<Event> {
        match event {
            Event::Connecting(connect) if self.is_own(&connect) => {
                self.handle_connecting(&connect, cx);
                None
            }
            Event::Connected(connect) if self.is_own(&connect) => {
                self.handle_connected(&connect, cx);
                Some(Event::Connected(connect))
            }
            Event::Connected(connect) => {
                // Elsewhere the program decides who comes in.
                cx.command(Command::Admit { session: connect.session });
                Some(Event::Connected(connect))
            }
            Event::Received { session, socket, name, args, ack } => {
                self.receive(session, socket, (name, args, ack), cx)
            }
            Event::Acked { emit, args, .. } if calls::is_call(emit) => {
                self.calls.handle_acked(emit, args);
                None
            }
            Event::AcksEnded { emit, end, .. } if calls::is_call(emit) => {
                self.calls.handle_ended(emit, end);
                None
            }
            Event::Disconnected { socket, reason, rooms } => match self.handle_disconnected(socket, cx) {
                // The layer above has never heard of it.
                Some(Stage::Asking) => None,
                Some(Stage::In) | None => Some(Event::Disconnected { socket, reason, rooms }),
            },
            Event::Opened { .. } | Event::Message { .. } | Event::Closed { .. } => self.protocol_event(event, cx),
            Event::Cluster(event) => {
                self.chat_event_of_node(&event, cx);
                match self.node_event(event, cx)? {
                    Event::Cluster(event) => self.handle_fetched(*event, cx),
                    event => Some(event),
                }
            }
            Event::Relieved { session } => {
                self.documents_relieved(session, cx);
                Some(Event::Relieved { session })
            }
            _ => Some(event),
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
        let event = self.handle_own(event, cx);
        self.pump(cx);
        event
    }

    fn handle_reply(&mut self, reply: Reply, cx: &mut Cx<'_>) {
        if let Some(purpose) = self.queries.handle_answer(reply.id) {
            self.handle_answer(reply.id, purpose, reply.result, cx);
            self.pump(cx);
        }
        self.end_flushes(cx);
    }

    fn handle_request(&mut self, ticket: AppRequestId, request: Request, cx: &mut Cx<'_>) {
        self.request(ticket, request, cx);
        self.pump(cx);
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>) {
        let wall = cx.server.wall();
        while let Some((id, purpose)) = self.queries.pop_overdue(cx.now) {
            match purpose {
                Purpose::Write(write) => self.writes.handle_overdue(write, id, cx.now),
                Purpose::Turn(_)
                | Purpose::Recheck { .. }
                | Purpose::Shared { .. }
                | Purpose::Told
                | Purpose::ChatLeft { .. }
                | Purpose::Presence { .. }
                | Purpose::Talk { .. }
                | Purpose::Reaped
                | Purpose::Channels(_)
                | Purpose::NoteRoom { .. }
                | Purpose::ChatRoom { .. }
                | Purpose::Touches(_)
                | Purpose::Document(_) => self.handle_answer(id, purpose, Err(StoreError::Unavailable), cx),
            }
        }
        while let Some(socket) = self.sockets.pop_expired(wall, cx.now) {
            self.refused(Some(socket), TokenRefusal::Expired, cx);
            self.withdraw(socket, LogoutReason::Token, cx);
        }
        while let Some(socket) = self.sockets.pop_check(cx.now) {
            self.check(socket, cx);
        }
        self.look_after_pool(cx);
        self.look_after_talks(cx);
        self.activity.handle_timeout(cx.now);
        self.channel_reads.handle_timeout(cx.now);
        self.typing.handle_timeout(cx.now);
        self.usage.handle_timeout(cx.now);
        self.writes.handle_timeout(cx.now);
        self.touches.handle_timeout(cx.now);
        self.pump(cx);
        self.documents_timeout(cx);
        self.end_flushes(cx);
        self.flushes_timeout(cx);
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.given_back.pop_front()
    }

    fn poll_query(&mut self) -> Option<Query> {
        self.queries.poll_query()
    }

    fn poll_work(&mut self) -> Option<Work<Reply>> {
        self.documents.work.pop_front()
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
            self.sockets.next_deadline(),
            self.activity.next_deadline(),
            self.channel_reads.next_deadline(),
            self.typing.next_deadline(),
            self.usage.next_deadline(),
            self.writes.next_deadline(),
            self.touches.next_deadline(),
            self.documents.next_deadline(),
            self.flushes.next_deadline(),
            self.pool.next_deadline(),
            self.talks.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn handle_end(&mut self, cx: &mut Cx<'_>) {
        self.flushes.handle_end();
        self.leave_all_documents(cx);
        self.hurry(cx);
        self.pump(cx);
    }

    fn is_settled(&self) -> bool {
        self.is_all_stored()
    }
}
