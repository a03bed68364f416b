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

/// Answers a question of one of the shards of this program, which all write to one document. Who of them may do what is
/// not decided here.
#[cfg(feature = "openwebui")]
pub(super) async fn answer_shard(
    conn: &mut SqliteConnection,
    question: DocumentQuestion,
) -> Result<DocumentAnswer, Fault> {
    match question {
        DocumentQuestion::Since { document, after_sequence, .. } => {
            since(conn, &document, after_sequence).await.map(DocumentAnswer::Loaded)
        }
        DocumentQuestion::Append { document, first_sequence, updates } => {
            append_behind(conn, &document, first_sequence, &updates).await.map(|()| DocumentAnswer::Done)
        }
        question @ (DocumentQuestion::Load { .. }
        | DocumentQuestion::Snapshot { .. }
        | DocumentQuestion::Claim { .. }
        | DocumentQuestion::Release { .. }) => answer(conn, question).await,
    }
}

/// What is behind an entry, with the snapshot if that has cut the log there.
#[cfg(feature = "openwebui")]
async fn since(conn: &mut SqliteConnection, id: &str, after_sequence: u64) -> Result<StoredDocument, Fault> {
    let mut transaction = conn.begin().await?;
    let Some((up_to, last_sequence)) = ends(&mut transaction, id).await? else { return Ok(StoredDocument::default()) };
    if after_sequence < up_to {
        drop(transaction);
        return load(conn, id).await;
    }
    let rows = sqlx::query("SELECT data FROM document_update WHERE document = $1 AND sequence > $2 ORDER BY sequence")
        .bind(id)
        .bind(number(after_sequence)?)
        .fetch_all(&mut *transaction)
        .await?;
    let updates: Result<Vec<_>, _> = rows.iter().map(|row| row.try_get::<Vec<u8>, _>(0).map(Bytes::from)).collect();
    let updates = updates?;
    // The numbers of the entries are told by that of the last.
    if updates.len() as u64 != last_sequence.saturating_sub(after_sequence) {
        return Err(FaultKind::Corrupt.into());
    }
    transaction.commit().await?;
    Ok(StoredDocument { updates, last_sequence, ..StoredDocument::default() })
}

/// Appends behind the last entry, or finds the same there.
#[cfg(feature = "openwebui")]
async fn append_behind(
    conn: &mut SqliteConnection,
    id: &str,
    first_sequence: u64,
    updates: &[Bytes],
) -> Result<(), Fault> {
    let ends_at = first_sequence.saturating_add(updates.len() as u64);
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    let (up_to, last_sequence) = ends(&mut transaction, id).await?.unwrap_or_default();
    let is_next = first_sequence == last_sequence + 1;
    let is_there = first_sequence > up_to && ends_at <= last_sequence + 1;
    if !is_next && !is_there {
        return Err(FaultKind::Conflict.into());
    }
    write_entries(&mut transaction, id, first_sequence, updates).await?;
    Ok(transaction.commit().await?)
}

/// The numbers of the last entry that the snapshot holds, and of the last of all.
#[cfg(feature = "openwebui")]
async fn ends(conn: &mut SqliteConnection, id: &str) -> Result<Option<(u64, u64)>, Fault> {
    let rows = sqlx::query("SELECT up_to, last_sequence FROM document WHERE id = $1").bind(id).fetch_all(conn).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let number = |at: usize| {
        let number: i64 = row.try_get(at)?;
        u64::try_from(number).map_err(|_| Fault::from(FaultKind::Corrupt))
    };
    Ok(Some((number(0)?, number(1)?)))
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
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    write_entries(&mut transaction, id, first_sequence, updates).await?;
    Ok(transaction.commit().await?)
}

/// Within a transaction, which is to be rolled back after a fault.
async fn write_entries(
    conn: &mut SqliteConnection,
    id: &str,
    first_sequence: u64,
    updates: &[Bytes],
) -> Result<(), Fault> {
    let Some(more) = updates.len().checked_sub(1) else { return Ok(()) };
    let last_sequence = number(first_sequence.saturating_add(more as u64))?;
    sqlx::query(NOTE_LAST).bind(id).bind(last_sequence).execute(&mut *conn).await?;
    for (sequence, update) in (number(first_sequence)?..).zip(updates) {
        let rows = sqlx::query(APPENDED).bind(id).bind(sequence).fetch_all(&mut *conn).await?;
        match rows.first() {
            // Asked again after an answer that was lost.
            Some(row) if row.try_get::<&[u8], _>(0)? == &update[..] => {}
            Some(_) => return Err(FaultKind::Conflict.into()),
            None => {
                sqlx::query(APPEND).bind(id).bind(sequence).bind(&update[..]).execute(&mut *conn).await?;
            }
        }
    }
    Ok(())
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
