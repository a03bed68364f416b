//! What members send, and who is told.
//!
//! Owns: `ydoc:document:update` and `ydoc:awareness:update`, the verdict on an update and what follows from it, and
//! relaying. Must never know: what is in an update.

use bytestring::ByteString;

use super::content;
use super::frame::{self, Blob, Frame};
use super::join::{Why, state_blob};
use super::persist::record;
use super::room::{Live, MemberId, Resync, RoomId};
use super::{Compat, canonical};
use crate::OpenWebUi;
use crate::access::Access;
use crate::turn::Outcome;
use roomcast_core::server::{Command, Cx, Extent, Message as Sent, SocketId, Target};
use roomcast_core::socket_io::Args;
use roomcast_yjs::{BadUpdate, Document, Message, Source, StateVector, Verdict};

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Applied,
    /// It brought nothing new.
    Known,
    /// It, or a part of it, waits for something that is missing.
    Waits,
    Refused,
}

impl OpenWebUi {
    /// `ydoc:document:update`. Of those who are not in the document nothing is heard.
    pub(crate) fn document_update(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        let id = MemberId::Socket(socket);
        let Ok(payload) = args.parse::<frame::Update<'_>>() else { return Outcome::nothing() };
        let named = canonical(&payload.document_id, &self.settings.limits);
        let joined = named.and_then(|(document, _)| self.documents.joined(&document, id));
        let Some((room, access)) = joined.map(|(room, member)| (room, member.access)) else {
            return Outcome::nothing();
        };
        let settings = &self.settings.documents;
        let bytes_max = settings.limits.resync_bytes_max;
        let update = match payload.update.map(|value| Blob::read(value, args, bytes_max)) {
            Some(None) => {
                self.bad_update(room, id, cx);
                return Outcome::nothing();
            }
            Some(Some(blob)) => Some(blob),
            None => None,
        };
        match access {
            Access::Write => {}
            Access::Read => {
                if let Some(blob) = update {
                    self.refuse_reader(room, socket, &blob, cx);
                }
                return Outcome::nothing();
            }
        }
        let mut ack = Outcome::nothing();
        if let Some(blob) = update {
            let array_bytes_max = settings.array_bytes_max;
            if payload.initializes()
                && let Some(live) = self.documents.live_mut(room)
                && !live.document.store().is_empty()
            {
                // Somebody else was first: this one begins from what that one wrote.
                return Outcome::Done(Frame::of_blob(&state_blob(live, array_bytes_max)));
            }
            match self.take_update(room, id, blob.clone(), Source::Live, cx) {
                Taken::Applied if payload.initializes() => ack = Outcome::Done(Frame::of_blob(&blob)),
                Taken::Applied | Taken::Known | Taken::Waits => {}
                Taken::Refused => return ack,
            }
        }
        if let Some(content) = payload.content() {
            self.put_content(room, id, content, cx);
        }
        self.advance(room, cx);
        ack
    }

    /// `ydoc:awareness:update`: to the others as it is.
    pub(crate) fn document_awareness(&mut self, socket: SocketId, args: &Args, cx: &mut Cx<'_>) -> Outcome {
        let Ok(payload) = args.parse::<frame::Update<'_>>() else { return Outcome::nothing() };
        let Some((document, _)) = canonical(&payload.document_id, &self.settings.limits) else {
            return Outcome::nothing();
        };
        let bytes_max = self.settings.documents.awareness_bytes_max;
        let id = MemberId::Socket(socket);
        if let Some((room, member)) = self.documents.joined(&document, id)
            && let Some(blob) = payload.update.and_then(|value| Blob::read(value, args, bytes_max))
        {
            let args = Frame::of(&document).text("user_id", &member.user).blob("update", &blob).finish();
            self.tell_others(room, Some(id), frame::AWARENESS, args, cx);
        }
        Outcome::nothing()
    }

    /// Takes an update of a member who may write.
    pub(super) fn take_update(
        &mut self,
        room: RoomId,
        id: MemberId,
        blob: Blob,
        source: Source,
        cx: &mut Cx<'_>,
    ) -> Taken {
        let Some(live) = self.documents.live_mut(room) else { return Taken::Refused };
        let Some(member) = live.members.iter_mut().find(|member| member.id == id) else { return Taken::Refused };
        let known = known_before(&live.document, member.resync, &blob);
        let mut verdict = live.document.apply(&blob.bytes, source);
        let is_long = matches!(verdict, Verdict::Bad(BadUpdate::TooLong | BadUpdate::TooManyStructs));
        if is_long && member.resync != Resync::No {
            verdict = live.document.apply(&blob.bytes, Source::Resync);
        } else if is_long && live.document.check(&blob.bytes, Source::Resync) == Verdict::NothingNew {
            // Browsers send back what they get, however long it is.
            verdict = Verdict::NothingNew;
        }
        // What a browser was asked for comes as an attachment; everything else as an array.
        let is_whole = source == Source::Resync || matches!(blob.form, frame::Form::Attachment) || is_long;
        let was = member.resync;
        match verdict {
            Verdict::Applied | Verdict::NothingNew | Verdict::Missing(_) if is_whole => member.resync = Resync::No,
            Verdict::Applied | Verdict::NothingNew | Verdict::Missing(_) | Verdict::Bad(_) => {}
        }
        match verdict {
            Verdict::Applied => {
                let blob = news(live, known, blob, self.settings.documents.array_bytes_max);
                self.changed(room, id, &blob, cx);
                Taken::Applied
            }
            Verdict::NothingNew => {
                self.documents.counters.updates_known += 1;
                Taken::Known
            }
            Verdict::Missing(missing) => {
                self.documents.counters.updates_held += 1;
                if was != Resync::No && self.take_part(room, id, &blob, cx) {
                    return Taken::Waits;
                }
                if let Some(live) = self.documents.live_mut(room) {
                    live.pending.hold(id, blob.bytes, missing, cx.now);
                }
                match was {
                    Resync::No => self.ask_resync(room, id, cx),
                    Resync::Invited | Resync::Asked => {}
                }
                self.resync_dropped(room, cx);
                Taken::Waits
            }
            Verdict::Bad(_) => {
                self.bad_update(room, id, cx);
                // Its editor has it all the same, and would stay apart from the others: what is too long for one update
                // may come with everything else.
                match was {
                    Resync::No if is_long => self.ask_resync(room, id, cx),
                    Resync::No | Resync::Invited | Resync::Asked => {}
                }
                Taken::Refused
            }
        }
    }

    /// Takes what can be of an update that misses something, and holds the rest: who brings its whole document brings
    /// what that holds back itself.
    fn take_part(&mut self, room: RoomId, id: MemberId, blob: &Blob, cx: &mut Cx<'_>) -> bool {
        let array_bytes_max = self.settings.documents.array_bytes_max;
        let Some(live) = self.documents.live_mut(room) else { return false };
        let Some(split) = live.document.split(&blob.bytes, Source::Resync) else { return false };
        let now = Blob::new(split.now.into(), array_bytes_max);
        let known = known_before(&live.document, Resync::Asked, &now);
        let verdict = live.document.apply(&now.bytes, Source::Resync);
        live.pending.hold(id, split.later.into(), split.missing, cx.now);
        match verdict {
            Verdict::Applied => {
                let now = news(live, known, now, array_bytes_max);
                self.changed(room, id, &now, cx);
            }
            Verdict::NothingNew | Verdict::Missing(_) | Verdict::Bad(_) => {}
        }
        self.resync_dropped(room, cx);
        true
    }

    /// A document has changed: it is written down, told to the others, and tried whether that is what others wait for.
    pub(super) fn changed(&mut self, room: RoomId, id: MemberId, blob: &Blob, cx: &mut Cx<'_>) {
        let array_bytes_max = self.settings.documents.array_bytes_max;
        self.applied(room, id, blob, cx);
        while let Some(live) = self.documents.live_mut(room)
            && let Some(held) = live.pending.take_ready(live.document.store())
        {
            match live.document.apply(&held.update, Source::Resync) {
                Verdict::Applied => {
                    let blob = Blob::new(held.update, array_bytes_max);
                    self.applied(room, held.sender, &blob, cx);
                }
                Verdict::Missing(missing) => live.pending.put_back(held, missing),
                Verdict::NothingNew | Verdict::Bad(_) => {}
            }
        }
        self.resync_dropped(room, cx);
    }

    fn applied(&mut self, room: RoomId, id: MemberId, blob: &Blob, cx: &mut Cx<'_>) {
        self.documents.counters.updates_applied += 1;
        let Some(live) = self.documents.live_mut(room) else { return };
        record(live, blob.bytes.clone(), cx.now);
        live.seeder = None;
        let kept_out = std::mem::take(&mut live.kept_out);
        let (mut has_sockets, mut peers) = (false, Vec::new());
        for member in live.members.iter().filter(|member| member.id != id) {
            match member.id {
                MemberId::Socket(_) => has_sockets = true,
                MemberId::Peer(session) => peers.push(session),
                MemberId::Visitor(_) => {}
            }
        }
        if has_sockets {
            self.documents.counters.frames_encoded += 1;
            self.relay_to_sockets(room, id, blob, cx);
        }
        if !peers.is_empty() {
            self.documents.counters.frames_encoded += 1;
            let message = Sent::Binary(Message::Update(&blob.bytes).encode().into());
            for session in peers {
                cx.command(Command::Send { session, message: message.clone() });
            }
        }
        for session in kept_out {
            self.ask_resync(room, MemberId::Peer(session), cx);
        }
    }

    fn relay_to_sockets(&self, room: RoomId, id: MemberId, blob: &Blob, cx: &mut Cx<'_>) {
        let Some(entry) = self.documents.rooms.get(room) else { return };
        let Some(member) = self.documents.live(room).and_then(|live| live.member(id)) else { return };
        let sid = member.sid.as_ref().map_or("", |sid| sid.as_str());
        let frame = Frame::of(&entry.id).text("user_id", &member.user).blob("update", blob).text("socket_id", sid);
        self.tell_others(room, Some(id), frame::UPDATE, frame.finish(), cx);
    }

    /// The content that somebody rendered who may write. None is not a content.
    pub(super) fn put_content(&mut self, room: RoomId, id: MemberId, json: &str, cx: &Cx<'_>) {
        let settings = &self.settings.documents;
        if json.len() > settings.content_bytes_max || content::says_nothing(json) {
            return;
        }
        let is_hurried = self.is_hurried();
        if let Some(live) = self.documents.live_mut(room) {
            live.content.put(ByteString::from(json), id, &self.settings.documents, cx.now);
            if is_hurried {
                live.content.flush(cx.now);
            }
        }
    }

    /// An update of somebody who may only read: an echo is let pass, for browsers send everything back that they get.
    fn refuse_reader(&mut self, room: RoomId, socket: SocketId, blob: &Blob, cx: &mut Cx<'_>) {
        let Some(live) = self.documents.live(room) else { return };
        match live.document.check(&blob.bytes, Source::Resync) {
            Verdict::NothingNew => self.documents.counters.updates_known += 1,
            Verdict::Applied | Verdict::Missing(_) => {
                self.documents.counters.updates_refused += 1;
                self.tell_error(socket, frame::UPDATE_REFUSED, cx);
            }
            Verdict::Bad(_) => self.bad_update(room, MemberId::Socket(socket), cx),
        }
    }

    /// Asks a member for all that it has, after it was told all that there is.
    pub(super) fn ask_resync(&mut self, room: RoomId, id: MemberId, cx: &mut Cx<'_>) {
        let Some(member) = self.documents.member_mut(room, id) else { return };
        member.resync = Resync::Asked;
        self.documents.counters.resyncs += 1;
        match (id, self.settings.documents.compat) {
            (MemberId::Socket(socket), Compat::V0_6 | Compat::V0_12) => self.tell_state(room, socket, Why::Resync, cx),
            (MemberId::Peer(session), _) => self.ask_peer(room, session, cx),
            (MemberId::Visitor(_), _) => {}
        }
    }

    /// What a member sent is no update, or over a limit.
    pub(super) fn bad_update(&mut self, room: RoomId, id: MemberId, cx: &mut Cx<'_>) {
        self.documents.counters.updates_refused += 1;
        let bad_updates_max = self.settings.documents.bad_updates_max;
        let Some(member) = self.documents.member_mut(room, id) else { return };
        member.bad_updates += 1;
        let is_enough = member.bad_updates >= bad_updates_max;
        match id {
            MemberId::Socket(socket) => {
                self.tell_error(socket, frame::UPDATE_REFUSED, cx);
                if is_enough {
                    let (target, extent) = (Target::Socket(socket), Extent::Connection);
                    cx.command(Command::Disconnect { target, extent });
                }
            }
            MemberId::Peer(session) => {
                if is_enough {
                    self.close_peer(session, cx);
                }
            }
            MemberId::Visitor(_) => {}
        }
    }
}

/// What is known before somebody brings a whole document, of which the others and the log need no more than is new.
/// `None` where that would save nothing.
fn known_before(document: &Document, resync: Resync, blob: &Blob) -> Option<StateVector> {
    match resync {
        Resync::No => None,
        Resync::Invited | Resync::Asked => {
            (blob.bytes.len() > WHOLE_BYTES_MIN).then(|| document.store().state_vector())
        }
    }
}

/// What has come that was not known before: the difference if that is shorter.
fn news(live: &mut Live, known: Option<StateVector>, whole: Blob, array_bytes_max: usize) -> Blob {
    let difference = known.map(|known| live.document.difference(&known));
    match difference.filter(|difference| difference.len() < whole.bytes.len()) {
        Some(difference) => Blob::new(difference, array_bytes_max),
        None => whole,
    }
}

/// A shorter one goes to the others as it is.
const WHOLE_BYTES_MIN: usize = 1024;
