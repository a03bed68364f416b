//! Finding rows without walking through all of them.
//!
//! Owns: which row has which id, and which users are members of which channel. Must never know: when rows change; the
//! caller that changes ids, members or rules makes a new index.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;
use roomcast_openwebui::access::{Access, AccessControl};
use roomcast_openwebui::query::Permission;

use super::rows::{ChannelKind, ChannelState, Rows};

/// Places in [`Rows`], by id.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) users: BTreeMap<ByteString, usize>,
    pub(super) channels: BTreeMap<ByteString, usize>,
    pub(super) notes: BTreeMap<ByteString, usize>,
    pub(super) chats: BTreeMap<ByteString, usize>,
    groups_of: BTreeMap<ByteString, Vec<ByteString>>,
    granting: BTreeSet<ByteString>,
    /// Channels open to all users, of an owner or member, and of a group.
    public: Vec<ByteString>,
    by_user: BTreeMap<ByteString, Vec<ByteString>>,
    by_group: BTreeMap<ByteString, Vec<ByteString>>,
}

impl Index {
    pub(super) fn of(rows: &Rows) -> Self {
        let mut index = Self {
            users: rows.users.iter().enumerate().map(|(at, row)| (row.id.clone(), at)).collect(),
            channels: rows.channels.iter().enumerate().map(|(at, row)| (row.id.clone(), at)).collect(),
            notes: rows.notes.iter().enumerate().map(|(at, row)| (row.id.clone(), at)).collect(),
            chats: rows.chats.iter().enumerate().map(|(at, row)| (row.id.clone(), at)).collect(),
            ..Self::default()
        };
        for group in &rows.groups {
            for member in &group.members {
                index.groups_of.entry(member.clone()).or_default().push(group.id.clone());
            }
            if group.channels == Some(Permission::Granted) {
                index.granting.insert(group.id.clone());
            }
        }
        for channel in rows.channels.iter().filter(|row| row.state == ChannelState::Open) {
            match channel.kind {
                ChannelKind::Group | ChannelKind::Direct => {
                    for member in channel.members.iter().filter(|member| member.is_active) {
                        index.by_user.entry(member.user.clone()).or_default().push(channel.id.clone());
                    }
                }
                ChannelKind::Standard => {
                    index.by_user.entry(channel.owner.clone()).or_default().push(channel.id.clone());
                    let access = AccessControl::from_column(channel.access.as_deref());
                    if access == AccessControl::Public {
                        index.public.push(channel.id.clone());
                        continue;
                    }
                    for group in &rows.groups {
                        if access.grants("", std::slice::from_ref(&group.id), Access::Read) {
                            index.by_group.entry(group.id.clone()).or_default().push(channel.id.clone());
                        }
                    }
                }
            }
        }
        index
    }

    /// The channels of a user, in order.
    pub(super) fn channels_of(&self, user: &ByteString) -> Vec<ByteString> {
        let by_group = self.groups_of(user).iter().filter_map(|group| self.by_group.get(group));
        let lists = by_group.chain(self.by_user.get(user)).chain([&self.public]);
        lists.flatten().cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(super) fn groups_of(&self, user: &ByteString) -> &[ByteString] {
        self.groups_of.get(user).map_or(&[], Vec::as_slice)
    }

    /// What the user may do with channels: the most generous of the default and what the groups say.
    pub(super) fn permission(&self, user: &ByteString, default: Option<Permission>) -> Permission {
        let by_group = self.groups_of(user).iter().any(|group| self.granting.contains(group));
        if by_group { Permission::Granted } else { default.unwrap_or(Permission::Granted) }
    }
}
