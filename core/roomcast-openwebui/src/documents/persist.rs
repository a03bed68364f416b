//! How a document goes to the stores.
//!
//! Owns: carrying out what a journal and a note's content ask for, and when a room ends. Must never know: what is in a
//! document.

use super::content::{Due, Entry};
use super::room::{Aim, Live, MemberId, RoomId, Stage};
use crate::OpenWebUi;
use crate::queries::Purpose;
use crate::query::{Question, StoreError};
use roomcast_core::server::Cx;
use roomcast_core::time::Instant;
use roomcast_yjs::journal::{Write, Written};

impl OpenWebUi {
    /// Does what is due of a room, and arms its next deadline. A room without members ends once it is stored.
    pub(super) fn advance(&mut self, room: RoomId, cx: &mut Cx<'_>) {
        self.advance_content(room, cx);
        self.advance_journal(room, cx);
        let Some(live) = self.documents.live(room) else { return };
        if live.members.is_empty() && live.is_stored() {
            self.documents.remove(room);
        } else {
            let due = [
                live.journal.poll_timeout(),
                live.content.timeout(&self.settings.documents),
                live.pending.poll_timeout(),
                live.awareness.poll_timeout(),
            ];
            self.arm_room(room, due.into_iter().flatten().min());
        }
    }

    /// A deadline of a room has passed.
    pub(super) fn room_due(&mut self, room: RoomId, cx: &mut Cx<'_>) {
        let Some(entry) = self.documents.rooms.get_mut(room) else { return };
        entry.timer = None;
        let Stage::Live(live) = &mut entry.stage else { return };
        live.pending.handle_timeout(cx.now);
        if let Some(gone) = live.awareness.handle_timeout(cx.now) {
            self.tell_awareness(room, &gone, cx);
        }
        self.resync_dropped(room, cx);
        self.advance(room, cx);
    }

    /// An append has come to its end.
    pub(super) fn appended(&mut self, room: RoomId, (first, end): (u64, u64), stored: bool, cx: &mut Cx<'_>) {
        let Some(live) = self.documents.live_mut(room) else { return };
        live.journal.handle_appended(written(stored), cx.now);
        if stored {
            live.content.appended(first, end);
        }
        self.advance(room, cx);
    }

    /// A snapshot has come to its end.
    pub(super) fn snapshotted(&mut self, room: RoomId, up_to: u64, stored: bool, cx: &mut Cx<'_>) {
        let Some(live) = self.documents.live_mut(room) else { return };
        live.journal.handle_snapshotted(written(stored), cx.now);
        if stored {
            live.content.snapshotted(up_to);
        }
        self.advance(room, cx);
    }

    /// A save of a note's content has come to its end.
    pub(super) fn content_saved(&mut self, room: RoomId, result: Result<(), StoreError>, cx: &mut Cx<'_>) {
        let Some(live) = self.documents.live_mut(room) else { return };
        match result {
            Ok(()) => {
                live.content.saved();
                self.documents.counters.contents_saved += 1;
            }
            Err(StoreError::Unavailable) => live.content.failed(&self.settings.documents, cx.now),
            // The note is gone, and what was rendered of it has no place any more.
            Err(StoreError::NotFound | StoreError::Corrupt) => {
                live.content.give_up();
                self.documents.counters.contents_lost += 1;
            }
        }
        self.advance(room, cx);
    }

    /// Stores everything now.
    pub(crate) fn flush_documents(&mut self, cx: &mut Cx<'_>) {
        let rooms: Vec<RoomId> = self.documents.rooms.iter().map(|(room, _)| room).collect();
        for room in rooms {
            if let Some(live) = self.documents.live_mut(room) {
                live.journal.close();
                live.content.flush(cx.now);
            }
            self.advance(room, cx);
        }
    }

    pub(crate) fn unstored_documents(&self) -> impl Iterator<Item = RoomId> {
        let rooms = self.documents.rooms.iter().map(|(room, _)| room);
        rooms.filter(|room| self.documents.live(*room).is_some_and(|live| !live.is_stored()))
    }

    /// Nobody waits any more: documents that somebody is in are stored at their own pace again.
    pub(crate) fn reopen_journals(&mut self) {
        for (_, room) in self.documents.rooms.iter_mut() {
            if let Stage::Live(live) = &mut room.stage
                && !live.members.is_empty()
            {
                live.journal.reopen();
            }
        }
    }

    fn advance_content(&mut self, room: RoomId, cx: &Cx<'_>) {
        while let Some(entry) = self.documents.rooms.get_mut(room) {
            let note = entry.note.clone();
            let Stage::Live(live) = &mut entry.stage else { return };
            match live.content.poll(&self.settings.documents, cx.now) {
                Some(Due::Log(mark)) => {
                    record(live, Entry::Content(mark).write(), cx.now);
                    live.content.logged(mark, live.journal.last_sequence());
                }
                Some(Due::Save(content)) => {
                    let at_nanos = self.documents.save_moment(cx.server.wall());
                    let question = Question::SaveNoteContent { note, content, at_nanos };
                    self.ask(question, Purpose::Document(Aim::SaveContent(room)), cx);
                }
                None => return,
            }
        }
    }

    fn advance_journal(&mut self, room: RoomId, cx: &Cx<'_>) {
        while let Some(entry) = self.documents.rooms.get_mut(room) {
            let document = entry.id.clone();
            let Stage::Live(live) = &mut entry.stage else { return };
            let Some(write) = live.journal.poll_write(cx.now) else { return };
            let (question, aim) = match write {
                Write::Append { first_sequence: first, updates } => {
                    let end = first + u64::try_from(updates.len()).unwrap_or(0);
                    let question = Question::AppendUpdates { document, first_sequence: first, updates };
                    (question, Aim::Append { room, first, end })
                }
                Write::Snapshot { up_to_sequence } => {
                    let (snapshot, content_hash) = (live.document.state(), live.content.snapshot(up_to_sequence));
                    let question = Question::SaveSnapshot { document, snapshot, content_hash, up_to_sequence };
                    (question, Aim::Snapshot { room, up_to: up_to_sequence })
                }
            };
            self.ask(question, Purpose::Document(aim), cx);
        }
    }

    fn arm_room(&mut self, room: RoomId, due: Option<Instant>) {
        let Some(entry) = self.documents.rooms.get_mut(room) else { return };
        if entry.timer.map(|(at, _)| at) == due {
            return;
        }
        if let Some((_, timer)) = entry.timer.take() {
            self.documents.due.cancel(timer);
        }
        entry.timer = due.map(|at| (at, self.documents.due.arm(at, room)));
    }

    /// Whose held updates were given up is asked for all that it has; but whoever was asked already and still sends
    /// what builds on nothing is at fault.
    pub(super) fn resync_dropped(&mut self, room: RoomId, cx: &mut Cx<'_>) {
        while let Some(live) = self.documents.live_mut(room)
            && let Some(id) = live.pending.poll_dropped()
        {
            self.resync_again(room, id, cx);
        }
    }

    fn resync_again(&mut self, room: RoomId, id: MemberId, cx: &mut Cx<'_>) {
        use super::room::Resync;
        let Some(member) = self.documents.member_mut(room, id) else { return };
        match member.resync {
            Resync::Asked => self.bad_update(room, id, cx),
            Resync::No | Resync::Invited => {}
        }
        self.ask_resync(room, id, cx);
    }
}

/// Puts an entry into a document's log, behind what has to come first.
pub(super) fn record(live: &mut Live, entry: bytes::Bytes, now: Instant) {
    if let Some(opening) = live.opening.take() {
        live.journal.handle_change(opening, now);
    }
    live.journal.handle_change(entry, now);
}

const fn written(stored: bool) -> Written {
    if stored { Written::Stored } else { Written::Failed }
}
