//! How a socket gets a login, and how it loses it.
//!
//! Owns: CONNECT, `user-join`, the end of tokens, and the rules for logging in. Must never know: what a login is good
//! for.
//!
//! A token that is refused changes nothing: the login that an earlier one gave stays. But if both are of the same user,
//! the login is checked at once, as the refusal may mean that the user is gone.

use bytestring::ByteString;

use super::OpenWebUi;
use crate::query::{StoreError, User};
use crate::refusals::{LoginRefused, TokenRefusal};
use crate::requests::{LogoutReason, Notice};
use crate::settings::{AuthRequirement, Release};
use crate::sockets::{ChannelRooms, Last, SocketRecord, Stage};
use crate::token::TokenClaims;
use crate::turn::{Outcome, TurnStep};
use crate::wire::{self, TokenPayload, UserJoinAck};
use roomcast_core::server::{Command, Connect, Cx, Extent, SocketId, Target};
use roomcast_core::socket_io::Args;

/// What a store says of a token's user.
pub(super) type UserFound = Result<Result<User, LoginRefused>, StoreError>;

impl OpenWebUi {
    /// A CONNECT where a login is required.
    pub(super) fn connecting(&mut self, connect: &Connect, cx: &mut Cx<'_>) {
        let Connect { socket, session: peer, .. } = *connect;
        self.open(connect, Stage::Asking, cx);
        let outcome = match self.token_in(socket, &connect.auth, cx) {
            Some(token) => Outcome::Ask(token.question(), TurnStep::Admit(token)),
            None => self.refuse(socket, wire::REFUSED_TOKEN, cx),
        };
        self.arrive(peer, socket, outcome, cx);
    }

    /// A socket has come in.
    pub(super) fn connected(&mut self, connect: &Connect, cx: &mut Cx<'_>) {
        let Connect { socket, session: peer, .. } = *connect;
        if let Some(record) = self.sockets.get_mut(socket) {
            record.stage = Stage::In;
            return self.join_own_room(socket, cx);
        }
        self.open(connect, Stage::In, cx);
        let outcome = match self.token_in(socket, &connect.auth, cx) {
            Some(token) => Outcome::Ask(token.question(), TurnStep::Connect(token)),
            // Anonymous: `user-join` is the real authentication.
            None => Outcome::nothing(),
        };
        self.arrive(peer, socket, outcome, cx);
    }

    fn open(&mut self, connect: &Connect, stage: Stage, cx: &Cx<'_>) {
        let Connect { socket, session: peer, sid, .. } = *connect;
        let mut record = SocketRecord::new(socket, peer, sid, stage);
        record.is_secure = is_by_tls(connect);
        self.sockets.insert(record);
        self.turns.open(socket);
        self.rations.open(socket, cx.now);
    }

    pub(super) fn connect_answered(
        &mut self,
        socket: SocketId,
        token: TokenClaims,
        found: UserFound,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        self.log_in_if(socket, token, found, ChannelRooms::Unasked, cx);
        Outcome::nothing()
    }

    pub(super) fn admit_answered(
        &mut self,
        socket: SocketId,
        token: TokenClaims,
        found: UserFound,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        match found {
            Ok(Ok(user)) => {
                self.log_in(socket, token, user, ChannelRooms::Unasked, cx);
                cx.command(Command::Accept { socket });
                Outcome::nothing()
            }
            Ok(Err(refused)) => {
                self.refused(Some(socket), refused.into(), cx);
                self.refuse(socket, wire::REFUSED_TOKEN, cx)
            }
            Err(_) => {
                self.refused(Some(socket), TokenRefusal::Unavailable, cx);
                self.refuse(socket, wire::UNAVAILABLE, cx)
            }
        }
    }

    pub(super) fn user_join(&mut self, socket: SocketId, args: &Args, cx: &Cx<'_>) -> Outcome {
        let token = args.parse::<TokenPayload>().ok().and_then(TokenPayload::token);
        match token.and_then(|token| self.verify(&token, Some(socket), cx)) {
            Some(token) => Outcome::Ask(token.question(), TurnStep::UserJoin(token)),
            None => Outcome::nothing(),
        }
    }

    pub(super) fn user_join_answered(
        &mut self,
        socket: SocketId,
        token: TokenClaims,
        found: UserFound,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        let asked = token.user.clone();
        let refused = found.as_ref().ok().and_then(|found| found.as_ref().err().copied());
        match self.log_in_if(socket, token, found, ChannelRooms::Wanted, cx) {
            Given::Login(user) => {
                self.channel_reads.read(&user, cx.now);
                self.channel_reads.prepare();
                Outcome::Wait(TurnStep::UserJoinChannels)
            }
            Given::Refused => {
                self.doubt(socket, &asked, cx);
                refused.map_or_else(Outcome::nothing, |refused| self.refused_join(refused))
            }
            Given::Unknown => Outcome::nothing(),
        }
    }

    /// What `user-join` is acknowledged with.
    pub(super) fn joined(&mut self, socket: SocketId, cx: &Cx<'_>) -> Outcome {
        self.share_seen(socket, cx);
        match self.user_of(socket) {
            Some(user) => Outcome::Done(wire::args(&UserJoinAck { id: &user.id, name: &user.name })),
            // Withdrawn while the channels were being read.
            None => Outcome::nothing(),
        }
    }

    /// Gives a socket a login if the store says so.
    pub(super) fn log_in_if(
        &mut self,
        socket: SocketId,
        token: TokenClaims,
        found: UserFound,
        channels: ChannelRooms,
        cx: &mut Cx<'_>,
    ) -> Given {
        match found {
            Ok(Ok(user)) => {
                let id = user.id.clone();
                self.log_in(socket, token, user, channels, cx);
                Given::Login(id)
            }
            Ok(Err(refused)) => {
                self.refused(Some(socket), refused.into(), cx);
                Given::Refused
            }
            Err(_) => {
                // The token is good as far as is known: the peer is told, and it is tried again.
                self.refused(Some(socket), TokenRefusal::Unavailable, cx);
                self.tell_unavailable(socket, cx);
                self.sockets.want(socket, token, channels, cx.now);
                Given::Unknown
            }
        }
    }

    /// A socket has a login from now on. One of another user ends; one of the same user goes on with the new token.
    pub(super) fn log_in(
        &mut self,
        socket: SocketId,
        token: TokenClaims,
        user: User,
        channels: ChannelRooms,
        cx: &mut Cx<'_>,
    ) {
        if let Some(session) = cx.server.session(socket) {
            cx.command(Command::Admit { session });
        }
        if self.user_of(socket).is_some_and(|known| known.id != user.id) {
            self.withdraw(socket, LogoutReason::Replaced, cx);
        }
        let id = user.id.clone();
        if self.sockets.log_in(socket, token, user, channels, (cx.server.wall(), cx.now)) {
            if let Some(sid) = cx.server.sid(socket) {
                self.notice(Notice::LoggedIn { socket, sid, user: id.clone() });
            }
            self.activity.handle_login(socket, id, cx.now);
        }
        self.share_login(socket, cx);
        self.join_own_room(socket, cx);
        self.unpark(socket);
    }

    /// Takes the login and all rooms from a socket, which stays, anonymous, where such may.
    pub(super) fn withdraw(&mut self, socket: SocketId, why: LogoutReason, cx: &mut Cx<'_>) {
        let rooms: Vec<ByteString> = cx.server.rooms(socket).map(ByteString::from).collect();
        for room in rooms {
            cx.command(Command::Leave { target: Target::Socket(socket), room });
        }
        self.log_out(socket, why, cx);
        match why {
            // The other user's session is stored already.
            LogoutReason::Replaced => {}
            LogoutReason::Token | LogoutReason::Revoked | LogoutReason::Disconnected => self.unshare(socket, cx),
        }
        let may_stay = match (self.settings.auth, self.settings.release) {
            (AuthRequirement::Optional, Release::V0_6) => true,
            // The front end of 0.12 comes back by itself, with the token that it has by then.
            (AuthRequirement::Optional, Release::V0_12) | (AuthRequirement::Required, _) => false,
        };
        match why {
            LogoutReason::Token | LogoutReason::Revoked if !may_stay => {
                let (target, extent) = (Target::Socket(socket), Extent::Namespace);
                cx.command(Command::Disconnect { target, extent });
            }
            LogoutReason::Token | LogoutReason::Revoked | LogoutReason::Replaced | LogoutReason::Disconnected => {}
        }
    }

    /// The login of a socket ends, which has left its rooms.
    pub(super) fn log_out(&mut self, socket: SocketId, why: LogoutReason, cx: &mut Cx<'_>) {
        self.leave_documents(socket, cx);
        self.typing.handle_logout(socket);
        // While the typing user is known.
        self.tell_typing(cx);
        self.usage.handle_logout(socket);
        self.calls.handle_logout(socket);
        let Some(record) = self.sockets.get_mut(socket) else { return };
        let (chats, reads) = (std::mem::take(&mut record.chats), std::mem::take(&mut record.reads));
        let Some((user, last)) = self.sockets.log_out(socket) else { return };
        for write in reads {
            self.writes.flush(write, cx.now);
        }
        self.activity.handle_logout(socket);
        // Its turn may wait for channels that will not be read for it any more.
        self.stranded.push_back(socket);
        match last {
            Last::Yes => {
                self.channel_reads.forget(&user.id);
                self.touches.flush(&user.id, cx.now);
            }
            Last::No => {}
        }
        while let Some(change) = self.activity.poll_change() {
            self.activity_changed(change, cx);
        }
        for chat in chats.keys() {
            self.chat_left(socket, chat, cx);
        }
        self.notice(Notice::LoggedOut { socket, user: user.id, why });
    }

    /// The token's claims, if it is good now. `socket`: where it came from, unless that is a provider.
    pub(crate) fn verify(&mut self, token: &str, socket: Option<SocketId>, cx: &Cx<'_>) -> Option<TokenClaims> {
        let claims = self.settings.verifier.verify(token, cx.server.wall()).map_err(TokenRefusal::from);
        let id_bytes_max = self.settings.limits.id_bytes_max;
        claims
            .and_then(|claims| TokenClaims::of(&claims, id_bytes_max).ok_or(TokenRefusal::Malformed))
            .inspect_err(|refusal| self.refused(socket, *refusal, cx))
            .ok()
    }

    /// A token was refused by the store: if the login is of the same user, it may not stand either.
    pub(super) fn doubt(&mut self, socket: SocketId, user: &str, cx: &mut Cx<'_>) {
        if self.user_of(socket).is_some_and(|known| &*known.id == user) {
            self.check(socket, cx);
        }
    }

    /// Counts a refused token and tells of it.
    pub(crate) fn refused(&mut self, socket: Option<SocketId>, refusal: TokenRefusal, cx: &Cx<'_>) {
        if let Some(refused) = self.refusals.count(refusal, cx.now) {
            self.notices.push_back(Notice::WrongSecret { refused });
        }
        let sid = socket.and_then(|socket| cx.server.sid(socket));
        self.notice(Notice::TokenRefused { sid, refusal });
    }

    fn token_in(&mut self, socket: SocketId, auth: &str, cx: &Cx<'_>) -> Option<TokenClaims> {
        if auth.len() > self.settings.limits.event_bytes_max {
            return None;
        }
        let token = serde_json::from_str::<wire::Auth>(auth).ok()?.token?;
        self.verify(&token, Some(socket), cx)
    }

    fn refuse(&mut self, socket: SocketId, data: &'static str, cx: &mut Cx<'_>) -> Outcome {
        if let Some(record) = self.sockets.remove(socket) {
            self.forget_turn(record.peer, socket, cx);
        }
        cx.command(Command::Refuse { socket, data: ByteString::from_static(data) });
        Outcome::Gone
    }

    /// A logged-in socket gets what is sent to its user, once it is in.
    fn join_own_room(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        let is_in = self.sockets.get(socket).is_some_and(|record| record.stage == Stage::In);
        if let Some(user) = self.user_of(socket).filter(|_| is_in) {
            let room = wire::user_room(&user.id);
            cx.command(Command::Join { target: Target::Socket(socket), room });
        }
    }
}

/// What a token has given.
pub(super) enum Given {
    /// A login of this user.
    Login(ByteString),
    /// None: the store refused it.
    Refused,
    /// None yet: the store has not answered.
    Unknown,
}

/// Whether the proxy in front says that the request has come by TLS, as uvicorn hears it.
fn is_by_tls(connect: &Connect) -> bool {
    let proto = connect.request.header("x-forwarded-proto").unwrap_or_default();
    matches!(proto.trim(), "https" | "wss")
}
