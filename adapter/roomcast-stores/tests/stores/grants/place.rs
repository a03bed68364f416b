//! A database with the tables of Open WebUI 0.12.

use roomcast_stores::{DatabaseOptions, DatabaseUrl, WebUi};

use crate::own;

/// The tables, in words that both databases understand.
pub const TABLES: &str = include_str!("webui-0.12.4.sql");

/// One of the two kinds of database.
pub enum Place {
    #[cfg(feature = "sqlite")]
    Sqlite(crate::Folder),
    #[cfg(feature = "postgres")]
    Postgres(Box<crate::server::PostgresServer>),
}

impl Place {
    /// A file without tables, in WAL mode, as 0.12 leaves it.
    #[cfg(feature = "sqlite")]
    pub fn sqlite() -> Self {
        Self::Sqlite(crate::Folder::new())
    }

    #[cfg(feature = "postgres")]
    pub fn postgres() -> Self {
        Self::Postgres(Box::new(crate::server::PostgresServer::start()))
    }

    pub fn open(&self, options: DatabaseOptions) -> WebUi {
        WebUi::open(&self.url(), options, own()).unwrap()
    }

    pub async fn execute(&self, sql: impl Into<String>) {
        use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(folder) => {
                let file = sqlx::sqlite::SqliteConnectOptions::new()
                    .filename(folder.path().join("webui.db"))
                    .create_if_missing(true)
                    .foreign_keys(false)
                    .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
                let mut conn = file.connect().await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut conn).await.unwrap();
                conn.close().await.unwrap();
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => {
                let mut conn = crate::postgres::connect(server).await;
                sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut conn).await.unwrap();
                conn.close().await.unwrap();
            }
        }
    }

    /// The first column of all rows, whose values have to be texts.
    pub async fn texts(&self, sql: &'static str) -> Vec<Option<String>> {
        use sqlx::{ConnectOptions as _, Row as _};
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(folder) => {
                let file = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("webui.db"));
                let mut conn = file.connect().await.unwrap();
                let rows = sqlx::raw_sql(sql).fetch_all(&mut conn).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => {
                let mut conn = crate::postgres::connect(server).await;
                let rows = sqlx::raw_sql(sql).fetch_all(&mut conn).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
        }
    }

    fn url(&self) -> DatabaseUrl {
        let text = match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(folder) => format!("sqlite:///{}", folder.path().join("webui.db").display()),
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => server.url(),
        };
        DatabaseUrl::parse(&text).unwrap()
    }
}

/// Statements that remove all rows.
pub fn empty() -> String {
    let tables = TABLES.lines().filter_map(|line| line.strip_prefix("CREATE TABLE ")?.strip_suffix(" ("));
    tables.map(|table| format!("DELETE FROM {table};\n")).collect()
}

/// A text of SQL.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text of SQL, or NULL.
pub fn or_null(text: Option<&str>) -> String {
    text.map_or("NULL".to_owned(), quoted)
}
