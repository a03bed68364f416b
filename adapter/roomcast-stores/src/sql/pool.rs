//! Connections of both kinds of database behind one set of names.
//!
//! Every statement takes and gives texts and whole numbers, and is written with `$1`, `$2`, which both databases
//! understand: what is asked needs to be written only once.
//!
//! Owns: pools, connections, and how they are made. Must never know: tables.

#[cfg(feature = "sqlite")]
use std::path::Path;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{ConnectOptions, Row, SqlSafeStr};

#[cfg(feature = "postgres")]
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode, Postgres};
#[cfg(feature = "sqlite")]
use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::fault::Fault;
#[cfg(feature = "postgres")]
use super::open_error::OpenError;
use super::options::DatabaseOptions;
#[cfg(feature = "postgres")]
use crate::database_url::{PostgresUrl, SslMode};

/// Connections to one database.
#[derive(Debug)]
pub(super) enum Pool {
    /// One connection writes and the others read: writers of one process wait in a row, and not by trying again.
    #[cfg(feature = "sqlite")]
    Sqlite { reads: SqlitePool, writes: SqlitePool },
    #[cfg(feature = "postgres")]
    Postgres(PgPool),
}

/// What a connection is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoanPurpose {
    Read,
    Write,
}

/// Whose file an SQLite database is.
#[cfg(feature = "sqlite")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// roomcast makes it and says how it is kept.
    Ours,
    /// It is there or not, and nothing about it is changed.
    Theirs,
}

impl Pool {
    /// Connects at the first question. Must be called within tokio.
    #[cfg(feature = "sqlite")]
    pub(super) fn sqlite(path: &Path, whose: Whose, options: &DatabaseOptions) -> Self {
        // Locked by another process: SQLite itself waits, a little shorter than this side does.
        let file = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .busy_timeout(options.statement_timeout.mul_f32(0.75))
            .disable_statement_logging();
        let file = match whose {
            // The setting lasts for a connection, and Open WebUI leaves it off.
            Whose::Theirs => file.foreign_keys(false),
            // A commit survives the end of the process at once, and that of the machine after the next checkpoint.
            Whose::Ours => {
                file.create_if_missing(true).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal)
            }
        };
        // To ask a file whether it is still there proves nothing.
        let pool = |connections: u32| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(options.acquire_timeout)
                .max_lifetime(LIFETIME)
                .idle_timeout(IDLE_TIMEOUT)
                .test_before_acquire(false)
                .connect_lazy_with(file.clone())
        };
        Self::Sqlite { reads: pool(options.connections_max.max(1)), writes: pool(1) }
    }

    /// Connects at the first question. Must be called within tokio.
    #[cfg(feature = "postgres")]
    pub(super) fn postgres(url: &PostgresUrl, options: &DatabaseOptions) -> Result<Self, OpenError> {
        // The server gives up as well: a question whose caller has gone keeps no locks. A pooler between here and there
        // may refuse such settings at the start of a session, but not as a statement. To compile a statement first takes
        // a thousand times as long as to run it, and tables that were never analysed look worth it.
        let millis = options.statement_timeout.as_millis();
        let settings = format!(
            "SET statement_timeout = {millis}; SET idle_in_transaction_session_timeout = {millis}; \
             SELECT set_config(name, 'off', false) FROM pg_settings WHERE name = 'jit'"
        );
        let pool = PgPoolOptions::new()
            .max_connections(options.connections_max.max(1))
            .acquire_timeout(options.acquire_timeout)
            .max_lifetime(LIFETIME)
            .idle_timeout(IDLE_TIMEOUT)
            .after_connect(move |conn, _| {
                let settings = settings.clone();
                Box::pin(async move { sqlx::raw_sql(sqlx::AssertSqlSafe(settings)).execute(conn).await.map(drop) })
            })
            .connect_lazy_with(server(url, options)?);
        Ok(Self::Postgres(pool))
    }

    pub(super) async fn acquire(&self, purpose: LoanPurpose) -> Result<Conn, Fault> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite { reads, writes } => {
                let pool = match purpose {
                    LoanPurpose::Read => reads,
                    LoanPurpose::Write => writes,
                };
                Ok(Conn::Sqlite(pool.acquire().await?))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => {
                let (LoanPurpose::Read | LoanPurpose::Write) = purpose;
                Ok(Conn::Postgres(pool.acquire().await?))
            }
        }
    }

    /// Waits until all connections are back, and closes them.
    pub(super) async fn close(&self) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite { reads, writes } => {
                reads.close().await;
                // The last connection moves what the journal holds into the file.
                writes.close().await;
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// A connection on loan.
pub(super) enum Conn {
    #[cfg(feature = "sqlite")]
    Sqlite(PoolConnection<Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(PoolConnection<Postgres>),
}

impl Conn {
    pub(super) fn link(&mut self) -> Executor<'_> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(conn) => Executor::Sqlite(conn),
            #[cfg(feature = "postgres")]
            Self::Postgres(conn) => Executor::Postgres(conn),
        }
    }

    /// The connection is not reused after this.
    pub(super) fn discard(&mut self) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(conn) => conn.close_on_drop(),
            #[cfg(feature = "postgres")]
            Self::Postgres(conn) => conn.close_on_drop(),
        }
    }
}

/// A connection or a transaction on it.
pub(super) enum Executor<'c> {
    #[cfg(feature = "sqlite")]
    Sqlite(&'c mut SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(&'c mut PgConnection),
}

/// A value of a statement.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "openwebui"), expect(dead_code, reason = "statements of documents bind bytes themselves"))]
pub(super) enum Arg<'a> {
    Text(&'a str),
    Number(u64),
    Nothing,
}

#[cfg(feature = "openwebui")]
impl<'a> Arg<'a> {
    pub(super) fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Nothing, Self::Text)
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn number(number: Option<u64>) -> Self {
        number.map_or(Self::Nothing, Self::Number)
    }
}

/// Awaits work on `$link` within one transaction of a connection, which keeps others from writing in SQLite from its
/// beginning, and commits it. In PostgreSQL the statements lock rows.
#[cfg(feature = "openwebui")]
macro_rules! transaction {
    ($conn:expr, $link:ident => $work:expr) => {{
        use sqlx::Connection as _;
        match $conn {
            #[cfg(feature = "sqlite")]
            $crate::sql::pool::Conn::Sqlite(conn) => {
                let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
                let mut $link = $crate::sql::pool::Executor::Sqlite(&mut transaction);
                let done = $work.await?;
                transaction.commit().await?;
                done
            }
            #[cfg(feature = "postgres")]
            $crate::sql::pool::Conn::Postgres(conn) => {
                let mut transaction = conn.begin().await?;
                let mut $link = $crate::sql::pool::Executor::Postgres(&mut transaction);
                let done = $work.await?;
                transaction.commit().await?;
                done
            }
        }
    }};
}
#[cfg(feature = "openwebui")]
pub(super) use transaction;

/// Binds the values and runs a statement; the two databases have the same names for it and no type in common.
macro_rules! statement {
    ($sql:expr, $args:expr, $run:ident, $conn:expr) => {{
        let mut query = sqlx::query($sql);
        for arg in $args {
            query = match *arg {
                Arg::Text(text) => query.bind(text),
                Arg::Number(number) => query.bind(i64::try_from(number).unwrap_or(i64::MAX)),
                Arg::Nothing => query.bind(None::<&str>),
            };
        }
        query.$run($conn).await?
    }};
}

/// All columns of all rows, as text.
macro_rules! texts {
    ($rows:expr) => {{
        let mut found = Vec::new();
        for row in $rows {
            let texts: Result<Vec<Option<String>>, sqlx::Error> = (0..row.len()).map(|at| row.try_get(at)).collect();
            found.push(texts?);
        }
        found
    }};
}

impl Executor<'_> {
    /// Whole rows, whose columns must be texts.
    pub(super) async fn rows(
        &mut self,
        sql: impl SqlSafeStr + Send,
        args: &[Arg<'_>],
    ) -> Result<Vec<Vec<Option<String>>>, Fault> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(conn) => Ok(texts!(statement!(sql, args, fetch_all, &mut **conn))),
            #[cfg(feature = "postgres")]
            Self::Postgres(conn) => Ok(texts!(statement!(sql, args, fetch_all, &mut **conn))),
        }
    }

    /// Writes. The result is the number of rows that it touched.
    #[cfg(feature = "openwebui")]
    pub(super) async fn run(&mut self, sql: impl SqlSafeStr + Send, args: &[Arg<'_>]) -> Result<u64, Fault> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(conn) => Ok(statement!(sql, args, execute, &mut **conn).rows_affected()),
            #[cfg(feature = "postgres")]
            Self::Postgres(conn) => Ok(statement!(sql, args, execute, &mut **conn).rows_affected()),
        }
    }
}

#[cfg(feature = "postgres")]
fn server(url: &PostgresUrl, options: &DatabaseOptions) -> Result<PgConnectOptions, OpenError> {
    let mut server = PgConnectOptions::new_without_pgpass().disable_statement_logging();
    if let Some(host) = &url.host {
        server = if host.starts_with('/') { server.socket(host) } else { server.host(host) };
    }
    if let Some(port) = url.port {
        server = server.port(port);
    }
    if let Some(user) = &url.user {
        server = server.username(user);
    }
    if let Some(password) = &url.password {
        server = server.password(password);
    }
    if let Some(database) = &url.database {
        server = server.database(database);
    }
    if let Some(name) = &url.application_name {
        server = server.application_name(name);
    }
    if let Some(path) = &url.ssl_root_cert {
        server = server.ssl_root_cert(path);
    }
    if let Some(path) = &url.ssl_cert {
        server = server.ssl_client_cert(path);
    }
    if let Some(path) = &url.ssl_key {
        server = server.ssl_client_key(path);
    }
    if let Some(mode) = url.ssl_mode {
        server = server.ssl_mode(ssl_mode(mode)?);
    }
    let settings = url.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let schema = options.schema.as_deref().map(|schema| ("search_path", schema));
    Ok(server.options(settings.chain(schema)))
}

#[cfg(feature = "postgres")]
fn ssl_mode(mode: SslMode) -> Result<PgSslMode, OpenError> {
    match mode {
        SslMode::Disable => Ok(PgSslMode::Disable),
        // The driver knows no way back from plain text; a server that insists refuses.
        SslMode::Allow => Ok(PgSslMode::Allow),
        SslMode::Prefer => Ok(PgSslMode::Prefer),
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull if !cfg!(feature = "postgres-tls") => {
            Err(OpenError::NoEncryption)
        }
        SslMode::Require => Ok(PgSslMode::Require),
        SslMode::VerifyCa => Ok(PgSslMode::VerifyCa),
        SslMode::VerifyFull => Ok(PgSslMode::VerifyFull),
    }
}

/// A connection is replaced after this time, so that neither side accumulates state.
const LIFETIME: Duration = Duration::from_secs(30 * 60);

/// An idle connection is closed after this.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
