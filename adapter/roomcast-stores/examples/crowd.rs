//! How long Open WebUI's tables take when all users come back at once, and when all of them send a heartbeat.
//!
//! `cargo run --release -p roomcast-stores --features openwebui,sqlite --example crowd [USERS [0.6|0.12]]`
//!
//! Each user asks what the application asks at a login: who it is and which channels it is in. Then 2,000 heartbeats
//! arrive at once while another process writes to the same file, as Open WebUI does; and 2,000 users have read their
//! channel at once, and then a chat of theirs, while as many others log in.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytestring::ByteString;
use roomcast_openwebui::Release;
use roomcast_openwebui::query::{Question, StoreAnswer, Touch};
use roomcast_stores::{DatabaseOptions, DatabaseUrl, Embedded, Store, WebUi};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::task::JoinSet;
use tokio::time::Instant;

type BoxedError = Box<dyn std::error::Error>;

fn main() -> Result<(), BoxedError> {
    let users = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    let release = match std::env::args().nth(2).as_deref() {
        None | Some("0.6") => Release::V0_6,
        Some("0.12") => Release::V0_12,
        Some(_) => return Err("0.6 or 0.12".into()),
    };
    let folder = std::env::temp_dir().join(format!("roomcast-crowd-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(&folder, users, release));
    std::fs::remove_dir_all(&folder)?;
    measured
}

async fn measure(folder: &Path, users: usize, release: Release) -> Result<(), BoxedError> {
    let path = folder.join("webui.db");
    match release {
        Release::V0_12 => fill_0_12(&path, users).await?,
        Release::V0_6 => fill(&path, users).await?,
    }
    let own = Arc::new(Embedded::open(&folder.join("roomcast.db"), DatabaseOptions::default()).await?);
    let url = DatabaseUrl::Sqlite { path: path.clone() };
    let store = Arc::new(WebUi::open(&url, DatabaseOptions::default(), own)?);
    store.examine().await?;
    for round in ["cold", "warm"] {
        come_back(&store, 0..users, round).await;
    }
    let some = users.min(2000);
    let beat = |user| Question::TouchUsers { touches: vec![Touch { user: user_id(user), at_secs: 7 }] };
    write_at_once(&store, &path, "heartbeats", (0..some).map(beat)).await?;
    for round in ["with logins", "alone"] {
        let channel = |user| format!("channel-{}", (user + 1) % 1000).into();
        let mark = |user| Question::ReadChannel { channel: channel(user), user: user_id(user), at_nanos: 7 };
        let logins = tokio::spawn({
            let (store, range) = (store.clone(), some..(2 * some).min(users));
            async move {
                if round == "with logins" {
                    come_back(&store, range, "meanwhile").await;
                }
            }
        });
        write_at_once(&store, &path, "channels read", (0..some).map(mark)).await?;
        logins.await?;
        let mark = |user| Question::ReadChat { chat: format!("chat-{user}").into(), user: user_id(user), at_secs: 7 };
        write_at_once(&store, &path, "chats read", (0..some).map(mark)).await?;
    }
    store.close().await;
    Ok(())
}

fn user_id(user: usize) -> ByteString {
    format!("user-{user}").into()
}

async fn come_back(store: &Arc<WebUi>, range: Range<usize>, round: &str) {
    let (started, users) = (Instant::now(), range.len());
    let mut tasks = JoinSet::new();
    for user in range {
        let store = store.clone();
        tasks.spawn(async move {
            let id = format!("user-{user}");
            let question = Question::Authenticate {
                user: id.as_str().into(),
                jti: Some(format!("token-{user}").into()),
                issued_at_secs: None,
                ends_at_secs: None,
            };
            let Ok(StoreAnswer::User(Some(_))) = store.ask(question).await else { return None };
            match store.ask(Question::Channels { users: vec![id.into()] }).await {
                Ok(StoreAnswer::Channels(found)) => Some(found.iter().map(|user| user.channels.len()).sum::<usize>()),
                Ok(_) | Err(_) => None,
            }
        });
    }
    let (mut done, mut failed, mut channels) = (0, 0, 0);
    while let Some(result) = tasks.join_next().await {
        match result.ok().flatten() {
            Some(count) => (done, channels) = (done + 1, channels + count),
            None => failed += 1,
        }
    }
    let after = started.elapsed();
    let each = after.checked_div(users.try_into().unwrap_or(u32::MAX)).unwrap_or_default();
    println!(
        "{round}: {done} users back, {failed} failed, {channels} rooms; the last after {after:.2?}, {each:.2?} each"
    );
}

async fn write_at_once(
    store: &Arc<WebUi>,
    path: &Path,
    what: &str,
    questions: impl Iterator<Item = Question>,
) -> Result<(), BoxedError> {
    let ended = Arc::new(AtomicBool::new(false));
    let other = tokio::task::spawn_blocking({
        let (ended, path) = (ended.clone(), path.to_owned());
        move || write_beside(&path, &ended)
    });
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for question in questions {
        let store = store.clone();
        tasks.spawn(async move { store.ask(question).await.is_ok() });
    }
    let results = tasks.join_all().await;
    let after = started.elapsed();
    ended.store(true, Ordering::Relaxed);
    let (writes, longest) = other.await??;
    let failed = results.iter().filter(|is_done| !**is_done).count();
    println!("{} {what}: {failed} failed, the last after {after:.2?}", results.len());
    println!("meanwhile another writer: {writes} writes, the longest took {longest:.2?}");
    Ok(())
}

/// Writes every 20 ms on a connection of its own.
fn write_beside(path: &Path, ended: &AtomicBool) -> Result<(usize, Duration), sqlx::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(sqlx::Error::Io)?;
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(30));
        let mut conn = options.connect().await?;
        let (mut writes, mut longest) = (0, Duration::ZERO);
        while !ended.load(Ordering::Relaxed) {
            let started = Instant::now();
            sqlx::query("UPDATE channel SET name = name WHERE id = 'public-0'").execute(&mut conn).await?;
            longest = longest.max(started.elapsed());
            writes += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        conn.close().await?;
        Ok((writes, longest))
    })
}

/// 1,000 channels of ten members each, 100 that are open to one group each, ten that are open to all, and 50 groups.
async fn fill(path: &Path, users: usize) -> Result<(), BoxedError> {
    let mut conn = SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await?;
    sqlx::raw_sql(TABLES).execute(&mut conn).await?;
    let sql = format!(
        "BEGIN;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {users})
         INSERT INTO \"user\" (id, name, email, role, profile_image_url, created_at, updated_at, last_active_at, settings)
         SELECT 'user-' || i, 'User ' || i, i || '@localhost', 'user', printf('%.2000c', 'x'), 0, 0, 0,
                '{{\"ui\":{{\"theme\":\"dark\"}}}}' FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < 50)
         INSERT INTO \"group\" (id, name, permissions) SELECT 'group-' || i, i, '{{\"features\":{{\"channels\":true}}}}' FROM n;
         INSERT INTO group_member (id, group_id, user_id)
         SELECT 'm' || rowid, 'group-' || (rowid % 50), id FROM \"user\";
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < 1000)
         INSERT INTO channel (id, user_id, name, type) SELECT 'channel-' || i, 'user-0', i, 'group' FROM n;
         INSERT INTO channel_member (id, channel_id, user_id, is_active, joined_at)
         SELECT 'm' || rowid, 'channel-' || (rowid % 1000), id, 1, 0 FROM \"user\";
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < 100)
         INSERT INTO channel (id, user_id, name, access_control)
         SELECT 'open-' || i, 'nobody', i, json_object('read', json_object('group_ids', json_array('group-' || (i % 50)))) FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < 10)
         INSERT INTO channel (id, user_id, name, access_control) SELECT 'public-' || i, 'nobody', i, 'null' FROM n;
         INSERT INTO chat (id, user_id, chat) SELECT 'chat-' || substr(id, 6), id, '{{}}' FROM \"user\";
         INSERT INTO config (data, version) VALUES ('{{}}', 0);
         COMMIT;"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await?;
    conn.close().await?;
    Ok(())
}

/// The same in 0.12, each group below the one before it, five deep.
async fn fill_0_12(path: &Path, users: usize) -> Result<(), BoxedError> {
    let file = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(false);
    let mut conn = file.journal_mode(SqliteJournalMode::Wal).connect().await?;
    sqlx::raw_sql(include_str!("../tests/stores/grants/webui-0.12.4.sql")).execute(&mut conn).await?;
    let sql = format!(
        "CREATE INDEX ix_group_member_user_id_group_id ON group_member (user_id, group_id);
         CREATE INDEX idx_access_grant_resource ON access_grant (resource_type, resource_id);
         CREATE INDEX idx_access_grant_principal ON access_grant (principal_type, principal_id);
         BEGIN;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {users})
         INSERT INTO \"user\" (id, name, role, profile_image_url, last_active_at, settings)
         SELECT 'user-' || i, 'User ' || i, 'user', printf('%.2000c', 'x'), 0, '{{\"ui\":{{\"theme\":\"dark\"}}}}' FROM n;
         INSERT INTO auth (id, active, session_stamp) SELECT id, 1, 'stamp of ' || id FROM \"user\";
         INSERT INTO config (key, value) VALUES ('user.permissions', '{{\"features\":{{\"notes\":true}}}}');
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < 50)
         INSERT INTO \"group\" (id, name, permissions, parent_group_id)
         SELECT 'group-' || i, i, '{{\"features\":{{\"channels\":true}}}}',
                CASE WHEN i % 5 > 0 THEN 'group-' || (i - 1) END FROM n;
         INSERT INTO group_member (id, group_id, user_id)
         SELECT 'm' || rowid, 'group-' || (rowid % 50), id FROM \"user\";
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < 1000)
         INSERT INTO channel (id, user_id, name, type) SELECT 'channel-' || i, 'user-0', i, 'group' FROM n;
         INSERT INTO channel_member (id, channel_id, user_id, is_active, joined_at)
         SELECT 'm' || rowid, 'channel-' || (rowid % 1000), id, 1, 0 FROM \"user\";
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < 100)
         INSERT INTO channel (id, user_id, name) SELECT 'open-' || i, 'nobody', i FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < 100)
         INSERT INTO access_grant SELECT 'o' || i, 'channel', 'open-' || i, 'group', 'group-' || (i % 50), 'read', 0 FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < 10)
         INSERT INTO channel (id, user_id, name) SELECT 'public-' || i, 'nobody', i FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < 10)
         INSERT INTO access_grant SELECT 'p' || i, 'channel', 'public-' || i, 'user', '*', 'read', 0 FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {users})
         INSERT INTO access_grant SELECT 'n' || i, 'note', 'note-' || i, 'user', 'user-' || i, 'read', 0 FROM n;
         INSERT INTO chat (id, user_id, chat, updated_at) SELECT 'chat-' || substr(id, 6), id, '{{}}', 5 FROM \"user\";
         COMMIT;"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await?;
    conn.close().await?;
    Ok(())
}

/// The tables and constraints of 0.6.41, as far as they matter here. There is no index on `channel_member`.
const TABLES: &str = r#"
CREATE TABLE "user" (id VARCHAR(255) NOT NULL, name VARCHAR(255) NOT NULL, email VARCHAR(255) NOT NULL,
    role VARCHAR(255) NOT NULL, profile_image_url TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    last_active_at INTEGER NOT NULL, bio TEXT, gender TEXT, date_of_birth DATE, info JSON, settings JSON,
    CONSTRAINT pk_user_id PRIMARY KEY (id), CONSTRAINT uq_user_id UNIQUE (id));
CREATE UNIQUE INDEX user_id ON "user" (id);
CREATE TABLE channel (id TEXT NOT NULL, user_id TEXT, name TEXT, access_control JSON, type TEXT, archived_at BIGINT,
    deleted_at BIGINT, PRIMARY KEY (id), UNIQUE (id));
CREATE TABLE channel_member (id TEXT NOT NULL, channel_id TEXT NOT NULL, user_id TEXT NOT NULL,
    is_active BOOLEAN DEFAULT (1) NOT NULL, joined_at BIGINT NOT NULL, last_read_at BIGINT, updated_at BIGINT,
    PRIMARY KEY (id), UNIQUE (id));
CREATE TABLE note (id TEXT NOT NULL PRIMARY KEY, user_id TEXT, access_control JSON, data JSON, updated_at BIGINT);
CREATE TABLE "chat" ("id" VARCHAR(255) NOT NULL PRIMARY KEY, "user_id" VARCHAR(255) NOT NULL, "updated_at" DATETIME, chat JSON,
    last_read_at BIGINT);
CREATE TABLE "group" (id TEXT NOT NULL, name TEXT, permissions JSON, PRIMARY KEY (id), UNIQUE (id));
CREATE TABLE group_member (id TEXT NOT NULL, group_id TEXT NOT NULL, user_id TEXT NOT NULL, PRIMARY KEY (id),
    CONSTRAINT uq_group_member_group_user UNIQUE (group_id, user_id), UNIQUE (id));
CREATE TABLE config (id INTEGER NOT NULL, data JSON NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (id));
"#;
