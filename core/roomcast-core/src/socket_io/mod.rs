//! Socket.IO protocol revision 5.
//!
//! Owns: packets, argument lists with their attachments, namespaces, acks. Must never know: transports, rooms, what an
//! event means.

pub mod args;
mod args_text;
pub mod flags;
pub mod json;
pub(crate) mod msgpack;
mod outgoing;
pub mod packet;
pub mod parser;
mod positional;

pub use args::{Args, ArgsBuilder, ArgsError, Attachment};
pub use flags::{Delivery, Extent};
pub use json::{JsonError, JsonLimits};
pub use msgpack::PackedPacketCheck;
pub use outgoing::OutgoingPacket;
pub use packet::{
    HEADER_BYTES_MAX, Packet, PacketCheck, PacketError, PacketLimits, PacketType, ack_args, encode_ack, encode_event,
    encode_event_at, encode_header, is_reserved_event, split_event,
};
pub(crate) use parser::decode_by;
pub use parser::{PacketForm, PacketParser, Parser};
