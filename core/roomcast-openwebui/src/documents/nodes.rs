//! Documents that several nodes share.
//!
//! Owns: how nodes hear of each other's changes, what is asked of the store that they share, and what a log says of
//! contents that other nodes save. Must never know: how a document is kept in step, which [`roomcast_documents`] does.

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_core::server::{ClusterCommand, ClusterEvent, Command, Cx, Event};
use roomcast_core::socket_io::{Args, Attachment};
use roomcast_documents::{DocumentId, DocumentQuestion, QuestionKind};

use super::content::{LogEntry, marks_of};
use super::cursors::CURSORS;
use super::names::Aim;
use super::persist::store_error;
use crate::OpenWebUi;
use crate::purpose::Purpose;
use crate::query::{ContentHash, Question, StoreAnswer, StoreError};

impl OpenWebUi {
    /// Tells the other nodes. What is lost costs time only.
    pub(super) fn tell_nodes(&self, message: Bytes, cx: &mut Cx<'_>) {
        let args = Args::from_checked(ByteString::from_static(ONE_ATTACHMENT), vec![message]);
        let namespace = self.settings.scope.namespace.clone();
        let emit = ClusterCommand::ServerEmit { namespace, name: DOCUMENT, args, ack: None };
        cx.command(Command::Cluster(emit));
    }

    /// Something has happened on other nodes. What is not about documents is given back.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are not about documents")]
    pub(crate) fn node_event(&mut self, event: Box<ClusterEvent>, cx: &mut Cx<'_>) -> Option<Event> {
        if let ClusterEvent::RoomLeft { socket, room } = &*event {
            self.document_room_left(*socket, room, cx);
        }
        match &*event {
            ClusterEvent::NodeJoined { node } => self.ask_node_for_cursors(node, cx),
            ClusterEvent::NodeLeft { node, .. } => self.withdraw_cursors_of(node, cx),
            ClusterEvent::ServerReceived { node, name, args, .. } if *name == CURSORS => {
                self.hear_of_cursors(node, args, cx);
                return None;
            }
            ClusterEvent::ServerReceived { name, args, .. } if *name == DOCUMENT => {
                if let Some(message) = message(args) {
                    self.documents.machine.handle_node_message(message, cx.now);
                    self.pump_documents(cx);
                }
                return None;
            }
            _ => {}
        }
        Some(Event::Cluster(event))
    }

    pub(super) fn ask_shared(&mut self, document: DocumentId, question: DocumentQuestion, cx: &Cx<'_>) {
        let aim = Aim::Shared { document, asked: question.asked() };
        self.ask(Question::SharedDocument(question), Purpose::Document(aim), cx);
    }

    pub(super) fn shared_answered(
        &mut self,
        document: DocumentId,
        asked: QuestionKind,
        reply: Result<StoreAnswer, StoreError>,
        cx: &mut Cx<'_>,
    ) {
        let answer = match reply {
            Ok(StoreAnswer::SharedDocument(answer)) => Ok(answer),
            Ok(_) => Err(store_error(StoreError::Corrupt)),
            Err(error) => Err(store_error(error)),
        };
        self.documents.machine.handle_answer(document, asked, answer, cx.now);
        self.advance_content(document, cx);
    }

    /// Another node has put an entry into the log that is no update.
    pub(super) fn entry_learned(&mut self, document: DocumentId, sequence: u64, entry: &[u8]) {
        if let Some(note) = self.documents.notes.get_mut(&document) {
            match LogEntry::read(entry) {
                LogEntry::Content(mark) => note.content.learned(mark, sequence),
                LogEntry::Reset(mark) => note.content.learned_reset(mark),
                LogEntry::Update(_) => {}
            }
        }
        self.arm_content(document);
    }

    /// Another node has cut the log by a snapshot.
    pub(super) fn snapshot_learned(&mut self, document: DocumentId, tag: Option<Bytes>, up_to_sequence: u64) {
        let hash = tag.map(ContentHash);
        if let Some(note) = self.documents.notes.get_mut(&document) {
            let marks = hash.as_ref().map(marks_of).unwrap_or_default();
            note.content.learned_snapshot(marks, up_to_sequence);
        }
    }
}

fn message(args: &Args) -> Option<Bytes> {
    let placeholder: Attachment = args.parse().ok()?;
    args.attachment(placeholder).cloned()
}

const ONE_ATTACHMENT: &str = r#"{"_placeholder":true,"num":0}"#;
/// What nodes tell each other of documents, in the namespace of the application.
const DOCUMENT: ByteString = ByteString::from_static("roomcast:document");
