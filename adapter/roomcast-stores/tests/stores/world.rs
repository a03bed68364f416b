//! The rows that all stores of the suite hold.

use bytestring::ByteString;
use roomcast_openwebui::query::Permission;
use roomcast_stores::{ChannelKind, ChannelRow, ChannelState, ChatRow, GroupRow, MemberRow, NoteRow, Rows, UserRow};

/// Of Python's making: blanks, escapes, and numbers that no float can hold.
pub const CHAT: &str = r#"{"title": "T", "n": 12345678901234567890.10, "history": {"messages": {"m": {"id": "m", "content": "caf\u00e9", "statusHistory": [{"done": true}], "files": [{"id": 1}]}, "o": {"content": "other"}}, "currentId": "o"}, "tags": []}"#;

/// The data of a note.
pub const NOTE: &str = r#"{"files": [1.10], "content": {"md": "caf\u00e9", "json": null}, "versions": []}"#;

pub fn world() -> Rows {
    Rows {
        users: vec![user("root", "admin"), user("ann", "user"), user("bob", "user"), user("pat", "pending")],
        groups: vec![
            group("g1", &["ann", "bob"], None),
            group("g2", &["ann"], Some(Permission::Denied)),
            group("g3", &["bob"], Some(Permission::Granted)),
        ],
        channels: vec![
            channel("public-null", ChannelKind::Standard, None),
            channel("public-text", ChannelKind::Standard, Some("null")),
            ChannelRow { owner: "ann".into(), ..channel("owned", ChannelKind::Standard, Some("{}")) },
            channel("one-group", ChannelKind::Standard, Some(r#"{"read": {"group_ids": ["g1"], "user_ids": []}}"#)),
            channel("two-groups", ChannelKind::Standard, Some(r#"{"read": {"group_ids": ["g1", "g2"]}}"#)),
            channel("writers", ChannelKind::Standard, Some(r#"{"write": {"group_ids": ["g1"]}}"#)),
            channel("by-user", ChannelKind::Standard, Some(r#"{"read": {"group_ids": [], "user_ids": ["ann"]}}"#)),
            channel("listless", ChannelKind::Standard, Some(r#"{"read": {"group_ids": "g1"}}"#)),
            channel("scalar", ChannelKind::Standard, Some("7")),
            ChannelRow {
                members: vec![member("ann", true), member("bob", false)],
                ..channel("team", ChannelKind::Group, None)
            },
            ChannelRow {
                members: vec![member("ann", true), member("bob", true)],
                ..channel("pair", ChannelKind::Direct, Some("null"))
            },
            ChannelRow { owner: "ann".into(), ..channel("not-in", ChannelKind::Group, None) },
            ChannelRow { state: ChannelState::Archived, ..channel("archived", ChannelKind::Standard, None) },
            ChannelRow {
                state: ChannelState::Deleted,
                members: vec![member("ann", true)],
                ..channel("deleted", ChannelKind::Direct, None)
            },
        ],
        notes: vec![
            note("public-null", None),
            note("public-text", Some("null")),
            note("private", Some("{}")),
            note(
                "listed",
                Some(r#"{"read": {"user_ids": ["bob"], "group_ids": ["g1"]}, "write": {"group_ids": ["g2"]}}"#),
            ),
        ],
        chats: vec![chat("c", Some(CHAT)), chat("empty", None), chat("null", Some("null"))],
        channels_default: Some(Permission::Denied),
    }
}

fn user(id: &'static str, role: &'static str) -> UserRow {
    UserRow {
        id: id.into(),
        name: format!("{id} \"O'Née\" \u{1f600}").into(),
        email: format!("{id}@localhost").into(),
        role: role.into(),
        last_active_at_secs: 1,
    }
}

fn group(id: &'static str, members: &[&'static str], channels: Option<Permission>) -> GroupRow {
    GroupRow { id: id.into(), members: members.iter().map(|id| ByteString::from_static(id)).collect(), channels }
}

fn channel(id: &'static str, kind: ChannelKind, access: Option<&'static str>) -> ChannelRow {
    ChannelRow {
        id: id.into(),
        name: id.into(),
        owner: "somebody".into(),
        kind,
        access: access.map(ByteString::from_static),
        state: ChannelState::Open,
        members: Vec::new(),
    }
}

fn member(user: &'static str, is_active: bool) -> MemberRow {
    MemberRow { user: user.into(), is_active, last_read_at_nanos: None }
}

fn note(id: &'static str, access: Option<&'static str>) -> NoteRow {
    NoteRow {
        id: id.into(),
        owner: "ann".into(),
        title: id.into(),
        access: access.map(ByteString::from_static),
        data: (id == "listed").then(|| ByteString::from_static(NOTE)),
        updated_at_nanos: None,
    }
}

fn chat(id: &'static str, chat: Option<&'static str>) -> ChatRow {
    ChatRow {
        id: id.into(),
        owner: "ann".into(),
        title: id.into(),
        chat: chat.map(ByteString::from_static),
        last_read_at_secs: None,
    }
}
