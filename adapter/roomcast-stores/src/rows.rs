//! The rows of a store of roomcast's own: in memory, or in a file that it creates.
//!
//! Owns: rows as plain data, and those of the demonstration. Must never know: how they are kept or asked for.

use bytestring::ByteString;
use roomcast_openwebui::query::Permission;

/// The rows of all tables. Ids are texts of any form, unique within their table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The users who can log in.
    pub users: Vec<UserRow>,
    /// Groups of users, by which access rules grant rights.
    pub groups: Vec<GroupRow>,
    /// The channels, those archived and deleted among them.
    pub channels: Vec<ChannelRow>,
    /// The notes, with their contents.
    pub notes: Vec<NoteRow>,
    /// Chats with a model.
    pub chats: Vec<ChatRow>,
    /// The permission for channels of users without a group that says otherwise; `None` allows them.
    pub channels_default: Option<Permission>,
}

/// A row of the table `user`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// The id that tokens name.
    pub id: ByteString,
    /// The name that others see.
    pub name: ByteString,
    /// The e-mail address.
    pub email: ByteString,
    /// `admin`, `user` or `pending`.
    pub role: ByteString,
    /// Seconds since the epoch.
    pub last_active_at_secs: u64,
}

/// A row of the table `group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRow {
    /// The id that access rules name.
    pub id: ByteString,
    /// The ids of the users in the group.
    pub members: Vec<ByteString>,
    /// The group's permission for channels, if it sets one.
    pub channels: Option<Permission>,
}

/// A row of the table `channel`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRow {
    /// The id that events name.
    pub id: ByteString,
    /// The name that members see.
    pub name: ByteString,
    /// The id of the user who created it.
    pub owner: ByteString,
    /// The rule by which users are members.
    pub kind: ChannelKind,
    /// The column `access_control`: JSON; `None` grants access to all users.
    pub access: Option<ByteString>,
    /// Whether it is in use.
    pub state: ChannelState,
    /// Its members, which count if the kind is not [`ChannelKind::Standard`].
    pub members: Vec<MemberRow>,
}

/// The rule by which users are members of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// The owner, and users with a grant by the access rules of a group.
    Standard,
    /// The users with a membership.
    Group,
    /// The users with a membership, a few of them: a direct message.
    Direct,
}

/// Whether a channel is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// The channel is in use.
    Open,
    /// Archived by its owner.
    Archived,
    /// Deleted; the row is kept.
    Deleted,
}

/// A member of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// The id of the user.
    pub user: ByteString,
    /// Whether the membership counts: the row of a user who has left is kept.
    pub is_active: bool,
    /// Nanoseconds since the epoch.
    pub last_read_at_nanos: Option<u64>,
}

/// A row of the table `note`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteRow {
    /// The id, without the prefix `note:` of its document.
    pub id: ByteString,
    /// The id of the user who created it.
    pub owner: ByteString,
    /// The title, as lists show it.
    pub title: ByteString,
    /// The column `access_control`: JSON; `None` grants access to all users.
    pub access: Option<ByteString>,
    /// The column `data`: JSON, with the note's text as its `content`.
    pub data: Option<ByteString>,
    /// Nanoseconds since the epoch.
    pub updated_at_nanos: Option<u64>,
}

/// A row of the table `chat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatRow {
    /// The id that events name.
    pub id: ByteString,
    /// The id of the user whose chat it is.
    pub owner: ByteString,
    /// The title, as lists show it.
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
        let (ada, all) = (ByteString::from_static("ada"), ByteString::from_static("all"));
        let users = vec![user("ada", "Ada", "admin"), user("ben", "Ben", "user"), user("cleo", "Cleo", "user")];
        let rules = r#"{"read":{"group_ids":["all"]},"write":{"group_ids":["all"]}}"#;
        let content = include_str!("demo_note.json");
        let history = r#"{"history":{"messages":{"hello":{"id":"hello","parentId":null,"childrenIds":[],"role":"assistant","content":"Hello."}},"currentId":"hello"}}"#;
        Self {
            groups: vec![GroupRow {
                id: all,
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
