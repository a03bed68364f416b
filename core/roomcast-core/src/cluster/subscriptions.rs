//! Which channels of rooms the bus has been asked for, and which it has confirmed.
//!
//! Owns: that bookkeeping. Must never know: who is in a room, or who waits for a confirmation.

use std::collections::{BTreeMap, VecDeque};

use super::message::RoomChannel;

/// The machine of subscriptions.
#[derive(Debug, Default)]
pub(super) struct RoomSubscriptions {
    channels: BTreeMap<RoomChannel, State>,
    requests: VecDeque<Subscribing>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_wanted: bool,
    /// Subscriptions that were asked for and not confirmed. A confirmation belongs to the oldest of them: the bus
    /// confirms in order.
    unconfirmed: u32,
}

/// What the bus is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscribing {
    /// Bring messages of this channel, and confirm.
    Start(RoomChannel),
    /// Bring them no more.
    Stop(RoomChannel),
}

impl RoomSubscriptions {
    /// A room has its first member.
    pub(super) fn want(&mut self, channel: RoomChannel) {
        let state = self.channels.entry(channel.clone()).or_default();
        if !std::mem::replace(&mut state.is_wanted, true) {
            state.unconfirmed += 1;
            self.requests.push_back(Subscribing::Start(channel));
        }
    }

    /// A room has lost its last member.
    pub(super) fn unwant(&mut self, channel: &RoomChannel) {
        let Some(state) = self.channels.get_mut(channel) else { return };
        if std::mem::replace(&mut state.is_wanted, false) {
            self.requests.push_back(Subscribing::Stop(channel.clone()));
        }
        if state.unconfirmed == 0 {
            self.channels.remove(channel);
        }
    }

    /// The bus has confirmed a subscription. Whether the channel is live now.
    pub(super) fn handle_subscribed(&mut self, channel: &RoomChannel) -> bool {
        let Some(state) = self.channels.get_mut(channel) else { return false };
        state.unconfirmed = state.unconfirmed.saturating_sub(1);
        let (is_settled, is_wanted) = (state.unconfirmed == 0, state.is_wanted);
        if is_settled && !is_wanted {
            self.channels.remove(channel);
        }
        is_settled && is_wanted
    }

    /// The bus is there again, and subscribed to what is wanted: confirmations that were lost with it are not waited for.
    pub(super) fn handle_bus_up(&mut self) {
        self.channels.retain(|_, state| {
            state.unconfirmed = 0;
            state.is_wanted
        });
    }

    /// Whether messages of a channel arrive.
    pub(super) fn is_live(&self, channel: &RoomChannel) -> bool {
        self.channels.get(channel).is_some_and(|state| state.is_wanted && state.unconfirmed == 0)
    }

    /// The next thing to ask of the bus.
    pub(super) fn poll_request(&mut self) -> Option<Subscribing> {
        self.requests.pop_front()
    }

    /// How many channels are wanted or not settled.
    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_live_when_its_last_subscription_is_confirmed() {
        let (mut all, a) = (RoomSubscriptions::default(), channel("a"));
        all.want(a.clone());
        all.want(a.clone());
        all.unwant(&a);
        all.want(a.clone());
        let asked: Vec<_> = std::iter::from_fn(|| all.poll_request()).collect();
        assert_eq!(asked, [Subscribing::Start(a.clone()), Subscribing::Stop(a.clone()), Subscribing::Start(a.clone())]);
        assert!(!all.handle_subscribed(&a), "that was the one which has been stopped since");
        assert!(!all.is_live(&a) && all.handle_subscribed(&a) && all.is_live(&a));
        all.unwant(&a);
        assert_eq!((all.is_live(&a), all.len()), (false, 0));
    }

    #[test]
    fn a_channel_that_is_not_wanted_any_more_is_forgotten_with_its_confirmation() {
        let (mut all, a) = (RoomSubscriptions::default(), channel("a"));
        all.want(a.clone());
        all.unwant(&a);
        assert_eq!(all.len(), 1);
        assert!(!all.handle_subscribed(&a) && !all.handle_subscribed(&channel("b")));
        assert_eq!(all.len(), 0);
    }

    #[test]
    fn an_outage_takes_confirmations_with_it() {
        let (mut all, [a, b]) = (RoomSubscriptions::default(), ["a", "b"].map(channel));
        all.want(a.clone());
        all.want(b.clone());
        all.unwant(&b);
        all.handle_bus_up();
        assert_eq!((all.is_live(&a), all.len()), (true, 1));
        assert!(all.handle_subscribed(&a), "one that comes late does no harm");
    }

    fn channel(room: &'static str) -> RoomChannel {
        RoomChannel { namespace: "/".into(), room: room.into() }
    }
}
