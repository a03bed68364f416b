//! Sessions of y-protocols: the records.
//!
//! Owns: whose each session is, and how far its authentication has come. Must never know: what a message says.

use std::collections::BTreeMap;

use bytestring::ByteString;

use crate::query::{QueryId, User};
use crate::token::TokenClaims;
use roomcast_core::server::SessionId;
use roomcast_core::time::Instant;
use roomcast_core::timer::{TimerKey, Timers};

/// All sessions of y-protocols.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: BTreeMap<SessionId, DocumentPeer>,
    /// When to look at one again.
    due: Timers<SessionId>,
}

impl Peers {
    pub(super) fn insert(&mut self, session: SessionId, peer: DocumentPeer) {
        self.peers.insert(session, peer);
    }

    pub(super) fn remove(&mut self, session: SessionId) -> Option<DocumentPeer> {
        self.disarm(session);
        self.peers.remove(&session)
    }

    pub(super) fn get(&self, session: SessionId) -> Option<&DocumentPeer> {
        self.peers.get(&session)
    }

    pub(super) fn get_mut(&mut self, session: SessionId) -> Option<&mut DocumentPeer> {
        self.peers.get_mut(&session)
    }

    pub(super) fn arm(&mut self, session: SessionId, at: Instant) {
        self.disarm(session);
        if let Some(peer) = self.peers.get_mut(&session) {
            peer.timer = Some(self.due.arm(at, session));
        }
    }

    pub(super) fn disarm(&mut self, session: SessionId) {
        if let Some(timer) = self.peers.get_mut(&session).and_then(|peer| peer.timer.take()) {
            self.due.cancel(timer);
        }
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<SessionId> {
        let session = self.due.pop_due(now)?;
        if let Some(peer) = self.peers.get_mut(&session) {
            peer.timer = None;
        }
        Some(session)
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.peers.keys().copied()
    }

    pub(super) fn of_user<'a>(&'a self, user: &'a str) -> impl Iterator<Item = SessionId> + 'a {
        let is_of = move |peer: &DocumentPeer| peer.token.as_ref().is_some_and(|token| &*token.user == user);
        self.peers.iter().filter(move |(_, peer)| is_of(peer)).map(|(session, _)| *session)
    }

    pub(super) fn by_token<'a>(&'a self, jti: &'a str) -> impl Iterator<Item = SessionId> + 'a {
        let is_by =
            move |peer: &DocumentPeer| peer.token.as_ref().is_some_and(|token| token.jti.as_deref() == Some(jti));
        self.peers.iter().filter(move |(_, peer)| is_by(peer)).map(|(session, _)| *session)
    }

    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn armed(&self) -> usize {
        self.due.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.next_deadline()
    }
}

/// A session of y-protocols: one provider, and one document.
#[derive(Debug)]
pub(super) struct DocumentPeer {
    pub(super) note: ByteString,
    pub(super) token: Option<TokenClaims>,
    pub(super) user: Option<User>,
    pub(super) stage: PeerStage,
    /// The question about it that is open.
    pub(super) query: Option<QueryId>,
    pub(super) timer: Option<TimerKey>,
    pub(super) recheck: Recheck,
}

/// Whether something has changed about a user while the store was being asked about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recheck {
    InTime,
    /// The answer may be of before: the store is to be asked once more.
    AtOnce,
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerStage {
    /// Its user has been asked for.
    Authenticating,
    /// Its rights have been asked for.
    Checking,
    /// It may join, and its document is being loaded.
    Loading,
    /// It is in its document.
    In,
    /// It is in, and its user has been asked for again.
    Rechecking,
    /// It is in, and its rights have been asked for again.
    RecheckingRights,
    /// It has been told to go.
    Gone,
}

impl PeerStage {
    pub(super) const fn is_in(self) -> bool {
        match self {
            Self::In | Self::Rechecking | Self::RecheckingRights => true,
            Self::Authenticating | Self::Checking | Self::Loading | Self::Gone => false,
        }
    }
}
