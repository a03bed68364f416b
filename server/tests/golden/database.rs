//! Databases that a program is started on, and what becomes of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row, SqliteConnection};

use crate::conversation::DatabaseFault;
use crate::server::{PASSWORD, PostgresServer};
use crate::{Folder, SECRET};

/// Which kind of store the program has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A file of roomcast's own.
    Own,
    /// Open WebUI's file.
    Sqlite,
    /// Open WebUI's server.
    Postgres,
}

/// A database with the world in it.
pub struct Database {
    kind: StoreKind,
    folder: Folder,
    server: Option<PostgresServer>,
    is_killed: bool,
    runtime: tokio::runtime::Runtime,
    observer: Option<Inspector>,
    /// The connection that holds the lock and so blocks all others.
    lock: Option<SqliteConnection>,
}

impl Database {
    pub fn new(kind: StoreKind) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = (kind == StoreKind::Postgres).then(PostgresServer::start);
        Self { kind, folder: Folder::new(), server, is_killed: false, runtime, observer: None, lock: None }
    }

    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// What the program is told in its environment.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("WEBUI_SECRET_KEY", SECRET.to_owned()),
            ("DATA_DIR", self.folder.path().display().to_string()),
            ("ROOMCAST_API_KEY", API_KEY.to_owned()),
        ];
        match self.kind {
            // It is found in the folder.
            StoreKind::Own => variables.push(("ROOMCAST_STORE", "own".to_owned())),
            StoreKind::Sqlite => variables.push(("DATABASE_URL", format!("sqlite:///{}", self.file().display()))),
            StoreKind::Postgres => variables.push(("DATABASE_URL", self.server().url())),
        }
        variables
    }

    /// Empties it and makes the world, unless the program has to make the tables first.
    pub fn create(&mut self) {
        self.forget();
        match self.kind {
            StoreKind::Own => {
                for name in ["roomcast.db", "roomcast.db-wal", "roomcast.db-shm"] {
                    let _ = fs::remove_file(self.folder.path().join(name));
                }
            }
            StoreKind::Sqlite => {
                let _ = fs::remove_file(self.file());
                fs::File::create(self.file()).unwrap();
                self.execute(&world(TABLES));
            }
            StoreKind::Postgres => {
                self.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
                self.execute(&world(TABLES));
            }
        }
        if self.kind != StoreKind::Own {
            // What roomcast keeps beside it.
            for name in ["roomcast.db", "roomcast.db-wal", "roomcast.db-shm"] {
                let _ = fs::remove_file(self.folder.path().join(name));
            }
        }
    }

    /// The program has made its tables: fills them.
    pub fn started(&mut self) {
        if self.kind == StoreKind::Own {
            self.execute(&world(OWN_ROWS));
        }
    }

    pub fn execute(&mut self, sql: &str) {
        let done = self.look(async |observer| match observer {
            Inspector::Sqlite(conn) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop),
            Inspector::Postgres(conn) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop),
        });
        done.unwrap();
    }

    /// The one text of a row, unless there is none now.
    pub fn text(&mut self, query: &str) -> Option<String> {
        let found = self.look(async |observer| match observer {
            Inspector::Sqlite(conn) => {
                let row = sqlx::raw_sql(AssertSqlSafe(query)).fetch_optional(conn).await?;
                row.map(|row| row.try_get::<Option<String>, _>(0)).transpose()
            }
            Inspector::Postgres(conn) => {
                let row = sqlx::raw_sql(AssertSqlSafe(query)).fetch_optional(conn).await?;
                row.map(|row| row.try_get::<Option<String>, _>(0)).transpose()
            }
        });
        found.unwrap().flatten()
    }

    pub fn fault(&mut self, fault: DatabaseFault) {
        match (self.kind, fault) {
            (StoreKind::Own, _) => panic!("a file of roomcast's own has no store beside it"),
            (StoreKind::Sqlite, DatabaseFault::Fails | DatabaseFault::Slows) => self.lock(),
            (StoreKind::Sqlite, DatabaseFault::Recovers) => self.unlock(),
            (StoreKind::Sqlite, DatabaseFault::Restarts) => {
                // Open WebUI restarts: it takes the file for itself, and gives it back.
                self.lock();
                self.unlock();
            }
            (StoreKind::Postgres, DatabaseFault::Fails) => {
                self.forget();
                self.server_mut().kill();
                self.is_killed = true;
            }
            (StoreKind::Postgres, DatabaseFault::Slows) => {
                self.forget();
                self.server().signal("STOP");
            }
            (StoreKind::Postgres, DatabaseFault::Recovers) => {
                if std::mem::take(&mut self.is_killed) {
                    self.server_mut().run();
                } else {
                    self.server().signal("CONT");
                }
            }
            (StoreKind::Postgres, DatabaseFault::Restarts) => {
                self.forget();
                let server = self.server_mut();
                server.kill();
                server.run();
            }
        }
    }

    fn lock(&mut self) {
        self.forget();
        let file = self.file();
        self.lock = Some(self.runtime.block_on(async {
            let mut conn = sqlite(&file).await;
            sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut conn).await.unwrap();
            conn
        }));
    }

    fn unlock(&mut self) {
        let Some(mut conn) = self.lock.take() else { return };
        self.runtime.block_on(async {
            sqlx::raw_sql("ROLLBACK").execute(&mut conn).await.unwrap();
            conn.close().await.unwrap();
        });
    }

    /// Does something with the connection of the observer.
    fn look<T>(&mut self, what: impl AsyncFnOnce(&mut Inspector) -> T) -> T {
        let (kind, file, port) = (self.kind, self.file(), self.server.as_ref().map(PostgresServer::port));
        let Self { runtime, observer, .. } = self;
        runtime.block_on(async {
            if observer.is_none() {
                *observer = Some(match kind {
                    StoreKind::Own | StoreKind::Sqlite => Inspector::Sqlite(sqlite(&file).await),
                    StoreKind::Postgres => Inspector::Postgres(postgres(port.unwrap()).await),
                });
            }
            what(observer.as_mut().unwrap()).await
        })
    }

    /// Lets the observer go: it looks again over another connection.
    fn forget(&mut self) {
        let Some(observer) = self.observer.take() else { return };
        self.runtime.block_on(async {
            let _ = match observer {
                Inspector::Sqlite(conn) => conn.close().await,
                Inspector::Postgres(conn) => conn.close().await,
            };
        });
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(match self.kind {
            StoreKind::Own => "roomcast.db",
            StoreKind::Sqlite | StoreKind::Postgres => "webui.db",
        })
    }

    fn server(&self) -> &PostgresServer {
        self.server.as_ref().unwrap()
    }

    fn server_mut(&mut self) -> &mut PostgresServer {
        self.server.as_mut().unwrap()
    }
}

/// Looks into a database, and writes what the rest of the application writes.
enum Inspector {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

async fn sqlite(file: &Path) -> SqliteConnection {
    // Waits while another connection holds the lock.
    SqliteConnectOptions::new().filename(file).busy_timeout(PATIENCE).connect().await.unwrap()
}

async fn postgres(port: u16) -> PgConnection {
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).username("room");
    options.password(PASSWORD).database("postgres").connect().await.unwrap()
}

fn world(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file)).unwrap()
}

const PATIENCE: Duration = Duration::from_secs(60);
pub const API_KEY: &str = "the-key-of-the-conversations";
/// The tables of Open WebUI 0.6.41 with rows, in words that both databases understand.
const TABLES: &str = "webui.sql";
/// The same rows in roomcast's own tables.
const OWN_ROWS: &str = "own.sql";
