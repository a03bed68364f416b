//! Documents of the application in an SQLite file.
//!
//! Owns: how the application's questions and answers are those of a document machine. Must never know: tables.

use roomcast_documents::StoredDocument;
use roomcast_openwebui::query::{self, ContentHash, Question, StoreAnswer, StoreError};
use sqlx::sqlite::SqliteConnection;

use super::documents::{answer_shard, append, load, save};
use super::fault::Fault;

/// Answers a question of the application about a document.
pub(super) async fn answer(conn: &mut SqliteConnection, question: Question) -> Result<StoreAnswer, Fault> {
    if let Question::LoadDocument { document } = question {
        let StoredDocument { snapshot, tag, updates, last_sequence, is_held } = load(conn, &document).await?;
        let content_hash = tag.map(ContentHash);
        Ok(StoreAnswer::Document(query::StoredNoteDocument { snapshot, content_hash, updates, last_sequence, is_held }))
    } else if let Question::AppendUpdates { document, first_sequence, updates } = question {
        append(conn, &document, first_sequence, &updates).await.map(|()| StoreAnswer::Done)
    } else if let Question::SaveSnapshot { document, snapshot, content_hash, up_to_sequence } = question {
        let tag = content_hash.as_ref().map(|hash| &hash.0[..]);
        save(conn, &document, &snapshot, tag, up_to_sequence).await.map(|()| StoreAnswer::Done)
    } else if let Question::SharedDocument(question) = question {
        answer_shard(conn, question).await.map(StoreAnswer::SharedDocument)
    } else {
        Err(StoreError::Unavailable.into())
    }
}
