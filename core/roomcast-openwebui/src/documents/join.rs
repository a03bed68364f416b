//! How a socket gets into a document, and how anybody gets out of one.
//!
//! Owns: `ydoc:document:join`, `ydoc:document:leave`, `ydoc:document:state`, joins that come too early, and who loads
//! the note's content into an empty document. Must never know: where a document comes from.

use bytestring::ByteString;

use super::frame::{self, Blob, Form, Frame};
use super::room::{Joining, Live, Member, MemberId, Resync, RoomId, Stage};
use super::{Compat, canonical};
use crate::access::{self, Access};
use crate::query::{Note, Question, StoreError};
use crate::turn::{Held, Outcome, Step};
use crate::{OpenWebUi, wire};
use roomcast_core::server::{Command, Cx, Delivery, Emit, Selection, Sid, SocketId, Target};
use roomcast_core::socket_io::Args;
use roomcast_core::timer::FifoKey;

/// A join whose note has been asked for.
#[derive(Debug)]
pub(crate) struct Joiner {
    document: ByteString,
    note: ByteString,
    user: ByteString,
    color: ByteString,
}

/// A join that came before the session of its socket.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) event: Held,
    pub(crate) timer: FifoKey,
}

/// Why a state is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A member has joined.
    Joined,
    /// It has asked.
    Asked,
    /// It is to bring all that it has.
    Resync,
    /// It is to load the note's content, as whoever was to do so has left.
    Seed,
}

impl OpenWebUi {
    /// Somebody wants to join, who has a session.
    pub(crate) fn document_join(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        let limits = &self.settings.limits;
        let named = args.parse::<frame::Join>().ok();
        let Some((join, (document, note))) =
            named.and_then(|join| canonical(&join.document_id, limits).map(|ids| (join, ids)))
        else {
            return self.refuse_join(socket, cx);
        };
        let Some(user) = self.user_of(socket).map(|user| user.id.clone()) else { return self.refuse_join(socket, cx) };
        let joined = self.sockets.get(socket).map_or(0, |record| record.documents.len());
        let is_in = self.documents.joined(&document, MemberId::Socket(socket)).is_some();
        if !is_in && joined >= self.settings.documents.documents_per_session_max {
            return self.refuse_join(socket, cx);
        }
        let color = join.user_color.filter(|color| color.len() <= COLOR_BYTES_MAX);
        let color = color.map_or(ByteString::from_static(NO_COLOR), ByteString::from);
        let question = Question::Note { note: note.clone(), user: user.clone() };
        Outcome::Ask(question, Step::DocumentJoin(Joiner { document, note, user, color }))
    }

    pub(crate) fn document_join_answered(
        &mut self,
        socket: SocketId,
        joiner: Joiner,
        found: Result<Option<Note>, StoreError>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        let Joiner { document, note, user: asked, color } = joiner;
        let user = self.user_of(socket).filter(|user| user.id == asked);
        let Some((user, row)) = user.zip(found.ok().flatten()) else { return self.refuse_join(socket, cx) };
        let access = [Access::Write, Access::Read].into_iter().find(|access| access::may(user, &row, *access));
        let Some(access) = access else { return self.refuse_join(socket, cx) };
        let (user, name) = (user.id.clone(), user.name.clone());
        let joining = Joining { id: MemberId::Socket(socket), user, name, access, color };
        match self.enter_document(&document, &note, joining, cx) {
            Entered::Now => Outcome::nothing(),
            Entered::Later => Outcome::Wait(Step::DocumentLoad),
        }
    }

    /// Somebody who may goes into a document, at once if it is loaded.
    pub(super) fn enter_document(
        &mut self,
        document: &ByteString,
        note: &ByteString,
        joining: Joining,
        cx: &mut Cx<'_>,
    ) -> Entered {
        let room = match self.documents.named(document) {
            Some(room) => room,
            None => self.load_document(document.clone(), note.clone(), cx),
        };
        if let Some(Stage::Loading(loading)) = self.documents.rooms.get_mut(room).map(|room| &mut room.stage) {
            loading.waiting.push(joining);
            return Entered::Later;
        }
        self.admit(room, joining, cx);
        Entered::Now
    }

    /// Somebody is in from now on, and is told what there is. After visitors, [`Self::end_visits`] has to follow.
    pub(super) fn admit(&mut self, room: RoomId, joining: Joining, cx: &mut Cx<'_>) {
        let Joining { id, user, name, access, color } = joining;
        let is_hurried = self.is_hurried();
        let sid = match id {
            MemberId::Socket(socket) => self.sockets.get(socket).map(|record| record.sid),
            MemberId::Peer(_) | MemberId::Visitor(_) => None,
        };
        let Some(document) = self.documents.rooms.get(room).map(|room| room.id.clone()) else { return };
        self.set_rights(room, id, access, cx);
        let Some(live) = self.documents.live_mut(room) else { return };
        let is_new = live.member(id).is_none();
        if is_new {
            if !is_hurried {
                live.journal.reopen();
            }
            let member = Member { id, user: user.clone(), sid, access, resync: Resync::Invited, bad_updates: 0 };
            live.members.push(member);
        } else if let Some(member) = live.members.iter_mut().find(|member| member.id == id) {
            member.resync = Resync::Invited;
        }
        match id {
            MemberId::Socket(socket) => {
                if let Some(record) = self.sockets.get_mut(socket).filter(|_| is_new) {
                    record.documents.push(room);
                }
                self.join(socket, document_room(&document), cx);
                self.tell_state(room, socket, Why::Joined, cx);
            }
            MemberId::Peer(session) => self.greet(room, session, cx),
            // Nobody is told of it.
            MemberId::Visitor(ticket) => return self.visit(room, ticket, cx),
        }
        if is_new {
            let joined = Frame::of(&document).text("user_id", &user).text("user_name", &name);
            let joined = joined.text("user_color", &color).finish();
            self.tell_others(room, Some(id), frame::JOINED, joined, cx);
        }
        self.advance(room, cx);
    }

    /// `ydoc:document:state`, of members.
    pub(crate) fn document_state(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        if let Some((room, _)) = self.joined_as(socket, args) {
            self.tell_state(room, socket, Why::Asked, cx);
        }
        Outcome::nothing()
    }

    /// `ydoc:document:leave`, of members, for themselves.
    pub(crate) fn document_leave(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        if let Some((room, _)) = self.joined_as(socket, args) {
            self.leave_document(room, MemberId::Socket(socket), cx);
        }
        Outcome::nothing()
    }

    /// The session of a socket ends, or the socket is gone.
    pub(crate) fn leave_documents(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        let documents = self.sockets.get_mut(socket).map(|record| std::mem::take(&mut record.documents));
        for room in documents.unwrap_or_default() {
            self.leave_document(room, MemberId::Socket(socket), cx);
        }
    }

    /// A member leaves, and what it rendered is saved.
    pub(super) fn leave_document(&mut self, room: RoomId, id: MemberId, cx: &mut Cx<'_>) {
        let Some(document) = self.documents.rooms.get(room).map(|room| room.id.clone()) else { return };
        let Some(live) = self.documents.live_mut(room) else { return };
        let Some(place) = live.members.iter().position(|member| member.id == id) else { return };
        let member = live.members.remove(place);
        live.pending.forget(id);
        live.kept_out.retain(|session| MemberId::Peer(*session) != id);
        live.content.author_left(id, cx.now);
        if live.seeder == Some(id) {
            live.seeder = None;
        }
        if live.members.is_empty() {
            live.journal.close();
            live.content.flush(cx.now);
        }
        match id {
            MemberId::Socket(socket) => {
                if let Some(record) = self.sockets.get_mut(socket) {
                    record.documents.retain(|other| *other != room);
                }
                if cx.server.is_in(socket, &document_room(&document)) {
                    let (target, room) = (Target::Socket(socket), document_room(&document));
                    cx.command(Command::Leave { target, room });
                }
            }
            MemberId::Peer(session) => {
                if let Some(gone) = live.awareness.withdraw(session, cx.now) {
                    self.tell_awareness(room, &gone, cx);
                }
            }
            MemberId::Visitor(_) => {}
        }
        let left = Frame::of(&document).text("user_id", &member.user).finish();
        self.tell_others(room, Some(id), frame::LEFT, left, cx);
        self.choose_seeder(room, cx);
        self.advance(room, cx);
    }

    /// Tells a member what the document is.
    ///
    /// A browser of 0.6.41 that has edited while it was away says nothing of it. But to a state of two zeros among
    /// several sessions it answers with its whole document, whereas one that has nothing says nothing.
    pub(super) fn tell_state(&mut self, room: RoomId, socket: SocketId, why: Why, cx: &mut Cx<'_>) {
        let (compat, array_bytes_max) = (self.settings.documents.compat, self.settings.documents.array_bytes_max);
        let Some(entry) = self.documents.rooms.get_mut(room) else { return };
        let Stage::Live(live) = &mut entry.stage else { return };
        let id = MemberId::Socket(socket);
        let Some((sid, access)) = live.member(id).and_then(|member| member.sid.zip(Some(member.access))) else {
            return;
        };
        let document = &entry.id;
        let empty = Blob { bytes: EMPTY.into(), form: Form::Array(ByteString::from_static(EMPTY_ARRAY)) };
        let state = state_blob(live, array_bytes_max);
        let with_sessions = |live: &Live, state: &Blob, sessions| {
            let sids = sids(live, sid, sessions);
            Frame::of(document).blob("state", state).texts("sessions", sids.iter().map(String::as_str)).finish()
        };
        let is_empty = state.bytes == EMPTY;
        let frames = match (compat, why, is_empty) {
            (Compat::V0_12, Why::Joined, _) => {
                let content = live.content.current().unwrap_or("null");
                vec![Frame::of(document).blob("state", &state).raw("content", content).finish()]
            }
            (Compat::V0_12, Why::Asked | Why::Resync | Why::Seed, _)
            | (Compat::V0_6, Why::Asked | Why::Seed, false) => {
                vec![with_sessions(live, &state, Sessions::Actual)]
            }
            (Compat::V0_6, _, true) => {
                let sessions = if is_to_seed(live, id, access) { Sessions::Alone } else { Sessions::Several };
                vec![with_sessions(live, &empty, sessions)]
            }
            (Compat::V0_6, Why::Joined | Why::Resync, false) => {
                vec![with_sessions(live, &empty, Sessions::Several), with_sessions(live, &state, Sessions::Actual)]
            }
        };
        for args in frames {
            let (target, name) = (Target::Socket(socket), frame::STATE);
            cx.command(Command::Emit(Emit { target, name, args, delivery: Delivery::Reliable, ack: None }));
        }
    }

    /// Somebody must load the note's content into an empty document: the next who may write, if whoever was asked has
    /// left. Those who may only read keep theirs for themselves.
    pub(super) fn choose_seeder(&mut self, room: RoomId, cx: &mut Cx<'_>) {
        match self.settings.documents.compat {
            Compat::V0_6 => {}
            Compat::V0_12 => return,
        }
        let Some(live) = self.documents.live_mut(room) else { return };
        if live.seeder.is_some() || !live.document.store().is_empty() {
            return;
        }
        let sockets = live.members.iter().filter_map(|member| match member.id {
            MemberId::Socket(socket) => Some((socket, member.access)),
            MemberId::Peer(_) | MemberId::Visitor(_) => None,
        });
        let (writers, readers): (Vec<_>, Vec<_>) = sockets.partition(|(_, access)| *access == Access::Write);
        let asked = match writers.first() {
            Some(writer) => vec![*writer],
            None => readers,
        };
        for (socket, _) in asked {
            self.tell_state(room, socket, Why::Seed, cx);
        }
    }

    /// Keeps a join until its socket has a session, outside of the turns: the `user-join` that it waits for may come
    /// behind it.
    pub(crate) fn park(&mut self, socket: SocketId, event: Held, cx: &Cx<'_>) -> Result<(), Held> {
        let settings = &self.settings.documents;
        let Some(record) = self.sockets.get_mut(socket) else { return Err(event) };
        if record.parked.len() >= settings.parked_max {
            return Err(event);
        }
        let timer = self.documents.parked.arm(cx.now + settings.park_span, socket);
        record.parked.push_back(Parked { event, timer });
        Ok(())
    }

    /// A socket has a session: its joins are the next of its events.
    pub(crate) fn unpark(&mut self, socket: SocketId) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        while let Some(Parked { event, timer }) = record.parked.pop_back() {
            self.documents.parked.cancel(timer);
            record.held.push_front(event);
            self.held += 1;
        }
    }

    pub(crate) fn refuse_join(&mut self, socket: SocketId, cx: &mut Cx<'_>) -> Outcome {
        self.tell_error(socket, frame::JOIN_REFUSED, cx);
        Outcome::nothing()
    }

    /// The room that an event of a member names.
    fn joined_as(&self, socket: SocketId, args: &Args) -> Option<(RoomId, &Member)> {
        let named = args.parse::<frame::Named>().ok()?;
        let (document, _) = canonical(&named.document_id, &self.settings.limits)?;
        self.documents.joined(&document, MemberId::Socket(socket))
    }

    /// An event to all sockets in a document but one.
    pub(super) fn tell_others(
        &self,
        room: RoomId,
        except: Option<MemberId>,
        name: ByteString,
        args: Args,
        cx: &mut Cx<'_>,
    ) {
        let Some(document) = self.documents.rooms.get(room).map(|room| &room.id) else { return };
        let mut selection = Selection::of(self.settings.scope.clone());
        selection.rooms.push(document_room(document));
        if let Some(MemberId::Socket(socket)) = except {
            selection.except_sockets.push(socket);
        }
        let target = Target::Select(Box::new(selection));
        cx.command(Command::Emit(Emit { target, name, args, delivery: Delivery::Reliable, ack: None }));
    }

    pub(super) fn tell_error(&self, socket: SocketId, message: &'static str, cx: &mut Cx<'_>) {
        let args = Args::from_checked(ByteString::from_static(message), Vec::new());
        let (target, name) = (Target::Socket(socket), wire::ERROR);
        cx.command(Command::Emit(Emit { target, name, args, delivery: Delivery::Reliable, ack: None }));
    }
}

/// Whether somebody is in a document now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    Now,
    /// Once it is loaded.
    Later,
}

/// Which sessions a state names: a browser that is named alone loads the note's content into an empty document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sessions {
    Alone,
    Several,
    Actual,
}

/// Whether a member is to load the note's content into the empty document. What somebody loads who may not write stays
/// in that browser, so that a note can be read that nobody has opened to edit.
fn is_to_seed(live: &mut Live, id: MemberId, access: Access) -> bool {
    match access {
        Access::Write => *live.seeder.get_or_insert(id) == id,
        Access::Read => live.seeder.is_none(),
    }
}

fn sids(live: &Live, own: Sid, sessions: Sessions) -> Vec<String> {
    let mut sids = vec![own.as_str().to_owned()];
    match sessions {
        Sessions::Alone => return sids,
        Sessions::Several | Sessions::Actual => {}
    }
    let others = live.members.iter().filter_map(|member| member.sid).filter(|sid| *sid != own);
    sids.extend(others.take(SIDS_MAX).map(|sid| sid.as_str().to_owned()));
    if sessions == Sessions::Several && sids.len() == 1 {
        sids.push(ANOTHER_SID.to_owned());
    }
    sids
}

/// The document's state in the form in which browsers get it.
pub(super) fn state_blob(live: &mut Live, array_bytes_max: usize) -> Blob {
    let bytes = live.document.state();
    let form = if bytes.len() > array_bytes_max {
        Form::Attachment
    } else {
        Form::Array(frame::array_text(live.document.state_array()))
    };
    Blob { bytes, form }
}

/// The Socket.IO room of a document's sockets.
pub(super) fn document_room(document: &str) -> ByteString {
    [ROOM, document].concat().into()
}

pub(super) const EMPTY: &[u8] = &[0, 0];
const EMPTY_ARRAY: &str = "[0,0]";
const ROOM: &str = "doc_";
pub(super) const NO_COLOR: &str = "#000000";
const COLOR_BYTES_MAX: usize = 64;
/// A front end only counts them.
const SIDS_MAX: usize = 100;
/// A session that there is not.
const ANOTHER_SID: &str = "--------------------";
