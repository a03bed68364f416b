//! The statements for Open WebUI 0.6 and for roomcast's own file, where rules are columns `access_control`, and those that
//! 0.12 has as well.
//!
//! Owns: SQL text, for SQLite and PostgreSQL. Must never know: connections, or what an answer is for.

use std::fmt::Write;

/// Which words a database understands, and whose rules it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// roomcast's own file.
    #[cfg(feature = "sqlite")]
    Own,
    /// Open WebUI's file.
    #[cfg(feature = "sqlite")]
    Sqlite,
    /// Open WebUI's server.
    #[cfg(feature = "postgres")]
    Postgres,
}

impl Dialect {
    /// Whether it is a file, of which a transaction that writes keeps others out.
    pub(super) const fn is_file(self) -> bool {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Own | Self::Sqlite => true,
            #[cfg(feature = "postgres")]
            Self::Postgres => false,
        }
    }

    /// Of the users in the JSON array `$1`: the rows that [`channels_of`](super::crowd::channels_of) reads.
    pub(super) fn channels(self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Own => channels!(
                "AS MATERIALIZED",
                "SELECT value FROM json_each($1)",
                "CASE WHEN json_valid(c.access_control) THEN \
                 json_type(c.access_control, '$.read.group_ids') = 'array' AND EXISTS \
                 (SELECT 1 FROM json_each(c.access_control, '$.read.group_ids') WHERE value = m.group_id) END",
                "g.permissions -> '$.features.channels'",
                "data -> '$.user.permissions.features.channels'"
            ),
            // What the original asks SQLite: whether the text of the list is like the text of a list of this one group.
            // So it is if the list has no other; and LIKE does not tell cases apart.
            #[cfg(feature = "sqlite")]
            Self::Sqlite => channels!(
                "AS MATERIALIZED",
                "SELECT value FROM json_each($1)",
                "CASE WHEN json_valid(c.access_control) THEN \
                 json_quote(json_extract(c.access_control, '$.read.group_ids')) \
                 LIKE '%' || json_array(m.group_id) || '%' END",
                "g.permissions -> '$.features.channels'",
                "data -> '$.user.permissions.features.channels'"
            ),
            #[cfg(feature = "postgres")]
            Self::Postgres => channels!(
                "AS",
                "SELECT jsonb_array_elements_text($1::jsonb)",
                "(c.access_control -> 'read' -> 'group_ids')::jsonb @> jsonb_build_array(m.group_id)",
                "(g.permissions #> '{features,channels}')::text",
                "(data #> '{user,permissions,features,channels}')::text"
            ),
        }
    }

    /// The JSON of chat `$1`, and how it becomes `$2`.
    pub(super) fn chat(self) -> Rewrite {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Own | Self::Sqlite => Rewrite {
                select: "SELECT CAST(chat AS TEXT) FROM chat WHERE id = $1",
                update: "UPDATE chat SET chat = $2, updated_at = CAST(strftime('%s', 'now') AS INTEGER) WHERE id = $1",
            },
            #[cfg(feature = "postgres")]
            Self::Postgres => Rewrite {
                select: "SELECT CAST(chat AS TEXT) FROM chat WHERE id = $1 FOR UPDATE",
                update: "UPDATE chat SET chat = $2::json, \
                         updated_at = floor(extract(epoch FROM clock_timestamp()))::bigint WHERE id = $1",
            },
        }
    }

    /// The data of note `$1`, and how they become `$3` at `$2`.
    pub(super) fn note(self) -> Rewrite {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Own | Self::Sqlite => {
                Rewrite { select: NOTE_DATA, update: "UPDATE note SET data = $3, updated_at = $2 WHERE id = $1" }
            }
            #[cfg(feature = "postgres")]
            Self::Postgres => Rewrite {
                select: "SELECT CAST(data AS TEXT) FROM note WHERE id = $1 FOR UPDATE",
                update: "UPDATE note SET data = $3::json, updated_at = $2 WHERE id = $1",
            },
        }
    }

    /// Of the tables in the JSON array `$1`: table, and names and types of its columns, in order.
    pub(super) fn columns(self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Own | Self::Sqlite => {
                "SELECT t.value, c.name, lower(c.type) FROM json_each($1) t JOIN pragma_table_info(t.value) c \
                 ORDER BY t.key, c.cid"
            }
            #[cfg(feature = "postgres")]
            Self::Postgres => {
                "SELECT t.name, a.attname::text, format_type(a.atttypid, NULL) \
                 FROM jsonb_array_elements_text($1::jsonb) t(name) \
                 JOIN pg_attribute a ON a.attrelid = to_regclass(quote_ident(t.name)) \
                 WHERE a.attnum > 0 AND NOT a.attisdropped ORDER BY t.name, a.attnum"
            }
        }
    }

    /// The users in the JSON array `$1`: id, name, role, and these columns of the row as one JSON object.
    pub(super) fn users(self, columns: &[(String, String)]) -> String {
        let mut fields = String::new();
        for (name, kind) in columns {
            let comma = if fields.is_empty() { "" } else { ", " };
            let column = format!("\"{}\"", name.replace('"', "\"\""));
            let is_json = matches!(kind.as_str(), "json" | "jsonb") || JSON_IN_TEXT.contains(&name.as_str());
            let written = match self {
                #[cfg(feature = "sqlite")]
                Self::Own | Self::Sqlite => {
                    let key = name.replace('\'', "''");
                    let value = match kind.as_str() {
                        _ if is_json => format!("json({column})"),
                        "boolean" => format!("json(CASE {column} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END)"),
                        _ => column,
                    };
                    write!(fields, "{comma}'{key}', {value}")
                }
                #[cfg(feature = "postgres")]
                Self::Postgres => {
                    let cast = if is_json { "::json" } else { "" };
                    write!(fields, "{comma}u.{column}{cast} AS {column}")
                }
            };
            debug_assert!(written.is_ok(), "a String takes everything");
        }
        match self {
            #[cfg(feature = "sqlite")]
            Self::Own | Self::Sqlite => format!(
                "SELECT id, name, role, json_object({fields}) FROM \"user\" \
                 WHERE id IN (SELECT value FROM json_each($1))"
            ),
            #[cfg(feature = "postgres")]
            Self::Postgres => format!(
                "SELECT u.id::text, u.name::text, u.role::text, (SELECT row_to_json(p)::text FROM (SELECT {fields}) p) \
                 FROM \"user\" u WHERE u.id IN (SELECT jsonb_array_elements_text($1::jsonb))"
            ),
        }
    }

    /// Users were active at moments: `$1` is a JSON array of pairs. A row that another transaction holds is passed over in
    /// PostgreSQL, rather than keeping the others waiting.
    pub(super) fn touch_users(self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Own | Self::Sqlite => {
                "UPDATE \"user\" SET last_active_at = t.at \
                 FROM (SELECT value ->> 0 AS id, value ->> 1 AS at FROM json_each($1)) t WHERE \"user\".id = t.id"
            }
            #[cfg(feature = "postgres")]
            Self::Postgres => {
                "WITH due AS (SELECT u.id, (t.value ->> 1)::bigint AS at FROM jsonb_array_elements($1::jsonb) t \
                 JOIN \"user\" u ON u.id = t.value ->> 0 ORDER BY u.id FOR UPDATE OF u SKIP LOCKED) \
                 UPDATE \"user\" u SET last_active_at = due.at FROM due WHERE u.id = due.id"
            }
        }
    }
}

/// How the one text of a row is changed within a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rewrite {
    pub(super) select: &'static str,
    pub(super) update: &'static str,
}

/// Channels of which the users are members, and the others that are open to them or their groups. The first
/// arguments say how a part is named and how rows are made of an array, the next says whether channel `c` lets in group `m.group_id`, the others what group `g` and
/// the newest configuration `c` say of channels. Memberships of groups that are gone stay behind in SQLite, which also
/// has to be told to evaluate a part once (`AS MATERIALIZED`): else it does so for every channel.
macro_rules! channels {
    ($as:literal, $users:literal, $lets_in:literal, $group:literal, $default:literal) => {
        concat!(
            "WITH u(id) ",
            $as,
            "(",
            $users,
            "), belongs(user_id, group_id) ",
            $as,
            "(SELECT m.user_id, g.id FROM group_member m \
             JOIN \"group\" g ON g.id = m.group_id WHERE m.user_id IN (SELECT id FROM u)), \
             groups(group_id) ",
            $as,
            "(SELECT DISTINCT group_id FROM belongs), standard AS (SELECT id, user_id, access_control FROM channel WHERE deleted_at IS NULL \
             AND archived_at IS NULL AND (type IS NULL OR type NOT IN ('group', 'dm'))) \
             SELECT 'user', m.user_id, c.id FROM channel_member m JOIN channel c ON c.id = m.channel_id \
             WHERE m.user_id IN (SELECT id FROM u) AND m.is_active AND c.type IN ('group', 'dm') \
             AND c.deleted_at IS NULL AND c.archived_at IS NULL \
             UNION ALL SELECT 'user', c.user_id, c.id FROM standard c WHERE c.user_id IN (SELECT id FROM u) \
             UNION ALL SELECT 'public', NULL, c.id FROM standard c \
             WHERE c.access_control IS NULL OR CAST(c.access_control AS TEXT) = 'null' \
             UNION ALL SELECT 'grant', m.group_id, c.id FROM groups m CROSS JOIN standard c \
             WHERE c.access_control IS NOT NULL AND ",
            $lets_in,
            " UNION ALL SELECT 'in', user_id, group_id FROM belongs \
             UNION ALL SELECT 'group', g.id, ",
            $group,
            " FROM \"group\" g WHERE g.id IN (SELECT group_id FROM groups) \
             UNION ALL SELECT 'default', NULL, ",
            $default,
            " FROM (SELECT data FROM config ORDER BY id DESC LIMIT 1) c"
        )
    };
}
use channels;

/// Owner and rules of note `$1`.
pub(super) const NOTE: &str = "SELECT user_id, CAST(access_control AS TEXT) FROM note WHERE id = $1";

/// Data of note `$1`.
pub(super) const NOTE_DATA: &str = "SELECT CAST(data AS TEXT) FROM note WHERE id = $1";

/// Groups of user `$1`.
pub(super) const GROUPS: &str =
    "SELECT g.id FROM group_member m JOIN \"group\" g ON g.id = m.group_id WHERE m.user_id = $1 ORDER BY 1";

/// Owner of chat `$1`.
pub(super) const CHAT: &str = "SELECT user_id FROM chat WHERE id = $1";

/// User `$2` has read channel `$1` at `$3`.
pub(super) const READ_CHANNEL: &str =
    "UPDATE channel_member SET last_read_at = $3, updated_at = $3 WHERE channel_id = $1 AND user_id = $2";

/// The same for many in a file: `$1` is a JSON array of triples. One scan of the table, which 0.6.41 has no index for; a join
/// would be one for each triple.
pub(super) const READ_CHANNELS: &str = "WITH m AS MATERIALIZED (SELECT value ->> 0 AS channel, value ->> 1 AS reader, \
         value ->> 2 AS at FROM json_each($1)) \
     UPDATE channel_member \
     SET (last_read_at, updated_at) = (SELECT at, at FROM m WHERE m.channel = channel_id AND m.reader = user_id) \
     WHERE (channel_id, user_id) IN (SELECT channel, reader FROM m)";

/// User `$2` has read its chat `$1` at `$3`.
pub(super) const READ_CHAT: &str = "UPDATE chat SET last_read_at = $3 WHERE id = $1 AND user_id = $2";

/// Columns of `user` that hold JSON even where they were declared as text.
const JSON_IN_TEXT: &[&str] = &["info", "oauth", "settings", "scim", "variables"];
