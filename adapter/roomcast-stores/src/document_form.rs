//! The application's questions about documents, as those of a document machine.
//!
//! Owns: the two forms of question and answer. Must never know: a store.

use bytes::Bytes;
use roomcast_documents::{DocumentAnswer, DocumentQuestion, StoredDocument};
use roomcast_openwebui::query::{ContentHash, Question, StoreAnswer, StoredNoteDocument};

/// How an answer is to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentForm {
    Application,
    Machine,
}

/// Whether a question is about a document.
pub(crate) const fn is_of_document(question: &Question) -> bool {
    matches!(
        question,
        Question::LoadDocument { .. }
            | Question::AppendUpdates { .. }
            | Question::SaveSnapshot { .. }
            | Question::SharedDocument(_)
    )
}

/// The same question, and the form of its answer; `None` for one about anything else.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others are no questions about documents")]
pub(crate) fn as_document_question(question: Question) -> Option<(DocumentQuestion, DocumentForm)> {
    let question = match question {
        Question::LoadDocument { document } => DocumentQuestion::Load { document },
        Question::AppendUpdates { document, first_sequence, updates } => {
            DocumentQuestion::Append { document, first_sequence, updates }
        }
        Question::SaveSnapshot { document, snapshot, content_hash, up_to_sequence } => {
            let tag = content_hash.map(|hash| Bytes::copy_from_slice(&hash.0));
            DocumentQuestion::Snapshot { document, snapshot, tag, up_to_sequence }
        }
        Question::SharedDocument(question) => return Some((question, DocumentForm::Machine)),
        _ => return None,
    };
    Some((question, DocumentForm::Application))
}

impl DocumentForm {
    pub(crate) fn of(self, answer: DocumentAnswer) -> StoreAnswer {
        match (self, answer) {
            (Self::Machine, answer) => StoreAnswer::SharedDocument(answer),
            (Self::Application, DocumentAnswer::Loaded(stored)) => {
                let StoredDocument { snapshot, tag, updates, last_sequence, is_held } = stored;
                let content_hash = tag.map(ContentHash);
                StoreAnswer::Document(StoredNoteDocument { snapshot, content_hash, updates, last_sequence, is_held })
            }
            (Self::Application, DocumentAnswer::Done | DocumentAnswer::Claimed(_)) => StoreAnswer::Done,
        }
    }
}
