//! Documents of a library user in memory.
//!
//! Owns: them, until the process ends. Must never know: what is in an update.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytestring::ByteString;
use roomcast_documents::{DocumentAnswer, DocumentQuestion, DocumentStore, DocumentStoreError, StoredDocument};

use crate::document::SnapshotAndLog;

/// A [`DocumentStore`] that forgets everything when the process ends. For tests, and for documents that live elsewhere.
/// Clones share their documents.
#[derive(Clone, Debug, Default)]
pub struct MemoryDocuments(Arc<Mutex<BTreeMap<ByteString, SnapshotAndLog>>>);

impl MemoryDocuments {
    /// Nothing is stored.
    pub fn new() -> Self {
        Self::default()
    }

    /// The snapshot of a document and the updates after it, as they are stored now.
    pub fn stored(&self, document: &str) -> StoredDocument {
        let documents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        documents.get(document).map(SnapshotAndLog::load).unwrap_or_default()
    }

    /// Answers at once: for a world without tasks.
    ///
    /// # Errors
    ///
    /// As [`DocumentStore::ask`].
    pub fn answer(&self, question: DocumentQuestion) -> Result<DocumentAnswer, DocumentStoreError> {
        let mut documents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match question {
            DocumentQuestion::Load { document } => {
                Ok(DocumentAnswer::Loaded(documents.get(&document).map(SnapshotAndLog::load).unwrap_or_default()))
            }
            DocumentQuestion::Append { document, first_sequence, updates } => {
                let appended = documents.entry(document).or_default().append(first_sequence, updates);
                appended.map(|()| DocumentAnswer::Done)
            }
            DocumentQuestion::Snapshot { document, snapshot, tag, up_to_sequence } => {
                documents.entry(document).or_default().save(snapshot, tag, up_to_sequence);
                Ok(DocumentAnswer::Done)
            }
            // One program has them.
            DocumentQuestion::Since { .. } | DocumentQuestion::Claim { .. } | DocumentQuestion::Release { .. } => {
                Err(DocumentStoreError::Unavailable)
            }
        }
    }
}

impl DocumentStore for MemoryDocuments {
    fn ask(
        &self,
        question: DocumentQuestion,
    ) -> Pin<Box<dyn Future<Output = Result<DocumentAnswer, DocumentStoreError>> + Send + '_>> {
        Box::pin(std::future::ready(self.answer(question)))
    }
}
