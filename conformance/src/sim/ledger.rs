//! What a client has sent on one socket, in order, compared with what the server says that it received.
//!
//! Owns: that nothing is lost, doubled, changed or moved on its way to the application. Must never know: transports, or
//! what comes of an event.

use std::collections::{BTreeSet, VecDeque};

/// A client's packets on one socket that the server has not reported yet.
///
/// A session's packets arrive in order, on any transport, until the session ends: what the server reports is a
/// prefix of what was sent. Acks alone may come early: an application that waits for one gets it although events of the
/// same socket are held back.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: VecDeque<SentPacket>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SentPacket {
    /// The packet's text; attachments behind U+001E.
    Event(String),
    /// An answer to the packet of this id, and its text from the first argument on.
    Ack(u64, String),
    /// The packet DISCONNECT.
    Leave,
}

impl Ledger {
    /// Notes a Socket.IO packet that the client sends; `prefix` is its namespace as it stands in the packet.
    pub fn send(&mut self, prefix: &str, text: &str) {
        let sent = if text.starts_with("41") {
            SentPacket::Leave
        } else if let Some((id, args)) = ack_of(prefix, text) {
            SentPacket::Ack(id, args.to_owned())
        } else {
            SentPacket::Event(text.to_owned())
        };
        self.sent.push_back(sent);
    }

    /// The server reports an event. `open` are the packet ids whose acks it still waits for.
    ///
    /// # Errors
    ///
    /// What the client has sent in its place.
    pub fn receive(&mut self, text: &str, open: &BTreeSet<u64>) -> Result<(), String> {
        self.next(&SentPacket::Event(text.to_owned()), open)
    }

    /// The server reports an ack, perhaps ahead of events that were sent before it.
    ///
    /// # Errors
    ///
    /// What the client has sent in its place.
    pub fn acknowledge(&mut self, id: u64, args: &str, open: &BTreeSet<u64>) -> Result<(), String> {
        let reported = SentPacket::Ack(id, args.to_owned());
        let due = self.sent.iter().position(|sent| matches!(sent, SentPacket::Ack(..)) && !is_late(sent, open));
        match due.and_then(|index| self.sent.remove(index)) {
            Some(sent) if sent == reported => Ok(()),
            Some(sent) => Err(format!("the server reports {reported:?} where {sent:?} was sent")),
            None => Err(format!("the server reports {reported:?} where nothing was sent")),
        }
    }

    /// The server reports that the client has left the namespace.
    ///
    /// # Errors
    ///
    /// What the client has sent in its place.
    pub fn leave(&mut self, open: &BTreeSet<u64>) -> Result<(), String> {
        self.next(&SentPacket::Leave, open)
    }

    /// The first packet that the server should have reported by now.
    pub fn missing(&self, open: &BTreeSet<u64>) -> Option<String> {
        let due = self.sent.iter().find(|sent| !is_late(sent, open));
        due.map(|sent| format!("{sent:?}"))
    }

    fn next(&mut self, reported: &SentPacket, open: &BTreeSet<u64>) -> Result<(), String> {
        while let Some(sent) = self.sent.pop_front() {
            if sent == *reported {
                return Ok(());
            }
            if !is_late(&sent, open) {
                return Err(format!("the server reports {reported:?} where {sent:?} was sent"));
            }
        }
        Err(format!("the server reports {reported:?} where nothing was sent"))
    }
}

/// Whether a packet is an ack that came after its emit had ended: the server may pass over it.
fn is_late(sent: &SentPacket, open: &BTreeSet<u64>) -> bool {
    match sent {
        SentPacket::Ack(id, _) => !open.contains(id),
        SentPacket::Event(_) | SentPacket::Leave => false,
    }
}

fn ack_of<'a>(prefix: &str, text: &'a str) -> Option<(u64, &'a str)> {
    let rest = text.strip_prefix("43")?.strip_prefix(prefix)?;
    let (id, args) = rest.split_once('[')?;
    Some((id.parse().ok()?, args.strip_suffix(']')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reported_is_a_prefix_of_what_was_sent() {
        let open = BTreeSet::from([7]);
        let sent = || {
            let mut ledger = Ledger::default();
            for text in [r#"42/a,["x"]"#, "43/a,7[1]", "43/a,8[2]", r#"42/a,["y"]"#, "41/a,"] {
                ledger.send("/a,", text);
            }
            ledger
        };
        let mut ledger = sent();
        assert_eq!(ledger.receive(r#"42/a,["x"]"#, &open), Ok(()));
        assert!(ledger.missing(&open).is_some());
        assert_eq!(ledger.acknowledge(7, "1", &open), Ok(()));
        assert_eq!(ledger.receive(r#"42/a,["y"]"#, &open), Ok(()), "the emit of 8 had ended");
        assert_eq!(ledger.leave(&open), Ok(()));
        assert_eq!(ledger.missing(&open), None);
        assert!(ledger.leave(&open).is_err(), "twice");
        assert!(sent().receive(r#"42/a,["y"]"#, &open).is_err(), "one is lost");
        let mut ledger = sent();
        assert_eq!(ledger.acknowledge(7, "1", &open), Ok(()), "ahead of an event that is held back");
        assert!(ledger.acknowledge(7, "1", &open).is_err(), "twice");
        assert!(sent().acknowledge(7, "2", &open).is_err(), "changed");
        let mut ledger = sent();
        assert_eq!(ledger.receive(r#"42/a,["x"]"#, &open), Ok(()));
        assert!(ledger.receive(r#"42/a,["y"]"#, &open).is_err(), "an ack is lost");
    }
}
