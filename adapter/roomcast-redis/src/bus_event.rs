//! What the bus tells its owner.
//!
//! Owns: [`BusEvent`]. Must never know: what is done about it.

use std::time::Duration;

use bytes::Bytes;

use crate::fault::RedisFault;
use crate::inbound::BudgetShare;
use crate::subscriptions::Channel;

/// Something that the owner of a bus should know. It is told on the thread of the bus, which must not be held up.
#[derive(Debug)]
#[non_exhaustive]
pub enum BusEvent {
    /// Something was published, perhaps by this node itself.
    Message(Delivered),
    /// Redis has confirmed a subscription that was asked for: what is published from now on is received. Told once for
    /// each call of [`subscribe`](crate::RedisBus::subscribe), in order, also if the channel was given up meanwhile.
    Subscribed(Channel),
    /// Redis refuses a subscription. It is tried again with the next connection.
    SubscriptionRefused(Channel, RedisFault),
    /// What was published by [`publish_question`](crate::RedisBus::publish_question) under this number has reached this many
    /// subscriptions, those of this node among them.
    Reached {
        /// As it was published.
        question: u64,
        /// How many subscriptions, exact ones and patterns, Redis has sent it to.
        subscribers: u32,
    },
    /// The receiving connection is lost, or could not be made at first: messages of others are missed from now on.
    Down(RedisFault),
    /// The receiving connection is up with all subscriptions, those that were asked for meanwhile too. With how long
    /// messages have been missed, unless this is the first connection.
    Up(Option<Duration>),
}

/// A message that was published by anyone. It counts against
/// [`inbound_bytes_max`](crate::BusLimits::inbound_bytes_max) until it is dropped.
#[derive(Debug)]
#[non_exhaustive]
pub struct Delivered {
    /// Where it was published.
    pub channel: Bytes,
    /// The pattern by which it comes here, if the subscription has one.
    pub pattern: Option<Bytes>,
    /// What was published.
    pub payload: Bytes,
    pub(crate) held: InboundShare,
}

impl Delivered {
    /// Channel, payload, and what counts against the budget, to be kept until the payload has been dealt with.
    pub fn into_parts(self) -> (Bytes, Bytes, InboundShare) {
        (self.channel, self.payload, self.held)
    }
}

/// The share of a message in [`inbound_bytes_max`](crate::BusLimits::inbound_bytes_max), given back when dropped.
#[derive(Debug)]
pub struct InboundShare {
    pub(crate) _share: BudgetShare,
}
