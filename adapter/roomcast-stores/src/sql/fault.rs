//! What went wrong in a database, and what callers are told.
//!
//! Owns: the one table from a database's errors to their kinds. Must never know: the question.

use std::fmt;

#[cfg(feature = "openwebui")]
use roomcast_openwebui::Release;
#[cfg(feature = "openwebui")]
use roomcast_openwebui::query::StoreError;

use super::open_error::OpenError;

/// Why a piece of work came to nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database says so.
    Sql(sqlx::Error),
    /// What it holds says so.
    Stored(FaultKind),
    /// It has no tables of Open WebUI.
    #[cfg(feature = "openwebui")]
    NoTables,
    /// It lacks a column.
    #[cfg(feature = "openwebui")]
    Missing { table: &'static str, column: &'static str },
    /// Its tables are those of another release than is expected.
    #[cfg(feature = "openwebui")]
    OtherRelease { found: Release, wanted: Release },
    /// It took too long.
    Late,
}

/// What a fault is to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// What was to be changed is not there.
    #[cfg(feature = "openwebui")]
    NotFound,
    Unavailable,
    Corrupt,
    Conflict,
}

impl Fault {
    #[cfg(feature = "openwebui")]
    pub(super) fn store_error(&self) -> StoreError {
        match self.kind() {
            FaultKind::NotFound => StoreError::NotFound,
            FaultKind::Unavailable => StoreError::Unavailable,
            FaultKind::Corrupt => StoreError::Corrupt,
            FaultKind::Conflict => StoreError::Conflict,
        }
    }

    pub(super) fn kind(&self) -> FaultKind {
        match self {
            Self::Sql(error) => of_sql(error),
            Self::Stored(kind) => *kind,
            #[cfg(feature = "openwebui")]
            Self::NoTables | Self::Missing { .. } | Self::OtherRelease { .. } => FaultKind::Unavailable,
            Self::Late => FaultKind::Unavailable,
        }
    }

    pub(super) fn open_error(&self) -> OpenError {
        match self {
            #[cfg(feature = "openwebui")]
            Self::NoTables => OpenError::NoTables,
            #[cfg(feature = "openwebui")]
            Self::Missing { table, column } => OpenError::Missing { table, column },
            #[cfg(feature = "openwebui")]
            Self::OtherRelease { found, wanted } => {
                OpenError::OtherRelease { found: release_name(*found), wanted: release_name(*wanted) }
            }
            Self::Late => OpenError::Unreachable("it does not answer in time".to_owned()),
            Self::Stored(kind) => OpenError::Unreadable(format!("{kind:?}")),
            Self::Sql(error) if of_sql(error) == FaultKind::Unavailable => OpenError::Unreachable(error.to_string()),
            Self::Sql(error) => OpenError::Unreadable(error.to_string()),
        }
    }
}

impl fmt::Display for Fault {
    /// Without the details of the database's own words, which may quote a row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(error) => error.fmt(f),
            Self::Stored(kind) => write!(f, "{kind:?}"),
            #[cfg(feature = "openwebui")]
            Self::NoTables => f.write_str("there are no tables of Open WebUI"),
            #[cfg(feature = "openwebui")]
            Self::Missing { table, column } => write!(f, "\"{table}\" has no column \"{column}\""),
            #[cfg(feature = "openwebui")]
            Self::OtherRelease { .. } => self.open_error().fmt(f),
            Self::Late => f.write_str("it took too long"),
        }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self::Stored(kind)
    }
}

#[cfg(feature = "openwebui")]
impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Stored(match error {
            StoreError::NotFound => FaultKind::NotFound,
            StoreError::Unavailable => FaultKind::Unavailable,
            StoreError::Corrupt => FaultKind::Corrupt,
            StoreError::Conflict => FaultKind::Conflict,
            _ => FaultKind::Unavailable,
        })
    }
}

fn of_sql(error: &sqlx::Error) -> FaultKind {
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
    if is_unreadable { FaultKind::Corrupt } else { FaultKind::Unavailable }
}

/// <https://www.sqlite.org/rescode.html>
fn of_sqlite(code: u32) -> FaultKind {
    match code {
        // SQLITE_ERROR: a column that is not there, or text in it that is not JSON.
        1 => FaultKind::Corrupt,
        // SQLITE_CORRUPT, SQLITE_NOTADB.
        11 | 26 => FaultKind::Corrupt,
        _ => FaultKind::Unavailable,
    }
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn of_postgres(code: &str) -> FaultKind {
    match code.get(..2) {
        // Data that cannot be read, a table or column that is not there, a broken database.
        Some("22" | "42" | "XX") => FaultKind::Corrupt,
        _ => FaultKind::Unavailable,
    }
}

/// As in the setting that chooses a release.
#[cfg(feature = "openwebui")]
fn release_name(release: Release) -> &'static str {
    if release == Release::V0_12 { "0.12" } else { "0.6" }
}

const SQLSTATE_LENGTH: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_one_meaning() {
        for code in [5, 6, 8, 9, 10, 13, 14, 15] {
            assert_eq!(of_sqlite(code), FaultKind::Unavailable, "{code}");
        }
        for code in [1, 11, 26] {
            assert_eq!(of_sqlite(code), FaultKind::Corrupt, "{code}");
        }
        for code in ["08006", "25006", "28P01", "3D000", "40001", "53300", "55P03", "57014", "57P01", "57P03", ""] {
            assert_eq!(of_postgres(code), FaultKind::Unavailable, "{code}");
        }
        for code in ["22P02", "42703", "42P01", "XX001"] {
            assert_eq!(of_postgres(code), FaultKind::Corrupt, "{code}");
        }
    }

    #[test]
    fn what_is_no_answer_of_the_database_leaves_it_unavailable() {
        for error in [sqlx::Error::PoolTimedOut, sqlx::Error::PoolClosed, sqlx::Error::WorkerCrashed] {
            assert_eq!(of_sql(&error), FaultKind::Unavailable);
        }
        assert_eq!(of_sql(&sqlx::Error::Decode("".into())), FaultKind::Corrupt);
    }
}
