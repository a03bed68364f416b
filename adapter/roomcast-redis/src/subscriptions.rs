//! Which channels are wanted.
//!
//! Owns: [`Channel`] and the set that the rest of the program edits. Must never know: a connection.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

/// How a channel is published to and subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PubSubKind {
    /// `SUBSCRIBE`: this name.
    Exact,
    /// `PSUBSCRIBE`: names that this pattern matches.
    Pattern,
    /// `SSUBSCRIBE`: this name, on the shard of a Redis Cluster that its hash slot belongs to. Redis 7 or later.
    Sharded,
}

/// Something to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel {
    /// How its name is meant.
    pub kind: PubSubKind,
    /// Its name, or a pattern.
    pub name: Bytes,
}

impl Channel {
    /// The channel of this name.
    pub fn exact(name: impl Into<Bytes>) -> Self {
        Self { kind: PubSubKind::Exact, name: name.into() }
    }

    /// All channels that this pattern matches, in Redis' own glob style.
    pub fn pattern(pattern: impl Into<Bytes>) -> Self {
        Self { kind: PubSubKind::Pattern, name: pattern.into() }
    }

    /// The sharded channel of this name.
    pub fn sharded(name: impl Into<Bytes>) -> Self {
        Self { kind: PubSubKind::Sharded, name: name.into() }
    }
}

/// What is wanted, and what of it the connection has not been told.
#[derive(Debug, Default)]
pub(crate) struct WantedSubscriptions {
    wanted: BTreeSet<Channel>,
    /// Edited since they were taken last, in order of the first edit.
    edited: Vec<Channel>,
    edits: BTreeMap<Channel, Edit>,
}

/// What has become of a channel since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) is_wanted: bool,
    /// How often it was subscribed to, each of which is to be confirmed.
    pub(crate) owed: u32,
}

impl WantedSubscriptions {
    pub(crate) fn subscribe(&mut self, channel: Channel) {
        self.wanted.insert(channel.clone());
        let edit = self.edit(channel);
        (edit.is_wanted, edit.owed) = (true, edit.owed.saturating_add(1));
    }

    pub(crate) fn unsubscribe(&mut self, channel: Channel) {
        if self.wanted.remove(&channel) {
            self.edit(channel).is_wanted = false;
        }
    }

    /// What was edited since the last call.
    pub(crate) fn take_edits(&mut self) -> Vec<(Channel, Edit)> {
        let edited = std::mem::take(&mut self.edited);
        let mut edits = std::mem::take(&mut self.edits);
        edited.into_iter().filter_map(|channel| edits.remove(&channel).map(|edit| (channel, edit))).collect()
    }

    /// Everything that is wanted, as if nothing had been subscribed to before, and what was edited.
    pub(crate) fn take_all(&mut self) -> Vec<(Channel, Edit)> {
        let mut all = self.take_edits();
        let edited: BTreeSet<&Channel> = all.iter().map(|(channel, _)| channel).collect();
        let others: Vec<Channel> = self.wanted.iter().filter(|channel| !edited.contains(channel)).cloned().collect();
        all.extend(others.into_iter().map(|channel| (channel, Edit { is_wanted: true, owed: 0 })));
        all
    }

    /// Owes confirmations that could not be given.
    pub(crate) fn put_back(&mut self, owed: Vec<(Channel, Edit)>) {
        for (channel, edit) in owed {
            let is_wanted = self.wanted.contains(&channel);
            let again = self.edit(channel);
            (again.is_wanted, again.owed) = (is_wanted, again.owed.saturating_add(edit.owed));
        }
    }

    fn edit(&mut self, channel: Channel) -> &mut Edit {
        self.edits.entry(channel).or_insert_with_key(|channel| {
            self.edited.push(channel.clone());
            Edit::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subscription_is_owed_a_confirmation_and_the_last_edit_counts() {
        let mut subscriptions = WantedSubscriptions::default();
        let (a, b) = (Channel::exact("a"), Channel::pattern("b*"));
        subscriptions.subscribe(a.clone());
        subscriptions.unsubscribe(a.clone());
        subscriptions.subscribe(a.clone());
        subscriptions.subscribe(b.clone());
        subscriptions.unsubscribe(b.clone());
        subscriptions.unsubscribe(Channel::exact("never"));
        let (wanted, given_up) = (Edit { is_wanted: true, owed: 2 }, Edit { is_wanted: false, owed: 1 });
        assert_eq!(subscriptions.take_edits(), [(a.clone(), wanted), (b, given_up)]);
        assert_eq!(subscriptions.take_edits(), []);
        subscriptions.put_back(vec![(a.clone(), wanted)]);
        subscriptions.unsubscribe(a.clone());
        assert_eq!(subscriptions.take_edits(), [(a, Edit { is_wanted: false, owed: 2 })]);
    }

    #[test]
    fn a_new_connection_is_told_of_everything_once() {
        let mut subscriptions = WantedSubscriptions::default();
        subscriptions.subscribe(Channel::exact("a"));
        subscriptions.take_edits();
        subscriptions.subscribe(Channel::exact("b"));
        let (owed, restored) = (Edit { is_wanted: true, owed: 1 }, Edit { is_wanted: true, owed: 0 });
        assert_eq!(subscriptions.take_all(), [(Channel::exact("b"), owed), (Channel::exact("a"), restored)]);
        assert_eq!(subscriptions.take_edits(), []);
    }
}
