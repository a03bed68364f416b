//! The statements for Open WebUI 0.12, where rules are rows of `access_grant`, members rows of `group_member`, and each
//! key of the configuration is a row.
//!
//! A right is one row that says exactly that right, for all users (`user`, `*`), for the user or for one of its groups:
//! those that it is a member of and those above them. Groups and folders lie in one another by rows that nothing keeps
//! from forming a circle: `UNION` ends there, as what was found already is not followed again.
//!
//! Owns: SQL text, for SQLite and PostgreSQL. Must never know: connections, or what an answer is for.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::statements::Dialect;

/// The statements, each made once for a database.
#[derive(Debug)]
pub(super) struct GrantStatements {
    /// Of the users in the JSON array `$1`: the rows that [`channels_of`](super::crowd::channels_of) reads.
    pub(super) channels: SqlStr,
    /// Of the users in the JSON array `$1`: the rows that [`accounts_of`](super::accounts::accounts_of) reads.
    pub(super) accounts: SqlStr,
    /// Of note `$1` and user `$2`: the rows that [`note_of`](super::accounts::note_of) reads.
    pub(super) note: SqlStr,
    /// Chat `$1` for user `$2`: owner, `internal` if it is that, and `read` or `write` if that is shared.
    pub(super) chat: SqlStr,
    /// Of the files in the JSON array `$1` and user `$2`: the rows that [`readable`](super::file_access::readable) reads.
    pub(super) files: SqlStr,
    /// Of the users in the JSON array `$1` and channel `$2`: the rows that
    /// [`encryption_users_of`](super::accounts::encryption_users_of) reads.
    pub(super) encryption_users: SqlStr,
    /// Chat `$1` of user `$2`: `unread` if it is that. The row is locked.
    pub(super) read_state: &'static str,
    /// Folders of user `$1`: id, id of the parent, and the number of unread chats in it.
    pub(super) folders: &'static str,
    /// Timers of user `$2` that wait and may be cancelled by something in chat `$1`: id and `meta`. The rows are locked.
    pub(super) timers: SqlStr,
    /// Timer `$1` is none any more since `$3`, and `$2` is its `meta`.
    pub(super) cancel_timer: &'static str,
    /// Owner and JSON of chat `$1`. The row is locked.
    pub(super) chat_text: &'static str,
    /// The JSON of chat `$1` becomes `$2`; if `$3` is `touched`, it counts as changed at `$4`; if there is a `$5`, that is
    /// its current message.
    pub(super) rewrite_chat: &'static str,
    /// Of message `$1` (the ids of its chat and its own, with `-` between them), changed at `$7`: content, statuses, files,
    /// sources and embeds, each unless it is NULL.
    pub(super) change_message: &'static str,
    /// A row of `chat_message`, by the columns in the order of [`MESSAGE_COLUMNS`](super::messages::MESSAGE_COLUMNS).
    pub(super) insert_message: SqlStr,
}

impl GrantStatements {
    pub(super) fn new(dialect: Dialect) -> Self {
        let words = Words::of(dialect);
        Self {
            channels: fixed(words.channels()),
            accounts: fixed(words.accounts()),
            note: fixed(words.note()),
            chat: fixed(words.chat()),
            files: fixed(words.files()),
            encryption_users: fixed(words.encryption_users()),
            read_state: words.pick(
                "SELECT CASE WHEN last_read_at IS NULL OR updated_at > last_read_at THEN 'unread' END FROM chat \
                 WHERE id = $1 AND user_id = $2",
                "SELECT CASE WHEN last_read_at IS NULL OR updated_at > last_read_at THEN 'unread' END FROM chat \
                 WHERE id = $1 AND user_id = $2 FOR UPDATE",
            ),
            folders: FOLDERS,
            timers: fixed(words.timers()),
            cancel_timer: words.pick(
                "UPDATE chat SET meta = $2, timer_at = NULL, updated_at = $3 WHERE id = $1",
                "UPDATE chat SET meta = $2::json, timer_at = NULL, updated_at = $3 WHERE id = $1",
            ),
            chat_text: words.pick(
                "SELECT user_id, CAST(chat AS TEXT) FROM chat WHERE id = $1",
                "SELECT user_id, CAST(chat AS TEXT) FROM chat WHERE id = $1 FOR UPDATE",
            ),
            rewrite_chat: words.pick(
                "UPDATE chat SET chat = $2, updated_at = CASE WHEN $3 = 'touched' THEN $4 ELSE updated_at END, \
                 current_message_id = coalesce($5, current_message_id) WHERE id = $1",
                "UPDATE chat SET chat = $2::json, updated_at = CASE WHEN $3 = 'touched' THEN $4 ELSE updated_at END, \
                 current_message_id = coalesce($5, current_message_id) WHERE id = $1",
            ),
            change_message: words.pick(
                "UPDATE chat_message SET content = coalesce($2, content), \
                 status_history = coalesce($3, status_history), files = coalesce($4, files), \
                 sources = coalesce($5, sources), embeds = coalesce($6, embeds), updated_at = $7 WHERE id = $1",
                "UPDATE chat_message SET content = coalesce($2::json, content), \
                 status_history = coalesce($3::json, status_history), files = coalesce($4::json, files), \
                 sources = coalesce($5::json, sources), embeds = coalesce($6::json, embeds), updated_at = $7 \
                 WHERE id = $1",
            ),
            insert_message: fixed(words.insert_message()),
        }
    }
}

/// Folders of user `$1`, as [`GrantStatements::folders`]. A chat with an answer that is still being written is not unread.
const FOLDERS: &str = "SELECT f.id, f.parent_id, CAST(coalesce(n.chats, 0) AS TEXT) FROM folder f LEFT JOIN \
     (SELECT c.folder_id, count(*) AS chats FROM chat c WHERE c.user_id = $1 AND c.folder_id IS NOT NULL \
     AND NOT c.archived AND c.updated_at > coalesce(c.last_read_at, 0) AND NOT EXISTS \
     (SELECT 1 FROM chat_message m WHERE m.chat_id = c.id AND m.role = 'assistant' AND m.done IS FALSE) \
     GROUP BY c.folder_id) n ON n.folder_id = f.id WHERE f.user_id = $1 ORDER BY f.id";

/// What the two databases say differently.
#[derive(Clone, Copy)]
struct Words {
    is_postgres: bool,
    /// How a part is named that is to be evaluated once; SQLite has to be told.
    once: &'static str,
    /// The ids of the JSON array `$1`.
    ids: &'static str,
}

impl Words {
    fn of(dialect: Dialect) -> Self {
        match dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Own | Dialect::Sqlite => {
                Self { is_postgres: false, once: "AS MATERIALIZED", ids: "SELECT value FROM json_each($1)" }
            }
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                Self { is_postgres: true, once: "AS", ids: "SELECT jsonb_array_elements_text($1::jsonb)" }
            }
        }
    }

    fn pick(self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        if self.is_postgres { postgres } else { sqlite }
    }

    /// A member of a JSON column, below others, as JSON text.
    fn json(self, column: &str, path: &[&str]) -> String {
        if self.is_postgres {
            format!("({column} #> '{{{}}}')::text", path.join(","))
        } else {
            format!("({column} -> '$.{}')", path.join("."))
        }
    }

    /// A member of a JSON column that is a text.
    fn text(self, column: &str, key: &str) -> String {
        let path = if self.is_postgres { "" } else { "$." };
        format!("({column} ->> '{path}{key}')")
    }

    /// Two parts: the ids of groups of the users `u`, and of those the groups that are there.
    fn belongs(self) -> String {
        let once = self.once;
        format!(
            "member(user_id, group_id) AS (SELECT m.user_id, m.group_id FROM group_member m \
             WHERE m.user_id IN (SELECT id FROM u) UNION SELECT e.user_id, g.parent_group_id FROM member e \
             JOIN \"group\" g ON g.id = e.group_id WHERE g.parent_group_id IS NOT NULL), \
             belongs(user_id, group_id) {once} (SELECT e.user_id, g.id FROM member e \
             JOIN \"group\" g ON g.id = e.group_id)"
        )
    }

    fn channels(self) -> String {
        let (once, ids, belongs) = (self.once, self.ids, self.belongs());
        let of_group = self.json("g.permissions", &["features", "channels"]);
        let default = self.json("value", &["features", "channels"]);
        let granted = "FROM access_grant a JOIN standard c ON c.id = a.resource_id \
                       WHERE a.resource_type = 'channel' AND a.permission = 'read'";
        format!(
            "WITH RECURSIVE u(id) {once} ({ids}), {belongs}, \
             groups(group_id) {once} (SELECT DISTINCT group_id FROM belongs), \
             standard(id, user_id) AS (SELECT id, user_id FROM channel WHERE deleted_at IS NULL \
             AND archived_at IS NULL AND (type IS NULL OR type NOT IN ('group', 'dm'))) \
             SELECT 'user', m.user_id, c.id FROM channel_member m JOIN channel c ON c.id = m.channel_id \
             WHERE m.user_id IN (SELECT id FROM u) AND m.is_active AND c.type IN ('group', 'dm') \
             AND c.deleted_at IS NULL AND c.archived_at IS NULL \
             UNION ALL SELECT 'user', c.user_id, c.id FROM standard c WHERE c.user_id IN (SELECT id FROM u) \
             UNION ALL SELECT 'user', a.principal_id, c.id {granted} AND a.principal_type = 'user' \
             AND a.principal_id IN (SELECT id FROM u) \
             UNION ALL SELECT 'public', NULL, c.id {granted} AND a.principal_type = 'user' AND a.principal_id = '*' \
             UNION ALL SELECT 'grant', a.principal_id, c.id {granted} AND a.principal_type = 'group' \
             AND a.principal_id IN (SELECT group_id FROM groups) \
             UNION ALL SELECT 'in', user_id, group_id FROM belongs \
             UNION ALL SELECT 'group', g.id, {of_group} FROM \"group\" g WHERE g.id IN (SELECT group_id FROM groups) \
             UNION ALL SELECT 'default', NULL, {default} FROM config WHERE key = 'user.permissions'"
        )
    }

    fn accounts(self) -> String {
        let (once, ids, belongs) = (self.once, self.ids, self.belongs());
        let of_group = self.json("g.permissions", &["features"]);
        let default = self.json("value", &["features"]);
        // The secret stays where it is.
        let has_secret = format!("coalesce({}, '') <> ''", self.text("a.mfa", "secret"));
        let auth = if self.is_postgres {
            format!(
                "json_build_array(a.active, a.session_stamp, {has_secret}, \
                 coalesce(a.mfa -> 'reset_required', 'false'::json))::text"
            )
        } else {
            format!(
                "json_array(a.active, a.session_stamp, {has_secret}, \
                 json(coalesce(a.mfa -> '$.reset_required', 'false')))"
            )
        };
        format!(
            "WITH RECURSIVE u(id) {once} ({ids}), {belongs} \
             SELECT 'auth', a.id, {auth} FROM auth a WHERE a.id IN (SELECT id FROM u) \
             UNION ALL SELECT 'in', user_id, group_id FROM belongs \
             UNION ALL SELECT 'group', g.id, {of_group} FROM \"group\" g \
             WHERE g.id IN (SELECT group_id FROM belongs) \
             UNION ALL SELECT 'default', NULL, {default} FROM config WHERE key = 'user.permissions' \
             UNION ALL SELECT 'config', key, CAST(value AS TEXT) FROM config WHERE key IN \
             ('auth.mfa.enable', 'auth.mfa.allow_oauth_bypass', 'auth.mfa.allow_trusted_header_bypass')"
        )
    }

    fn encryption_users(self) -> String {
        let (once, ids, belongs) = (self.once, self.ids, self.belongs());
        let of_group = self.json("g.permissions", &["features"]);
        let default = self.json("value", &["features"]);
        let who = self.pick("json_array(p.name, p.role)", "json_build_array(p.name, p.role)::text");
        format!(
            "WITH RECURSIVE u(id) {once} ({ids}), {belongs} \
             SELECT 'user', p.id, {who} FROM \"user\" p WHERE p.id IN (SELECT id FROM u) AND p.id IN \
             (SELECT m.user_id FROM channel_member m JOIN channel c ON c.id = m.channel_id WHERE c.id = $2 \
             AND m.is_active AND (c.type = 'dm' OR c.type = 'group' AND c.is_private IS TRUE) \
             AND c.deleted_at IS NULL AND c.archived_at IS NULL) \
             UNION ALL SELECT 'in', user_id, group_id FROM belongs \
             UNION ALL SELECT 'group', g.id, {of_group} FROM \"group\" g \
             WHERE g.id IN (SELECT group_id FROM belongs) \
             UNION ALL SELECT 'default', NULL, {default} FROM config WHERE key = 'user.permissions' \
             UNION ALL SELECT 'config', key, CAST(value AS TEXT) FROM config WHERE key IN \
             ('channels.enable', 'channels.encryption.enable')"
        )
    }

    fn note(self) -> String {
        let belongs = self.belongs();
        format!(
            "WITH RECURSIVE u(id) AS (SELECT CAST($2 AS TEXT)), {belongs} \
             SELECT 'owner', CAST(NULL AS TEXT), user_id FROM note WHERE id = $1 \
             UNION ALL SELECT principal_type, permission, principal_id FROM access_grant \
             WHERE resource_type = 'note' AND resource_id = $1 AND principal_type IN ('user', 'group') \
             UNION ALL SELECT 'in', NULL, group_id FROM belongs"
        )
    }

    /// Whether user `$2` may read: that is said of a resource of this type with this id.
    fn may_read(resource: &str, id: &str) -> String {
        format!(
            "EXISTS (SELECT 1 FROM access_grant a WHERE a.resource_type = '{resource}' AND a.resource_id = {id} \
             AND a.permission = 'read' AND (a.principal_type = 'user' AND a.principal_id IN ('*', $2) \
             OR a.principal_type = 'group' AND a.principal_id IN (SELECT group_id FROM belongs)))"
        )
    }

    fn chat(self) -> String {
        let belongs = self.belongs();
        let (is_shared, is_in_shared) = (Self::may_read("shared_chat", "c.id"), Self::may_read("folder", "up.id"));
        let (internal, chat_mode) = (self.json("c.meta", &["internal"]), self.text("s.chat", "share_mode"));
        let folder_mode = self.text("f.data", "share_mode");
        format!(
            "WITH RECURSIVE u(id) AS (SELECT CAST($2 AS TEXT)), {belongs}, \
             c(id, user_id, folder_id, meta) AS (SELECT id, user_id, folder_id, meta FROM chat WHERE id = $1), \
             up(id, parent_id, user_id) AS (SELECT f.id, f.parent_id, f.user_id FROM folder f \
             JOIN c ON f.id = c.folder_id UNION SELECT f.id, f.parent_id, f.user_id FROM folder f \
             JOIN up ON f.id = up.parent_id) \
             SELECT c.user_id, CASE WHEN {internal} = 'true' THEN 'internal' END, \
             CASE WHEN {is_shared} AND (SELECT {chat_mode} FROM shared_chat s WHERE s.chat_id = c.id \
             ORDER BY s.updated_at DESC LIMIT 1) = 'continue' THEN 'write' \
             WHEN EXISTS (SELECT 1 FROM up WHERE up.user_id = $2 OR {is_in_shared}) THEN \
             CASE WHEN (SELECT {folder_mode} FROM folder f WHERE f.id = c.folder_id LIMIT 1) = 'continue' \
             THEN 'write' ELSE 'read' END END FROM c"
        )
    }

    fn files(self) -> String {
        let (once, ids, belongs) = (self.once, self.ids, self.belongs());
        format!(
            "WITH RECURSIVE u(id) AS (SELECT CAST($2 AS TEXT)), {belongs}, \
             granted(type, id) {once} (SELECT DISTINCT a.resource_type, a.resource_id FROM access_grant a \
             WHERE a.permission = 'read' \
             AND a.resource_type IN ('knowledge', 'channel', 'shared_chat', 'folder', 'note', 'model') \
             AND (a.principal_type = 'user' AND a.principal_id IN ('*', $2) \
             OR a.principal_type = 'group' AND a.principal_id IN (SELECT group_id FROM belongs))), \
             f(id, user_id) {once} (SELECT id, user_id FROM file WHERE id IN ({ids})), \
             linked(file_id, chat_id, folder_id, user_id) {once} (SELECT x.file_id, c.id, c.folder_id, c.user_id \
             FROM chat_file x JOIN chat c ON c.id = x.chat_id WHERE x.file_id IN (SELECT id FROM f) \
             AND (c.share_id IS NOT NULL OR c.folder_id IS NOT NULL)), \
             up(file_id, id, parent_id, user_id) AS (SELECT l.file_id, d.id, d.parent_id, d.user_id FROM folder d \
             JOIN linked l ON d.id = l.folder_id UNION SELECT up.file_id, d.id, d.parent_id, d.user_id FROM folder d \
             JOIN up ON d.id = up.parent_id) \
             SELECT 'may', f.id, NULL FROM f WHERE f.user_id = $2 \
             UNION ALL SELECT 'may', x.file_id, NULL FROM knowledge_file x JOIN knowledge k ON k.id = x.knowledge_id \
             WHERE x.file_id IN (SELECT id FROM f) \
             AND (k.user_id = $2 OR k.id IN (SELECT id FROM granted WHERE type = 'knowledge')) \
             UNION ALL SELECT 'may', x.file_id, NULL FROM channel_file x JOIN channel c ON c.id = x.channel_id \
             WHERE x.file_id IN (SELECT id FROM f) AND c.deleted_at IS NULL AND c.archived_at IS NULL \
             AND CASE WHEN c.type IN ('group', 'dm') THEN EXISTS (SELECT 1 FROM channel_member m \
             WHERE m.channel_id = c.id AND m.user_id = $2 AND m.is_active) \
             ELSE c.user_id = $2 OR c.id IN (SELECT id FROM granted WHERE type = 'channel') END \
             UNION ALL SELECT 'may', l.file_id, NULL FROM linked l \
             WHERE l.user_id = $2 OR l.chat_id IN (SELECT id FROM granted WHERE type = 'shared_chat') \
             UNION ALL SELECT 'may', up.file_id, NULL FROM up \
             WHERE up.user_id = $2 OR up.id IN (SELECT id FROM granted WHERE type = 'folder') \
             UNION ALL SELECT 'note', f.id, CAST(n.data AS TEXT) FROM f JOIN note n ON n.user_id = f.user_id \
             WHERE n.id IN (SELECT id FROM granted WHERE type = 'note') \
             AND CAST(n.data AS TEXT) LIKE '%' || f.id || '%' \
             UNION ALL SELECT 'model', f.id, CAST(m.meta AS TEXT) FROM f \
             JOIN model m ON CAST(m.meta AS TEXT) LIKE '%' || f.id || '%' \
             WHERE m.user_id = $2 OR m.id IN (SELECT id FROM granted WHERE type = 'model')"
        )
    }

    fn timers(self) -> String {
        let (parent, status) = (self.text("meta", "parent_chat_id"), self.text("meta", "status"));
        let lock = self.pick("", " FOR UPDATE");
        format!(
            "SELECT id, CAST(meta AS TEXT) FROM chat WHERE timer_at IS NOT NULL AND user_id = $2 \
             AND {parent} = $1 AND {status} = 'pending' ORDER BY id{lock}"
        )
    }

    fn insert_message(self) -> String {
        let mut values = Vec::new();
        for (at, (column, kind)) in super::messages::MESSAGE_COLUMNS.iter().enumerate() {
            let arg = format!("${}", at + 1);
            values.push(match kind {
                super::messages::ColumnKind::Json if self.is_postgres => format!("{arg}::json"),
                super::messages::ColumnKind::Flag => format!("({arg} = 'true')"),
                super::messages::ColumnKind::Json | super::messages::ColumnKind::Plain => arg,
            });
            debug_assert!(!column.is_empty());
        }
        let columns: Vec<&str> = super::messages::MESSAGE_COLUMNS.iter().map(|(column, _)| *column).collect();
        format!("INSERT INTO chat_message ({}) VALUES ({})", columns.join(", "), values.join(", "))
    }
}

/// Made here of words that stand in this file.
fn fixed(text: String) -> SqlStr {
    AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
}
