//! What stands in a store that is ours: in memory, or in the file which roomcast makes.
//!
//! Owns: rows as plain data, and those of the demonstration. Must never know: how they are kept or asked for.

use bytestring::ByteString;
use roomcast_openwebui::query::Permission;

/// All rows. Ids are texts of any form; each kind has its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// People.
    pub users: Vec<UserRow>,
    /// Groups of people.
    pub groups: Vec<GroupRow>,
    /// Channels.
    pub channels: Vec<ChannelRow>,
    /// Notes.
    pub notes: Vec<NoteRow>,
    /// Chats with a model.
    pub chats: Vec<ChatRow>,
    /// What everybody may do with channels; nothing said means that it is allowed.
    pub channels_default: Option<Permission>,
}

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// The id that tokens name.
    pub id: ByteString,
    /// The name that others see.
    pub name: ByteString,
    /// An address.
    pub email: ByteString,
    /// `admin`, `user` or `pending`.
    pub role: ByteString,
    /// Seconds since the epoch.
    pub last_active_at_secs: u64,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRow {
    /// Its id.
    pub id: ByteString,
    /// Users' ids.
    pub members: Vec<ByteString>,
    /// What it says of channels.
    pub channels: Option<Permission>,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRow {
    /// Its id.
    pub id: ByteString,
    /// Its name.
    pub name: ByteString,
    /// Who made it.
    pub owner: ByteString,
    /// Who belongs into it.
    pub kind: ChannelKind,
    /// The column `access_control`: JSON, or nothing for everybody.
    pub access: Option<ByteString>,
    /// Whether it is in use.
    pub state: ChannelState,
    /// Its members, which count if the kind is not [`ChannelKind::Standard`].
    pub members: Vec<MemberRow>,
}

/// Who belongs into a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// Whom the access rules let in by group, and its owner.
    Standard,
    /// Its members.
    Group,
    /// Its members, a few.
    Direct,
}

/// Whether a channel is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// It is.
    Open,
    /// It has been put away.
    Archived,
    /// It is gone.
    Deleted,
}

/// A member of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// Who.
    pub user: ByteString,
    /// Whether the membership counts: whoever has left keeps the row.
    pub is_active: bool,
    /// Nanoseconds since the epoch.
    pub last_read_at_nanos: Option<u64>,
}

/// A note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteRow {
    /// Its id.
    pub id: ByteString,
    /// Who made it.
    pub owner: ByteString,
    /// Its title.
    pub title: ByteString,
    /// The column `access_control`: JSON, or nothing for everybody.
    pub access: Option<ByteString>,
    /// The column `data`: JSON, with the note's text as its `content`.
    pub data: Option<ByteString>,
    /// Nanoseconds since the epoch.
    pub updated_at_nanos: Option<u64>,
}

/// A chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatRow {
    /// Its id.
    pub id: ByteString,
    /// Whose it is.
    pub owner: ByteString,
    /// Its title.
    pub title: ByteString,
    /// The column `chat`: JSON.
    pub chat: Option<ByteString>,
    /// Seconds since the epoch.
    pub last_read_at_secs: Option<u64>,
}

impl Rows {
    /// Two users and an administrator, a channel for all of them, a note that all of them may write to, and a chat.
    pub fn demo() -> Self {
        let user = |id: &'static str, name: &'static str, role: &'static str| UserRow {
            id: ByteString::from_static(id),
            name: ByteString::from_static(name),
            email: ByteString::from(format!("{id}@localhost")),
            role: ByteString::from_static(role),
            last_active_at_secs: 0,
        };
        let (ada, everybody) = (ByteString::from_static("ada"), ByteString::from_static("everybody"));
        let users = vec![user("ada", "Ada", "admin"), user("ben", "Ben", "user"), user("cleo", "Cleo", "user")];
        let rules = r#"{"read":{"group_ids":["everybody"]},"write":{"group_ids":["everybody"]}}"#;
        let content = r#"{"content":{"json":null,"html":"<p>Welcome.</p>","md":"Welcome."}}"#;
        let history = r#"{"history":{"messages":{"hello":{"id":"hello","parentId":null,"childrenIds":[],"role":"assistant","content":"Hello."}},"currentId":"hello"}}"#;
        Self {
            groups: vec![GroupRow {
                id: everybody,
                members: users.iter().map(|user| user.id.clone()).collect(),
                channels: None,
            }],
            users,
            channels: vec![ChannelRow {
                id: ByteString::from_static("lobby"),
                name: ByteString::from_static("lobby"),
                owner: ada.clone(),
                kind: ChannelKind::Standard,
                access: None,
                state: ChannelState::Open,
                members: Vec::new(),
            }],
            notes: vec![NoteRow {
                id: ByteString::from_static("welcome"),
                owner: ada.clone(),
                title: ByteString::from_static("Welcome"),
                access: Some(ByteString::from_static(rules)),
                data: Some(ByteString::from_static(content)),
                updated_at_nanos: None,
            }],
            chats: vec![ChatRow {
                id: ByteString::from_static("first"),
                owner: ada,
                title: ByteString::from_static("First chat"),
                chat: Some(ByteString::from_static(history)),
                last_read_at_secs: None,
            }],
            channels_default: None,
        }
    }
}
