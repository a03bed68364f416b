//! What keeps the conversations of encrypted channels, for tests.
//!
//! Owns: the conversations, who may take part, and that each lock is given back once. Must never know: the machine.

use std::collections::{BTreeMap, BTreeSet};

use roomcast_openwebui::query::{
    ChatUser, ConversationBegun, ConversationChange, EncryptionQuestion, StoreAnswer, StoreError, TalkCharge,
};

/// The conversations.
#[derive(Default)]
pub struct Talks {
    /// Names of those who may take part, by channel and user.
    pub members: BTreeMap<(String, String), String>,
    /// Conversations as JSON, by channel.
    pub stored: BTreeMap<String, String>,
    /// What was counted.
    pub charges: Vec<TalkCharge>,
    /// Whether users have called too often.
    pub is_over_ration: bool,
    /// Whether locks end before their owners are done.
    pub loses_locks: bool,
    locks: BTreeMap<u64, String>,
    last_lock: u64,
}

impl Talks {
    pub fn admit(&mut self, channel: &str, user: &str, name: &str) {
        self.members.insert((channel.into(), user.into()), name.into());
    }

    pub fn expel(&mut self, channel: &str, user: &str) {
        self.members.remove(&(channel.to_owned(), user.to_owned()));
    }

    /// How many conversations are locked.
    pub fn locked(&self) -> usize {
        self.locks.len()
    }

    pub fn users(&self, channel: &str, users: &[bytestring::ByteString]) -> StoreAnswer {
        let asked: BTreeSet<&str> = users.iter().map(|user| &**user).collect();
        let of_channel = self.members.iter().filter(|((of, user), _)| of == channel && asked.contains(&**user));
        let user = |((_, id), name): (&(String, String), &String)| ChatUser {
            id: id.as_str().into(),
            name: name.as_str().into(),
        };
        StoreAnswer::EncryptionUsers(of_channel.map(user).collect())
    }

    pub fn answer(&mut self, question: EncryptionQuestion) -> Result<StoreAnswer, StoreError> {
        match question {
            EncryptionQuestion::Begin { channel, charge } => {
                self.charges.extend(charge);
                if self.is_over_ration {
                    return Ok(StoreAnswer::Conversation(ConversationBegun::OverRation));
                }
                assert!(!self.locks.values().any(|other| **other == *channel), "{channel} is locked twice");
                self.last_lock += 1;
                self.locks.insert(self.last_lock, channel.to_string());
                let conversation = self.stored.get(&*channel).map(|text| text.as_str().into());
                Ok(StoreAnswer::Conversation(ConversationBegun::Locked { lock: self.last_lock, conversation }))
            }
            EncryptionQuestion::End { channel, lock, change } => {
                assert_eq!(self.locks.remove(&lock).as_deref(), Some(&*channel), "given back once");
                if self.loses_locks {
                    return Err(StoreError::Unavailable);
                }
                match change {
                    ConversationChange::None => {}
                    ConversationChange::Put(text) => drop(self.stored.insert(channel.into(), text.into())),
                    ConversationChange::Remove => drop(self.stored.remove(&*channel)),
                }
                Ok(StoreAnswer::Done)
            }
        }
    }
}
