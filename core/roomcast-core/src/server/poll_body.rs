//! The body of a poll's answer.
//!
//! Owns: packets on their way into one body. Must never know: whose answer it is, or when that is full.
//! [Payload](https://github.com/socketio/engine.io-protocol#packet-encoding).

use std::sync::Arc;

use bytes::Bytes;

use super::encoded::Encoded;
use crate::engine_io::PayloadWriter;

/// A body that grows. One packet alone is a part of its [`Encoded`], which all members of a room share: nothing is
/// copied for it.
#[derive(Debug, Default)]
pub(super) struct PollBody {
    alone: Option<PolledPart>,
    /// All packets, unless there is one alone.
    joined: PayloadWriter,
}

/// A packet of an [`Encoded`] in its long-polling form.
#[derive(Debug)]
struct PolledPart {
    packet: Arc<Encoded>,
    index: usize,
}

impl PollBody {
    /// Appends a part of a packet that was queued.
    pub(super) fn push_part(&mut self, packet: &Arc<Encoded>, index: usize) {
        if self.is_empty() {
            self.alone = Some(PolledPart { packet: packet.clone(), index });
        } else {
            self.push(packet.polling_form(index));
        }
    }

    /// Appends a packet that is encoded as text already, its type included.
    pub(super) fn push(&mut self, packet: &[u8]) {
        if let Some(first) = self.alone.take() {
            self.joined.push(first.as_ref());
        }
        self.joined.push(packet);
    }

    /// Whether nothing was pushed.
    pub(super) fn is_empty(&self) -> bool {
        self.packets() == 0
    }

    /// Whether the next packet belongs into another answer.
    pub(super) fn is_full(&self) -> bool {
        self.joined.is_full()
    }

    /// How many packets were pushed.
    pub(super) fn packets(&self) -> usize {
        self.joined.packets() + usize::from(self.alone.is_some())
    }

    /// How long the body is by now.
    pub(super) fn bytes(&self) -> usize {
        self.alone.as_ref().map_or_else(|| self.joined.bytes(), |part| part.as_ref().len())
    }

    /// Returns the complete body.
    pub(super) fn finish(self) -> Bytes {
        match self.alone {
            Some(part) => Bytes::from_owner(part),
            None => self.joined.finish(),
        }
    }
}

impl AsRef<[u8]> for PolledPart {
    fn as_ref(&self) -> &[u8] {
        self.packet.polling_form(self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_alone_is_not_copied_and_others_are_joined_behind_it() {
        let packet = Encoded::text("4a");
        let mut body = PollBody::default();
        body.push_part(&packet, 0);
        assert_eq!((body.packets(), body.bytes(), body.is_full()), (1, 2, false));
        let alone = body.finish();
        assert_eq!((&*alone, alone.as_ptr()), (&b"4a"[..], packet.polling_form(0).as_ptr()));

        let mut body = PollBody::default();
        body.push_part(&packet, 0);
        body.push_part(&Encoded::binary(&Bytes::from_static(b"\x01")), 0);
        body.push(b"1");
        assert_eq!((body.packets(), body.bytes()), (3, 10));
        assert_eq!(body.finish(), &b"4a\x1ebAQ==\x1e1"[..]);

        let mut body = PollBody::default();
        body.push(b"6");
        assert_eq!((body.packets(), body.finish()), (1, Bytes::from_static(b"6")));
    }
}
