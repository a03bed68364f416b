//! A store whose answers a test decides.
//!
//! Owns: rows, and the manner in which questions are answered. Must never know: the machine.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_openwebui::access::AccessControl;
use roomcast_openwebui::query::{
    Chat, ContentHash, MessageChange, Note, Permission, Query, Question, Reply, StoreAnswer, StoreError,
    StoredNoteDocument, User, UserChannels,
};

#[derive(Default)]
pub struct Store {
    pub manner: Manner,
    /// Name and role by id.
    pub users: BTreeMap<String, (String, String)>,
    pub revoked: BTreeSet<String>,
    pub channels: BTreeMap<String, BTreeSet<String>>,
    pub without_channels: BTreeSet<String>,
    pub notes: BTreeMap<String, (String, AccessControl)>,
    /// Id of the owner, by id of the chat.
    pub chats: BTreeMap<String, String>,
    pub active_at: BTreeMap<String, u64>,
    pub read_at: BTreeMap<(String, String), u64>,
    /// What was done to messages, by chat and message.
    pub changes: BTreeMap<(String, String), Vec<MessageChange>>,
    /// How many writes were carried out.
    pub writes: usize,
    /// `content` of notes' data.
    pub contents: BTreeMap<String, String>,
    pub saved_at: BTreeMap<String, u64>,
    pub documents: BTreeMap<String, Kept>,
    /// Questions that fail, in every manner.
    pub refuses: Option<fn(&Question) -> bool>,
    /// Questions that are carried out, and said to have failed.
    pub mutes: Option<fn(&Question) -> bool>,
}

/// A document as a store keeps it.
#[derive(Clone, Default)]
pub struct Kept {
    pub snapshot: Option<(Bytes, u64)>,
    pub content_hash: Option<ContentHash>,
    pub log: BTreeMap<u64, Bytes>,
    pub last: u64,
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

impl Store {
    pub fn with_people() -> Self {
        let mut store = Self::default();
        for (id, name, role) in [
            ("alice", "Alice Admin", "admin"),
            ("bob", "Bob User", "user"),
            ("carol", "Carol User", "user"),
            ("pete", "Pete Pending", "pending"),
        ] {
            store.users.insert(id.into(), (name.into(), role.into()));
        }
        for user in ["alice", "bob"] {
            store.channels.entry(user.into()).or_default().insert("general".into());
        }
        store.notes.insert("plan".into(), ("alice".into(), AccessControl::from_column(Some("{}"))));
        store.chats.insert("talk".into(), "bob".into());
        store
    }

    pub fn reply(&mut self, query: Query) -> Reply {
        let result = match self.manner {
            Manner::Failing => Err(StoreError::Unavailable),
            _ if self.refuses.is_some_and(|refuses| refuses(&query.question)) => Err(StoreError::Unavailable),
            _ if self.mutes.is_some_and(|mutes| mutes(&query.question)) => {
                drop(self.answer(query.question));
                Err(StoreError::Unavailable)
            }
            Manner::AtOnce | Manner::Later => self.answer(query.question),
        };
        Reply { id: query.id, result }
    }

    fn answer(&mut self, question: Question) -> Result<StoreAnswer, StoreError> {
        Ok(match question {
            Question::Authenticate { user, jti, .. } => {
                if jti.is_some_and(|jti| self.revoked.contains(&*jti)) {
                    return Ok(StoreAnswer::Revoked);
                }
                let row = self.users.get(&*user);
                StoreAnswer::User(row.map(|(name, role)| User {
                    profile: format!(r#"{{"id":"{user}"}}"#).into(),
                    id: user.clone(),
                    name: name.as_str().into(),
                    role: role.as_str().into(),
                }))
            }
            Question::Channels { users } => StoreAnswer::Channels(
                users
                    .iter()
                    .map(|user| UserChannels {
                        channels: strings(self.channels.get(&**user)),
                        permission: match self.without_channels.contains(&**user) {
                            true => Permission::Denied,
                            false => Permission::Granted,
                        },
                    })
                    .collect(),
            ),
            Question::Note { note, .. } => StoreAnswer::Note(self.notes.get(&*note).map(|(owner, access)| Note {
                owner: owner.as_str().into(),
                access: access.clone(),
                groups: Vec::new(),
            })),
            Question::Chat { chat } => {
                StoreAnswer::Chat(self.chats.get(&*chat).map(|owner| Chat { owner: owner.as_str().into() }))
            }
            Question::TouchUsers { touches } => {
                self.active_at.extend(touches.iter().map(|touch| (touch.user.to_string(), touch.at_secs)));
                self.written()
            }
            Question::ReadChannel { channel, user, at_nanos } => {
                self.read_at.insert((channel.to_string(), user.to_string()), at_nanos);
                self.written()
            }
            Question::ReadChat { chat, user, at_secs } => {
                self.read_at.insert((chat.to_string(), user.to_string()), at_secs);
                self.written()
            }
            Question::ChangeMessage { chat, message, changes } => {
                if !self.chats.contains_key(&*chat) {
                    return Err(StoreError::NotFound);
                }
                self.changes.entry((chat.to_string(), message.to_string())).or_default().extend(changes);
                self.written()
            }
            Question::NoteContent { note } => {
                StoreAnswer::NoteContent(self.contents.get(&*note).map(|content| content.as_str().into()))
            }
            Question::SaveNoteContent { note, content, at_nanos } => {
                if !self.notes.contains_key(&*note) {
                    return Err(StoreError::NotFound);
                }
                let saved_at = self.saved_at.entry(note.to_string()).or_default();
                if *saved_at <= at_nanos {
                    *saved_at = at_nanos;
                    self.contents.insert(note.to_string(), content.to_string());
                }
                self.written()
            }
            Question::LoadDocument { document } => {
                let kept = self.documents.get(&*document).cloned().unwrap_or_default();
                StoreAnswer::Document(StoredNoteDocument {
                    snapshot: kept.snapshot.map(|(snapshot, _)| snapshot),
                    content_hash: kept.content_hash,
                    updates: kept.log.into_values().collect(),
                    last_sequence: kept.last,
                })
            }
            Question::AppendUpdates { document, first_sequence, updates } => {
                let kept = self.documents.entry(document.to_string()).or_default();
                for (sequence, update) in (first_sequence..).zip(updates) {
                    if sequence > kept.last {
                        kept.log.insert(sequence, update);
                        kept.last = sequence;
                    }
                }
                self.written()
            }
            Question::SaveSnapshot { document, snapshot, content_hash, up_to_sequence } => {
                let kept = self.documents.entry(document.to_string()).or_default();
                if kept.snapshot.as_ref().is_none_or(|(_, known)| *known <= up_to_sequence) {
                    kept.snapshot = Some((snapshot, up_to_sequence));
                    kept.content_hash = content_hash;
                    kept.log = kept.log.split_off(&(up_to_sequence + 1));
                    kept.last = kept.last.max(up_to_sequence);
                }
                self.written()
            }
        })
    }

    /// The text that `content` of a message would be.
    pub fn content(&self, chat: &str, message: &str) -> String {
        let mut content = String::new();
        for change in self.changes.get(&(chat.into(), message.into())).into_iter().flatten() {
            match change {
                MessageChange::AppendContent(text) => content.push_str(text),
                MessageChange::ReplaceContent(text) => content = text.to_string(),
                MessageChange::AppendStatus(_)
                | MessageChange::ExtendEmbeds(_)
                | MessageChange::ExtendFiles(_)
                | MessageChange::AppendSource(_) => {}
            }
        }
        content
    }

    fn written(&mut self) -> StoreAnswer {
        self.writes += 1;
        StoreAnswer::Done
    }
}

fn strings(set: Option<&BTreeSet<String>>) -> Vec<ByteString> {
    set.into_iter().flatten().map(|text| text.as_str().into()).collect()
}
