//! A store in memory whose answers a test delays, refuses or loses.
//!
//! Owns: the manner in which questions are answered, which writes were carried out, and the rows that tests begin with.
//! Must never know: the machine, or how a question is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use super::talks::Talks;
use bytestring::ByteString;
use roomcast_openwebui::query::{
    Account, Chat, ChatShare, ChatUser, Features, MessageChange, Mfa, Permission, PoolQuestion, Query, Question,
    ReadOutcome, ReapedSession, Reply, StoreAnswer, StoreError, User,
};
use roomcast_stores::{
    ChannelKind, ChannelRow, ChannelState, ChatRow, GroupRow, MemberRow, Memory, NoteRow, Rows, UserRow,
};

/// [`Memory`], with faults in front of it.
pub struct Store {
    memory: Memory,
    pub manner: Manner,
    /// Questions that fail, in every manner.
    pub refuses: Option<fn(&Question) -> bool>,
    /// Users without the permission for notes.
    pub without_notes: BTreeSet<String>,
    /// Files that only admins may read.
    pub unreadable: BTreeSet<String>,
    /// Questions that are carried out, and said to have failed.
    pub mutes: Option<fn(&Question) -> bool>,
    /// How many writes were carried out.
    pub writes: usize,
    /// What was done to messages, by chat and message.
    pub changes: BTreeMap<(String, String), Vec<MessageChange>>,
    /// What other processes are told: profiles by socket, and seconds by socket and model.
    pub sessions: BTreeMap<String, String>,
    pub uses: BTreeMap<(String, String), u64>,
    /// The chats of sessions by the pool, sockets whose front end said that it is there, and lines of direct connections.
    pub pool_chats: BTreeSet<(String, String)>,
    pub seen: Vec<String>,
    pub lines: Vec<(String, String)>,
    /// Conversations of encrypted channels.
    pub talks: Talks,
    /// Sessions that are found to have been left behind.
    pub left_behind: Vec<ReapedSession>,
    /// What a database of 0.12 has besides, by user and by user and chat.
    pub accounts: BTreeMap<String, Account>,
    pub shares: BTreeMap<(String, String), ChatShare>,
    /// Chats of which no admin's setting keeps admins out.
    pub internal_chats: BTreeSet<String>,
    /// Chats that are unread, with the counts that are told once they are read. Empty in 0.6.
    pub unread: Option<BTreeMap<String, String>>,
}

/// How questions are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    #[default]
    AtOnce,
    /// Not until the test says so.
    Later,
    /// That the store cannot be reached.
    Failing,
}

impl Deref for Store {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.memory
    }
}

impl Store {
    pub fn with_people() -> Self {
        let store = Self::over(Memory::new(Rows { channels_default: Some(Permission::Denied), ..Rows::default() }));
        for (id, name, role) in [
            ("alice", "Alice Admin", "admin"),
            ("bob", "Bob User", "user"),
            ("carol", "Carol User", "user"),
            ("pete", "Pete Pending", "pending"),
        ] {
            store.put_user(id, name, role);
        }
        for user in ["alice", "bob"] {
            store.enter_channel(user, "general");
        }
        store.put_note("plan", "alice", PRIVATE);
        store.put_chat("talk", "bob");
        store
    }

    /// What another process finds that opens the same store now.
    pub fn reopened(&self) -> Self {
        Self::over(self.memory.copy())
    }

    fn over(memory: Memory) -> Self {
        Self {
            memory,
            manner: Manner::AtOnce,
            refuses: None,
            without_notes: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            mutes: None,
            writes: 0,
            changes: BTreeMap::new(),
            sessions: BTreeMap::new(),
            uses: BTreeMap::new(),
            pool_chats: BTreeSet::new(),
            seen: Vec::new(),
            lines: Vec::new(),
            talks: Talks::default(),
            left_behind: Vec::new(),
            accounts: BTreeMap::new(),
            shares: BTreeMap::new(),
            internal_chats: BTreeSet::new(),
            unread: None,
        }
    }

    pub fn reply(&mut self, query: Query) -> Reply {
        let Query { id, question } = query;
        let is_lost = |is: Option<fn(&Question) -> bool>| is.is_some_and(|is| is(&question));
        let (is_refused, is_mute) = (self.manner == Manner::Failing || is_lost(self.refuses), is_lost(self.mutes));
        if is_refused {
            return Reply { id, result: Err(StoreError::Unavailable) };
        }
        let result = self.carry_out(question);
        Reply { id, result: if is_mute { Err(StoreError::Unavailable) } else { result } }
    }

    fn carry_out(&mut self, question: Question) -> Result<StoreAnswer, StoreError> {
        if let Question::Encryption(question) = question {
            return self.talks.answer(question);
        }
        if let Question::EncryptionUsers { channel, users } = &question {
            return Ok(self.talks.users(channel, users));
        }
        self.note_shared(&question);
        let answer = self.memory.answer(question.clone());
        let mut result = answer.map(|answer| self.as_newer(&question, answer));
        match (&mut result, &question) {
            (Ok(StoreAnswer::User(Some(user))), _) if self.without_notes.contains(&*user.id) => {
                user.account = Some(without_notes());
            }
            (Ok(StoreAnswer::Files(may_read)), Question::Files { files, .. }) => {
                *may_read = files.iter().map(|file| !self.unreadable.contains(&**file)).collect();
            }
            _ => {}
        }
        if matches!(result, Ok(StoreAnswer::Done)) {
            self.writes += 1;
            if let Question::ChangeMessage { chat, message, changes } = question {
                self.changes.entry((chat.into(), message.into())).or_default().extend(changes);
            }
        }
        result
    }
}

/// What a database of 0.12 knows more.
impl Store {
    fn as_newer(&mut self, question: &Question, answer: StoreAnswer) -> StoreAnswer {
        match (question, answer) {
            (Question::SessionPool(question), _) => self.ask_pool(question),
            (_, StoreAnswer::User(Some(user))) => {
                let account = self.accounts.get(&*user.id).cloned();
                StoreAnswer::User(Some(User { account, ..user }))
            }
            (Question::Chat { chat, user }, StoreAnswer::Chat(Some(row))) => {
                let share = self.shares.get(&(user.to_string(), chat.to_string())).copied().unwrap_or_default();
                let is_internal = self.internal_chats.contains(&**chat);
                StoreAnswer::Chat(Some(Chat { share, is_internal, ..row }))
            }
            (Question::ReadChat { chat, .. }, StoreAnswer::Done) => match self.unread.as_mut() {
                Some(unread) => {
                    let counts = unread.remove(&**chat);
                    let was_unread = counts.is_some();
                    let folder_unread_counts = counts.unwrap_or_else(|| "{}".to_owned()).into();
                    self.writes += 1;
                    StoreAnswer::ChatRead(ReadOutcome { was_unread, folder_unread_counts })
                }
                None => StoreAnswer::Done,
            },
            (_, answer) => answer,
        }
    }

    fn ask_pool(&mut self, question: &PoolQuestion) -> StoreAnswer {
        match question {
            PoolQuestion::Seen { sid } => self.seen.push(sid.to_string()),
            PoolQuestion::EnterChat { sid, chat } => {
                self.pool_chats.insert((chat.to_string(), sid.to_string()));
            }
            PoolQuestion::LeaveChat { sid, chat } => {
                self.pool_chats.remove(&(chat.to_string(), sid.to_string()));
            }
            PoolQuestion::Present { chat } => {
                let there = self.pool_chats.iter().filter(|(there, _)| *there == **chat);
                let user = |sid: &String| {
                    let user: serde_json::Value = serde_json::from_str(self.sessions.get(sid)?).ok()?;
                    Some((user["id"].as_str()?.to_owned(), user["name"].as_str()?.to_owned()))
                };
                let users: BTreeMap<_, _> = there.filter_map(|(_, sid)| user(sid)).collect();
                let user = |(id, name): (String, String)| ChatUser { id: id.into(), name: name.into() };
                return StoreAnswer::Present(users.into_iter().map(user).collect());
            }
            PoolQuestion::Told { .. } => {}
            PoolQuestion::Reap => return StoreAnswer::Reaped(std::mem::take(&mut self.left_behind)),
            PoolQuestion::Line { event, data } => self.lines.push((event.to_string(), data.to_string())),
        }
        StoreAnswer::Done
    }

    /// A user's account in 0.12, as it is without a second factor and with all features.
    pub fn put_account(&mut self, user: &str, change: impl FnOnce(&mut Account)) {
        let granted = Permission::Granted;
        let account = self.accounts.entry(user.to_owned()).or_insert_with(|| Account {
            is_active: true,
            session_stamp: None,
            mfa: Mfa::default(),
            features: Features { notes: granted, channels: granted, encrypted_channels: granted },
        });
        change(account);
    }
}

/// What other processes are told.
impl Store {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are for this process")]
    fn note_shared(&mut self, question: &Question) {
        match question {
            Question::ShareSession { sid, profile } => {
                self.sessions.insert(sid.to_string(), profile.to_string());
            }
            Question::UnshareSession { sid } => {
                self.sessions.remove(&**sid);
            }
            Question::ShareUse { sid, model, at_secs } => {
                self.uses.insert((sid.to_string(), model.to_string()), *at_secs);
            }
            _ => {}
        }
    }
}

/// Rows as tests change them. What is there already keeps its other columns.
impl Store {
    /// A user with the permission for channels.
    pub fn put_user(&self, id: &str, name: &str, role: &str) {
        self.edit(|rows| {
            let new = || UserRow {
                id: id.into(),
                name: ByteString::new(),
                email: format!("{id}@localhost").into(),
                role: ByteString::new(),
                last_active_at_secs: 0,
            };
            let row = row(&mut rows.users, |row| *row.id == *id, new);
            (row.name, row.role) = (name.into(), role.into());
        });
        self.set_permission(id, Permission::Granted);
    }

    pub fn set_role(&self, user: &str, role: &str) {
        self.edit(|rows| rows.users.iter_mut().find(|row| *row.id == *user).unwrap().role = role.into());
    }

    pub fn remove_user(&self, user: &str) {
        self.edit(|rows| rows.users.retain(|row| *row.id != *user));
    }

    /// Sets a user's permission for channels, by a group that has it.
    pub fn set_permission(&self, user: &str, permission: Permission) {
        self.edit(|rows| {
            let new = || GroupRow { id: "in channels".into(), members: vec![], channels: Some(Permission::Granted) };
            let group = row(&mut rows.groups, |_| true, new);
            group.members.retain(|member| **member != *user);
            group.members.extend((permission == Permission::Granted).then(|| user.into()));
        });
    }

    /// Sets a user's permission for notes.
    pub fn set_notes(&mut self, user: &str, permission: Permission) {
        match permission {
            Permission::Granted => self.without_notes.remove(user),
            Permission::Denied => self.without_notes.insert(user.to_owned()),
        };
    }

    pub fn enter_channel(&self, user: &str, channel: &str) {
        self.edit(|rows| {
            let new = || ChannelRow {
                id: channel.into(),
                name: channel.into(),
                owner: "alice".into(),
                kind: ChannelKind::Group,
                access: None,
                state: ChannelState::Open,
                members: Vec::new(),
            };
            let members = &mut row(&mut rows.channels, |row| *row.id == *channel, new).members;
            let new = || MemberRow { user: user.into(), is_active: true, last_read_at_nanos: None };
            row(members, |row| *row.user == *user, new).is_active = true;
        });
    }

    pub fn leave_channels(&self, user: &str) {
        self.edit(|rows| {
            let members = rows.channels.iter_mut().flat_map(|row| &mut row.members);
            members.filter(|row| *row.user == *user).for_each(|row| row.is_active = false);
        });
    }

    /// A note with this column `access_control`.
    pub fn put_note(&self, id: &str, owner: &str, access: Option<&str>) {
        self.edit(|rows| {
            let new = || NoteRow {
                id: id.into(),
                owner: ByteString::new(),
                title: id.into(),
                access: None,
                data: None,
                updated_at_nanos: None,
            };
            let row = row(&mut rows.notes, |row| *row.id == *id, new);
            (row.owner, row.access) = (owner.into(), access.map(ByteString::from));
        });
    }

    /// Writes a note's content as another program would: JSON.
    pub fn write_content(&self, note: &str, content: Option<&str>) {
        let data = content.map(|content| format!(r#"{{"content":{content}}}"#).into());
        self.edit(|rows| rows.notes.iter_mut().find(|row| *row.id == *note).unwrap().data = data);
    }

    /// Writes all of a note's data.
    pub fn write_data(&self, note: &str, data: &str) {
        self.edit(|rows| rows.notes.iter_mut().find(|row| *row.id == *note).unwrap().data = Some(data.into()));
    }

    /// A chat with the empty message `m`.
    pub fn put_chat(&self, id: &str, owner: &str) {
        self.edit(|rows| {
            let chat = r#"{"history":{"messages":{"m":{"id":"m","role":"assistant","content":""}},"currentId":"m"}}"#;
            let new = || ChatRow {
                id: id.into(),
                owner: ByteString::new(),
                title: id.into(),
                chat: Some(chat.into()),
                last_read_at_secs: None,
            };
            row(&mut rows.chats, |row| *row.id == *id, new).owner = owner.into();
        });
    }
}

/// What is written in the rows.
impl Store {
    pub fn user(&self, id: &str) -> Option<User> {
        let (user, jti) = (id.into(), None);
        let question = Question::Authenticate { user, jti, issued_at_secs: None, ends_at_secs: None };
        let Ok(StoreAnswer::User(user)) = self.answer(question) else { panic!("{id} is revoked") };
        user
    }

    /// When users were last active, by id, of those who were.
    pub fn active_at(&self) -> BTreeMap<String, u64> {
        let users = self.rows().users.into_iter().map(|row| (row.id.to_string(), row.last_active_at_secs));
        users.filter(|(_, at_secs)| *at_secs > 0).collect()
    }

    /// When channels, in nanoseconds, and chats, in seconds, were last read, by their id and the user's.
    pub fn read_at(&self) -> BTreeMap<(String, String), u64> {
        let Rows { channels, chats, .. } = self.rows();
        let chats = chats.into_iter().map(|row| ((row.id, row.owner), row.last_read_at_secs));
        let channels = channels.into_iter().flat_map(|ChannelRow { id, members, .. }| {
            members.into_iter().map(move |row| ((id.clone(), row.user), row.last_read_at_nanos))
        });
        let read = chats.chain(channels).filter_map(|((id, user), at)| Some(((id.into(), user.into()), at?)));
        read.collect()
    }

    /// `content` of notes' data, by note.
    pub fn contents(&self) -> BTreeMap<String, String> {
        let notes = self.rows().notes.into_iter().map(|row| row.id);
        let content = |note: ByteString| {
            let answer = self.answer(Question::NoteContent { note: note.clone() });
            let Ok(StoreAnswer::NoteContent(content)) = answer else { panic!("{note}: {answer:?}") };
            Some((note.into(), content?.into()))
        };
        notes.filter_map(content).collect()
    }

    /// All of a note's data.
    pub fn data(&self, note: &str) -> Option<String> {
        let rows = self.rows();
        rows.notes.iter().find(|row| *row.id == *note)?.data.as_ref().map(ToString::to_string)
    }

    /// When notes were last saved, in nanoseconds, by id.
    pub fn saved_at(&self) -> BTreeMap<String, u64> {
        let notes = self.rows().notes.into_iter();
        notes.filter_map(|row| Some((row.id.to_string(), row.updated_at_nanos?))).collect()
    }

    /// The text of a message.
    pub fn content(&self, chat: &str, message: &str) -> String {
        let rows = self.rows();
        let row = rows.chats.iter().find(|row| *row.id == *chat).unwrap();
        let chat: serde_json::Value = serde_json::from_str(row.chat.as_deref().unwrap()).unwrap();
        chat["history"]["messages"][message]["content"].as_str().unwrap().to_owned()
    }
}

/// An account that has all but notes.
fn without_notes() -> Account {
    let (notes, channels, encrypted_channels) = (Permission::Denied, Permission::Granted, Permission::Denied);
    let features = Features { notes, channels, encrypted_channels };
    Account { is_active: true, session_stamp: None, mfa: Mfa::default(), features }
}

/// A row, which is made if it is missing.
fn row<T>(rows: &mut Vec<T>, is: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> &mut T {
    let at = rows.iter().position(is).unwrap_or(rows.len());
    if at == rows.len() {
        rows.push(new());
    }
    &mut rows[at]
}

/// `access_control` of a note that only its owner may open.
pub const PRIVATE: Option<&str> = Some("{}");
/// `access_control` of a note that all users may read.
pub const PUBLIC: Option<&str> = None;
