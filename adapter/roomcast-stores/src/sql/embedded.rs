//! A file of roomcast's own.
//!
//! Its tables have the shape of Open WebUI's, as far as questions go, so that the same statements serve both; what is
//! roomcast's alone stands in tables beside them.
//!
//! Owns: the file, its versions and its rows. Must never know: whose demonstration the rows are for.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytestring::ByteString;
use roomcast_openwebui::query::{Permission, Question, StoreAnswer, StoreError};
use serde_json::{Value, json};
use sqlx::Connection;
use tokio::time::timeout;

use super::fault::Fault;
use super::file::{FileMark, Lock, open_file};
use super::open_error::OpenError;
use super::options::DatabaseOptions;
use super::pool::{Arg, Conn, Executor, LoanPurpose};
use super::statements::Dialect;
use super::tables::Tables;
use super::together::Crowds as _;
use crate::revocation::{RevocableToken, Revocations, Revoked};
use crate::rows::{ChannelKind, ChannelState, Rows};
use crate::store::Store;

/// roomcast's own SQLite file.
pub struct Embedded {
    tables: Arc<Tables>,
    /// As in the file, which no other process writes to.
    revoked: Mutex<Revoked>,
    options: DatabaseOptions,
    /// While it is held, no other program opens the file.
    lock: Lock,
}

/// Result of [`Embedded::seed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeded {
    /// The rows are written.
    Filled,
    /// There are users already; nothing is written.
    NotEmpty,
}

impl Embedded {
    /// Opens a file, or makes it, and brings it to this version. The folder must be there.
    ///
    /// Must be called within tokio.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotOurs`] for a file that is not roomcast's, which is left alone; [`OpenError::Later`];
    /// [`OpenError::Locked`] if another program has it open; [`OpenError::Unreachable`] and [`OpenError::Unreadable`].
    pub async fn open(path: &Path, options: DatabaseOptions) -> Result<Self, OpenError> {
        let (pool, lock) = open_file(path, &KIND, &options).await?;
        let mut conn = pool.acquire(LoanPurpose::Read).await.map_err(|fault| fault.open_error())?;
        let revoked = revoked(&mut conn.link()).await.map_err(|fault| fault.open_error())?;
        drop(conn);
        let tables = Arc::new(Tables::new(pool, Dialect::Own, options.clone()));
        Ok(Self { tables, revoked: Mutex::new(revoked), options, lock })
    }

    /// Writes these rows if there are no users yet.
    ///
    /// # Errors
    ///
    /// Nothing is written; after [`StoreError::Unavailable`] the rows may have been written or not.
    pub async fn seed(&self, rows: &Rows) -> Result<Seeded, StoreError> {
        let mut conn = self.tables.acquire(LoanPurpose::Write).await?;
        let result = timeout(self.options.statement_timeout, seed(&mut conn, rows)).await;
        self.tables.settle(conn, result).map_err(|fault| fault.store_error())
    }

    fn revoked(&self) -> MutexGuard<'_, Revoked> {
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, sql: &'static str, args: &[Arg<'_>]) -> Result<(), StoreError> {
        let mut conn = self.tables.acquire(LoanPurpose::Write).await?;
        let result = timeout(self.options.statement_timeout, async { conn.link().run(sql, args).await }).await;
        self.tables.settle(conn, result).map(drop).map_err(|fault| fault.store_error())
    }
}

impl Store for Embedded {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<StoreAnswer, StoreError>> + Send + '_>> {
        Box::pin(async move {
            if let Question::Authenticate { user, jti, issued_at_secs, ends_at_secs } = &question {
                let (issued_at_secs, ends_at_secs) = (*issued_at_secs, *ends_at_secs);
                let token = RevocableToken { user: user.clone(), jti: jti.clone(), issued_at_secs, ends_at_secs };
                if self.revoked().has(&token) {
                    return Ok(StoreAnswer::Revoked);
                }
            }
            self.tables.ask(question).await
        })
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        // What cannot be written would be lost: documents, above all.
        Box::pin(async {
            self.tables.examine().await.map_err(|_| StoreError::Unavailable)?;
            self.lock.probe_room().await.map_err(|error| {
                tracing::debug!(%error, "the disk has no room");
                StoreError::Unavailable
            })?;
            self.write(PROBE, &[]).await
        })
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            self.tables.close().await;
            self.lock.release();
        })
    }
}

impl Revocations for Embedded {
    fn is_revoked(&self, token: RevocableToken) -> Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(self.revoked().has(&token))))
    }

    fn revoke_token(
        &self,
        jti: ByteString,
        ends_at_secs: Option<u64>,
        now_secs: u64,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        Box::pin(async move {
            self.write(FORGET_ENDED, &[Arg::Number(now_secs)]).await?;
            // From now on, even if it cannot be stored.
            self.revoked().add_token(jti.clone(), ends_at_secs, now_secs);
            self.write(REVOKE_TOKEN, &[Arg::Text(&jti), Arg::number(ends_at_secs)]).await
        })
    }

    fn revoke_user(
        &self,
        user: ByteString,
        issued_to_secs: u64,
        ends_to_secs: Option<u64>,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        Box::pin(async move {
            let args = [Arg::Text(&user), Arg::Number(issued_to_secs), Arg::number(ends_to_secs)];
            self.revoked().add_user(user.clone(), issued_to_secs, ends_to_secs);
            self.write(REVOKE_USER, &args).await
        })
    }

    fn restore_token(&self, jti: ByteString) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        Box::pin(async move {
            self.write(RESTORE_TOKEN, &[Arg::Text(&jti)]).await?;
            self.revoked().remove_token(&jti);
            Ok(())
        })
    }

    fn restore_user(&self, user: ByteString) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        Box::pin(async move {
            self.write(RESTORE_USER, &[Arg::Text(&user)]).await?;
            self.revoked().remove_user(&user);
            Ok(())
        })
    }
}

/// What the file says of revocations.
async fn revoked(link: &mut Executor<'_>) -> Result<Revoked, Fault> {
    let number = |text: Option<String>| text.map(|text| text.parse().map_err(|_| StoreError::Corrupt)).transpose();
    let mut revoked = Revoked::default();
    for row in link.rows("SELECT jti, CAST(ends_at AS TEXT) FROM revoked_token", &[]).await? {
        let Ok([Some(jti), ends_at]) = <[Option<String>; 2]>::try_from(row) else { continue };
        revoked.add_token(jti.into(), number(ends_at)?, 0);
    }
    let users = "SELECT user_id, CAST(issued_to AS TEXT), CAST(ends_to AS TEXT) FROM revoked_user";
    for row in link.rows(users, &[]).await? {
        let Ok([Some(user), issued_to, ends_to]) = <[Option<String>; 3]>::try_from(row) else { continue };
        revoked.add_user(user.into(), number(issued_to)?.unwrap_or(0), number(ends_to)?);
    }
    Ok(revoked)
}

async fn seed(conn: &mut Conn, rows: &Rows) -> Result<Seeded, Fault> {
    #[cfg_attr(not(feature = "postgres"), expect(irrefutable_let_patterns, reason = "as far as this build knows"))]
    let Conn::Sqlite(conn) = conn else { return Err(StoreError::Unavailable.into()) };
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    let mut link = Executor::Sqlite(&mut transaction);
    if !link.rows("SELECT id FROM \"user\" LIMIT 1", &[]).await?.is_empty() {
        return Ok(Seeded::NotEmpty);
    }
    for row in &rows.users {
        let args = [
            Arg::Text(&row.id),
            Arg::Text(&row.name),
            Arg::Text(&row.email),
            Arg::Text(&row.role),
            Arg::Number(row.last_active_at_secs),
        ];
        link.run("INSERT INTO \"user\" (id, name, email, role, last_active_at) VALUES ($1, $2, $3, $4, $5)", &args)
            .await?;
    }
    for row in &rows.groups {
        let says = row.channels.map(|said| features(said).to_string());
        let args = [Arg::Text(&row.id), Arg::text(says.as_deref())];
        link.run("INSERT INTO \"group\" (id, permissions) VALUES ($1, $2)", &args).await?;
        for member in &row.members {
            let args = [Arg::Text(&row.id), Arg::Text(member)];
            link.run("INSERT INTO group_member (group_id, user_id) VALUES ($1, $2)", &args).await?;
        }
    }
    seed_channels(&mut link, rows).await?;
    for row in &rows.notes {
        let args = [
            Arg::Text(&row.id),
            Arg::Text(&row.owner),
            Arg::Text(&row.title),
            Arg::text(row.access.as_deref()),
            Arg::text(row.data.as_deref()),
            Arg::number(row.updated_at_nanos),
        ];
        let insert = "INSERT INTO note (id, user_id, title, access_control, data, updated_at) \
                      VALUES ($1, $2, $3, $4, $5, $6)";
        link.run(insert, &args).await?;
    }
    for row in &rows.chats {
        let args = [
            Arg::Text(&row.id),
            Arg::Text(&row.owner),
            Arg::Text(&row.title),
            Arg::text(row.chat.as_deref()),
            Arg::number(row.last_read_at_secs),
        ];
        link.run("INSERT INTO chat (id, user_id, title, chat, last_read_at) VALUES ($1, $2, $3, $4, $5)", &args)
            .await?;
    }
    if let Some(said) = rows.channels_default {
        let data = json!({ "user": { "permissions": features(said) } }).to_string();
        link.run("INSERT INTO config (data) VALUES ($1)", &[Arg::Text(&data)]).await?;
    }
    transaction.commit().await?;
    Ok(Seeded::Filled)
}

async fn seed_channels(link: &mut Executor<'_>, rows: &Rows) -> Result<(), Fault> {
    for row in &rows.channels {
        let kind = match row.kind {
            ChannelKind::Standard => None,
            ChannelKind::Group => Some("group"),
            ChannelKind::Direct => Some("dm"),
        };
        let (archived, deleted) = match row.state {
            ChannelState::Open => (None, None),
            ChannelState::Archived => (Some(0), None),
            ChannelState::Deleted => (None, Some(0)),
        };
        let args = [
            Arg::Text(&row.id),
            Arg::Text(&row.owner),
            Arg::Text(&row.name),
            Arg::text(kind),
            Arg::text(row.access.as_deref()),
            Arg::number(archived),
            Arg::number(deleted),
        ];
        let insert = "INSERT INTO channel (id, user_id, name, type, access_control, archived_at, deleted_at) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7)";
        link.run(insert, &args).await?;
        for member in &row.members {
            let args = [
                Arg::Text(&row.id),
                Arg::Text(&member.user),
                Arg::Number(u64::from(member.is_active)),
                Arg::number(member.last_read_at_nanos),
            ];
            let insert =
                "INSERT INTO channel_member (channel_id, user_id, is_active, last_read_at) VALUES ($1, $2, $3, $4)";
            link.run(insert, &args).await?;
        }
    }
    Ok(())
}

/// What permissions say of channels.
fn features(said: Permission) -> Value {
    json!({ "features": { "channels": said == Permission::Granted } })
}

/// "room" in ASCII, and the steps to the tables of today.
const KIND: FileMark = FileMark { application_id: "1919905645", migrations: MIGRATIONS };

/// Steps from one version to the next; the first makes the file. A step that has been released stays as it is.
const MIGRATIONS: &[&str] = &[
    "
    PRAGMA application_id = 1919905645;
    PRAGMA user_version = 1;
    CREATE TABLE \"user\" (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        email TEXT NOT NULL,
        role TEXT NOT NULL,
        settings JSON,
        last_active_at INTEGER NOT NULL
    );
    CREATE TABLE \"group\" (id TEXT PRIMARY KEY, permissions JSON);
    CREATE TABLE group_member (
        user_id TEXT NOT NULL REFERENCES \"user\" (id) ON DELETE CASCADE,
        group_id TEXT NOT NULL REFERENCES \"group\" (id) ON DELETE CASCADE,
        PRIMARY KEY (user_id, group_id)
    ) WITHOUT ROWID;
    CREATE TABLE channel (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        name TEXT NOT NULL,
        type TEXT,
        access_control JSON,
        archived_at INTEGER,
        deleted_at INTEGER
    );
    CREATE TABLE channel_member (
        user_id TEXT NOT NULL REFERENCES \"user\" (id) ON DELETE CASCADE,
        channel_id TEXT NOT NULL REFERENCES channel (id) ON DELETE CASCADE,
        is_active BOOLEAN NOT NULL,
        last_read_at INTEGER,
        updated_at INTEGER,
        PRIMARY KEY (user_id, channel_id)
    ) WITHOUT ROWID;
    CREATE TABLE note (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        title TEXT NOT NULL,
        data JSON,
        access_control JSON,
        updated_at INTEGER
    );
    CREATE TABLE chat (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        title TEXT NOT NULL,
        chat JSON,
        updated_at INTEGER,
        last_read_at INTEGER
    );
    CREATE TABLE config (id INTEGER PRIMARY KEY, data JSON NOT NULL);
    CREATE TABLE document (
        id TEXT PRIMARY KEY,
        snapshot BLOB,
        content_hash BLOB,
        up_to INTEGER NOT NULL,
        last_sequence INTEGER NOT NULL
    );
    CREATE TABLE document_update (
        document TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (document, sequence)
    );
    CREATE TABLE revoked_token (jti TEXT PRIMARY KEY, ends_at INTEGER) WITHOUT ROWID;
    CREATE TABLE revoked_user (user_id TEXT PRIMARY KEY, issued_to INTEGER NOT NULL) WITHOUT ROWID;
",
    "
    PRAGMA user_version = 2;
    -- Tokens that do not say when they were issued are judged by their end: four weeks later, as Open WebUI makes them.
    ALTER TABLE revoked_user ADD COLUMN ends_to INTEGER;
    UPDATE revoked_user SET ends_to = issued_to + 2419200;
",
    "
    PRAGMA user_version = 3;
    -- One row, written to see whether the file can be written to.
    CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), data BLOB NOT NULL);
",
];

/// Takes a page and a half, so that an allocation is needed where the journal is at its end.
const PROBE: &str = "INSERT INTO probe (id, data) VALUES (1, randomblob(6000)) \
                     ON CONFLICT (id) DO UPDATE SET data = excluded.data";

/// Tokens that ended before `$1`.
const FORGET_ENDED: &str = "DELETE FROM revoked_token WHERE ends_at < $1";

const REVOKE_TOKEN: &str = "INSERT OR REPLACE INTO revoked_token (jti, ends_at) VALUES ($1, $2)";

/// The wider of two revocations counts; no `ends_to` is the widest.
const REVOKE_USER: &str = "INSERT INTO revoked_user (user_id, issued_to, ends_to) VALUES ($1, $2, $3) \
                           ON CONFLICT (user_id) DO UPDATE SET issued_to = max(issued_to, excluded.issued_to), \
                           ends_to = max(ends_to, excluded.ends_to)";

const RESTORE_TOKEN: &str = "DELETE FROM revoked_token WHERE jti = $1";

const RESTORE_USER: &str = "DELETE FROM revoked_user WHERE user_id = $1";
