//! Channels and notes: whose rooms a socket is in, typing, and what was read.
//!
//! Owns: `join-channels`, `join-note`, `events:channel`, and how often typing is told. Must never know: how messages
//! get into a channel.

use bytestring::ByteString;

use super::access::{self, Access};
use super::query::{Note, Question, StoreError, User};
use super::sessions::{Channels, Token};
use super::turn::{Outcome, Step, ask_user};
use super::wire::{self, Author, ChannelTyping, ChatTyping, Joined, TokenPayload, Typed, TypingData};
use super::writes::Row;
use super::{OpenWebUi, id};
use roomcast_core::server::{Command, Cx, Delivery, Emit, Selection, SocketId, Target};
use roomcast_core::socket_io::Args;
use roomcast_core::timer::FifoKey;

/// Where somebody types.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Channel(ByteString),
    Chat(ByteString),
}

/// Typing of one socket in one place, told not long ago.
#[derive(Debug)]
pub(super) struct Typing {
    timer: FifoKey,
    /// What has come since.
    next: Option<Keystroke>,
}

/// What is told of typing.
#[derive(Clone, Debug)]
pub(super) struct Keystroke {
    message: Option<ByteString>,
    typing: bool,
}

impl OpenWebUi {
    pub(super) fn join_channels(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        let token = args.parse::<TokenPayload>().ok().and_then(TokenPayload::token);
        match self.bearer(socket, token, cx) {
            Bearer::Session(user) => Outcome::Ask(Question::Channels { users: vec![user.id] }, Step::Channels),
            Bearer::Token(token) => Outcome::Ask(ask_user(&token), Step::JoinChannels(token)),
            Bearer::Nobody => Outcome::nothing(),
        }
    }

    pub(super) fn join_channels_answered(
        &mut self,
        socket: SocketId,
        token: Token,
        found: Result<Option<User>, StoreError>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        let question = Question::Channels { users: vec![token.user.clone()] };
        match found {
            Ok(Some(user)) => {
                self.log_in(socket, token, user, Channels::Wanted, cx);
                Outcome::Ask(question, Step::Channels)
            }
            Ok(None) => Outcome::nothing(),
            Err(_) => {
                self.login_unanswered(socket, token, Channels::Wanted, cx);
                Outcome::nothing()
            }
        }
    }

    /// A socket that asked for its channels gets into their rooms. It leaves none: this answer may be older than the
    /// one to [`read_channels`](Self::read_channels).
    pub(super) fn channels_answered(
        &mut self,
        socket: SocketId,
        found: Result<Vec<ByteString>, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(login) = self.sockets.get_mut(socket).and_then(|record| record.login.as_mut()) else { return };
        login.channels = Channels::Wanted;
        let person = login.person;
        match found {
            Ok(channels) => {
                for channel in channels.iter().take(self.settings.limits.channels_per_socket_max) {
                    self.join(socket, wire::channel_room(channel), cx);
                }
            }
            Err(_) => {
                self.tell_unavailable(socket, cx);
                self.retry_channels(person, cx);
            }
        }
    }

    /// A socket leaves the rooms of channels that are no longer its user's, and gets into those that are.
    pub(super) fn put_into_channels(&mut self, socket: SocketId, channels: &[ByteString], cx: &mut Cx<'_>) {
        let Some(login) = self.sockets.get(socket).and_then(|record| record.login.as_ref()) else { return };
        match login.channels {
            Channels::Wanted => {}
            Channels::Unasked => return,
        }
        let channels = channels.get(..self.settings.limits.channels_per_socket_max).unwrap_or(channels);
        let mut rooms: Vec<ByteString> = channels.iter().map(|channel| wire::channel_room(channel)).collect();
        rooms.sort_unstable();
        let left: Vec<ByteString> = cx
            .server
            .rooms(socket)
            .filter(|room| room.starts_with(wire::CHANNEL_ROOM))
            .filter(|room| rooms.binary_search_by(|known| (**known).cmp(room)).is_err())
            .map(ByteString::from)
            .collect();
        for room in left {
            cx.command(Command::Leave { target: Target::Socket(socket), room });
        }
        for room in rooms {
            if !cx.server.is_in(socket, &room) {
                self.join(socket, room, cx);
            }
        }
    }

    pub(super) fn join_note(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        let Ok(payload) = args.parse::<wire::JoinNote>() else { return Outcome::nothing() };
        let Some(note) = id(payload.note_id, &self.settings.limits) else { return Outcome::nothing() };
        match self.bearer(socket, payload.auth.and_then(|auth| auth.token), cx) {
            Bearer::Session(user) => {
                Outcome::Ask(Question::Note { note: note.clone(), user: user.id }, Step::Note(note))
            }
            Bearer::Token(token) => Outcome::Ask(ask_user(&token), Step::JoinNote(token, note)),
            Bearer::Nobody => Outcome::nothing(),
        }
    }

    pub(super) fn join_note_answered(
        &mut self,
        socket: SocketId,
        token: Token,
        note: ByteString,
        found: Result<Option<User>, StoreError>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        match found {
            Ok(Some(user)) => {
                let question = Question::Note { note: note.clone(), user: user.id.clone() };
                self.log_in(socket, token, user, Channels::Unasked, cx);
                Outcome::Ask(question, Step::Note(note))
            }
            Ok(None) => Outcome::nothing(),
            Err(_) => {
                self.login_unanswered(socket, token, Channels::Unasked, cx);
                Outcome::nothing()
            }
        }
    }

    /// Without access there is silence, as in the original.
    pub(super) fn note_answered(
        &mut self,
        socket: SocketId,
        note: &str,
        found: Result<Option<Note>, StoreError>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        match found {
            Ok(Some(row)) => {
                let may_read = self.user_of(socket).is_some_and(|user| access::may(user, &row, Access::Read));
                let joined = cx.server.rooms(socket).filter(|room| room.starts_with(wire::NOTE_ROOM)).count();
                if may_read && joined < self.settings.limits.notes_per_socket_max {
                    self.join(socket, wire::note_room(note), cx);
                }
            }
            Ok(None) => {}
            Err(_) => self.tell_unavailable(socket, cx),
        }
        Outcome::nothing()
    }

    /// Only those in the room are heard, and only with what is theirs to say.
    pub(super) fn channel_events(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        let Ok(payload) = args.parse::<wire::ChannelEvents>() else { return Outcome::nothing() };
        let limits = &self.settings.limits;
        let Some(channel) = id(payload.channel_id, limits) else { return Outcome::nothing() };
        let message = match payload.message_id {
            Some(message) => match id(message, limits) {
                Some(message) => Some(message),
                None => return Outcome::nothing(),
            },
            None => None,
        };
        if self.user_of(socket).is_none() || !cx.server.is_in(socket, &wire::channel_room(&channel)) {
            return Outcome::nothing();
        }
        match (&*payload.data.kind, payload.data.typing()) {
            ("typing", Some(typing)) => self.typed(socket, Place::Channel(channel), Keystroke { message, typing }, cx),
            ("last_read_at", _) => self.read_channel(socket, channel, cx),
            _ => {}
        }
        Outcome::nothing()
    }

    /// Somebody types in a chat that the socket may type in.
    pub(super) fn typed_in_chat(&mut self, socket: SocketId, chat: ByteString, typing: bool, cx: &mut Cx<'_>) {
        self.typed(socket, Place::Chat(chat), Keystroke { message: None, typing }, cx);
    }

    /// The span after a typing event is over: what has come since is told now.
    pub(super) fn typing_due(&mut self, socket: SocketId, place: Place, cx: &mut Cx<'_>) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        let next = record.typing.remove(&place).and_then(|typing| typing.next);
        let room = match &place {
            Place::Channel(channel) => wire::channel_room(channel),
            Place::Chat(chat) => wire::chat_room(chat),
        };
        if let Some(keystroke) = next.filter(|_| cx.server.is_in(socket, &room)) {
            self.typed(socket, place, keystroke, cx);
        }
    }

    /// A socket types no more: what has not been told is told now.
    pub(super) fn end_typing(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        for (place, typing) in std::mem::take(&mut record.typing) {
            self.typings.cancel(typing.timer);
            if let Some(keystroke) = typing.next {
                self.tell_typing(socket, &place, &keystroke, cx);
            }
        }
    }

    /// Writes what has been read of a channel, once a second.
    fn read_channel(&mut self, socket: SocketId, channel: ByteString, cx: &mut Cx<'_>) {
        let Some(user) = self.user_of(socket).map(|user| user.id.clone()) else { return };
        let at_nanos = cx.server.wall().as_unix_millis().saturating_mul(1_000_000);
        self.put_read(socket, Row::Channel { channel, user }, at_nanos, cx);
    }

    /// Writes when something was read; what waits is written when the socket goes.
    pub(super) fn put_read(&mut self, socket: SocketId, row: Row, at: u64, cx: &mut Cx<'_>) {
        let write = self.writes.put_time(row, at, &mut self.queries, &self.settings, cx.now);
        let Some((write, record)) = write.zip(self.sockets.get_mut(socket)) else { return };
        if !record.reads.contains(&write) {
            let writes = &self.writes;
            record.reads.retain(|known| writes.contains(*known));
            record.reads.push(write);
        }
    }

    fn typed(&mut self, socket: SocketId, place: Place, keystroke: Keystroke, cx: &mut Cx<'_>) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        if let Some(typing) = record.typing.get_mut(&place) {
            typing.next = Some(keystroke);
            return;
        }
        let timer = self.typings.arm(cx.now + self.settings.typing_span, (socket, place.clone()));
        record.typing.insert(place.clone(), Typing { timer, next: None });
        self.tell_typing(socket, &place, &keystroke, cx);
    }

    fn tell_typing(&self, socket: SocketId, place: &Place, keystroke: &Keystroke, cx: &mut Cx<'_>) {
        let Some(user) = self.user_of(socket) else { return };
        let data = Typed { kind: "typing", data: TypingData { typing: keystroke.typing } };
        match place {
            Place::Channel(channel) => {
                let author = Author { id: &user.id, name: &user.name, role: &user.role };
                let args = wire::args(&ChannelTyping {
                    channel_id: channel,
                    message_id: keystroke.message.as_deref(),
                    data,
                    user: author,
                });
                // The sender too: the front end looks at `user.id`.
                self.emit_to_room(wire::channel_room(channel), wire::CHANNEL_EVENTS, args, cx);
            }
            Place::Chat(chat) => {
                let args = wire::args(&ChatTyping {
                    chat_id: chat,
                    user_id: &user.id,
                    user: Joined { id: &user.id, name: &user.name },
                    shared: true,
                    data,
                });
                let selection = Selection {
                    rooms: vec![wire::chat_room(chat)],
                    except_sockets: vec![socket],
                    ..Selection::of(self.settings.scope.clone())
                };
                cx.command(Command::Emit(Emit {
                    target: Target::Select(Box::new(selection)),
                    name: wire::EVENTS,
                    args,
                    delivery: Delivery::Reliable,
                    ack: None,
                }));
            }
        }
    }

    /// On whose behalf an event is that may bring a token of its own.
    ///
    /// Whoever has a session speaks as its user: a good token of somebody else does not lend its rooms to it. A socket
    /// without one gets a session by the token, as by CONNECT: rooms belong to sessions.
    fn bearer(&self, socket: SocketId, token: Option<String>, cx: &Cx<'_>) -> Bearer {
        let token = match token {
            Some(text) => match self.verify(&text, cx) {
                Some(token) => Some(token),
                None => return Bearer::Nobody,
            },
            None => None,
        };
        match (self.user_of(socket), token) {
            (Some(user), Some(token)) if user.id != token.user => Bearer::Nobody,
            (Some(user), _) => Bearer::Session(user.clone()),
            (None, Some(token)) => Bearer::Token(token),
            (None, None) => Bearer::Nobody,
        }
    }
}

/// On whose behalf an event is.
enum Bearer {
    /// The session's user.
    Session(User),
    /// The token's user, who has yet to be found.
    Token(Token),
    /// Nobody.
    Nobody,
}
