//! y-protocols over plain WebSocket, as providers of y-websocket speak it.
//!
//! Owns: how a session of y-protocols gets into its document, what it says and hears there, and how it is put out. Must
//! never know: what is in an update.
//!
//! The path ends with the document's id; `token` of the query is a JWT. See
//! [sync](https://github.com/yjs/y-protocols/blob/master/PROTOCOL.md): the server asks with step 1 as well, since only
//! then a provider brings what it did while it was away.

use std::collections::VecDeque;

use bytes::Bytes;
use bytestring::ByteString;

use super::canonical;
use super::frame::Blob;
use super::join::Entered;
use super::peers::{Again, Peer, PeerStage};
use super::rights::rights;
use super::room::{Aim, Joining, MemberId, Resync, RoomId};
use crate::access::Access;
use crate::queries::Purpose;
use crate::query::{QueryId, Question, StoreAnswer, StoreError};
use crate::sessions::Token;
use crate::{OpenWebUi, turn};
use roomcast_core::server::{Command, Cx, Event, Handshake, Message as Sent, SessionId};
use roomcast_core::time::WallTime;
use roomcast_core::websocket::CloseCode;
use roomcast_yjs::{Heard, Message, Source, StateVector, Verdict};

impl OpenWebUi {
    /// An event of a session of y-protocols, or of somebody else's.
    pub(crate) fn protocol_event(&mut self, event: Event, cx: &mut Cx<'_>) -> Option<Event> {
        match event {
            Event::Opened { session, endpoint, request } if self.settings.yjs_endpoint == Some(endpoint) => {
                self.peer_opened(session, &request, cx);
                None
            }
            Event::Message { session, message } if self.documents.peers.get(session).is_some() => {
                self.peer_message(session, message, cx);
                None
            }
            Event::Closed { session, .. } if self.documents.peers.get(session).is_some() => {
                self.peer_closed(session, cx);
                None
            }
            Event::Opened { .. }
            | Event::Message { .. }
            | Event::Closed { .. }
            | Event::Connecting(_)
            | Event::Connected(_)
            | Event::Received { .. }
            | Event::Acked { .. }
            | Event::AcksEnded { .. }
            | Event::Disconnected { .. }
            | Event::Relieved { .. } => Some(event),
        }
    }

    fn peer_opened(&mut self, session: SessionId, request: &Handshake, cx: &mut Cx<'_>) {
        let (document, token) = target_of(request.target());
        let ids = document.and_then(|document| canonical(&document, &self.settings.limits));
        let token = token.and_then(|token| self.verify(&token, cx));
        let (document, note) = ids.clone().unwrap_or_default();
        let peer = Peer {
            document,
            note,
            token: token.clone(),
            user: None,
            stage: PeerStage::Authenticating,
            query: None,
            held: VecDeque::new(),
            held_bytes: 0,
            timer: None,
            again: Again::No,
        };
        self.documents.peers.insert(session, peer);
        match (ids, token) {
            (Some(_), Some(token)) => self.ask_of_peer(session, turn::ask_user(&token), PeerStage::Authenticating, cx),
            _ => self.deny_peer(session, cx),
        }
    }

    /// A store answered a question about a session.
    pub(super) fn peer_answered(
        &mut self,
        id: QueryId,
        session: SessionId,
        reply: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(peer) = self.documents.peers.get_mut(session) else { return };
        if peer.query.take_if(|query| *query == id).is_none() {
            return;
        }
        let stage = peer.stage;
        match stage {
            PeerStage::Authenticating | PeerStage::Rechecking(_) => self.peer_user_answered(session, stage, reply, cx),
            PeerStage::Checking => match super::note(reply) {
                Ok(found) => {
                    let access = peer.user.as_ref().and_then(|user| rights(user, found.as_ref()));
                    match access {
                        Some(access) => self.let_peer_in(session, access, cx),
                        None => self.deny_peer(session, cx),
                    }
                }
                Err(_) => self.close_peer(session, cx),
            },
            PeerStage::RecheckingRights(room) => {
                peer.stage = PeerStage::In(room);
                let found = super::note(reply);
                let access = found.map(|found| peer.user.as_ref().and_then(|user| rights(user, found.as_ref())));
                match access {
                    Ok(Some(access)) => self.set_rights(room, MemberId::Peer(session), access, cx),
                    Ok(None) => return self.deny_peer(session, cx),
                    // It stays until the next time.
                    Err(_) => {}
                }
                self.arm_peer(session, cx);
                self.advance(room, cx);
            }
            PeerStage::Loading | PeerStage::In(_) | PeerStage::Gone => {}
        }
    }

    fn peer_user_answered(
        &mut self,
        session: SessionId,
        stage: PeerStage,
        reply: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let Some(peer) = self.documents.peers.get_mut(session) else { return };
        let next = match stage.room() {
            Some(room) => PeerStage::RecheckingRights(room),
            None => PeerStage::Checking,
        };
        match (turn::user(reply), stage.room()) {
            (Ok(Some(user)), _) => {
                let question = Question::Note { note: peer.note.clone(), user: user.id.clone() };
                peer.user = Some(user);
                self.ask_of_peer(session, question, next, cx);
            }
            (Ok(None), _) => self.deny_peer(session, cx),
            (Err(_), Some(room)) => {
                peer.stage = PeerStage::In(room);
                self.arm_peer(session, cx);
            }
            (Err(_), None) => self.close_peer(session, cx),
        }
    }

    fn let_peer_in(&mut self, session: SessionId, access: Access, cx: &mut Cx<'_>) {
        let Some(peer) = self.documents.peers.get_mut(session) else { return };
        let Some(user) = &peer.user else { return };
        let (id, color) = (MemberId::Peer(session), ByteString::from_static(NO_COLOR));
        let joining = Joining { id, user: user.id.clone(), name: user.name.clone(), access, color };
        let (document, note) = (peer.document.clone(), peer.note.clone());
        peer.stage = PeerStage::Loading;
        match self.enter_document(&document, &note, joining, cx) {
            // It was greeted.
            Entered::Now | Entered::Later => {}
        }
    }

    /// The document of a session that waited for it is there.
    pub(super) fn peer_admitted(&mut self, room: RoomId, session: SessionId, joining: Joining, cx: &mut Cx<'_>) {
        if self.documents.peers.get(session).is_some_and(|peer| peer.stage == PeerStage::Loading) {
            self.admit(room, joining, cx);
        }
    }

    /// A session is in: it is asked what it has, told who is where, and heard with what it has said already.
    pub(super) fn greet(&mut self, room: RoomId, session: SessionId, cx: &mut Cx<'_>) {
        let Some(peer) = self.documents.peers.get_mut(session) else { return };
        peer.stage = PeerStage::In(room);
        let held = std::mem::take(&mut peer.held);
        peer.held_bytes = 0;
        self.ask_peer(room, session, cx);
        if let Some(state) = self.documents.live(room).and_then(|live| live.awareness.state()) {
            send(session, &Message::Awareness(&state), cx);
        }
        for bytes in held {
            self.heard(room, session, &bytes, cx);
            cx.command(Command::Handled { session });
        }
        self.arm_peer(session, cx);
    }

    /// Step 1: a provider answers with all that it knows beyond this.
    pub(super) fn ask_peer(&mut self, room: RoomId, session: SessionId, cx: &mut Cx<'_>) {
        if let Some(live) = self.documents.live_mut(room) {
            send(session, &Message::SyncStep1(&live.document.state_vector()), cx);
        }
    }

    /// An awareness update for every session.
    pub(super) fn tell_awareness(&self, room: RoomId, update: &[u8], cx: &mut Cx<'_>) {
        let Some(live) = self.documents.live(room) else { return };
        let message = Sent::Binary(Message::Awareness(update).encode().into());
        for member in &live.members {
            match member.id {
                MemberId::Peer(session) => cx.command(Command::Send { session, message: message.clone() }),
                MemberId::Socket(_) | MemberId::Visitor(_) => {}
            }
        }
    }

    fn peer_message(&mut self, session: SessionId, message: Sent, cx: &mut Cx<'_>) {
        let settings = &self.settings.documents;
        let Some(peer) = self.documents.peers.get_mut(session) else { return };
        let bytes = match message {
            Sent::Binary(bytes) => bytes,
            Sent::Text(_) => {
                self.close_peer(session, cx);
                return cx.command(Command::Handled { session });
            }
        };
        match (peer.stage, peer.stage.room()) {
            (_, Some(room)) => {
                self.heard(room, session, &bytes, cx);
                self.advance(room, cx);
            }
            (PeerStage::Gone, None) => {}
            (_, None) => {
                let is_full = peer.held.len() >= settings.held_messages_max
                    || peer.held_bytes + bytes.len() > settings.held_bytes_max;
                if !is_full {
                    peer.held_bytes += bytes.len();
                    peer.held.push_back(bytes);
                    return;
                }
                self.close_peer(session, cx);
            }
        }
        cx.command(Command::Handled { session });
    }

    fn heard(&mut self, room: RoomId, session: SessionId, bytes: &[u8], cx: &mut Cx<'_>) {
        let id = MemberId::Peer(session);
        let Some(live) = self.documents.live_mut(room) else { return };
        match Message::decode(bytes) {
            Ok(Message::SyncStep1(vector)) => match StateVector::decode(vector) {
                Ok(known) => {
                    let difference = live.document.difference(&known);
                    send(session, &Message::SyncStep2(&difference), cx);
                }
                Err(_) => self.bad_update(room, id, cx),
            },
            Ok(Message::SyncStep2(update)) => {
                // An answer is as long as it must be; what was not asked for is not one.
                let is_asked = live.member(id).is_some_and(|member| member.resync != Resync::No);
                let source = if is_asked { Source::Resync } else { Source::Live };
                self.peer_update(room, session, update, source, cx);
            }
            Ok(Message::Update(update)) => self.peer_update(room, session, update, Source::Live, cx),
            Ok(Message::Awareness(update)) => match live.awareness.handle_update(session, update, cx.now) {
                // The sender too: a provider that hears nothing for a while takes the connection for dead.
                Ok(Heard::All) => self.tell_awareness(room, update, cx),
                Ok(Heard::Part(part)) => self.tell_awareness(room, &part, cx),
                Ok(Heard::Nothing) => {}
                Err(_) => self.bad_update(room, id, cx),
            },
            Ok(Message::QueryAwareness) => {
                if let Some(state) = live.awareness.state() {
                    send(session, &Message::Awareness(&state), cx);
                }
            }
            // Nothing that a client has to say.
            Ok(Message::PermissionDenied(_)) => {}
            Err(_) => self.bad_update(room, id, cx),
        }
    }

    fn peer_update(&mut self, room: RoomId, session: SessionId, update: &[u8], source: Source, cx: &mut Cx<'_>) {
        let id = MemberId::Peer(session);
        let array_bytes_max = self.settings.documents.array_bytes_max;
        let Some(live) = self.documents.live(room) else { return };
        let Some(access) = live.member(id).map(|member| member.access) else { return };
        match access {
            Access::Write if live.is_unseeded() => match live.document.check(update, Source::Resync) {
                Verdict::NothingNew => {}
                Verdict::Applied | Verdict::Missing(_) => self.keep_out(room, session, cx),
                Verdict::Bad(_) => self.bad_update(room, id, cx),
            },
            Access::Write => {
                let blob = Blob::new(Bytes::copy_from_slice(update), array_bytes_max);
                self.take_update(room, id, blob, source, cx);
            }
            Access::Read => match live.document.check(update, Source::Resync) {
                Verdict::NothingNew => {}
                Verdict::Applied | Verdict::Missing(_) => {
                    self.documents.counters.updates_refused += 1;
                    send(session, &Message::PermissionDenied(MAY_NOT_WRITE), cx);
                }
                Verdict::Bad(_) => self.bad_update(room, id, cx),
            },
        }
    }

    /// A provider cannot load the note's content into the document, and must not begin it without. It keeps what it has
    /// written, and is asked for it when somebody has.
    fn keep_out(&mut self, room: RoomId, session: SessionId, cx: &mut Cx<'_>) {
        self.documents.counters.updates_refused += 1;
        let Some(live) = self.documents.live_mut(room) else { return };
        if !live.kept_out.contains(&session) {
            live.kept_out.push(session);
            send(session, &Message::PermissionDenied(NOT_SEEDED), cx);
        }
    }

    fn peer_closed(&mut self, session: SessionId, cx: &mut Cx<'_>) {
        let Some(peer) = self.documents.peers.remove(session) else { return };
        if let Some(query) = peer.query {
            self.queries.answered(query);
        }
        for _ in peer.held {
            cx.command(Command::Handled { session });
        }
        if let Some(room) = peer.stage.room() {
            self.leave_document(room, MemberId::Peer(session), cx);
        }
    }

    /// A session may not be in its document.
    fn deny_peer(&mut self, session: SessionId, cx: &mut Cx<'_>) {
        send(session, &Message::PermissionDenied(MAY_NOT_READ), cx);
        // Providers come back by themselves, but not after this.
        if let Some(code) = CloseCode::new(MAY_NOT_READ_CODE) {
            self.end_peer(session, Command::CloseWith { session, code }, cx);
        }
    }

    /// A session is closed, and leaves its document at once.
    pub(super) fn close_peer(&mut self, session: SessionId, cx: &mut Cx<'_>) {
        self.end_peer(session, Command::Close { session }, cx);
    }

    fn end_peer(&mut self, session: SessionId, close: Command, cx: &mut Cx<'_>) {
        let Some(peer) = self.documents.peers.get_mut(session) else { return };
        let room = peer.stage.room();
        if std::mem::replace(&mut peer.stage, PeerStage::Gone) == PeerStage::Gone {
            return;
        }
        let held = std::mem::take(&mut peer.held);
        if let Some(query) = peer.query.take() {
            self.queries.answered(query);
        }
        self.documents.peers.disarm(session);
        for _ in held {
            cx.command(Command::Handled { session });
        }
        if let Some(room) = room {
            self.leave_document(room, MemberId::Peer(session), cx);
        }
        cx.command(close);
    }

    /// The time to look at a session again has come, or its token's end.
    pub(super) fn peer_due(&mut self, session: SessionId, cx: &mut Cx<'_>) {
        let wall = cx.server.wall();
        let Some(peer) = self.documents.peers.get(session) else { return };
        let (Some(token), PeerStage::In(room)) = (peer.token.clone(), peer.stage) else { return };
        if token.has_ended(wall) {
            return self.deny_peer(session, cx);
        }
        self.ask_of_peer(session, turn::ask_user(&token), PeerStage::Rechecking(room), cx);
    }

    /// Something about a user has changed. How many sessions that is about.
    pub(crate) fn refresh_peers(&mut self, user: &str, cx: &mut Cx<'_>) -> usize {
        let sessions: Vec<SessionId> = self.documents.peers.of_user(user).collect();
        self.look_again(&sessions, cx)
    }

    /// The same of a token.
    pub(crate) fn refresh_peers_by_token(&mut self, jti: &str, cx: &mut Cx<'_>) -> usize {
        let sessions: Vec<SessionId> = self.documents.peers.by_token(jti).collect();
        self.look_again(&sessions, cx)
    }

    fn look_again(&mut self, sessions: &[SessionId], cx: &mut Cx<'_>) -> usize {
        for session in sessions {
            let Some(peer) = self.documents.peers.get_mut(*session) else { continue };
            match peer.stage {
                PeerStage::In(_) => {
                    self.documents.peers.disarm(*session);
                    self.peer_due(*session, cx);
                }
                PeerStage::Authenticating
                | PeerStage::Checking
                | PeerStage::Loading
                | PeerStage::Rechecking(_)
                | PeerStage::RecheckingRights(_) => peer.again = Again::Wanted,
                PeerStage::Gone => {}
            }
        }
        sessions.len()
    }

    fn ask_of_peer(&mut self, session: SessionId, question: Question, stage: PeerStage, cx: &Cx<'_>) {
        let query = self.ask(question, Purpose::Document(Aim::Peer(session)), cx);
        if let Some(peer) = self.documents.peers.get_mut(session) {
            (peer.query, peer.stage) = (Some(query), stage);
        }
    }

    fn arm_peer(&mut self, session: SessionId, cx: &Cx<'_>) {
        let after = self.spread_recheck();
        let wall = cx.server.wall();
        let Some(peer) = self.documents.peers.get_mut(session).filter(|peer| peer.stage.room().is_some()) else {
            return;
        };
        let end = peer.token.as_ref().and_then(|token: &Token| token.expires).map(|end| until(wall, end));
        let after = match std::mem::replace(&mut peer.again, Again::No) {
            Again::No => end.map_or(after, |end| end.min(after)),
            Again::Wanted => std::time::Duration::ZERO,
        };
        self.documents.peers.arm(session, cx.now + after);
    }
}

fn send(session: SessionId, message: &Message<'_>, cx: &mut Cx<'_>) {
    cx.command(Command::Send { session, message: Sent::Binary(message.encode().into()) });
}

fn until(wall: WallTime, end: WallTime) -> std::time::Duration {
    std::time::Duration::from_millis(end.as_unix_millis().saturating_sub(wall.as_unix_millis()))
}

/// The document's name, the last segment of a path, and the token of the query.
fn target_of(target: &str) -> (Option<String>, Option<String>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let document = path.trim_end_matches('/').rsplit('/').next().and_then(percent_decoded);
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let token = pairs.find(|(name, _)| *name == "token").and_then(|(_, value)| percent_decoded(value));
    (document, token)
}

/// RFC 3986 section 2.1.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

const NO_COLOR: &str = "#000000";
const MAY_NOT_READ: &str = "permission-denied";
/// As 403 of HTTP. y-websocket stays away after 4400 to 4499.
const MAY_NOT_READ_CODE: u16 = 4403;
const MAY_NOT_WRITE: &str = "read-only";
const NOT_SEEDED: &str = "the note has not been loaded into its document yet";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_document_and_token() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(target_of("/ws/yjs/note:a?token=x.y"), (some("note:a"), some("x.y")));
        assert_eq!(target_of("/ws/yjs/note%3Aa/?a=b&token=%41&token=c"), (some("note:a"), some("A")));
        assert_eq!(target_of("/ws/yjs/note_a"), (some("note_a"), None));
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(percent_decoded(bad), None, "{bad}");
        }
    }
}
