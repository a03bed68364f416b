//! The messages of y-protocols, as `y-websocket` puts them into WebSocket frames.
//!
//! Owns: [`ProtocolMessage`] and its codec. Must never know: what the bytes inside are good for.
//!
//! See [sync](https://github.com/yjs/y-protocols/blob/master/PROTOCOL.md) and the numbers in
//! [y-websocket](https://github.com/yjs/y-websocket/blob/master/src/y-websocket.js).

use super::wire::{Malformed, Reader, write_buffer};

/// One message, which is one binary frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolMessage<'a> {
    /// A state vector: how far the sender knows each client. Answered with [`ProtocolMessage::SyncStep2`].
    SyncStep1(&'a [u8]),
    /// The update that the receiver of a state vector found missing in it.
    SyncStep2(&'a [u8]),
    /// An update: a live edit.
    Update(&'a [u8]),
    /// An awareness update: presence states.
    Awareness(&'a [u8]),
    /// The document may not be read; and why, for people.
    PermissionDenied(&'a str),
    /// A request for all presence states. Answered with [`ProtocolMessage::Awareness`].
    QueryAwareness,
}

impl<'a> ProtocolMessage<'a> {
    /// Reads one message to its last byte. What it carries is not looked into.
    ///
    /// # Errors
    ///
    /// Returns why `bytes` are not one message, if they are not.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let message = match reader.integer()? {
            SYNC => match reader.integer()? {
                SYNC_STEP_1 => Self::SyncStep1(reader.buffer()?),
                SYNC_STEP_2 => Self::SyncStep2(reader.buffer()?),
                SYNC_UPDATE => Self::Update(reader.buffer()?),
                _ => return Err(Malformed::Message),
            },
            AWARENESS => Self::Awareness(reader.buffer()?),
            AUTH => match reader.integer()? {
                PERMISSION_DENIED => Self::PermissionDenied(reader.text()?),
                _ => return Err(Malformed::Message),
            },
            QUERY_AWARENESS => Self::QueryAwareness,
            _ => return Err(Malformed::Message),
        };
        reader.finish()?;
        Ok(message)
    }

    /// Writes the message.
    pub fn encode(&self) -> Vec<u8> {
        let (head, body): (&[u8], Option<&[u8]>) = match *self {
            Self::SyncStep1(vector) => (&[0, 0], Some(vector)),
            Self::SyncStep2(update) => (&[0, 1], Some(update)),
            Self::Update(update) => (&[0, 2], Some(update)),
            Self::Awareness(update) => (&[1], Some(update)),
            Self::PermissionDenied(reason) => (&[2, 0], Some(reason.as_bytes())),
            Self::QueryAwareness => (&[3], None),
        };
        let mut out = Vec::with_capacity(head.len() + body.map_or(0, |body| body.len() + 8));
        out.extend_from_slice(head);
        if let Some(body) = body {
            write_buffer(&mut out, body);
        }
        out
    }
}

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const QUERY_AWARENESS: u64 = 3;
const SYNC_STEP_1: u64 = 0;
const SYNC_STEP_2: u64 = 1;
const SYNC_UPDATE: u64 = 2;
const PERMISSION_DENIED: u64 = 0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use yrs::sync::{Message as Yrs, SyncMessage};
    use yrs::updates::decoder::Decode;
    use yrs::updates::encoder::Encode;

    use super::*;

    proptest! {
        #[test]
        fn messages_come_back_and_yrs_reads_them(body in prop::collection::vec(any::<u8>(), 0..200), reason in ".*") {
            for message in [
                ProtocolMessage::SyncStep1(&body), ProtocolMessage::SyncStep2(&body), ProtocolMessage::Update(&body), ProtocolMessage::Awareness(&body),
                ProtocolMessage::PermissionDenied(&reason), ProtocolMessage::QueryAwareness,
            ] {
                let bytes = message.encode();
                prop_assert_eq!(ProtocolMessage::decode(&bytes), Ok(message));
                for end in 0..bytes.len() {
                    prop_assert_eq!(ProtocolMessage::decode(&bytes[..end]), Err(Malformed::Truncated));
                }
                let longer = [&bytes[..], &[0]].concat();
                prop_assert_eq!(ProtocolMessage::decode(&longer), Err(Malformed::Trailing));
            }
            let update = Yrs::Sync(SyncMessage::Update(body.clone()));
            prop_assert_eq!(&ProtocolMessage::Update(&body).encode(), &update.encode_v1());
            prop_assert_eq!(Yrs::decode_v1(&ProtocolMessage::SyncStep2(&body).encode()).unwrap(), Yrs::Sync(SyncMessage::SyncStep2(body)));
            let denied = Yrs::Auth(Some(reason.clone()));
            prop_assert_eq!(Yrs::decode_v1(&ProtocolMessage::PermissionDenied(&reason).encode()).unwrap(), denied);
        }
    }

    #[test]
    fn unknown_messages_are_refused() {
        for bytes in [&[4, 0][..], &[0, 3, 0], &[2, 1, 0]] {
            assert_eq!(ProtocolMessage::decode(bytes), Err(Malformed::Message));
        }
    }
}
