//! What sockets are told of a document's state, and which member loads the note's content into an empty document.
//!
//! Owns: the form of a state for each front end, the choice of the member that loads a note, and states that are told
//! later. Must never know: how members get in.

use roomcast_documents::{Access, DocumentId, MayBegin};

use super::frame::{self, ArgumentWriter, Blob, BlobForm};
use super::names::MemberKey;
use super::records::{DocumentRecords, ToldFor, ToldState};
use crate::OpenWebUi;
use crate::settings::Release;
use crate::turn::Outcome;
use roomcast_core::server::{Command, Cx, Delivery, Emit, SessionId, SocketId, Target};
use roomcast_core::time::Instant;

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_core::socket_io::Args;

impl OpenWebUi {
    /// Tells a member what the document is; later, if it has not taken what was sent to it before.
    pub(super) fn tell_state(&mut self, document: DocumentId, socket: SocketId, why: ToldFor, cx: &mut Cx<'_>) {
        let Some(session) = self.sockets.get(socket).map(|record| record.peer) else { return };
        let reason = if cx.server.is_congested(session) {
            let owed = self.documents.owed_states.entry(session).or_default();
            owed.entry((document, socket)).or_insert(why)
        } else {
            let (id, array_bytes_max) = (MemberKey::Socket(socket), self.array_bytes_max());
            let is_in = self.documents.machine.get(document).is_some_and(|open| open.member(id).is_some());
            if !is_in {
                return;
            }
            if self.documents.machine.request_state(document, id, cx.now).is_some() {
                let Some(state) = state_blob(&mut self.documents, document, array_bytes_max) else { return };
                return self.tell_state_now(document, socket, why, &state, cx);
            }
            // It takes long to encode.
            self.documents.requested.entry((document, socket)).or_insert(why)
        };
        *reason = why.max(*reason);
        self.pump_documents(cx);
    }

    /// The state is encoded that some have waited for.
    pub(super) fn tell_requested_states(
        &mut self,
        document: DocumentId,
        members: &[MemberKey],
        state: Bytes,
        cx: &mut Cx<'_>,
    ) {
        let state = Blob::new(state, self.array_bytes_max());
        for member in members {
            let MemberKey::Socket(socket) = *member else { continue };
            if self.documents.beginners.remove(&(document, socket)) {
                self.resume_update(socket, Outcome::Stored(document, ArgumentWriter::of_blob(&state)), cx);
            }
            let Some(why) = self.documents.requested.remove(&(document, socket)) else { continue };
            let session = self.sockets.get(socket).map(|record| record.peer);
            match session.is_some_and(|session| cx.server.is_congested(session)) {
                true => self.tell_state(document, socket, why, cx),
                false => self.tell_state_now(document, socket, why, &state, cx),
            }
        }
    }

    /// A session takes what is sent to it again.
    pub(crate) fn documents_relieved(&mut self, session: SessionId, cx: &mut Cx<'_>) {
        self.documents.machine.handle_relieved(MemberKey::Peer(session), cx.now);
        self.pump_documents(cx);
        for ((document, socket), why) in self.documents.owed_states.remove(&session).unwrap_or_default() {
            self.tell_state(document, socket, why, cx);
        }
    }

    /// A socket is told no state of a document any more.
    pub(super) fn forget_owed_state(&mut self, document: DocumentId, socket: SocketId) {
        self.documents.requested.remove(&(document, socket));
        self.documents.owed_states.retain(|_, owed| {
            owed.remove(&(document, socket));
            !owed.is_empty()
        });
    }

    /// Bytes of a state up to which it goes to browsers as an array.
    pub(super) fn array_bytes_max(&self) -> usize {
        match self.settings.release {
            Release::V0_6 => self.settings.documents.array_bytes_max,
            Release::V0_12 => usize::MAX,
        }
    }

    /// A browser that has edited while it was away says nothing of it. But to a state of two zeros it answers with its
    /// whole document. One that has nothing says nothing: that of 0.6.41 if there are several sessions, and that of 0.12,
    /// if it knows a content, asks to be the first with that, and is answered with the state.
    fn tell_state_now(&mut self, document: DocumentId, socket: SocketId, why: ToldFor, state: &Blob, cx: &mut Cx<'_>) {
        let release = self.settings.release;
        let id = MemberKey::Socket(socket);
        let Some(open) = self.documents.machine.get(document) else { return };
        let Some(access) = open.member(id).map(|member| member.access()) else { return };
        let name = open.name().clone();
        let empty = Blob { bytes: EMPTY.into(), form: BlobForm::Array(ByteString::from_static(EMPTY_ARRAY)) };
        let with_sessions = |app: &Self, state: &Blob, sessions| {
            let sids = app.sids(document, socket, sessions);
            ArgumentWriter::of(&name).blob("state", state).texts("sessions", sids.iter().map(String::as_str)).finish()
        };
        // Who is in beside a state that is not empty decides on nothing: all share what the first of them was told.
        let actual =
            |app: &mut Self| app.told(document, state, None, |app| with_sessions(app, state, Sessions::Actual));
        let without_content = || ArgumentWriter::of(&name).blob("state", &empty).raw("content", NULL).finish();
        let is_empty = state.bytes == EMPTY;
        let frames = match (release, why, is_empty) {
            (Release::V0_12, ToldFor::Joined, true) => vec![self.told_joined(document, state)],
            (Release::V0_12, ToldFor::Joined, false) => {
                vec![without_content(), self.told_joined(document, state)]
            }
            (Release::V0_12, ToldFor::Resync, true) => vec![without_content()],
            (Release::V0_12, ToldFor::Resync, false) => vec![without_content(), actual(self)],
            // Nothing is told of a document that has never been written to.
            (Release::V0_12, ToldFor::Asked | ToldFor::Seed, true) => Vec::new(),
            (Release::V0_6 | Release::V0_12, ToldFor::Asked | ToldFor::Seed, false) => vec![actual(self)],
            (Release::V0_6, _, true) => {
                let is_to_seed = self.is_to_seed(document, id, access, cx.now);
                let sessions = if is_to_seed { Sessions::Alone } else { Sessions::Several };
                vec![with_sessions(self, &empty, sessions)]
            }
            (Release::V0_6, ToldFor::Joined | ToldFor::Resync, false) => {
                vec![with_sessions(self, &empty, Sessions::Several), actual(self)]
            }
        };
        for args in frames {
            let (target, name) = (Target::Socket(socket), frame::STATE);
            cx.command(Command::Emit(Emit { target, name, args, delivery: Delivery::Reliable, ack: None }));
        }
    }

    /// The state for who joins a document of 0.12, with the note's content.
    fn told_joined(&mut self, document: DocumentId, state: &Blob) -> Args {
        let Some(name) = self.documents.name(document) else { return Args::empty() };
        let content = self.documents.notes.get(&document).and_then(|note| note.content.current()).cloned();
        let text = content.clone().unwrap_or_else(|| NULL.into());
        self.told(document, state, content, |_| {
            ArgumentWriter::of(&name).blob("state", state).json("content", &text).finish()
        })
    }

    /// A state as a socket is told it. What is long is made once for all who are told the same, so that the server encodes
    /// it once.
    fn told(
        &mut self,
        document: DocumentId,
        state: &Blob,
        content: Option<ByteString>,
        make: impl FnOnce(&Self) -> Args,
    ) -> Args {
        let bytes = state.bytes.len() + content.as_ref().map_or(0, |content| content.len());
        if bytes < SHARED_BYTES_MIN {
            return make(self);
        }
        let place = |text: &ByteString| (text.as_ptr(), text.len());
        let note = self.documents.notes.get(&document);
        if let Some(told) = note.and_then(|note| note.told.as_ref())
            && (told.state.as_ptr(), told.state.len()) == (state.bytes.as_ptr(), state.bytes.len())
            && told.content.as_ref().map(place) == content.as_ref().map(place)
        {
            return told.args.clone();
        }
        let args = make(self);
        if let Some(note) = self.documents.notes.get_mut(&document) {
            note.told = Some(ToldState { state: state.bytes.clone(), content, args: args.clone() });
        }
        args
    }

    /// A member must load the note's content into an empty document: the next that may write, if the one that was asked
    /// has left. Those who may only read keep theirs for themselves.
    pub(super) fn choose_seeder(&mut self, document: DocumentId, cx: &mut Cx<'_>) {
        match self.settings.release {
            Release::V0_6 => {}
            Release::V0_12 => return,
        }
        let is_chosen = self.documents.notes.get(&document).is_none_or(|note| note.seeder.is_some());
        if is_chosen || !self.documents.is_empty(document) {
            return;
        }
        let members = self.documents.machine.get(document).map_or(&[][..], |open| open.members());
        let sockets = members.iter().filter_map(|member| match member.id() {
            MemberKey::Socket(socket) => Some((socket, member.access())),
            MemberKey::Peer(_) | MemberKey::Visitor(_) => None,
        });
        let (writers, readers): (Vec<_>, Vec<_>) = sockets.partition(|(_, access)| *access == Access::Write);
        let asked = match writers.first() {
            Some(writer) => vec![*writer],
            None => readers,
        };
        for (socket, _) in asked {
            self.tell_state(document, socket, ToldFor::Seed, cx);
        }
    }

    /// Whether a member is to load the note's content into the empty document. What a member loads that may not write
    /// stays in that browser, so that a note can be read that has not been opened to edit.
    ///
    /// Of several nodes one may choose the member: where that is not known yet, it is chosen later.
    fn is_to_seed(&mut self, document: DocumentId, id: MemberKey, access: Access, now: Instant) -> bool {
        let may_begin = match access {
            Access::Write => self.documents.machine.begin(document, now) == MayBegin::Now,
            Access::Read => true,
        };
        let Some(note) = self.documents.notes.get_mut(&document) else { return false };
        match access {
            Access::Write => may_begin && *note.seeder.get_or_insert(id) == id,
            Access::Read => note.seeder.is_none(),
        }
    }

    fn sids(&self, document: DocumentId, own: SocketId, sessions: Sessions) -> Vec<String> {
        let sid_of = |socket| self.sockets.get(socket).map(|record| record.sid.as_str().to_owned());
        let mut sids: Vec<String> = sid_of(own).into_iter().collect();
        match sessions {
            Sessions::Alone => return sids,
            Sessions::Several | Sessions::Actual => {}
        }
        let members = self.documents.machine.get(document).map_or(&[][..], |open| open.members());
        let others = members.iter().filter_map(|member| match member.id() {
            MemberKey::Socket(socket) if socket != own => sid_of(socket),
            MemberKey::Socket(_) | MemberKey::Peer(_) | MemberKey::Visitor(_) => None,
        });
        sids.extend(others.take(SIDS_MAX));
        if sessions == Sessions::Several && sids.len() == 1 {
            sids.push(ANOTHER_SID.to_owned());
        }
        sids
    }
}

/// Which sessions a state names: a browser that is named alone loads the note's content into an empty document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sessions {
    Alone,
    Several,
    Actual,
}

/// The document's state in the form in which browsers get it.
pub(super) fn state_blob(
    documents: &mut DocumentRecords,
    document: DocumentId,
    array_bytes_max: usize,
) -> Option<Blob> {
    let bytes = documents.machine.state(document)?;
    let form = if bytes.len() > array_bytes_max {
        BlobForm::Attachment
    } else {
        BlobForm::Array(frame::array_text(documents.machine.state_array(document)?))
    };
    Some(Blob { bytes, form })
}

const EMPTY: &[u8] = &[0, 0];
pub(super) const EMPTY_ARRAY: &str = "[0,0]";
const NULL: &str = "null";
/// Shorter ones are made for each.
const SHARED_BYTES_MIN: usize = 1024;
/// A front end only counts them.
const SIDS_MAX: usize = 100;
/// A session that there is not.
const ANOTHER_SID: &str = "--------------------";
