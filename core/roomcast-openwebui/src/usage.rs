//! Models in use.
//!
//! Owns: which sockets use which models, and when a use expires. Must never know: who a socket is, or what a model does.

use std::collections::BTreeMap;
use std::time::Duration;

use bytestring::ByteString;

use roomcast_core::server::SocketId;
use roomcast_core::time::Instant;
use roomcast_core::timer::{Fifo, FifoKey};

/// The models in use. Tells nothing by itself: it is asked for [`models`](Self::models).
#[derive(Debug)]
pub(crate) struct Usage {
    expiry: Duration,
    models_per_socket_max: usize,
    /// Uses that have not expired.
    uses: BTreeMap<(SocketId, ByteString), FifoKey>,
    /// How many sockets use each model.
    models: BTreeMap<ByteString, u32>,
    expiries: Fifo<(SocketId, ByteString)>,
}

impl Usage {
    pub(crate) fn new(expiry: Duration, models_per_socket_max: usize) -> Self {
        let (uses, models, expiries) = (BTreeMap::new(), BTreeMap::new(), Fifo::new());
        Self { expiry, models_per_socket_max, uses, models, expiries }
    }

    /// A socket uses a model from now on, until the use expires. One model too many is not counted:
    /// `false`.
    pub(crate) fn handle_usage(&mut self, socket: SocketId, model: ByteString, now: Instant) -> bool {
        let key = (socket, model);
        if !self.uses.contains_key(&key) && self.of(socket).count() >= self.models_per_socket_max {
            return false;
        }
        let timer = self.expiries.arm(now + self.expiry, key.clone());
        let model = key.1.clone();
        match self.uses.insert(key, timer) {
            Some(earlier) => {
                self.expiries.cancel(earlier);
            }
            None => *self.models.entry(model).or_default() += 1,
        }
        true
    }

    /// A login ended, and with it what its socket used.
    pub(crate) fn handle_logout(&mut self, socket: SocketId) {
        let keys: Vec<_> = self.of(socket).cloned().collect();
        for key in keys {
            if let Some(timer) = self.uses.remove(&key) {
                self.expiries.cancel(timer);
                self.release(&key.1);
            }
        }
    }

    /// Ends the uses that have expired.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(key) = self.expiries.pop_due(now) {
            if self.uses.remove(&key).is_some() {
                self.release(&key.1);
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.expiries.next_deadline()
    }

    /// The models in use, in order.
    pub(crate) fn models(&self) -> impl Iterator<Item = &ByteString> {
        self.models.keys()
    }

    pub(crate) fn armed(&self) -> usize {
        self.expiries.len()
    }

    fn of(&self, socket: SocketId) -> impl Iterator<Item = &(SocketId, ByteString)> {
        self.uses.range((socket, ByteString::new())..).map(|(key, _)| key).take_while(move |key| key.0 == socket)
    }

    fn release(&mut self, model: &ByteString) {
        if let Some(count) = self.models.get_mut(model) {
            *count -= 1;
            if *count == 0 {
                self.models.remove(model);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::socket;

    #[test]
    fn a_model_is_in_use_until_its_last_use_expires() {
        let mut usage = Usage::new(Duration::from_secs(3), 16);
        usage.handle_usage(socket(1), "m".into(), at(0));
        usage.handle_usage(socket(2), "m".into(), at(1));
        usage.handle_usage(socket(1), "m".into(), at(2));
        assert_eq!(usage.next_deadline(), Some(at(4)));
        usage.handle_timeout(at(4));
        assert_eq!((models(&usage), usage.armed()), (vec!["m"], 1));
        usage.handle_timeout(at(5));
        assert_eq!((models(&usage), usage.armed(), usage.next_deadline()), (vec![], 0, None));
    }

    #[test]
    fn a_logout_ends_the_uses_of_that_socket_alone() {
        let mut usage = Usage::new(Duration::from_secs(3), 16);
        for (number, model) in [(1, "a"), (1, "b"), (2, "b")] {
            usage.handle_usage(socket(number), model.into(), at(0));
        }
        usage.handle_logout(socket(1));
        assert_eq!((models(&usage), usage.armed()), (vec!["b"], 1));
    }

    #[test]
    fn a_socket_uses_a_bounded_number_of_models() {
        let mut usage = Usage::new(Duration::from_secs(3), 2);
        for model in ["a", "b", "c", "b"] {
            usage.handle_usage(socket(1), model.into(), at(0));
        }
        assert_eq!((models(&usage), usage.armed()), (vec!["a", "b"], 2));
    }

    fn models(usage: &Usage) -> Vec<&str> {
        usage.models().map(|model| &**model).collect()
    }

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }
}
