//! How sockets join documents, and how members leave them.
//!
//! Owns: `ydoc:document:join`, `ydoc:document:leave`, `ydoc:document:state`, and joins that come too early. Must never
//! know: where a document comes from.

use bytestring::ByteString;

use roomcast_documents::{Admitted, DocumentId, Entered, Form, Joining};

use super::frame::{self, ArgumentWriter};

use super::names::{CanonicalName, Joiner, MemberKey, Parked};
use super::records::{End, Introduction, ToldFor};
use super::rights::{may_open_notes, rights};
use crate::access::Access;
use crate::query::{Note, Question, StoreError, User};
use crate::settings::Release;
use crate::turn::{HeldEvent, Outcome, TurnStep};
use crate::{OpenWebUi, wire};
use roomcast_core::server::{Command, Cx, Delivery, Emit, Reach, Selection, SessionId, SocketId, Target};
use roomcast_core::socket_io::Args;

impl OpenWebUi {
    /// A socket with a login asks to join.
    pub(crate) fn document_join(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        let (limits, release) = (&self.settings.limits, self.settings.release);
        let named = args.parse::<frame::Join>().ok();
        let Some((join, CanonicalName { id: document, note })) =
            named.and_then(|join| CanonicalName::of(&join.document_id, limits, release).map(|name| (join, name)))
        else {
            return self.refuse_join(socket, cx);
        };
        let may_try = |user: &&User| release == Release::V0_6 || note.is_none() || may_open_notes(user);
        let Some(user) = self.user_of(socket).filter(may_try).map(|user| user.id.clone()) else {
            return self.refuse_join(socket, cx);
        };
        let joined = self.sockets.get(socket).map_or(0, |record| record.documents.len());
        let is_in = self.documents.joined(&document, MemberKey::Socket(socket)).is_some();
        if !is_in && joined >= self.settings.documents.documents_per_session_max {
            return self.refuse_join(socket, cx);
        }
        let color = join.user_color.filter(|color| color.len() <= COLOR_BYTES_MAX);
        let color = color.map_or(ByteString::from_static(NO_COLOR), ByteString::from);
        let joiner = Joiner { document, user: user.clone(), color };
        match note {
            Some(note) => Outcome::Ask(Question::Note { note, user }, TurnStep::DocumentJoin(joiner)),
            None => self.let_socket_in(socket, joiner, Access::Write, cx),
        }
    }

    pub(crate) fn document_join_answered(
        &mut self,
        socket: SocketId,
        joiner: Joiner,
        found: Result<Option<Note>, StoreError>,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        let user = self.user_of(socket).filter(|user| user.id == joiner.user);
        let row = found.ok().flatten();
        match user.and_then(|user| rights(user, row.as_ref(), self.settings.release)) {
            Some(access) => self.let_socket_in(socket, joiner, access, cx),
            None => self.refuse_join(socket, cx),
        }
    }

    /// A socket may join, and its document is loaded if it is not in memory.
    fn let_socket_in(&mut self, socket: SocketId, joiner: Joiner, access: Access, cx: &mut Cx<'_>) -> Outcome {
        let Joiner { document, user: _, color } = joiner;
        let Some(user) = self.user_of(socket) else { return self.refuse_join(socket, cx) };
        let introduction = Introduction { name: user.name.clone(), color };
        let (member, user) = (MemberKey::Socket(socket), user.id.clone());
        let joining = Joining { member, user, access, form: Form::Application };
        match self.enter_document(&document, joining, introduction, cx) {
            Entered::Now(_) => Outcome::nothing(),
            // It was refused at once, and has been told.
            Entered::Later if !self.documents.introductions.contains_key(&member) => Outcome::nothing(),
            Entered::Later => Outcome::Wait(TurnStep::DocumentLoad),
        }
    }

    /// A member that may goes into a document, at once if it is loaded.
    pub(super) fn enter_document(
        &mut self,
        name: &ByteString,
        joining: Joining<MemberKey>,
        introduction: Introduction,
        cx: &mut Cx<'_>,
    ) -> Entered {
        let member = joining.member;
        self.documents.introductions.insert(member, introduction);
        let entered = self.documents.machine.enter(name, joining.clone(), cx.now);
        match entered {
            Entered::Now(document) => self.admit(document, joining, cx),
            Entered::Later => {}
        }
        self.pump_documents(cx);
        entered
    }

    /// A member is in from now on, and is told what there is.
    pub(super) fn admit(&mut self, document: DocumentId, joining: Joining<MemberKey>, cx: &mut Cx<'_>) {
        let id = joining.member;
        let Introduction { name, color } = self.documents.introductions.remove(&id).unwrap_or_default();
        self.set_rights(document, id, joining.access, cx);
        let user = joining.user.clone();
        let admitted = self.documents.machine.admit(document, joining, cx.now);
        self.note_joined(document);
        self.pump_documents(cx);
        match (id, admitted) {
            (_, Admitted::No) | (MemberKey::Peer(_), _) => {}
            (MemberKey::Visitor(ticket), Admitted::New | Admitted::Already) => self.visit(document, ticket, cx),
            (MemberKey::Socket(socket), Admitted::New | Admitted::Already) => {
                if let Some(record) = self.sockets.get_mut(socket).filter(|_| admitted == Admitted::New) {
                    record.documents.push(document);
                }
                if let Some(name) = self.documents.name(document) {
                    self.join(socket, document_room(&name), cx);
                }
                self.tell_state(document, socket, ToldFor::Joined, cx);
            }
        }
        match (id, admitted) {
            (MemberKey::Socket(_), Admitted::New) => self.tell_joined(document, id, (&user, &name, &color), cx),
            (MemberKey::Socket(_) | MemberKey::Peer(_) | MemberKey::Visitor(_), _) => {}
        }
    }

    /// A document has members again: it does not end.
    pub(super) fn note_joined(&mut self, document: DocumentId) {
        if let Some(note) = self.documents.notes.get_mut(&document) {
            note.end = End::NotYet;
        }
    }

    /// The others hear of a new member.
    pub(super) fn tell_joined(
        &self,
        document: DocumentId,
        member: MemberKey,
        (user, name, color): (&str, &str, &str),
        cx: &mut Cx<'_>,
    ) {
        let Some(document_name) = self.documents.name(document) else { return };
        let joined = ArgumentWriter::of(&document_name).text("user_id", user).text("user_name", name);
        let joined = joined.text("user_color", color).finish();
        self.tell_others(document, Some(member), frame::JOINED, joined, cx);
    }

    /// `ydoc:document:state`, of members.
    pub(crate) fn document_state(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        if let Some(document) = self.joined_as(socket, args) {
            self.tell_state(document, socket, ToldFor::Asked, cx);
        }
        Outcome::nothing()
    }

    /// `ydoc:document:leave`, of members, for themselves.
    pub(crate) fn document_leave(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        if let Some(document) = self.joined_as(socket, args) {
            let member = MemberKey::Socket(socket);
            self.documents.says_goodbye = Some(member);
            self.leave_document(document, member, cx);
            self.documents.says_goodbye = None;
        }
        Outcome::nothing()
    }

    /// The session of a socket ends, or the socket is gone.
    pub(crate) fn leave_documents(&mut self, socket: SocketId, cx: &mut Cx<'_>) {
        if self.documents.reading.contains(&socket) {
            return self.leave_when_read(socket);
        }
        let documents = self.sockets.get_mut(socket).map(|record| std::mem::take(&mut record.documents));
        for document in documents.unwrap_or_default() {
            self.leave_document(document, MemberKey::Socket(socket), cx);
        }
    }

    /// The server ends: clients that are still there are cut off, and other nodes are not to wait for what they have open.
    pub(crate) fn leave_all_documents(&mut self, cx: &mut Cx<'_>) {
        let sockets: Vec<SocketId> = self.sockets.iter().map(|record| record.socket).collect();
        for socket in sockets {
            self.leave_documents(socket, cx);
        }
        let sessions: Vec<SessionId> = self.documents.peers.sessions().collect();
        for session in sessions {
            self.peer_closed(session, cx);
        }
    }

    /// A member leaves, and what it rendered is saved.
    pub(super) fn leave_document(&mut self, document: DocumentId, id: MemberKey, cx: &mut Cx<'_>) {
        self.author_leaves(document, id, cx);
        self.documents.machine.leave(document, id, cx.now);
        self.pump_documents(cx);
    }

    /// A socket is taken out of a room by other parts of Open WebUI: the note is deleted, or its user may not read it any
    /// more. In the room of a document it hears no changes, and what it sends there counts no more.
    pub(crate) fn document_room_left(&mut self, socket: SocketId, room: &str, cx: &mut Cx<'_>) {
        let document = room.strip_prefix(ROOM).and_then(|name| self.documents.machine.named(name));
        if let Some(document) = document {
            self.leave_document(document, MemberKey::Socket(socket), cx);
        }
    }

    /// A member has left, for any reason.
    pub(super) fn member_left(&mut self, document: DocumentId, id: MemberKey, user: &str, cx: &mut Cx<'_>) {
        self.author_leaves(document, id, cx);
        let Some(name) = self.documents.name(document) else { return };
        if let Some(note) = self.documents.notes.get_mut(&document)
            && note.seeder == Some(id)
        {
            note.seeder = None;
        }
        match id {
            MemberKey::Socket(socket) => {
                if let Some(record) = self.sockets.get_mut(socket) {
                    record.documents.retain(|other| *other != document);
                }
                self.forget_owed_state(document, socket);
                if self.documents.beginners.remove(&(document, socket)) {
                    self.resume_update(socket, Outcome::nothing(), cx);
                }
                if cx.server.is_in(socket, &document_room(&name)) {
                    let (target, room) = (Target::Socket(socket), document_room(&name));
                    cx.command(Command::Leave { target, room });
                }
                self.withdraw_cursors(document, socket, user, cx);
            }
            MemberKey::Peer(_) => {}
            // The others have not heard of it.
            MemberKey::Visitor(_) => return,
        }
        // With 0.12 that is told of who says so, and not of one that is lost.
        if self.settings.release == Release::V0_6 || self.documents.says_goodbye == Some(id) {
            let left = ArgumentWriter::of(&name).text("user_id", user).finish();
            self.tell_others(document, Some(id), frame::LEFT, left, cx);
        }
        self.choose_seeder(document, cx);
    }

    /// Keeps a join until its socket has a session. It does not hold up the socket's later events, because the
    /// `user-join` that it waits for may be one of them.
    pub(crate) fn park(&mut self, socket: SocketId, event: HeldEvent, cx: &Cx<'_>) -> Result<(), HeldEvent> {
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
            self.turns.hold_first(socket, event);
        }
    }

    pub(crate) fn refuse_join(&mut self, socket: SocketId, cx: &mut Cx<'_>) -> Outcome {
        self.tell_error(socket, frame::JOIN_REFUSED, cx);
        Outcome::nothing()
    }

    /// The document that an event of a member names.
    fn joined_as(&self, socket: SocketId, args: &Args) -> Option<DocumentId> {
        let named = args.parse::<frame::DocumentNamed>().ok()?;
        let name = CanonicalName::of(&named.document_id, &self.settings.limits, self.settings.release)?;
        self.documents.joined(&name.id, MemberKey::Socket(socket)).map(|(document, _)| document)
    }

    /// An event to all sockets in a document but one, on all nodes.
    pub(super) fn tell_others(
        &self,
        document: DocumentId,
        except: Option<MemberKey>,
        name: ByteString,
        args: Args,
        cx: &mut Cx<'_>,
    ) {
        self.tell_those(document, except, Reach::Cluster, (name, args), cx);
    }

    /// An event to sockets in a document but one.
    pub(super) fn tell_those(
        &self,
        document: DocumentId,
        except: Option<MemberKey>,
        reach: Reach,
        (name, args): (ByteString, Args),
        cx: &mut Cx<'_>,
    ) {
        let Some(document_name) = self.documents.name(document) else { return };
        let mut selection = Selection::of(self.settings.scope.clone());
        selection.reach = reach;
        selection.rooms.push(document_room(&document_name));
        if let Some(MemberKey::Socket(socket)) = except {
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

/// The Socket.IO room of a document's sockets.
pub(super) fn document_room(document: &str) -> ByteString {
    [ROOM, document].concat().into()
}

const ROOM: &str = "doc_";
pub(super) const NO_COLOR: &str = "#000000";
const COLOR_BYTES_MAX: usize = 64;
