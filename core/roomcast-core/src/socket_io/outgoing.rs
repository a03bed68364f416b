//! A packet that goes out, before it has a form.
//!
//! Owns: its parts, and their text form by the functions of `packet.rs`. Must never know: other forms, who it is for.

use bytes::Bytes;

use super::args::Args;
use super::packet::{HEADER_BYTES_MAX, PacketType, encode_ack_front, encode_event_front, encode_header, encode_offset};

/// A packet that goes out, in parts, for [`Parser::encode`](super::Parser::encode) to write in an endpoint's form.
#[derive(Clone, Copy, Debug)]
pub enum OutgoingPacket<'a> {
    /// A namespace is joined.
    Connect {
        /// The namespace, which begins with `/`.
        namespace: &'a str,
        /// An object as JSON text.
        data: &'a str,
    },
    /// A namespace is left.
    Disconnect {
        /// The namespace, which begins with `/`.
        namespace: &'a str,
    },
    /// A namespace is refused.
    ConnectError {
        /// The namespace, which begins with `/`.
        namespace: &'a str,
        /// An object or a string as JSON text.
        data: &'a str,
    },
    /// The server tells something.
    Event {
        /// The namespace, which begins with `/`.
        namespace: &'a str,
        /// Which ack it asks for.
        ack_id: Option<u64>,
        /// The name that handlers are registered for.
        name: &'a str,
        /// What stands behind the name.
        args: &'a Args,
        /// The offset of [connection state recovery](https://socket.io/docs/v4/connection-state-recovery), a string behind the
        /// arguments.
        offset: Option<&'a str>,
    },
    /// The answer to an event.
    Ack {
        /// The namespace, which begins with `/`.
        namespace: &'a str,
        /// Which event it answers.
        ack_id: u64,
        /// The values of the answer.
        args: &'a Args,
    },
}

impl OutgoingPacket<'_> {
    /// The namespace of the packet.
    pub const fn namespace(&self) -> &str {
        match self {
            Self::Connect { namespace, .. }
            | Self::Disconnect { namespace }
            | Self::ConnectError { namespace, .. }
            | Self::Event { namespace, .. }
            | Self::Ack { namespace, .. } => namespace,
        }
    }

    /// Its binary arguments, in order.
    pub fn attachments(&self) -> &[Bytes] {
        match self {
            Self::Connect { .. } | Self::Disconnect { .. } | Self::ConnectError { .. } => &[],
            Self::Event { args, .. } | Self::Ack { args, .. } => args.attachments(),
        }
    }

    /// The arguments of an event or an ack.
    pub const fn args(&self) -> Option<&Args> {
        match self {
            Self::Connect { .. } | Self::Disconnect { .. } | Self::ConnectError { .. } => None,
            Self::Event { args, .. } | Self::Ack { args, .. } => Some(args),
        }
    }

    /// About how many bytes its text form has without arguments: enough for most packets.
    pub(crate) fn frame_bytes(&self) -> usize {
        let parts = match self {
            Self::Connect { data, .. } | Self::ConnectError { data, .. } => data.len(),
            Self::Event { name, offset, .. } => name.len() + offset.map_or(0, str::len),
            Self::Disconnect { .. } | Self::Ack { .. } => 0,
        };
        HEADER_BYTES_MAX + self.namespace().len() + parts
    }

    /// Appends the text form; the caller sends the attachments behind it, in order.
    pub fn encode_text(&self, out: &mut Vec<u8>) {
        self.encode_front(out);
        let pieces = self.args().map_or(&[][..], Args::json_pieces);
        pieces.iter().for_each(|piece| out.extend_from_slice(piece.as_bytes()));
        self.encode_behind(out);
    }

    /// What stands in front of the arguments in the text form; all of it if there are none.
    pub(crate) fn encode_front(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Connect { namespace, data } => {
                encode_header(out, PacketType::Connect, 0, namespace, None);
                out.extend_from_slice(data.as_bytes());
            }
            Self::Disconnect { namespace } => encode_header(out, PacketType::Disconnect, 0, namespace, None),
            Self::ConnectError { namespace, data } => {
                encode_header(out, PacketType::ConnectError, 0, namespace, None);
                out.extend_from_slice(data.as_bytes());
            }
            Self::Event { namespace, ack_id, name, args, offset: _ } => {
                encode_event_front(out, namespace, ack_id, name, args);
            }
            Self::Ack { namespace, ack_id, args } => encode_ack_front(out, namespace, ack_id, args),
        }
    }

    /// What stands behind the arguments in the text form.
    pub(crate) fn encode_behind(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Connect { .. } | Self::Disconnect { .. } | Self::ConnectError { .. } => {}
            Self::Event { offset: Some(offset), .. } => encode_offset(out, offset),
            Self::Event { offset: None, .. } | Self::Ack { .. } => out.push(b']'),
        }
    }
}
