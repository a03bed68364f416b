//! What nodes that have the same document in memory tell each other.
//!
//! Owns: the messages and their form as bytes. Must never know: a bus, or what is in an entry.
//!
//! The bus may lose, delay and repeat them: they only make others look sooner. All that counts is in the log.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use bytestring::ByteString;

/// A message about one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeMessage {
    pub(crate) document: ByteString,
    pub(crate) says: Says,
}

/// What is said of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// These entries are in the log.
    Appended { first_sequence: u64, entries: Vec<Bytes> },
    /// The log goes up to here: the entries are too long for a message.
    Grown { last_sequence: u64 },
    /// A snapshot holds the log up to here.
    Snapshotted { up_to_sequence: u64 },
    /// Providers of the sender have announced this.
    Awareness(Bytes),
    /// The sender wants to know what providers of others have announced.
    QueryAwareness,
}

impl NodeMessage {
    pub(crate) fn appended(document: ByteString, first_sequence: u64, entries: Vec<Bytes>) -> Self {
        let bytes: usize = entries.iter().map(Bytes::len).sum();
        let says = if bytes > ENTRIES_BYTES_MAX {
            Says::Grown { last_sequence: first_sequence - 1 + entries.len() as u64 }
        } else {
            Says::Appended { first_sequence, entries }
        };
        Self { document, says }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        put_buffer(&mut out, self.document.as_bytes());
        match &self.says {
            Says::Appended { first_sequence, entries } => {
                out.put_u8(APPENDED);
                out.put_u64(*first_sequence);
                for entry in entries {
                    put_buffer(&mut out, entry);
                }
            }
            Says::Grown { last_sequence } => {
                out.put_u8(GROWN);
                out.put_u64(*last_sequence);
            }
            Says::Snapshotted { up_to_sequence } => {
                out.put_u8(SNAPSHOTTED);
                out.put_u64(*up_to_sequence);
            }
            Says::Awareness(update) => {
                out.put_u8(AWARENESS);
                out.put_slice(update);
            }
            Says::QueryAwareness => out.put_u8(QUERY_AWARENESS),
        }
        out.freeze()
    }

    /// `None`: it is no message of this version.
    pub(crate) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let document = ByteString::try_from(take_buffer(&mut bytes)?).ok()?;
        let says = match bytes.try_get_u8().ok()? {
            APPENDED => {
                let first_sequence = bytes.try_get_u64().ok()?;
                let mut entries = Vec::new();
                while !bytes.is_empty() {
                    entries.push(take_buffer(&mut bytes)?);
                }
                first_sequence.checked_add(entries.len() as u64)?;
                Says::Appended { first_sequence, entries }
            }
            GROWN => Says::Grown { last_sequence: bytes.try_get_u64().ok()? },
            SNAPSHOTTED => Says::Snapshotted { up_to_sequence: bytes.try_get_u64().ok()? },
            AWARENESS => Says::Awareness(bytes),
            QUERY_AWARENESS => Says::QueryAwareness,
            _ => return None,
        };
        Some(Self { document, says })
    }
}

impl Says {
    /// The last entry of the log that is spoken of; 0 if there is none.
    pub(crate) fn last_sequence(&self) -> u64 {
        match self {
            Self::Appended { first_sequence, entries } => {
                first_sequence.saturating_sub(1).saturating_add(entries.len() as u64)
            }
            Self::Grown { last_sequence } => *last_sequence,
            Self::Snapshotted { up_to_sequence } => *up_to_sequence,
            Self::Awareness(_) | Self::QueryAwareness => 0,
        }
    }
}

fn put_buffer(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

fn take_buffer(bytes: &mut Bytes) -> Option<Bytes> {
    let len = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
    (len <= bytes.len()).then(|| bytes.split_to(len))
}

const VERSION: u8 = 1;
const APPENDED: u8 = 1;
const GROWN: u8 = 2;
const SNAPSHOTTED: u8 = 3;
const AWARENESS: u8 = 4;
const QUERY_AWARENESS: u8 = 5;
/// Longer ones are read from the store by those that need them.
const ENTRIES_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_message_is_read_as_it_was_written() {
        let entries = vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"three")];
        for says in [
            Says::Appended { first_sequence: 7, entries },
            Says::Grown { last_sequence: u64::MAX },
            Says::Snapshotted { up_to_sequence: 3 },
            Says::Awareness(Bytes::from_static(b"who")),
            Says::QueryAwareness,
        ] {
            let message = NodeMessage { document: "plän".into(), says };
            assert_eq!(NodeMessage::decode(message.encode()), Some(message));
        }
    }

    #[test]
    fn what_is_long_is_named_only() {
        let long = vec![Bytes::from(vec![0; ENTRIES_BYTES_MAX]), Bytes::from_static(b"x")];
        let message = NodeMessage::appended("plan".into(), 4, long);
        assert_eq!(message.says, Says::Grown { last_sequence: 5 });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Some(message) = NodeMessage::decode(Bytes::from(bytes.clone())) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }
    }
}
