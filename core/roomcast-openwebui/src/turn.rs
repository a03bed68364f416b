//! The events of one socket, one after the other.
//!
//! Owns: that a socket's events wait while a query for one of them is open, that each is acknowledged and counted as
//! handled once, and which name is whose. Must never know: what an event means.

use bytestring::ByteString;

use super::OpenWebUi;
use super::chats::ChatRequest;
use super::documents::Joiner;
use super::queries::Purpose;
use super::query::{QueryId, Question, StoreAnswer, StoreError, User, UserChannels};
use super::sessions::{Activity, Token};
use roomcast_core::server::{AckId, Command, Cx, Event, Extent, SessionId, SocketId, Target};
use roomcast_core::socket_io::Args;
use roomcast_core::time::WallTime;

/// An event that waits.
#[derive(Debug)]
pub(super) struct Held {
    name: ByteString,
    args: Args,
    ack: Option<AckId>,
}

/// An event whose query is open.
#[derive(Debug)]
pub(super) struct Turn {
    /// `None`: it waits for what others have asked as well.
    pub(super) query: Option<QueryId>,
    step: Step,
    origin: Origin,
    again: Again,
}

/// Whether what the store is being asked about has changed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Not that anybody has said.
    No,
    /// The answer may be older than what happened: the session is looked at again once it is there.
    Wanted,
}

impl Turn {
    /// The token by which a session is about to begin.
    pub(super) fn token(&self) -> Option<&Token> {
        match &self.step {
            Step::Connect(token)
            | Step::Admit(token)
            | Step::UserJoin(token)
            | Step::JoinChannels(token)
            | Step::JoinNote(token, _) => Some(token),
            Step::UserJoinChannels
            | Step::Channels
            | Step::Note(_)
            | Step::Chat(_)
            | Step::DocumentJoin(_)
            | Step::DocumentLoad => None,
        }
    }

    pub(super) fn doubt(&mut self) {
        self.again = Again::Wanted;
    }
}

/// What a turn began with.
#[derive(Clone, Copy, Debug)]
enum Origin {
    /// The arrival of the socket.
    Arrival,
    /// An event, to be acknowledged if that was asked for.
    Event(Option<AckId>),
}

/// How far an event has come, and what it needs to go on.
#[derive(Debug)]
pub(super) enum Step {
    /// The user of a CONNECT's token has been asked for.
    Connect(Token),
    /// The same where sockets without a session are refused.
    Admit(Token),
    /// The user of a `user-join` has been asked for.
    UserJoin(Token),
    /// And the channels.
    UserJoinChannels,
    /// The user of a token that came with `join-channels` has been asked for.
    JoinChannels(Token),
    /// And the channels.
    Channels,
    /// The user of a token that came with `join-note` has been asked for.
    JoinNote(Token, ByteString),
    /// And the note.
    Note(ByteString),
    /// The chat of an `events:chat` has been asked for.
    Chat(ChatRequest),
    /// The note of a document has been asked for.
    DocumentJoin(Joiner),
    /// The document is being loaded, for others too.
    DocumentLoad,
}

/// What became of an event, or of the answer to its query.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is done: acknowledge it with these.
    Done(Args),
    /// It waits for this.
    Ask(Question, Step),
    /// It waits for what others wait for too.
    Wait(Step),
    /// It was refused by [`Step::Admit`], and the socket is gone.
    Gone,
}

impl Outcome {
    /// What a handler that returns nothing acknowledges with.
    pub(super) const fn nothing() -> Self {
        Self::Done(Args::empty())
    }
}

/// The events that are the application's own.
#[derive(Clone, Copy, Debug)]
enum BuiltIn {
    UserJoin,
    Heartbeat,
    Usage,
    JoinChannels,
    JoinNote,
    ChannelEvents,
    ChatEvents,
    DocumentJoin,
    DocumentState,
    DocumentUpdate,
    DocumentLeave,
    DocumentAwareness,
}

impl BuiltIn {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "user-join" => Self::UserJoin,
            "heartbeat" => Self::Heartbeat,
            "usage" => Self::Usage,
            "join-channels" => Self::JoinChannels,
            "join-note" => Self::JoinNote,
            "events:channel" => Self::ChannelEvents,
            "events:chat" => Self::ChatEvents,
            "ydoc:document:join" => Self::DocumentJoin,
            "ydoc:document:state" => Self::DocumentState,
            "ydoc:document:update" => Self::DocumentUpdate,
            "ydoc:document:leave" => Self::DocumentLeave,
            "ydoc:awareness:update" => Self::DocumentAwareness,
            _ => return None,
        })
    }
}

impl OpenWebUi {
    /// An event came. Given back if it is not the application's and nothing is before it.
    pub(super) fn receive(
        &mut self,
        peer: SessionId,
        socket: SocketId,
        (name, args, ack): (ByteString, Args, Option<AckId>),
        cx: &mut Cx<'_>,
    ) -> Option<Event> {
        self.saw(socket, cx);
        let Some(record) = self.sockets.get_mut(socket) else {
            return Some(Event::Received { session: peer, socket, name, args, ack });
        };
        if record.turn.is_none() {
            debug_assert!(record.held.is_empty(), "nothing is held without a turn");
            return self.begin(peer, socket, Held { name, args, ack }, cx);
        }
        if &*name == "heartbeat" && record.login.is_some() {
            // Says nothing about the others, and waits for nobody but whom it is of.
            let outcome = self.heartbeat(socket, cx);
            self.settle(peer, socket, Origin::Event(ack), outcome, cx);
            return None;
        }
        if record.held.len() >= self.settings.limits.held_events_max {
            cx.command(Command::Handled { session: peer });
            cx.command(Command::Disconnect { target: Target::Socket(socket), extent: Extent::Connection });
            return None;
        }
        record.held.push_back(Held { name, args, ack });
        self.held += 1;
        None
    }

    /// A turn without an event: the arrival of a socket.
    pub(super) fn arrive(&mut self, peer: SessionId, socket: SocketId, outcome: Outcome, cx: &mut Cx<'_>) {
        self.settle(peer, socket, Origin::Arrival, outcome, cx);
    }

    /// The query of a turn was answered, or its deadline passed.
    pub(super) fn resume(
        &mut self,
        query: QueryId,
        socket: SocketId,
        result: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        let turn = record.turn.take_if(|turn| turn.query == Some(query));
        let Some(Turn { step, origin, again, .. }) = turn else { return };
        let peer = record.peer;
        let outcome = self.go_on(socket, step, result, cx);
        self.settle(peer, socket, origin, outcome, cx);
        match again {
            Again::No => {}
            Again::Wanted => self.recheck(socket, cx),
        }
        self.drain(peer, socket, cx);
    }

    /// The document that a turn waits for is there, or cannot be had.
    pub(super) fn resume_load(&mut self, socket: SocketId, outcome: Outcome, cx: &mut Cx<'_>) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        let is_load = |turn: &mut Turn| matches!(turn.step, Step::DocumentLoad);
        let Some(Turn { origin, .. }) = record.turn.take_if(is_load) else { return };
        let peer = record.peer;
        self.settle(peer, socket, origin, outcome, cx);
        self.drain(peer, socket, cx);
    }

    /// A join has waited for its session for too long.
    pub(super) fn parked_overdue(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        let Some(parked) = record.parked.pop_front() else { return };
        let peer = record.peer;
        let outcome = self.refuse_join(socket, cx);
        self.settle(peer, socket, Origin::Event(parked.event.ack), outcome, cx);
    }

    /// A socket is gone: what waited is not waited for any more.
    pub(super) fn forget_turn(&mut self, peer: SessionId, turn: Option<Turn>, held: usize, cx: &mut Cx<'_>) {
        let mut unhandled = held;
        if let Some(turn) = turn {
            if let Some(query) = turn.query {
                self.queries.answered(query);
            }
            unhandled += match turn.origin {
                Origin::Arrival => 0,
                Origin::Event(_) => 1,
            };
        }
        self.held -= held;
        // The peer may go on in other namespaces, and must not stay paused for what nobody will handle.
        for _ in 0..unhandled {
            cx.command(Command::Handled { session: peer });
        }
    }

    fn begin(&mut self, peer: SessionId, socket: SocketId, event: Held, cx: &mut Cx<'_>) -> Option<Event> {
        let Held { name, args, ack } = event;
        let Some(built_in) = BuiltIn::named(&name) else {
            return Some(Event::Received { session: peer, socket, name, args, ack });
        };
        let outcome = match built_in {
            BuiltIn::DocumentJoin if self.user_of(socket).is_none() => {
                match self.park(socket, Held { name, args, ack }, cx) {
                    Ok(()) => return None,
                    Err(_) => self.refuse_join(socket, cx),
                }
            }
            BuiltIn::DocumentJoin => self.document_join(socket, &args, cx),
            BuiltIn::DocumentState => self.document_state(socket, &args, cx),
            BuiltIn::DocumentUpdate => self.document_update(socket, &args, cx),
            BuiltIn::DocumentLeave => self.document_leave(socket, &args, cx),
            BuiltIn::DocumentAwareness => self.document_awareness(socket, &args, cx),
            BuiltIn::UserJoin => self.user_join(socket, &args, cx),
            BuiltIn::Heartbeat => self.heartbeat(socket, cx),
            BuiltIn::Usage => self.usage(socket, &args, cx),
            BuiltIn::JoinChannels => self.join_channels(socket, &args, cx),
            BuiltIn::JoinNote => self.join_note(socket, &args, cx),
            BuiltIn::ChannelEvents => self.channel_events(socket, &args, cx),
            BuiltIn::ChatEvents => self.chat_events(socket, &args, cx),
        };
        self.settle(peer, socket, Origin::Event(ack), outcome, cx);
        None
    }

    fn go_on(
        &mut self,
        socket: SocketId,
        step: Step,
        result: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        match step {
            Step::Connect(token) => self.connect_answered(socket, token, user(result), cx),
            Step::Admit(token) => self.admit_answered(socket, token, user(result), cx),
            Step::UserJoin(token) => self.user_join_answered(socket, token, user(result), cx),
            Step::UserJoinChannels => {
                self.channels_answered(socket, channels(result), cx);
                self.joined(socket)
            }
            Step::JoinChannels(token) => self.join_channels_answered(socket, token, user(result), cx),
            Step::Channels => {
                self.channels_answered(socket, channels(result), cx);
                Outcome::nothing()
            }
            Step::JoinNote(token, note) => self.join_note_answered(socket, token, note, user(result), cx),
            Step::Note(note) => {
                let found = match result {
                    Ok(StoreAnswer::Note(found)) => Ok(found),
                    Ok(_) => Err(StoreError::Corrupt),
                    Err(error) => Err(error),
                };
                self.note_answered(socket, &note, found, cx)
            }
            Step::Chat(request) => {
                let found = match result {
                    Ok(StoreAnswer::Chat(found)) => Ok(found),
                    Ok(_) => Err(StoreError::Corrupt),
                    Err(error) => Err(error),
                };
                self.chat_answered(socket, request, found, cx)
            }
            Step::DocumentJoin(joiner) => {
                let found = match result {
                    Ok(StoreAnswer::Note(found)) => Ok(found),
                    Ok(_) => Err(StoreError::Corrupt),
                    Err(error) => Err(error),
                };
                self.document_join_answered(socket, joiner, found, cx)
            }
            Step::DocumentLoad => Outcome::nothing(),
        }
    }

    /// Carries out what became of an event.
    fn settle(&mut self, peer: SessionId, socket: SocketId, origin: Origin, outcome: Outcome, cx: &mut Cx<'_>) {
        match (outcome, origin) {
            (Outcome::Ask(question, step), origin) => {
                let query = self.ask(question, Purpose::Turn(socket), cx);
                if let Some(record) = self.sockets.get_mut(socket) {
                    debug_assert!(record.turn.is_none(), "one turn at a time");
                    record.turn = Some(Turn { query: Some(query), step, origin, again: Again::No });
                }
            }
            (Outcome::Wait(step), origin) => {
                if let Some(record) = self.sockets.get_mut(socket) {
                    debug_assert!(record.turn.is_none(), "one turn at a time");
                    record.turn = Some(Turn { query: None, step, origin, again: Again::No });
                }
            }
            (Outcome::Done(args), Origin::Event(ack)) => {
                if let Some(ack) = ack {
                    cx.command(Command::Ack { socket, ack, args });
                }
                cx.command(Command::Handled { session: peer });
            }
            (Outcome::Gone, Origin::Event(_)) => cx.command(Command::Handled { session: peer }),
            (Outcome::Done(_) | Outcome::Gone, Origin::Arrival) => {}
        }
    }

    /// The events behind a turn, up to the next query.
    pub(super) fn drain(&mut self, peer: SessionId, socket: SocketId, cx: &mut Cx<'_>) {
        while let Some(record) = self.sockets.get_mut(socket)
            && record.turn.is_none()
            && let Some(event) = record.held.pop_front()
        {
            self.held -= 1;
            if let Some(event) = self.begin(peer, socket, event, cx) {
                self.given_back.push_back(event);
            }
        }
    }

    /// Something came from a socket: its session is active, unless its token has ended meanwhile.
    fn saw(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        let Some(login) = self.sockets.get_mut(socket).and_then(|record| record.login.as_mut()) else { return };
        login.last_seen = cx.now;
        let activity = login.activity;
        if login.token.has_ended(cx.server.wall()) {
            return self.withdraw(socket, super::LogoutReason::Token, cx);
        }
        match activity {
            Activity::Active => {}
            Activity::Idle => self.wake(socket, cx),
        }
    }
}

/// The question whose user a token is.
pub(super) fn ask_user(token: &Token) -> Question {
    Question::Authenticate {
        user: token.user.clone(),
        jti: token.jti.clone(),
        issued_at_secs: token.issued_at_secs,
        ends_at_secs: token.expires.map(WallTime::as_unix_secs),
    }
}

/// What a store says of a token's user: one who may have sessions, nobody, or no answer.
pub(super) fn user(result: Result<StoreAnswer, StoreError>) -> Result<Option<User>, StoreError> {
    match result {
        Ok(StoreAnswer::User(found)) => Ok(found.filter(|user| matches!(&*user.role, "admin" | "user"))),
        Ok(_) => Err(StoreError::Corrupt),
        Err(error) => Err(error),
    }
}

/// What a store says of a user's channels: none where the user may not use any.
pub(super) fn channels(result: Result<StoreAnswer, StoreError>) -> Result<Vec<ByteString>, StoreError> {
    use super::query::Permission;
    match result {
        Ok(StoreAnswer::Channels(found)) => match found.into_iter().next() {
            Some(UserChannels { channels, permission: Permission::Granted }) => Ok(channels),
            Some(UserChannels { permission: Permission::Denied, .. }) => Ok(Vec::new()),
            None => Err(StoreError::Corrupt),
        },
        Ok(_) => Err(StoreError::Corrupt),
        Err(error) => Err(error),
    }
}
