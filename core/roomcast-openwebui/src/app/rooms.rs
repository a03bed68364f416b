//! Channels and notes: whose rooms a socket is in, typing, what was read, heartbeats and models in use.
//!
//! Owns: `join-channels`, `join-note`, `events:channel`, `heartbeat`, `usage`, and the recipients of typing events.
//! Must never know: how messages get into a channel.

use bytestring::ByteString;

use super::OpenWebUi;
use super::checks::may_use_notes;
use super::login::{Given, UserFound};
use crate::access::{self, Access};
use crate::query::{Note, Permission, Question, StoreError, User, UserChannels};
use crate::sockets::ChannelRooms;
use crate::token::TokenClaims;
use crate::turn::{Outcome, TurnStep};
use crate::typing::{Since, TypingNotice, TypingPlace};
use crate::wire::{self, ChannelTyping, ChatTyping, TokenPayload, TypedEvent, TypingData, TypingUser, UserJoinAck};
use crate::writes::Row;
use roomcast_core::server::{Command, Cx, Delivery, Emit, Selection, SocketId, Target};
use roomcast_core::socket_io::Args;

impl OpenWebUi {
    pub(super) fn join_channels(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        let token = args.parse::<TokenPayload>().ok().and_then(TokenPayload::token);
        match self.bearer(socket, token, cx) {
            Bearer::Login(user) => self.want_channels(socket, &user.id, cx),
            Bearer::Token(token) => Outcome::Ask(token.question(), TurnStep::JoinChannels(token)),
            Bearer::Unknown => Outcome::nothing(),
        }
    }

    pub(super) fn join_channels_answered(
        &mut self,
        socket: SocketId,
        token: TokenClaims,
        found: UserFound,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        match self.log_in_if(socket, token, found, ChannelRooms::Wanted, cx) {
            Given::Login(user) => self.want_channels(socket, &user, cx),
            Given::Refused | Given::Unknown => Outcome::nothing(),
        }
    }

    fn want_channels(&mut self, socket: SocketId, user: &ByteString, cx: &Cx<'_>) -> Outcome {
        if let Some(login) = self.sockets.get_mut(socket).and_then(|record| record.login.as_mut()) {
            login.channels = ChannelRooms::Wanted;
        }
        self.channel_reads.read(user, cx.now);
        self.channel_reads.prepare();
        Outcome::Wait(TurnStep::Channels)
    }

    /// A user's channels were read: its sockets go into the rooms, and the events that wait for that go on.
    pub(super) fn channels_found(&mut self, user: &str, found: Result<UserChannels, StoreError>, cx: &mut Cx<'_>) {
        let sockets = self.sockets.sockets_of(user).to_vec();
        for socket in sockets {
            if let Ok(found) = &found {
                self.put_into_channels(socket, self.channels_of(socket, found), cx);
            }
            self.resume_channels(socket, found.is_ok(), cx);
        }
    }

    /// The channels whose rooms a socket belongs into. The permission does not bind admins, as in Open WebUI.
    fn channels_of<'a>(&self, socket: SocketId, found: &'a UserChannels) -> &'a [ByteString] {
        let is_admin = self.user_of(socket).is_some_and(|user| &*user.role == "admin");
        let max = self.settings.limits.channels_per_socket_max;
        match found.permission {
            Permission::Denied if !is_admin => &[],
            Permission::Denied | Permission::Granted => found.channels.get(..max).unwrap_or(&found.channels),
        }
    }

    /// A socket leaves the rooms of channels that are no longer its user's, and joins those that are.
    fn put_into_channels(&self, socket: SocketId, channels: &[ByteString], cx: &mut Cx<'_>) {
        let Some(login) = self.sockets.get(socket).and_then(|record| record.login.as_ref()) else { return };
        match login.channels {
            ChannelRooms::Wanted => {}
            ChannelRooms::Unasked => return,
        }
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
        let Some(note) = self.id(payload.note_id) else { return Outcome::nothing() };
        match self.bearer(socket, payload.auth.and_then(|auth| auth.token), cx) {
            Bearer::Login(user) => {
                Outcome::Ask(Question::Note { note: note.clone(), user: user.id }, TurnStep::Note(note))
            }
            Bearer::Token(token) => Outcome::Ask(token.question(), TurnStep::JoinNote(token, note)),
            Bearer::Unknown => Outcome::nothing(),
        }
    }

    pub(super) fn join_note_answered(
        &mut self,
        socket: SocketId,
        token: TokenClaims,
        note: ByteString,
        found: UserFound,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        match self.log_in_if(socket, token, found, ChannelRooms::Unasked, cx) {
            Given::Login(user) => Outcome::Ask(Question::Note { note: note.clone(), user }, TurnStep::Note(note)),
            Given::Refused | Given::Unknown => Outcome::nothing(),
        }
    }

    pub(super) fn note_answered(
        &mut self,
        socket: SocketId,
        note: &str,
        found: Result<Option<Note>, StoreError>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        match found {
            Ok(Some(row)) => {
                let may_read = self
                    .user_of(socket)
                    .is_some_and(|user| may_use_notes(user) && access::may(user, &row, Access::Read));
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

    pub(super) fn channel_events(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        let Ok(payload) = args.parse::<wire::ChannelEvents>() else { return self.unreadable() };
        let Some(channel) = self.id(payload.channel_id) else { return Outcome::nothing() };
        let thread = match payload.message_id {
            Some(message) => match self.id(message) {
                Some(message) => Some(message),
                None => return Outcome::nothing(),
            },
            None => None,
        };
        let Some(user) = self.user_of(socket).map(|user| user.id.clone()) else { return Outcome::nothing() };
        if !cx.server.is_in(socket, &wire::channel_room(&channel)) {
            // The front end looks at a channel: one that was opened again, perhaps, of which nothing else tells.
            let login = self.sockets.get(socket).and_then(|record| record.login.as_ref());
            if login.is_some_and(|login| login.channels == ChannelRooms::Wanted) {
                self.channel_reads.handle_sign(&user, cx.now);
            }
            return Outcome::nothing();
        }
        match (&*payload.data.kind, payload.data.typing()) {
            ("typing", Some(typing)) => {
                self.typing.handle_typing(socket, TypingPlace::Channel { channel, thread }, typing, cx.now);
                self.tell_typing(cx);
            }
            ("last_read_at", _) => {
                let at_nanos = cx.server.wall().as_unix_millis().saturating_mul(1_000_000);
                self.put_read(socket, Row::Channel { channel, user }, at_nanos, cx);
            }
            _ => {}
        }
        Outcome::nothing()
    }

    /// A front end's event of every 30 s, for each connection: the user's row is written less often than that.
    pub(super) fn heartbeat(&mut self, socket: SocketId, cx: &Cx<'_>) -> Outcome {
        self.share_seen(socket, cx);
        if let Some(user) = self.user_of(socket).map(|user| user.id.clone()) {
            self.touches.handle_touch(user, cx.server.wall().as_unix_secs(), cx.now);
        }
        Outcome::nothing()
    }

    pub(super) fn use_model(&mut self, socket: SocketId, args: &Args, cx: &Cx<'_>) -> Outcome {
        let Ok(payload) = args.parse::<wire::UsageEvent>() else { return self.unreadable() };
        if let Some(model) = self.id(payload.model)
            && self.usage.handle_usage(socket, model.clone(), cx.now)
        {
            self.share_use(socket, model, cx);
        }
        Outcome::nothing()
    }

    /// Writes when something was read; what waits is written when the socket goes.
    pub(super) fn put_read(&mut self, socket: SocketId, row: Row, at: u64, cx: &Cx<'_>) {
        let write = self.writes.put_time(row, at, cx.now);
        let Some((write, record)) = write.zip(self.sockets.get_mut(socket)) else { return };
        if !record.reads.contains(&write) {
            let writes = &self.writes;
            record.reads.retain(|known| writes.contains(*known));
            record.reads.push(write);
        }
    }

    /// Tells what there is to tell of typing.
    pub(super) fn tell_typing(&mut self, cx: &mut Cx<'_>) {
        while let Some(TypingNotice { socket, place, typing, since }) = self.typing.poll_told() {
            let room = match &place {
                TypingPlace::Channel { channel, .. } => wire::channel_room(channel),
                TypingPlace::Chat(chat) => wire::chat_room(chat),
            };
            let may = match since {
                Since::Now | Since::Logout => true,
                Since::Earlier => cx.server.is_in(socket, &room),
            };
            if may {
                self.tell(socket, &place, typing, room, cx);
            }
        }
    }

    fn tell(&self, socket: SocketId, place: &TypingPlace, typing: bool, room: ByteString, cx: &mut Cx<'_>) {
        let Some(user) = self.user_of(socket) else { return };
        let data = TypedEvent { kind: "typing", data: TypingData { typing } };
        match place {
            TypingPlace::Channel { channel, thread } => {
                let author = TypingUser { id: &user.id, name: &user.name, role: &user.role };
                let message_id = thread.as_deref();
                let args = wire::args(&ChannelTyping { channel_id: channel, message_id, data, user: author });
                // The sender too: the front end looks at `user.id`.
                self.emit_to_room(room, wire::CHANNEL_EVENTS, args, cx);
            }
            TypingPlace::Chat(chat) => {
                let args = wire::args(&ChatTyping {
                    chat_id: chat,
                    user_id: &user.id,
                    user: UserJoinAck { id: &user.id, name: &user.name },
                    shared: true,
                    data,
                });
                let selection = Selection {
                    rooms: vec![room],
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

    /// Tells a peer that a store has not answered, and so that the peer is not at fault.
    pub(super) fn tell_unavailable(&self, socket: SocketId, cx: &mut Cx<'_>) {
        let args = Args::from_json_values(ByteString::from_static(wire::UNAVAILABLE)).unwrap_or_default();
        let (target, name) = (Target::Socket(socket), wire::ERROR);
        cx.command(Command::Emit(Emit { target, name, args, delivery: Delivery::Reliable, ack: None }));
    }

    /// An id from a peer, if it can be one. Copied: a slice of a message would keep all of it in memory.
    pub(super) fn id(&self, text: String) -> Option<ByteString> {
        (!text.is_empty() && text.len() <= self.settings.limits.id_bytes_max).then(|| text.into())
    }

    /// On whose behalf an event is that may bring a token of its own.
    ///
    /// A logged-in socket speaks as its user: a good token of another user does not lend its rooms to it. A socket
    /// without a login gets one by the token, as by CONNECT: rooms belong to logins.
    fn bearer(&mut self, socket: SocketId, token: Option<String>, cx: &Cx<'_>) -> Bearer {
        let token = match token {
            Some(text) => match self.verify(&text, Some(socket), cx) {
                Some(token) => Some(token),
                None => return Bearer::Unknown,
            },
            None => None,
        };
        match (self.user_of(socket), token) {
            (Some(user), Some(token)) if user.id != token.user => Bearer::Unknown,
            (Some(user), _) => Bearer::Login(user.clone()),
            (None, Some(token)) => Bearer::Token(token),
            (None, None) => Bearer::Unknown,
        }
    }
}

/// On whose behalf an event is.
enum Bearer {
    /// The login's user.
    Login(User),
    /// The token's user, who has to be looked up.
    Token(TokenClaims),
    /// There is no login, and no good token.
    Unknown,
}
