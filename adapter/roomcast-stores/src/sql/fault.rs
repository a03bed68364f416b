//! What went wrong in a database, and what the application is told.
//!
//! Owns: the one table from a database's errors to [`StoreError`], and what is logged. Must never know: the question.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use roomcast_openwebui::query::StoreError;

use super::open_error::OpenError;

/// Why a piece of work came to nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database says so.
    Sql(sqlx::Error),
    /// What it holds says so.
    Store(StoreError),
    /// It has no tables of Open WebUI.
    NoTables,
    /// It lacks a column.
    Missing { table: &'static str, column: &'static str },
    /// It took too long.
    Late,
}

impl Fault {
    pub(super) fn store_error(&self) -> StoreError {
        match self {
            Self::Sql(error) => of_sql(error),
            Self::Store(error) => *error,
            Self::NoTables | Self::Missing { .. } | Self::Late => StoreError::Unavailable,
        }
    }

    pub(super) fn open_error(&self) -> OpenError {
        match self {
            Self::NoTables => OpenError::NoTables,
            Self::Missing { table, column } => OpenError::Missing { table, column },
            Self::Late => OpenError::Unreachable("it does not answer in time".to_owned()),
            Self::Store(error) => OpenError::Unreadable(format!("{error:?}")),
            Self::Sql(error) if of_sql(error) == StoreError::Unavailable => OpenError::Unreachable(error.to_string()),
            Self::Sql(error) => OpenError::Unreadable(error.to_string()),
        }
    }
}

impl fmt::Display for Fault {
    /// Without the details of the database's own words, which may quote a row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(error) => error.fmt(f),
            Self::Store(error) => write!(f, "{error:?}"),
            Self::NoTables => f.write_str("there are no tables of Open WebUI"),
            Self::Missing { table, column } => write!(f, "\"{table}\" has no column \"{column}\""),
            Self::Late => f.write_str("it took too long"),
        }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Whether the database could be asked lately: one line in the log when that changes, and not one for each question.
#[derive(Debug, Default)]
pub(super) struct Health {
    is_ill: AtomicBool,
}

impl Health {
    pub(super) fn well(&self) {
        if self.is_ill.load(Ordering::Relaxed) && self.is_ill.swap(false, Ordering::Relaxed) {
            tracing::info!("the database answers again");
        }
    }

    pub(super) fn ill(&self, fault: &Fault) {
        match fault.store_error() {
            StoreError::Unavailable => {
                if self.is_ill.swap(true, Ordering::Relaxed) {
                    tracing::debug!(%fault, "the database does not answer");
                } else {
                    tracing::warn!(%fault, "the database does not answer");
                }
            }
            StoreError::Corrupt => tracing::warn!(%fault, "the database holds something that cannot be read"),
            StoreError::Conflict => tracing::error!("another program writes the same documents"),
            StoreError::NotFound => {}
            _ => tracing::warn!(%fault, "the database has no answer"),
        }
    }
}

fn of_sql(error: &sqlx::Error) -> StoreError {
    use sqlx::Error::{ColumnDecode, Database, Decode, TypeNotFound};
    if let Database(error) = error {
        let code = error.code().unwrap_or_default();
        // An SQLSTATE has five characters; a code of SQLite is a shorter number, whose low byte is its kind.
        return match code.parse::<u32>() {
            Ok(number) if code.len() != SQLSTATE_LENGTH => of_sqlite(number & 0xff),
            Ok(_) | Err(_) => of_postgres(&code),
        };
    }
    let is_unreadable = matches!(error, ColumnDecode { .. } | Decode(_) | TypeNotFound { .. });
    if is_unreadable { StoreError::Corrupt } else { StoreError::Unavailable }
}

/// <https://www.sqlite.org/rescode.html>
fn of_sqlite(code: u32) -> StoreError {
    match code {
        // SQLITE_ERROR: a column that is not there, or text in it that is not JSON.
        1 => StoreError::Corrupt,
        // SQLITE_CORRUPT, SQLITE_NOTADB.
        11 | 26 => StoreError::Corrupt,
        _ => StoreError::Unavailable,
    }
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn of_postgres(code: &str) -> StoreError {
    match code.get(..2) {
        // Data that cannot be read, a table or column that is not there, a broken database.
        Some("22" | "42" | "XX") => StoreError::Corrupt,
        _ => StoreError::Unavailable,
    }
}

const SQLSTATE_LENGTH: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_one_meaning() {
        for code in [5, 6, 8, 9, 10, 13, 14, 15] {
            assert_eq!(of_sqlite(code), StoreError::Unavailable, "{code}");
        }
        for code in [1, 11, 26] {
            assert_eq!(of_sqlite(code), StoreError::Corrupt, "{code}");
        }
        for code in ["08006", "25006", "28P01", "3D000", "40001", "53300", "55P03", "57014", "57P01", "57P03", ""] {
            assert_eq!(of_postgres(code), StoreError::Unavailable, "{code}");
        }
        for code in ["22P02", "42703", "42P01", "XX001"] {
            assert_eq!(of_postgres(code), StoreError::Corrupt, "{code}");
        }
    }

    #[test]
    fn what_is_no_answer_of_the_database_leaves_it_unavailable() {
        for error in [sqlx::Error::PoolTimedOut, sqlx::Error::PoolClosed, sqlx::Error::WorkerCrashed] {
            assert_eq!(of_sql(&error), StoreError::Unavailable);
        }
        assert_eq!(of_sql(&sqlx::Error::Decode("".into())), StoreError::Corrupt);
    }
}
