//! An SQLite file of roomcast's own: whose it is, its version, and that one program has it at a time.
//!
//! Two programs on one file would each keep documents in memory and number their changes alike. Therefore a lock is held
//! on a file beside it, `NAME-lock`, from the moment it is opened until it is closed or the process ends, however that
//! comes about.
//!
//! Owns: the lock, the identity of a file and its migrations. Must never know: tables.

use std::fs::{File, OpenOptions, TryLockError};
#[cfg(feature = "openwebui")]
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::Connection;
use tokio::time::{Instant, sleep};

use super::fault::Fault;
use super::open_error::OpenError;
use super::options::DatabaseOptions;
use super::pool::{Conn, Executor, LoanPurpose, Pool, Whose};

/// What marks a file as one of roomcast's.
pub(super) struct FileMark {
    /// `PRAGMA application_id`.
    pub(super) application_id: &'static str,
    /// Steps from one version to the next; the first makes the file. A step that has been released stays as it is.
    pub(super) migrations: &'static [&'static str],
}

/// A lock that ends with the process, or by [`Lock::release`].
#[derive(Debug)]
pub(super) struct Lock(Mutex<Option<File>>);

impl Lock {
    /// Another program may open the file from now on.
    pub(super) fn release(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the disk has room. A journal writes over its own beginning again, so that on a full disk statements succeed
    /// for a while: the file of the lock is made longer for a moment.
    #[cfg(feature = "openwebui")]
    pub(super) async fn probe_room(&self) -> std::io::Result<()> {
        let file = match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(file) => file.try_clone()?,
            None => return Err(std::io::ErrorKind::NotFound.into()),
        };
        let probed = tokio::task::spawn_blocking(move || {
            let written = (&file).rewind().and_then(|()| (&file).write_all(&[0x5a; ROOM_BYTES]));
            file.set_len(0).and(written)
        });
        probed.await.unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()))
    }

    async fn take(path: &Path, timeout: Duration) -> Result<Self, OpenError> {
        let mut name = path.as_os_str().to_owned();
        name.push("-lock");
        let unreachable = |error: std::io::Error| OpenError::Unreachable(error.to_string());
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(name).map_err(unreachable)?;
        let deadline = Instant::now() + timeout;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(Mutex::new(Some(file)))),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOCK_INTERVAL).await,
                Err(TryLockError::WouldBlock) => return Err(OpenError::Locked),
                Err(TryLockError::Error(error)) => return Err(unreachable(error)),
            }
        }
    }
}

/// Opens a file of roomcast's own, or makes it, and brings it to this version.
pub(super) async fn open_file(
    path: &Path,
    kind: &FileMark,
    options: &DatabaseOptions,
) -> Result<(Pool, Lock), OpenError> {
    if path.exists() {
        // A look at it must not turn on its journal.
        let guest = Pool::sqlite(path, Whose::Theirs, options);
        let looked = look(&guest, kind).await;
        guest.close().await;
        looked?;
    }
    let lock = Lock::take(path, options.lock_timeout).await?;
    let pool = Pool::sqlite(path, Whose::Ours, options);
    let mut conn = pool.acquire(LoanPurpose::Write).await.map_err(|fault| fault.open_error())?;
    migrate(&mut conn, kind).await?;
    drop(conn);
    Ok((pool, lock))
}

/// Whose file it is, and of which version; `None` if it is empty.
async fn look(pool: &Pool, kind: &FileMark) -> Result<Option<usize>, OpenError> {
    let mut conn = pool.acquire(LoanPurpose::Read).await.map_err(|fault| fault.open_error())?;
    version(&mut conn.link(), kind).await
}

async fn version(link: &mut Executor<'_>, kind: &FileMark) -> Result<Option<usize>, OpenError> {
    let rows = link.rows(VERSION, &[]).await.map_err(|fault| fault.open_error())?;
    let texts: Vec<&str> = rows.iter().flatten().flatten().map(String::as_str).collect();
    match texts.as_slice() {
        ["0", "0", "0"] => Ok(None),
        [id, version, _] if *id == kind.application_id => match version.parse::<i64>().unwrap_or(i64::MAX) {
            version if version > i64::try_from(kind.migrations.len()).unwrap_or(i64::MAX) => {
                Err(OpenError::Later { version })
            }
            version => Ok(usize::try_from(version).ok()),
        },
        _ => Err(OpenError::NotOurs),
    }
}

/// Takes the steps that are missing, all of them or none.
async fn migrate(conn: &mut Conn, kind: &FileMark) -> Result<(), OpenError> {
    // The only other kind is of another database.
    #[cfg_attr(not(feature = "postgres"), expect(irrefutable_let_patterns, reason = "as far as this build knows"))]
    let Conn::Sqlite(conn) = conn else { return Err(OpenError::NotOurs) };
    let fault = |error: sqlx::Error| Fault::from(error).open_error();
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await.map_err(fault)?;
    let done = version(&mut Executor::Sqlite(&mut transaction), kind).await?.unwrap_or(0);
    for step in kind.migrations.iter().skip(done) {
        sqlx::raw_sql(*step).execute(&mut *transaction).await.map_err(fault)?;
    }
    transaction.commit().await.map_err(fault)
}

/// Free bytes below which a disk is full: some changes of a document.
#[cfg(feature = "openwebui")]
const ROOM_BYTES: usize = 256 << 10;

/// Whose it is, which version, and how much is in it.
const VERSION: &str = "SELECT CAST(a.application_id AS TEXT), CAST(v.user_version AS TEXT), \
                       CAST((SELECT count(*) FROM sqlite_schema) AS TEXT) \
                       FROM pragma_application_id a, pragma_user_version v";

/// How often a lock is tried that another program holds.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);
