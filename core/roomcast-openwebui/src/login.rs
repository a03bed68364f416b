//! How a socket gets a session, and how it loses it.
//!
//! Owns: CONNECT, `user-join`, the end of tokens, and the rules of who may have a session. Must never know: what a
//! session is good for.
//!
//! A token that is refused changes nothing: the session that an earlier one gave stays. But if both are of the same
//! user, the session is asked of the store at once, as the refusal may mean that the user is gone.

use bytestring::ByteString;

use super::query::{StoreError, User};
use super::recheck::Again;
use super::sessions::{Activity, Channels, Login, Record, Stage, Token, Wanted};
use super::turn::{Outcome, Step, ask_user};
use super::wire::{self, Joined, TokenPayload};
use super::{AuthRequirement, LogoutReason, Notice, OpenWebUi};
use roomcast_core::server::{Command, Connect, Cx, Extent, SocketId, Target};
use roomcast_core::socket_io::Args;
use roomcast_core::time::{Instant, WallTime};

impl OpenWebUi {
    /// A socket asks to come in, where none may without a session.
    pub(super) fn connecting(&mut self, connect: &Connect, cx: &mut Cx<'_>) {
        let Connect { socket, session: peer, sid, .. } = *connect;
        self.sockets.insert(Record::new(socket, peer, sid, Stage::Asking));
        let outcome = match self.token_in(&connect.auth, cx) {
            Some(token) => Outcome::Ask(ask_user(&token), Step::Admit(token)),
            None => self.refuse(socket, wire::REFUSED_TOKEN, cx),
        };
        self.arrive(peer, socket, outcome, cx);
    }

    /// A socket has come in.
    pub(super) fn connected(&mut self, connect: &Connect, cx: &mut Cx<'_>) {
        let Connect { socket, session: peer, sid, .. } = *connect;
        if let Some(record) = self.sockets.get_mut(socket) {
            record.stage = Stage::In;
            return self.join_own_room(socket, cx);
        }
        self.sockets.insert(Record::new(socket, peer, sid, Stage::In));
        let outcome = match self.token_in(&connect.auth, cx) {
            Some(token) => Outcome::Ask(ask_user(&token), Step::Connect(token)),
            // Anonymous: `user-join` is the real authentication.
            None => Outcome::nothing(),
        };
        self.arrive(peer, socket, outcome, cx);
    }

    pub(super) fn connect_answered(
        &mut self,
        socket: SocketId,
        token: Token,
        found: Result<Option<User>, StoreError>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        match found {
            Ok(Some(user)) => self.log_in(socket, token, user, Channels::Unasked, cx),
            Ok(None) => {}
            Err(_) => self.login_unanswered(socket, token, Channels::Unasked, cx),
        }
        Outcome::nothing()
    }

    pub(super) fn admit_answered(
        &mut self,
        socket: SocketId,
        token: Token,
        found: Result<Option<User>, StoreError>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        match found {
            Ok(Some(user)) => {
                self.log_in(socket, token, user, Channels::Unasked, cx);
                cx.command(Command::Accept { socket });
                Outcome::nothing()
            }
            Ok(None) => self.refuse(socket, wire::REFUSED_TOKEN, cx),
            Err(_) => self.refuse(socket, wire::UNAVAILABLE, cx),
        }
    }

    pub(super) fn user_join(&mut self, _socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        let token = args.parse::<TokenPayload>().ok().and_then(TokenPayload::token);
        match token.and_then(|token| self.verify(&token, cx)) {
            Some(token) => Outcome::Ask(ask_user(&token), Step::UserJoin(token)),
            None => Outcome::nothing(),
        }
    }

    pub(super) fn user_join_answered(
        &mut self,
        socket: SocketId,
        token: Token,
        found: Result<Option<User>, StoreError>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        match found {
            Ok(Some(user)) => {
                let question = super::query::Question::Channels { users: vec![user.id.clone()] };
                self.log_in(socket, token, user, Channels::Wanted, cx);
                Outcome::Ask(question, Step::UserJoinChannels)
            }
            Ok(None) => {
                self.doubt(socket, &token.user, cx);
                Outcome::nothing()
            }
            Err(_) => {
                self.login_unanswered(socket, token, Channels::Wanted, cx);
                Outcome::nothing()
            }
        }
    }

    /// What `user-join` is acknowledged with.
    pub(super) fn joined(&self, socket: SocketId) -> Outcome {
        match self.user_of(socket) {
            Some(user) => Outcome::Done(wire::args(&Joined { id: &user.id, name: &user.name })),
            // Withdrawn while the channels were being read.
            None => Outcome::nothing(),
        }
    }

    /// A socket has a session from now on. One of another user ends; one of the same user goes on with the new token.
    pub(super) fn log_in(&mut self, socket: SocketId, token: Token, user: User, channels: Channels, cx: &mut Cx<'_>) {
        if self.user_of(socket).is_some_and(|known| known.id != user.id) {
            self.withdraw(socket, LogoutReason::Replaced, cx);
        }
        self.epoch += 1;
        let epoch = self.epoch;
        let expiry_timer = token.expires.map(|expires| self.expiries.arm(moment(expires, cx), socket));
        let Some(record) = self.sockets.get_mut(socket) else { return };
        record.wanted = None;
        let person = self.people.enter(user, socket);
        match record.login.as_mut() {
            Some(login) => {
                if let Some(timer) = std::mem::replace(&mut login.expiry_timer, expiry_timer) {
                    self.expiries.cancel(timer);
                }
                login.token = token;
                login.epoch = epoch;
                match channels {
                    Channels::Wanted => login.channels = Channels::Wanted,
                    Channels::Unasked => {}
                }
            }
            None => {
                let idle_timer = self.idles.arm(cx.now + self.settings.idle_after, socket);
                record.login = Some(Login {
                    person,
                    token,
                    epoch,
                    channels,
                    last_seen: cx.now,
                    activity: Activity::Active,
                    idle_timer,
                    expiry_timer,
                });
                self.logins += 1;
                self.became_active(person);
            }
        }
        self.join_own_room(socket, cx);
        self.unpark(socket);
        self.arm_recheck(socket, Again::InTurn, cx);
    }

    /// Takes a session and all rooms from a socket, which stays, anonymous, where such may.
    pub(super) fn withdraw(&mut self, socket: SocketId, why: LogoutReason, cx: &mut Cx<'_>) {
        let rooms: Vec<ByteString> = cx.server.rooms(socket).map(ByteString::from).collect();
        for room in rooms {
            cx.command(Command::Leave { target: Target::Socket(socket), room });
        }
        self.log_out(socket, why, cx);
        match (self.settings.auth, why) {
            (AuthRequirement::Required, LogoutReason::Token | LogoutReason::Revoked) => {
                let (target, extent) = (Target::Socket(socket), Extent::Namespace);
                cx.command(Command::Disconnect { target, extent });
            }
            (AuthRequirement::Optional, _)
            | (AuthRequirement::Required, LogoutReason::Replaced | LogoutReason::Disconnected) => {}
        }
    }

    /// The session of a socket ends, which has left its rooms.
    pub(super) fn log_out(&mut self, socket: SocketId, why: LogoutReason, cx: &mut Cx<'_>) {
        self.leave_documents(socket, cx);
        self.end_typing(socket, cx);
        self.end_usage(socket);
        let Some(record) = self.sockets.get_mut(socket) else { return };
        // A newer token may still be waiting for its answer.
        if record.wanted.is_none()
            && let Some(timer) = record.recheck.take()
        {
            self.rechecks.cancel(timer);
        }
        let chats = std::mem::take(&mut record.chats);
        let reads = std::mem::take(&mut record.reads);
        let Some(login) = record.login.take() else { return };
        self.logins -= 1;
        self.idles.cancel(login.idle_timer);
        if let Some(timer) = login.expiry_timer {
            self.expiries.cancel(timer);
        }
        for write in reads {
            self.writes.flush(write, &mut self.queries, &self.settings, cx.now);
        }
        match login.activity {
            Activity::Active => self.became_idle(login.person),
            Activity::Idle => {}
        }
        let user = self.people.get(login.person).map(|person| person.user.id.clone()).unwrap_or_default();
        self.exit_person(login.person, socket, cx);
        self.end_calls(socket);
        for chat in chats.keys() {
            self.publish_presence(chat, cx);
        }
        self.notice(Notice::LoggedOut { socket, user, why });
    }

    /// A session's token is at its end, or the calendar has been set back.
    pub(super) fn token_due(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        let wall = cx.server.wall();
        let Some(login) = self.sockets.get_mut(socket).and_then(|record| record.login.as_mut()) else { return };
        login.expiry_timer = None;
        if login.token.has_ended(wall) {
            self.withdraw(socket, LogoutReason::Token, cx);
        } else if let Some(expires) = login.token.expires {
            login.expiry_timer = Some(self.expiries.arm(moment(expires, cx), socket));
        }
    }

    /// A verified token whose user could not be looked up: the peer is told, and it is tried again.
    pub(super) fn login_unanswered(&mut self, socket: SocketId, token: Token, channels: Channels, cx: &mut Cx<'_>) {
        self.tell_unavailable(socket, cx);
        self.epoch += 1;
        let Some(record) = self.sockets.get_mut(socket) else { return };
        record.wanted = Some(Wanted { token, channels, epoch: self.epoch });
        self.arm_recheck(socket, Again::Soon, cx);
    }

    /// The token's claims, if it is good now.
    pub(super) fn verify(&self, token: &str, cx: &Cx<'_>) -> Option<Token> {
        let claims = self.settings.verifier.verify(token, cx.server.wall()).ok()?;
        Token::of(&claims, self.settings.limits.id_bytes_max)
    }

    /// A token was refused by the store: if the session is of the same user, it may not stand either.
    pub(super) fn doubt(&mut self, socket: SocketId, user: &str, cx: &mut Cx<'_>) {
        if self.user_of(socket).is_some_and(|known| &*known.id == user) {
            self.recheck(socket, cx);
        }
    }

    fn token_in(&self, auth: &str, cx: &Cx<'_>) -> Option<Token> {
        let token = serde_json::from_str::<wire::Auth>(auth).ok()?.token?;
        self.verify(&token, cx)
    }

    fn refuse(&mut self, socket: SocketId, data: &'static str, cx: &mut Cx<'_>) -> Outcome {
        self.sockets.remove(socket);
        cx.command(Command::Refuse { socket, data: ByteString::from_static(data) });
        Outcome::Gone
    }

    /// A session's socket hears what is sent to its user, once it is in.
    fn join_own_room(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        let is_in = self.sockets.get(socket).is_some_and(|record| record.stage == Stage::In);
        if let Some(user) = self.user_of(socket).filter(|_| is_in) {
            let room = wire::user_room(&user.id);
            cx.command(Command::Join { target: Target::Socket(socket), room });
        }
    }

    fn exit_person(&mut self, person: super::sessions::PersonId, socket: SocketId, cx: &mut Cx<'_>) {
        let reading = self.people.get(person).map(|entry| entry.channels);
        let Some(user) = self.people.exit(person, socket) else { return };
        if let Some(reading) = reading {
            self.forget_channel_read(reading);
        }
        let row = super::writes::Row::User(user.id);
        self.writes.flush_row(&row, &mut self.queries, &self.settings, cx.now);
    }
}

/// When the calendar will say so, if nobody sets it.
fn moment(wall: WallTime, cx: &Cx<'_>) -> Instant {
    let millis = wall.as_unix_millis().saturating_sub(cx.server.wall().as_unix_millis());
    cx.now + std::time::Duration::from_millis(millis)
}
