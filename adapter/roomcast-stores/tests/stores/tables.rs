//! The tables of Open WebUI 0.6.41, as far as the real-time layer knows them, and the world in them.

use roomcast_openwebui::query::Permission;
use roomcast_stores::{ChannelKind, ChannelState, Rows};

use crate::suite::Cell;

/// The tables, in words that both databases understand.
pub const TABLES: &str = r#"
    CREATE TABLE "user" (
        id VARCHAR(255) PRIMARY KEY, name VARCHAR(255) NOT NULL, email VARCHAR(255) NOT NULL,
        role VARCHAR(255) NOT NULL, profile_image_url TEXT NOT NULL, created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL, last_active_at BIGINT NOT NULL, username VARCHAR(50), bio TEXT, gender TEXT,
        date_of_birth DATE, profile_banner_image_url TEXT, oauth JSON, info JSON, settings JSON
    );
    CREATE TABLE channel (
        id TEXT PRIMARY KEY, user_id TEXT, name TEXT, data JSON, access_control JSON, created_at BIGINT,
        updated_at BIGINT, type TEXT, archived_at BIGINT, deleted_at BIGINT
    );
    CREATE TABLE channel_member (
        id TEXT PRIMARY KEY, channel_id TEXT NOT NULL, user_id TEXT NOT NULL,
        is_active BOOLEAN DEFAULT TRUE NOT NULL, joined_at BIGINT NOT NULL, last_read_at BIGINT, updated_at BIGINT
    );
    CREATE TABLE note (
        id TEXT PRIMARY KEY, user_id TEXT, title TEXT, data JSON, access_control JSON, updated_at BIGINT
    );
    CREATE TABLE chat (
        id VARCHAR(255) PRIMARY KEY, user_id VARCHAR(255) NOT NULL, title TEXT NOT NULL, archived INTEGER NOT NULL,
        updated_at BIGINT NOT NULL, chat JSON, meta JSON DEFAULT '{}' NOT NULL
    );
    CREATE TABLE "group" (id TEXT PRIMARY KEY, user_id TEXT, name TEXT, permissions JSON);
    CREATE TABLE group_member (id TEXT PRIMARY KEY, group_id TEXT NOT NULL, user_id TEXT NOT NULL);
    CREATE TABLE config (id INTEGER PRIMARY KEY, data JSON NOT NULL, version INTEGER NOT NULL);
"#;

/// Statements that fill the tables with these rows, and with what Open WebUI leaves behind besides.
pub fn inserts(rows: &Rows) -> String {
    let mut sql = String::new();
    for row in &rows.users {
        sql += &format!(
            "INSERT INTO \"user\" VALUES ({}, {}, {}, {}, 'data:image/png;base64,AAAA', 1, 1, {}, NULL, 'bio', 'x', \
             '2000-01-02', 'data:', NULL, 'null', {});\n",
            quoted(&row.id),
            quoted(&row.name),
            quoted(&row.email),
            quoted(&row.role),
            row.last_active_at_secs,
            quoted(SETTINGS)
        );
    }
    for row in &rows.groups {
        let permissions = match row.channels {
            Some(Permission::Granted) => r#"'{"features": {"channels": true, "notes": false}}'"#,
            Some(Permission::Denied) => r#"'{"features": {"channels": false}}'"#,
            None => "'{\"chat\": {}}'",
        };
        sql += &format!("INSERT INTO \"group\" VALUES ({}, 'root', 'G', {permissions});\n", quoted(&row.id));
        for member in &row.members {
            sql += &group_member(&row.id, member);
        }
    }
    for (number, row) in rows.channels.iter().enumerate() {
        let kind = match (row.kind, number % 3) {
            (ChannelKind::Group, _) => "'group'",
            (ChannelKind::Direct, _) => "'dm'",
            (ChannelKind::Standard, 0) => "NULL",
            (ChannelKind::Standard, 1) => "''",
            (ChannelKind::Standard, _) => "'standard'",
        };
        let (archived, deleted) = match row.state {
            ChannelState::Open => ("NULL", "NULL"),
            ChannelState::Archived => ("1", "NULL"),
            ChannelState::Deleted => ("NULL", "1"),
        };
        let access = row.access.as_ref().map_or("NULL".to_owned(), |text| quoted(text));
        let (id, owner) = (quoted(&row.id), quoted(&row.owner));
        sql += &format!(
            "INSERT INTO channel VALUES ({id}, {owner}, {id}, NULL, {access}, 1, 1, {kind}, {archived}, {deleted});\n"
        );
        for member in &row.members {
            let is_active = if member.is_active { "TRUE" } else { "FALSE" };
            // Nothing keeps Open WebUI from entering a member twice.
            for copy in 0..2 {
                let (name, user) = (quoted(&format!("{}-{}-{copy}", row.id, member.user)), quoted(&member.user));
                sql += &format!("INSERT INTO channel_member VALUES ({name}, {id}, {user}, {is_active}, 1, NULL, 1);\n");
            }
        }
    }
    for row in &rows.notes {
        let access = row.access.as_ref().map_or("NULL".to_owned(), |text| quoted(text));
        let data = row.data.as_ref().map_or("NULL".to_owned(), |text| quoted(text));
        let (id, owner) = (quoted(&row.id), quoted(&row.owner));
        sql += &format!("INSERT INTO note VALUES ({id}, {owner}, 'N', {data}, {access}, 1);\n");
    }
    for row in &rows.chats {
        let chat = row.chat.as_ref().map_or("NULL".to_owned(), |text| quoted(text));
        let (id, owner) = (quoted(&row.id), quoted(&row.owner));
        sql += &format!("INSERT INTO chat VALUES ({id}, {owner}, 'C', 0, 1, {chat}, '{{}}');\n");
    }
    if let Some(said) = rows.channels_default {
        let said = said == Permission::Granted;
        sql += &format!(
            "INSERT INTO config VALUES (1, '{{\"user\": {{\"permissions\": {{\"features\": {{\"channels\": {}}}}}}}}}', \
             0);\n",
            !said
        );
        sql += &format!(
            "INSERT INTO config VALUES (2, '{{\"user\": {{\"permissions\": {{\"features\": {{\"channels\": {said}}}}}}}}}', \
             0);\n"
        );
    }
    // A group that is deleted, and that its members do not find any more.
    sql += &group_member("ghost", "ann");
    sql += "INSERT INTO channel VALUES ('haunted', 'somebody', 'h', NULL, '{\"read\": {\"group_ids\": [\"ghost\"]}}', \
            1, 1, NULL, NULL, NULL);\n";
    sql
}

/// Selects a value of a row as text.
pub fn select(cell: Cell) -> String {
    match cell {
        Cell::LastActiveAt(id) => format!("SELECT CAST(last_active_at AS TEXT) FROM \"user\" WHERE id = '{id}'"),
        Cell::LastReadAt { channel, user } => format!(
            "SELECT CAST(last_read_at AS TEXT) FROM channel_member WHERE channel_id = '{channel}' AND user_id = '{user}' \
             AND updated_at = last_read_at"
        ),
        Cell::Chat(id) => format!("SELECT CAST(chat AS TEXT) FROM chat WHERE id = '{id}'"),
        Cell::Note(id) => format!("SELECT CAST(data AS TEXT) FROM note WHERE id = '{id}'"),
        Cell::NoteUpdatedAt(id) => format!("SELECT CAST(updated_at AS TEXT) FROM note WHERE id = '{id}'"),
        Cell::ChatReadAt(id) => format!("SELECT CAST(last_read_at AS TEXT) FROM chat WHERE id = '{id}'"),
    }
}

/// Writes to a note as its owner does who gives it another title.
pub fn touch_note(note: &str, at_nanos: u64) -> String {
    format!("UPDATE note SET title = 'another', updated_at = {at_nanos} WHERE id = {}", quoted(note))
}

/// As Python writes it.
pub const SETTINGS: &str = r#"{"ui": {"n": 1.10, "m": 123456789012345678901}, "t": "\ud83d\ude00"}"#;

fn group_member(group: &str, user: &str) -> String {
    let name = quoted(&format!("{group}-{user}"));
    format!("INSERT INTO group_member VALUES ({name}, {}, {});\n", quoted(group), quoted(user))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
