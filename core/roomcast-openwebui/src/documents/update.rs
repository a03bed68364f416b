//! What sockets send.
//!
//! Owns: `ydoc:document:update` and `ydoc:awareness:update`, and relaying to sockets. Must never know: what is in an
//! update.

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_documents::{Beginning, Brings, DocumentId, MayBegin, Taken, Writers};

use super::content::ContentAuthor;
use super::fields::DataFields;
use super::files::FilesVerdict;
use super::frame::{self, ArgumentWriter, Blob, ReadUpdate, read_update};
use super::names::{Aim, CanonicalName, MemberKey};
use super::records::{LeavingSocket, Relayed, Trying};
use super::settings::JSON_PER_BYTE;
use super::state::{EMPTY_ARRAY, state_blob};
use crate::OpenWebUi;
use crate::access::Access;
use crate::settings::Release;
use crate::turn::{Outcome, TurnStep};
use roomcast_core::server::{Command, Cx, Delivery, Emit, Reach, Sid, SocketId, Target};
use roomcast_core::socket_io::Args;

impl OpenWebUi {
    /// `ydoc:document:update`. Updates of clients that are not in the document are ignored.
    pub(crate) fn document_update(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        if args.json().len() > self.update_json_bytes_max(socket) {
            return Outcome::nothing();
        }
        let documents = self.sockets.get(socket).map_or(&[][..], |record| &record.documents);
        let bytes_max = documents.iter().map(|document| self.update_bytes_max(*document)).max().unwrap_or(0);
        let release = self.settings.release;
        if args.json().len() > self.settings.documents.quick_json_bytes() {
            self.documents.reading.insert(socket);
            let args = args.clone();
            self.hand_out(Aim::Read(socket), move || read_update(&args, bytes_max, release));
            return Outcome::Wait(TurnStep::DocumentUpdate);
        }
        match read_update(args, bytes_max, release) {
            Some(read) => self.update_read(socket, read, cx),
            None => Outcome::nothing(),
        }
    }

    /// A long update has been read.
    pub(super) fn long_update_read(&mut self, socket: SocketId, read: Option<ReadUpdate>, cx: &mut Cx<'_>) {
        self.documents.reading.remove(&socket);
        let outcome = match read {
            Some(read) => self.update_read(socket, read, cx),
            None => Outcome::nothing(),
        };
        self.resume_update(socket, outcome, cx);
        let left = self.documents.leaving.remove(&socket).map(|left| left.documents);
        for document in left.unwrap_or_default() {
            self.leave_document(document, MemberKey::Socket(socket), cx);
        }
    }

    /// A socket leaves its documents while its long update is being read. What it has sent before is not lost: it leaves
    /// behind that, and is told nothing until then.
    pub(super) fn leave_when_read(&mut self, socket: SocketId) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        let (documents, sid) = (std::mem::take(&mut record.documents), record.sid);
        for document in &documents {
            self.forget_owed_state(*document, socket);
        }
        // A login ends first, and its socket perhaps later.
        let leaving = self.documents.leaving.entry(socket).or_insert(LeavingSocket { documents: Vec::new(), sid });
        leaving.documents.extend(documents);
    }

    pub(super) fn update_read(&mut self, socket: SocketId, read: ReadUpdate, cx: &mut Cx<'_>) -> Outcome {
        let id = MemberKey::Socket(socket);
        let named = CanonicalName::of(&read.document_id, &self.settings.limits, self.settings.release);
        let joined = named.as_ref().and_then(|name| self.documents.joined(&name.id, id));
        let Some((document, access)) = joined.map(|(document, member)| (document, member.access())) else {
            return Outcome::nothing();
        };
        let read = match (access, named.and_then(|name| name.note)) {
            (Access::Write, Some(note)) => match self.pass_files(socket, note, read, cx) {
                FilesVerdict::Pass(read) => read,
                FilesVerdict::Instead(outcome) => return outcome,
            },
            (Access::Write, None) | (Access::Read, _) => read,
        };
        let ReadUpdate { update, content, fields, initializes, brings, .. } = read;
        let (content, fields) = match access {
            Access::Write => (content, fields),
            Access::Read => (None, DataFields::default()),
        };
        match update {
            Some(Some(blob)) if blob.bytes.len() <= self.update_bytes_max(document) => {
                if access == Access::Write && !self.has_room(document, blob.bytes.len(), brings) {
                    self.tell_error(socket, frame::UPDATE_REFUSED, cx);
                    return Outcome::nothing();
                }
                return self.try_update(document, id, Trying { blob, initializes, brings, content, fields }, cx);
            }
            Some(_) => {
                self.documents.machine.handle_bad(document, id, cx.now);
                self.pump_documents(cx);
            }
            None => self.put_data(document, id, (content, fields), cx),
        }
        Outcome::nothing()
    }

    /// Whether a state may grow by an update. A whole document has all in it that is known, and so is as long as the state
    /// that comes of it.
    fn has_room(&mut self, document: DocumentId, bytes: usize, brings: Brings) -> bool {
        let bytes_max = self.settings.documents.state_bytes_max;
        if bytes_max == usize::MAX {
            return true;
        }
        let fits = |known: usize| match brings {
            Brings::Edit => known.saturating_add(bytes) <= bytes_max,
            Brings::Everything => known <= bytes_max && bytes <= bytes_max,
        };
        let known = self.documents.notes.get(&document).and_then(|note| note.state_bytes);
        if known.is_some_and(fits) {
            return true;
        }
        // What was added up is too much, but some of it may be gone.
        let Some(known) = self.documents.machine.state(document).map(|state| state.len()) else { return false };
        if let Some(note) = self.documents.notes.get_mut(&document) {
            note.state_bytes = Some(known);
        }
        fits(known)
    }

    fn put_data(
        &mut self,
        document: DocumentId,
        id: MemberKey,
        (content, fields): (Option<ByteString>, DataFields),
        cx: &mut Cx<'_>,
    ) {
        if let Some(content) = content {
            self.put_content(document, id, content, cx);
        }
        if !fields.is_empty() {
            self.put_fields(document, id, fields, cx);
        }
    }

    /// Has an update tried, and deals with what came with it.
    fn try_update(&mut self, document: DocumentId, id: MemberKey, trying: Trying, cx: &mut Cx<'_>) -> Outcome {
        let array_bytes_max = self.array_bytes_max();
        let access = self.documents.machine.get(document).and_then(|open| open.member(id)).map(|m| m.access());
        if access == Some(Access::Write) && trying.initializes {
            if self.documents.notes.get(&document).is_some_and(|note| note.initializer.is_some()) {
                self.documents.trying.insert(id, trying);
                return Outcome::Wait(TurnStep::DocumentUpdate);
            }
            if self.documents.machine.begin(document, cx.now) == MayBegin::Later {
                if let Some(note) = self.documents.notes.get_mut(&document) {
                    note.postponed.push((id, trying));
                }
                self.pump_documents(cx);
                return Outcome::Wait(TurnStep::DocumentUpdate);
            }
            if !self.documents.is_empty(document) {
                // Another member was first: this one begins from what that one wrote.
                if let MemberKey::Socket(socket) = id
                    && self.documents.machine.request_state(document, id, cx.now).is_none()
                {
                    self.documents.beginners.insert((document, socket));
                    self.pump_documents(cx);
                    return Outcome::Wait(TurnStep::DocumentUpdate);
                }
                if let Some(state) = state_blob(&mut self.documents, document, array_bytes_max) {
                    return Outcome::Stored(document, ArgumentWriter::of_blob(&state));
                }
            }
        }
        match self.take_update(document, id, &trying, cx) {
            Taken::Later => {
                if let Some(note) = self.documents.notes.get_mut(&document).filter(|_| trying.initializes) {
                    note.initializer = Some(id);
                }
                self.documents.trying.insert(id, trying);
                Outcome::Wait(TurnStep::DocumentUpdate)
            }
            taken @ (Taken::Applied | Taken::Known | Taken::Waits | Taken::Refused) => {
                self.end_update(document, id, trying, taken, cx)
            }
        }
    }

    /// A long update has been tried. Those who wanted to be the first with theirs meanwhile are answered.
    pub(super) fn update_taken(&mut self, document: DocumentId, id: MemberKey, taken: Taken, cx: &mut Cx<'_>) {
        let Some(trying) = self.documents.trying.remove(&id) else { return };
        let outcome = self.end_update(document, id, trying, taken, cx);
        self.resume_member(id, outcome, cx);
        let Some(note) = self.documents.notes.get_mut(&document) else { return };
        if note.initializer.take_if(|first| *first == id).is_none() {
            return;
        }
        let members = self.documents.machine.get(document).map_or(&[][..], |open| open.members());
        for member in members.iter().map(|member| member.id()).collect::<Vec<_>>() {
            let Some(trying) = self.documents.trying.remove(&member) else { continue };
            match self.try_update(document, member, trying, cx) {
                Outcome::Wait(_) => {}
                outcome @ (Outcome::Done(_)
                | Outcome::Stored(..)
                | Outcome::Ask(..)
                | Outcome::Gone
                | Outcome::Unanswered
                | Outcome::Ended(_)
                | Outcome::Again(_)) => self.resume_member(member, outcome, cx),
            }
        }
    }

    /// Updates that count only as the first one have waited until this node may begin the document, or another one has.
    pub(super) fn try_postponed(&mut self, document: DocumentId, cx: &mut Cx<'_>) {
        let postponed = self.documents.notes.get_mut(&document).map(|note| std::mem::take(&mut note.postponed));
        for (id, trying) in postponed.unwrap_or_default() {
            match self.try_update(document, id, trying, cx) {
                Outcome::Wait(_) => {}
                outcome @ (Outcome::Done(_)
                | Outcome::Stored(..)
                | Outcome::Ask(..)
                | Outcome::Gone
                | Outcome::Unanswered
                | Outcome::Ended(_)
                | Outcome::Again(_)) => self.resume_member(id, outcome, cx),
            }
        }
    }

    fn resume_member(&mut self, id: MemberKey, outcome: Outcome, cx: &mut Cx<'_>) {
        if let MemberKey::Socket(socket) = id {
            self.resume_update(socket, outcome, cx);
        }
    }

    /// An update has been tried: what came with it counts if it was not refused.
    fn end_update(
        &mut self,
        document: DocumentId,
        id: MemberKey,
        Trying { blob, initializes, brings, content, fields }: Trying,
        taken: Taken,
        cx: &mut Cx<'_>,
    ) -> Outcome {
        match taken {
            Taken::Applied | Taken::Known | Taken::Waits => self.put_data(document, id, (content, fields), cx),
            Taken::Refused | Taken::Later => {}
        }
        match (taken, brings) {
            (Taken::Applied | Taken::Known, Brings::Everything) => self.ask_content(document, id, cx),
            (Taken::Waits | Taken::Refused | Taken::Later, _) | (_, Brings::Edit) => {}
        }
        match taken {
            Taken::Applied if initializes => Outcome::Stored(document, ArgumentWriter::of_blob(&blob)),
            // What is known may have come a moment ago, and not be stored either.
            Taken::Applied | Taken::Known => Outcome::Stored(document, Args::empty()),
            // It is nowhere but in memory, and its sender is asked for everything.
            Taken::Waits => Outcome::Unanswered,
            Taken::Refused | Taken::Later => Outcome::nothing(),
        }
    }

    /// A browser of 0.12 has come back and brought all that it has, without a content. What it wrote while it was away, and
    /// what was written at once before all left, has not been rendered. To an update of another it answers with its
    /// content half a second later, also if there is nothing in it.
    fn ask_content(&self, document: DocumentId, id: MemberKey, cx: &mut Cx<'_>) {
        let is_note = self.documents.notes.get(&document).is_some_and(|note| note.id.is_some());
        let (Release::V0_12, MemberKey::Socket(socket), true) = (self.settings.release, id, is_note) else { return };
        let Some(open) = self.documents.machine.get(document) else { return };
        let Some(member) = open.member(id) else { return };
        let frame = ArgumentWriter::of(open.name()).text("user_id", member.user()).raw("update", EMPTY_ARRAY);
        let (target, args) = (Target::Socket(socket), frame.text("socket_id", "").finish());
        let (name, delivery) = (frame::UPDATE, Delivery::Reliable);
        cx.command(Command::Emit(Emit { target, name, args, delivery, ack: None }));
    }

    /// `ydoc:awareness:update`: to the others as it is.
    pub(crate) fn document_awareness(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        if args.json().len() > self.settings.documents.awareness_bytes_max.saturating_mul(JSON_PER_BYTE) {
            return Outcome::nothing();
        }
        let Ok(payload) = args.parse::<frame::UpdateEvent<'_>>() else { return Outcome::nothing() };
        let release = self.settings.release;
        let Some(CanonicalName { id: name, .. }) =
            CanonicalName::of(&payload.document_id, &self.settings.limits, release)
        else {
            return Outcome::nothing();
        };
        let bytes_max = self.settings.documents.awareness_bytes_max;
        let id = MemberKey::Socket(socket);
        if let Some((document, member)) = self.documents.joined(&name, id)
            && let Some(blob) = payload.update.and_then(|value| Blob::read(value, args, bytes_max))
        {
            let user = member.user().clone();
            let blob = blob.told_by(release);
            let args = ArgumentWriter::of(&name).text("user_id", &user).blob("update", &blob).finish();
            self.cursors_announced(document, socket, &blob.bytes, cx);
            self.tell_others(document, Some(id), frame::AWARENESS, args, cx);
        }
        Outcome::nothing()
    }

    /// A document has changed, and its sockets are told.
    pub(super) fn relay_to_sockets(
        &self,
        document: DocumentId,
        (by, user): (Option<MemberKey>, &str),
        update: Bytes,
        cx: &mut Cx<'_>,
    ) {
        let Some(name) = self.documents.name(document) else { return };
        let is_same = |blob: &&Blob| blob.bytes.as_ptr() == update.as_ptr() && blob.bytes.len() == update.len();
        let trying = || self.documents.trying.get(&by?).map(|trying| (&trying.blob, trying.initializes));
        let sent = self.documents.relayed.as_ref().map(|sent| (&sent.blob, sent.initializes)).or_else(trying);
        let blob = match sent.map(|(blob, _)| blob).filter(is_same) {
            // What a browser sent goes on in its own words.
            Some(blob) => blob.clone(),
            None => Blob::new(update, self.array_bytes_max()),
        };
        let sid = match by {
            Some(MemberKey::Socket(socket)) => self.sid_of(socket),
            Some(MemberKey::Peer(_) | MemberKey::Visitor(_)) | None => None,
        };
        let sid = sid.as_ref().map_or("", |sid| sid.as_str());
        // The one update in which browsers do not name their user.
        let is_first = self.settings.release == Release::V0_12 && sent.is_some_and(|(_, initializes)| initializes);
        let user = if is_first { sid } else { user };
        let frame = ArgumentWriter::of(&name).text("user_id", user).blob("update", &blob).text("socket_id", sid);
        // Other nodes that have the document read of it in the log.
        let reach = match self.settings.documents.machine.writers {
            Writers::One => Reach::Cluster,
            Writers::Several => Reach::Local,
        };
        self.tell_those(document, by, reach, (frame::UPDATE, frame.finish()), cx);
    }

    /// What the others know a socket by, which may have left.
    fn sid_of(&self, socket: SocketId) -> Option<Sid> {
        let left = || self.documents.leaving.get(&socket).map(|left| left.sid);
        self.sockets.get(socket).map(|record| record.sid).or_else(left)
    }

    /// The content that a member rendered that may write. It says something.
    pub(super) fn put_content(&mut self, document: DocumentId, id: MemberKey, json: ByteString, cx: &mut Cx<'_>) {
        let is_note = self.documents.notes.get(&document).is_some_and(|note| note.id.is_some());
        if json.len() > self.settings.documents.content_bytes_max || !is_note {
            return;
        }
        let (is_hurried, author) = (self.is_hurried(), ContentAuthor { member: id, user: self.author_of(id) });
        if let Some(note) = self.documents.notes.get_mut(&document) {
            note.content.put(json, author, &self.settings.documents, cx.now);
            if is_hurried {
                note.content.flush(cx.now);
            }
        }
        self.documents.machine.set_beginning(document, Beginning::ByApplication);
        self.advance_content(document, cx);
    }

    fn take_update(&mut self, document: DocumentId, id: MemberKey, trying: &Trying, cx: &mut Cx<'_>) -> Taken {
        let Trying { blob, initializes, brings, .. } = trying;
        let (update, brings) = (blob.bytes.clone(), *brings);
        self.documents.relayed = Some(Relayed { blob: blob.clone(), initializes: *initializes });
        let taken = self.documents.machine.handle_update(document, id, update, brings, cx.now);
        self.pump_documents(cx);
        self.documents.relayed = None;
        taken
    }

    /// Bytes of JSON that are parsed of an update, by who sends it: nothing of who is in no document, and an edit of who may
    /// write in none. What a reader's browser sends back with a long content has no effect anyway.
    fn update_json_bytes_max(&self, socket: SocketId) -> usize {
        let documents = self.sockets.get(socket).map_or(&[][..], |record| &record.documents);
        let id = MemberKey::Socket(socket);
        let mut rights =
            documents.iter().filter_map(|document| Some(self.documents.machine.get(*document)?.member(id)?.access()));
        match rights.any(|access| access == Access::Write) {
            true => usize::MAX,
            false if documents.is_empty() => 0,
            false => self.settings.documents.machine.limits.update_bytes_max.saturating_mul(JSON_PER_BYTE),
        }
    }

    /// Bytes that a member may bring at once. A browser that is asked for what it has brings all that is known as well,
    /// which does not count.
    fn update_bytes_max(&self, document: DocumentId) -> usize {
        let content = self.documents.machine.get(document).and_then(|open| open.content());
        let known = content.map_or(0, |content| content.store().footprint());
        self.settings.documents.machine.limits.resync_bytes_max.saturating_add(known)
    }
}
