//! y-protocols over plain WebSocket, as providers of y-websocket speak it.
//!
//! Owns: whose a session of y-protocols is, its rights, and their periodic re-authorisation. Must never know: what a
//! message says, which [`roomcast_documents`] does.
//!
//! The path ends with the document's id; `token` of the query is a JWT.

use bytestring::ByteString;
use roomcast_documents::{DocumentId, Flow};

use super::join::NO_COLOR;
use super::names::canonical;
use super::names::{Aim, MemberKey};
use super::peers::{DocumentPeer, PeerStage, Recheck};
use super::records::Introduction;
use super::rights::rights;
use crate::access::Access;
use crate::purpose::Purpose;
use crate::query::{QueryId, Question, StoreAnswer, StoreError};
use crate::token::TokenClaims;
use crate::{OpenWebUi, turn};
use roomcast_core::server::{Cx, Event, Handshake, Message as Sent, SessionId};
use roomcast_core::time::WallTime;

impl OpenWebUi {
    /// An event of a session of y-protocols. Others are given back.
    #[expect(clippy::wildcard_enum_match_arm, reason = "what is another's goes on, also an event that is new")]
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
            _ => Some(event),
        }
    }

    fn peer_opened(&mut self, session: SessionId, request: &Handshake, cx: &mut Cx<'_>) {
        let (document, token) = target_of(request.target());
        let ids = document.and_then(|document| canonical(&document, &self.settings.limits));
        let token = token.and_then(|token| self.verify(&token, None, cx));
        let (document, note) = ids.clone().unwrap_or_default();
        let others = token.as_ref().map_or(0, |token| self.documents.peers.of_user(&token.user).count());
        let peer = DocumentPeer {
            note,
            token: token.clone(),
            user: None,
            stage: PeerStage::Authenticating,
            query: None,
            timer: None,
            recheck: Recheck::InTime,
        };
        self.documents.peers.insert(session, peer);
        self.documents.machine.handle_opened(MemberKey::Peer(session), document);
        match (ids, token) {
            (Some(_), Some(_)) if others >= self.settings.documents.peers_per_user_max => {
                self.close_peer(session, cx);
            }
            (Some(_), Some(token)) => self.ask_of_peer(session, token.question(), PeerStage::Authenticating, cx),
            _ => self.deny_peer(session, cx),
        }
        self.pump_documents(cx);
    }

    /// A store answered a question about a session.
    pub(super) fn peer_answered(
        &mut self,
        id: QueryId,
        session: SessionId,
        reply: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let release = self.settings.release;
        let Some(peer) = self.documents.peers.get_mut(session) else { return };
        if peer.query.take_if(|query| *query == id).is_none() {
            return;
        }
        match peer.stage {
            PeerStage::Authenticating | PeerStage::Rechecking => self.peer_user_answered(session, reply, cx),
            PeerStage::Checking => match super::names::note(reply) {
                Ok(found) => {
                    let access = peer.user.as_ref().and_then(|user| rights(user, found.as_ref(), release));
                    match access {
                        Some(access) => self.let_peer_in(session, access, cx),
                        None => self.deny_peer(session, cx),
                    }
                }
                Err(_) => self.close_peer(session, cx),
            },
            PeerStage::RecheckingRights => {
                peer.stage = PeerStage::In;
                let found = super::names::note(reply);
                let access = found.map(|found| rights(peer.user.as_ref()?, found.as_ref(), release));
                let document = self.documents.machine.document_of(MemberKey::Peer(session));
                match (access, document) {
                    (Ok(Some(access)), Some(document)) => {
                        self.set_rights(document, MemberKey::Peer(session), access, cx);
                    }
                    (Ok(None), _) => return self.deny_peer(session, cx),
                    // It stays until the next time.
                    (Ok(Some(_)), None) | (Err(_), _) => {}
                }
                self.arm_peer(session, cx);
            }
            PeerStage::Loading | PeerStage::In | PeerStage::Gone => {}
        }
    }

    fn peer_user_answered(&mut self, session: SessionId, reply: Result<StoreAnswer, StoreError>, cx: &mut Cx<'_>) {
        let Some(peer) = self.documents.peers.get_mut(session) else { return };
        let is_in = peer.stage.is_in();
        let next = if is_in { PeerStage::RecheckingRights } else { PeerStage::Checking };
        match turn::user(reply, peer.token.as_ref()) {
            Ok(Some(user)) => {
                let question = Question::Note { note: peer.note.clone(), user: user.id.clone() };
                peer.user = Some(user);
                self.ask_of_peer(session, question, next, cx);
            }
            Ok(None) => self.deny_peer(session, cx),
            Err(_) if is_in => {
                peer.stage = PeerStage::In;
                self.arm_peer(session, cx);
            }
            Err(_) => self.close_peer(session, cx),
        }
    }

    fn let_peer_in(&mut self, session: SessionId, access: Access, cx: &mut Cx<'_>) {
        let Some(peer) = self.documents.peers.get_mut(session) else { return };
        let Some(user) = peer.user.as_ref().map(|user| user.id.clone()) else { return };
        peer.stage = PeerStage::Loading;
        self.documents.machine.let_in(MemberKey::Peer(session), user, access, cx.now);
        self.pump_documents(cx);
    }

    /// A session is in its document, and has been greeted.
    pub(super) fn peer_joined(&mut self, document: DocumentId, session: SessionId, user: &str, cx: &mut Cx<'_>) {
        let Some(peer) = self.documents.peers.get_mut(session) else { return };
        peer.stage = PeerStage::In;
        let name = peer.user.as_ref().map(|user| user.name.clone()).unwrap_or_default();
        let Introduction { name, color } = Introduction { name, color: ByteString::from_static(NO_COLOR) };
        self.arm_peer(session, cx);
        self.note_joined(document);
        self.tell_joined(document, MemberKey::Peer(session), (user, &name, &color), cx);
    }

    fn peer_message(&mut self, session: SessionId, message: Sent, cx: &mut Cx<'_>) {
        let member = MemberKey::Peer(session);
        match message {
            Sent::Binary(bytes) => {
                let flow = if cx.server.is_congested(session) { Flow::Congested } else { Flow::Free };
                self.documents.machine.handle_message(member, bytes, flow, cx.now);
            }
            Sent::Text(_) => self.documents.machine.handle_text(member, cx.now),
        }
        self.pump_documents(cx);
    }

    pub(super) fn peer_closed(&mut self, session: SessionId, cx: &mut Cx<'_>) {
        let Some(peer) = self.documents.peers.remove(session) else { return };
        if let Some(query) = peer.query {
            self.queries.forget(query);
        }
        self.documents.machine.handle_closed(MemberKey::Peer(session), cx.now);
        self.pump_documents(cx);
    }

    /// A session may not be in its document.
    fn deny_peer(&mut self, session: SessionId, cx: &mut Cx<'_>) {
        self.documents.machine.deny(MemberKey::Peer(session), cx.now);
        self.pump_documents(cx);
    }

    /// A session is closed, and leaves its document at once.
    fn close_peer(&mut self, session: SessionId, cx: &mut Cx<'_>) {
        self.documents.machine.close(MemberKey::Peer(session), cx.now);
        self.pump_documents(cx);
    }

    /// A session has been told to go.
    pub(super) fn peer_ended(&mut self, session: SessionId) {
        self.documents.peers.disarm(session);
        let Some(peer) = self.documents.peers.get_mut(session) else { return };
        peer.stage = PeerStage::Gone;
        if let Some(query) = peer.query.take() {
            self.queries.forget(query);
        }
    }

    /// The time to look at a session again has come, or its token's end.
    pub(super) fn peer_due(&mut self, session: SessionId, cx: &mut Cx<'_>) {
        let wall = cx.server.wall();
        let Some(peer) = self.documents.peers.get(session) else { return };
        let (Some(token), PeerStage::In) = (peer.token.clone(), peer.stage) else { return };
        if token.has_ended(wall) {
            return self.deny_peer(session, cx);
        }
        self.ask_of_peer(session, token.question(), PeerStage::Rechecking, cx);
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
                PeerStage::In => {
                    self.documents.peers.disarm(*session);
                    self.peer_due(*session, cx);
                }
                PeerStage::Authenticating
                | PeerStage::Checking
                | PeerStage::Loading
                | PeerStage::Rechecking
                | PeerStage::RecheckingRights => peer.recheck = Recheck::AtOnce,
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
        let Some(peer) = self.documents.peers.get_mut(session).filter(|peer| peer.stage.is_in()) else {
            return;
        };
        let end = peer.token.as_ref().and_then(|token: &TokenClaims| token.expires).map(|end| until(wall, end));
        let after = match std::mem::replace(&mut peer.recheck, Recheck::InTime) {
            Recheck::InTime => end.map_or(after, |end| end.min(after)),
            Recheck::AtOnce => std::time::Duration::ZERO,
        };
        self.documents.peers.arm(session, cx.now + after);
    }
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
