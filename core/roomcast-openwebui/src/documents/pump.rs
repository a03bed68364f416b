//! Carrying out what the document machine says.
//!
//! Owns: the one loop over its outputs. Must never know: why the machine says something.

use std::any::Any;

use roomcast_documents::{Close, DENIED_CODE, DocumentId, DocumentNotice, DocumentQuestion, Output, Relay, Worked};

use super::frame;
use super::names::{Aim, MemberKey};
use super::records::ToldFor;
use crate::OpenWebUi;
use crate::purpose::Purpose;
use crate::query::{Computed, Reply, StoreAnswer};
use crate::requests::Notice;
use roomcast_core::server::{Command, Cx, Extent, Message as Sent, SessionId, Target, Work};
use roomcast_core::websocket::CloseCode;

impl OpenWebUi {
    /// Carries out what the machine says, until it is quiet.
    pub(super) fn pump_documents(&mut self, cx: &mut Cx<'_>) {
        self.pump_document_outputs(cx);
        while let Some((document, work)) = self.documents.machine.poll_work() {
            self.hand_out(Aim::Work(document), move || work.run());
        }
    }

    /// Has something computed on another thread.
    pub(super) fn hand_out<T: Any + Send>(&mut self, aim: Aim, compute: impl FnOnce() -> T + Send + 'static) {
        let id = self.queries.hand_out(Purpose::Document(aim));
        let work = move || Reply { id, result: Ok(StoreAnswer::Computed(Computed::new(compute()))) };
        self.documents.work.push_back(Work::new(work));
    }

    /// The machine's own work has come to its end.
    pub(super) fn document_worked(&mut self, document: DocumentId, worked: Option<Worked>, cx: &mut Cx<'_>) {
        if let Some(worked) = worked {
            self.documents.machine.handle_worked(document, worked, cx.now);
        }
        self.pump_documents(cx);
    }

    fn pump_document_outputs(&mut self, cx: &mut Cx<'_>) {
        while let Some(output) = self.documents.machine.poll_output() {
            match output {
                Output::Ask { document, question } => self.ask_store(document, question, cx),
                // Its user and its note are being asked for already.
                Output::Authorize { .. } => {}
                Output::Loaded { document, waiting } => self.document_open(document, waiting, cx),
                Output::NotLoaded { waiting, .. } => self.refuse_waiting(waiting, cx),
                Output::Joined { document, member, user } => match member {
                    MemberKey::Peer(session) => self.peer_joined(document, session, &user, cx),
                    MemberKey::Socket(_) | MemberKey::Visitor(_) => {}
                },
                Output::Updated { document, by, user, update, relay } => {
                    if let Some(note) = self.documents.notes.get_mut(&document) {
                        note.told = None;
                        note.state_bytes = note.state_bytes.map(|bytes| bytes.saturating_add(update.len()));
                    }
                    match relay {
                        Relay::Wanted => self.relay_to_sockets(document, (by, &user), update, cx),
                        Relay::Needless => {}
                    }
                    if by.is_none() {
                        self.try_postponed(document, cx);
                    }
                }
                Output::Resync { document, member } => {
                    if let MemberKey::Socket(socket) = member {
                        self.tell_state(document, socket, ToldFor::Resync, cx);
                    }
                }
                Output::State { document, to, state } => self.tell_requested_states(document, &to, state, cx),
                Output::Taken { document, member, taken } => self.update_taken(document, member, taken, cx),
                Output::Refused { member, .. } => {
                    if let MemberKey::Socket(socket) = member {
                        self.tell_error(socket, frame::UPDATE_REFUSED, cx);
                    }
                }
                Output::Expelled { member } => {
                    if let MemberKey::Socket(socket) = member {
                        let (target, extent) = (Target::Socket(socket), Extent::Connection);
                        cx.command(Command::Disconnect { target, extent });
                    }
                }
                Output::Left { document, member, user } => self.member_left(document, member, &user, cx),
                Output::Idle { document } => self.document_idle(document, cx),
                Output::Send { to, message } => {
                    for session in to.into_iter().filter_map(peer) {
                        cx.command(Command::Send { session, message: Sent::Binary(message.clone()) });
                    }
                }
                Output::Handled { member } => {
                    if let Some(session) = peer(member) {
                        cx.command(Command::Handled { session });
                    }
                }
                Output::Close { member, close } => self.peer_to_close(member, close, cx),
                Output::Notice(notice) => self.document_notice(notice),
                output @ (Output::Stored { .. }
                | Output::Publish { .. }
                | Output::Annotated { .. }
                | Output::Tagged { .. }
                | Output::Renumbered { .. }
                | Output::MayBegin { .. }) => self.carry_out_for_log(output, cx),
            }
        }
    }

    fn peer_to_close(&mut self, member: MemberKey, close: Close, cx: &mut Cx<'_>) {
        if let Some(session) = peer(member) {
            self.peer_ended(session);
            cx.command(closing(session, close));
        }
    }

    fn ask_store(&mut self, document: DocumentId, question: DocumentQuestion, cx: &mut Cx<'_>) {
        match question {
            DocumentQuestion::Load { document: name } => self.load_document(document, name, cx),
            DocumentQuestion::Append { document: name, first_sequence, updates } => {
                self.append_updates(document, name, first_sequence, updates, cx);
            }
            DocumentQuestion::Snapshot { document: name, snapshot, tag: _, up_to_sequence } => {
                self.save_snapshot(document, name, snapshot, up_to_sequence, cx);
            }
            question @ (DocumentQuestion::Since { .. }
            | DocumentQuestion::Claim { .. }
            | DocumentQuestion::Release { .. }) => self.ask_shared(document, question, cx),
        }
    }

    /// What is said of the log, and of the other nodes that may share it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are carried out above")]
    fn carry_out_for_log(&mut self, output: Output<MemberKey>, cx: &mut Cx<'_>) {
        match output {
            Output::Stored { document, changes } => self.ack_stored(document, changes, cx),
            Output::Publish { message } => self.tell_nodes(message, cx),
            Output::Annotated { document, sequence, entry } => {
                self.entry_learned(document, sequence, &entry);
            }
            Output::Tagged { document, tag, up_to_sequence } => self.snapshot_learned(document, tag, up_to_sequence),
            Output::Renumbered { document } => {
                if let Some(note) = self.documents.notes.get_mut(&document) {
                    note.content.renumbered();
                }
            }
            Output::MayBegin { document } => {
                self.choose_seeder(document, cx);
                self.try_postponed(document, cx);
            }
            _ => {}
        }
    }

    /// Sent to operators regardless of the settings for other notices.
    fn document_notice(&mut self, notice: DocumentNotice) {
        self.notices.push_back(Notice::Document(notice));
    }
}

const fn peer(member: MemberKey) -> Option<SessionId> {
    match member {
        MemberKey::Peer(session) => Some(session),
        MemberKey::Socket(_) | MemberKey::Visitor(_) => None,
    }
}

fn closing(session: SessionId, close: Close) -> Command {
    match (close, CloseCode::new(DENIED_CODE)) {
        (Close::Denied, Some(code)) => Command::CloseWith { session, code },
        (Close::Denied | Close::Again, _) => Command::Close { session },
    }
}
