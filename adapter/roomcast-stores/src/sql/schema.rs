//! What a database is found to be.
//!
//! Owns: the tables and columns that are needed, and the release of Open WebUI that they tell. Must never know: what an
//! answer is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use roomcast_openwebui::Release;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::fault::Fault;
use super::grants::GrantStatements;
use super::pool::{Arg, Executor};
use super::statements::Dialect;

/// What was found in a database.
#[derive(Debug)]
pub(super) struct Schema {
    /// Whose tables they are.
    pub(super) release: Release,
    users: SqlStr,
    /// Whether a chat has a place for the moment when it was last read.
    pub(super) has_read_mark: bool,
    /// The statements for rows of `access_grant`; without them, the rules are in columns `access_control`.
    pub(super) grants: Option<GrantStatements>,
}

impl Schema {
    /// Looks whether all is there that is needed: for this release, or for the one that the tables tell.
    pub(super) async fn read(
        link: &mut Executor<'_>,
        dialect: Dialect,
        without: &[String],
        wanted: Option<Release>,
    ) -> Result<Self, Fault> {
        let tables = TableColumns::read(link, dialect).await?;
        if tables.of("user").is_empty() {
            return Err(Fault::NoTables);
        }
        let found = if tables.has("access_grant", "id") && !tables.has("note", "access_control") {
            Release::V0_12
        } else {
            Release::V0_6
        };
        let release = wanted.unwrap_or(found);
        let needed = if release == Release::V0_12 { NEEDED_BY_0_12 } else { NEEDED_BY_0_6 };
        for (table, columns) in needed {
            if let Some(column) = columns.iter().find(|column| !tables.has(table, column)) {
                return Err(if release == found {
                    Fault::Missing { table, column }
                } else {
                    Fault::OtherRelease { found, wanted: release }
                });
            }
        }
        let kept: Vec<_> = tables.of("user").iter().filter(|(name, _)| !without.contains(name)).cloned().collect();
        Ok(Self {
            release,
            // Made of column names alone, and they are quoted.
            users: AssertSqlSafe(Arc::<str>::from(dialect.users(&kept))).into_sql_str(),
            has_read_mark: tables.has("chat", "last_read_at"),
            grants: (release == Release::V0_12).then(|| GrantStatements::new(dialect)),
        })
    }

    /// The users in the JSON array `$1`: id, name, role and profile.
    pub(super) fn users(&self) -> SqlStr {
        self.users.clone()
    }
}

/// Names and types of the columns of tables, in order.
struct TableColumns(BTreeMap<String, Vec<(String, String)>>);

impl TableColumns {
    async fn read(link: &mut Executor<'_>, dialect: Dialect) -> Result<Self, Fault> {
        let needed = NEEDED_BY_0_6.iter().chain(NEEDED_BY_0_12);
        let names: Vec<&str> = needed.map(|(table, _)| *table).collect();
        let names = serde_json::json!(names).to_string();
        let mut found = Self(BTreeMap::new());
        for row in link.rows(dialect.columns(), &[Arg::Text(&names)]).await? {
            if let Ok([Some(table), Some(name), Some(kind)]) = <[Option<String>; 3]>::try_from(row) {
                let columns = found.0.entry(table).or_default();
                // A table that both releases have is named twice.
                if columns.iter().all(|(known, _)| *known != name) {
                    columns.push((name, kind));
                }
            }
        }
        Ok(found)
    }

    fn of(&self, table: &str) -> &[(String, String)] {
        self.0.get(table).map_or(&[], Vec::as_slice)
    }

    fn has(&self, table: &str, column: &str) -> bool {
        self.of(table).iter().any(|(name, _)| name == column)
    }
}

/// Tables and columns without which nothing can be answered where rules are columns: Open WebUI 0.6.41 to 0.7, and
/// roomcast's own file.
const NEEDED_BY_0_6: &[(&str, &[&str])] = &[
    ("user", &["id", "name", "role", "last_active_at"]),
    ("group", &["id", "permissions"]),
    ("group_member", &["group_id", "user_id"]),
    ("channel", &["id", "user_id", "type", "access_control", "archived_at", "deleted_at"]),
    ("channel_member", &["channel_id", "user_id", "is_active", "last_read_at", "updated_at"]),
    ("note", &["id", "user_id", "access_control", "data", "updated_at"]),
    ("chat", &["id", "user_id", "chat", "updated_at"]),
    ("config", &["id", "data"]),
];

/// The same where rules are rows: Open WebUI 0.12.
const NEEDED_BY_0_12: &[(&str, &[&str])] = &[
    ("user", &["id", "name", "role", "last_active_at"]),
    ("auth", &["id", "active", "mfa", "session_stamp"]),
    ("config", &["key", "value"]),
    ("group", &["id", "permissions", "parent_group_id"]),
    ("group_member", &["group_id", "user_id"]),
    ("access_grant", &["resource_type", "resource_id", "principal_type", "principal_id", "permission"]),
    ("channel", &["id", "user_id", "type", "archived_at", "deleted_at"]),
    ("channel_member", &["channel_id", "user_id", "is_active", "last_read_at", "updated_at"]),
    ("note", &["id", "user_id", "data", "updated_at"]),
    (
        "chat",
        &[
            "id",
            "user_id",
            "chat",
            "updated_at",
            "last_read_at",
            "archived",
            "share_id",
            "folder_id",
            "meta",
            "timer_at",
            "current_message_id",
        ],
    ),
    ("shared_chat", &["chat_id", "chat", "updated_at"]),
    ("folder", &["id", "parent_id", "user_id", "data"]),
    (
        "chat_message",
        &[
            "id",
            "chat_id",
            "user_id",
            "role",
            "parent_id",
            "content",
            "output",
            "model_id",
            "files",
            "sources",
            "embeds",
            "meta",
            "done",
            "status_history",
            "error",
            "usage",
            "context_summary",
            "created_at",
            "updated_at",
        ],
    ),
    ("file", &["id", "user_id"]),
    ("channel_file", &["channel_id", "file_id"]),
    ("chat_file", &["chat_id", "file_id"]),
    ("knowledge", &["id", "user_id"]),
    ("knowledge_file", &["knowledge_id", "file_id"]),
    ("model", &["id", "user_id", "meta"]),
];
