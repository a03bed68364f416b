//! Documents in an SQLite file: snapshots and logs.
//!
//! The rules are those of [`document`](crate::document), in SQL.
//!
//! Owns: the tables of documents and their statements. Must never know: what is in an update.

use bytes::Bytes;
use roomcast_documents::{DocumentAnswer, DocumentQuestion, StoredDocument};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

use super::fault::{Fault, FaultKind};

/// Answers a question of a document machine.
pub(super) async fn answer(conn: &mut SqliteConnection, question: DocumentQuestion) -> Result<DocumentAnswer, Fault> {
    match question {
        DocumentQuestion::Load { document } => load(conn, &document).await.map(DocumentAnswer::Loaded),
        DocumentQuestion::Append { document, first_sequence, updates } => {
            append(conn, &document, first_sequence, &updates).await.map(|()| DocumentAnswer::Done)
        }
        DocumentQuestion::Snapshot { document, snapshot, tag, up_to_sequence } => {
            save(conn, &document, &snapshot, tag.as_deref(), up_to_sequence).await.map(|()| DocumentAnswer::Done)
        }
        // One program has the file.
        DocumentQuestion::Since { .. } | DocumentQuestion::Claim { .. } | DocumentQuestion::Release { .. } => {
            Err(FaultKind::Unavailable.into())
        }
    }
}

pub(super) async fn load(conn: &mut SqliteConnection, id: &str) -> Result<StoredDocument, Fault> {
    // Snapshot and log of one moment.
    let mut transaction = conn.begin().await?;
    let rows = sqlx::query("SELECT snapshot, content_hash, last_sequence FROM document WHERE id = $1")
        .bind(id)
        .fetch_all(&mut *transaction)
        .await?;
    let Some(row) = rows.first() else { return Ok(StoredDocument::default()) };
    let mut found = StoredDocument {
        snapshot: row.try_get::<Option<Vec<u8>>, _>(0)?.map(Bytes::from),
        tag: row.try_get::<Option<Vec<u8>>, _>(1)?.map(Bytes::from),
        updates: Vec::new(),
        last_sequence: row.try_get::<i64, _>(2)?.try_into().map_err(|_| FaultKind::Corrupt)?,
        is_held: false,
    };
    let rows = sqlx::query("SELECT data FROM document_update WHERE document = $1 ORDER BY sequence")
        .bind(id)
        .fetch_all(&mut *transaction)
        .await?;
    for row in rows {
        found.updates.push(Bytes::from(row.try_get::<Vec<u8>, _>(0)?));
    }
    transaction.commit().await?;
    Ok(found)
}

pub(super) async fn append(
    conn: &mut SqliteConnection,
    id: &str,
    first_sequence: u64,
    updates: &[Bytes],
) -> Result<(), Fault> {
    let Some(more) = updates.len().checked_sub(1) else { return Ok(()) };
    let last_sequence = number(first_sequence.saturating_add(more as u64))?;
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(NOTE_LAST).bind(id).bind(last_sequence).execute(&mut *transaction).await?;
    for (sequence, update) in (number(first_sequence)?..).zip(updates) {
        let rows = sqlx::query(APPENDED).bind(id).bind(sequence).fetch_all(&mut *transaction).await?;
        match rows.first() {
            // Asked again after an answer that was lost.
            Some(row) if row.try_get::<&[u8], _>(0)? == &update[..] => {}
            // The transaction is rolled back: nothing is written.
            Some(_) => return Err(FaultKind::Conflict.into()),
            None => {
                sqlx::query(APPEND).bind(id).bind(sequence).bind(&update[..]).execute(&mut *transaction).await?;
            }
        }
    }
    Ok(transaction.commit().await?)
}

pub(super) async fn save(
    conn: &mut SqliteConnection,
    id: &str,
    snapshot: &[u8],
    tag: Option<&[u8]>,
    up_to_sequence: u64,
) -> Result<(), Fault> {
    let up_to_sequence = number(up_to_sequence)?;
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(SAVE).bind(id).bind(snapshot).bind(tag).bind(up_to_sequence).execute(&mut *transaction).await?;
    // After an older snapshot than the one that is there, nothing is left to cut.
    sqlx::query("DELETE FROM document_update WHERE document = $1 AND sequence <= $2")
        .bind(id)
        .bind(up_to_sequence)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

/// SQLite counts to 2^63 - 1.
fn number(sequence: u64) -> Result<i64, FaultKind> {
    i64::try_from(sequence).map_err(|_| FaultKind::Corrupt)
}

/// Document `$1` has had an update with the number `$2`.
const NOTE_LAST: &str = "INSERT INTO document (id, up_to, last_sequence) VALUES ($1, 0, $2) \
                         ON CONFLICT (id) DO UPDATE SET last_sequence = max(last_sequence, excluded.last_sequence)";

/// What the log of document `$1` has under the number `$2`.
const APPENDED: &str = "SELECT data FROM document_update WHERE document = $1 AND sequence = $2";

/// Update `$2` of document `$1`, unless the snapshot has it.
const APPEND: &str = "INSERT INTO document_update (document, sequence, data) \
                      SELECT id, $2, $3 FROM document WHERE id = $1 AND up_to < $2";

/// Snapshot of document `$1` up to `$4`, unless a later one is there.
const SAVE: &str = "INSERT INTO document (id, snapshot, content_hash, up_to, last_sequence) VALUES ($1, $2, $3, $4, $4) \
                    ON CONFLICT (id) DO UPDATE SET snapshot = excluded.snapshot, content_hash = excluded.content_hash, \
                    up_to = excluded.up_to, last_sequence = max(last_sequence, excluded.last_sequence) \
                    WHERE excluded.up_to >= up_to";
