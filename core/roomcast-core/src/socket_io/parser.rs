//! In which form the packets of an endpoint are written.
//!
//! Owns: the choice of the form, and the trait for forms of an application's own. Must never know: the forms themselves,
//! transports, what an event means.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

use super::msgpack::packet::encode_packed;
use super::outgoing::OutgoingPacket;
use super::packet::{Packet, PacketError, PacketLimits};

/// The form of packets: the option `parser` of socket.io. Client and server must have the same.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Parser {
    /// Text with JSON in it, and attachments in messages of their own
    /// ([Packet encoding](https://github.com/socketio/socket.io-protocol#packet-encoding)).
    #[default]
    Json,
    /// One binary message in MessagePack, as `socket.io-msgpack-parser` 3.0 has it. What JSON has no word for arrives as what
    /// JSON makes of it: a date is its text, `undefined` and numbers that are none are `null`. Beside bytes, an object that
    /// looks like the placeholder of an attachment is refused.
    MessagePack,
    /// A form of the application's own.
    Other(Arc<dyn PacketParser>),
}

impl Parser {
    /// What a packet is on the wire.
    pub fn form(&self) -> PacketForm {
        match self {
            Self::Json => PacketForm::Text,
            Self::MessagePack => PacketForm::Binary,
            Self::Other(parser) => parser.form(),
        }
    }

    /// Appends a packet. Of [`Parser::Json`] without its attachments, which are messages of their own.
    pub fn encode(&self, packet: &OutgoingPacket<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json => packet.encode_text(out),
            Self::MessagePack => encode_packed(out, packet),
            Self::Other(parser) => parser.encode(packet, out),
        }
    }
}

/// What a packet is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketForm {
    /// A text message.
    Text,
    /// A binary message: over long polling it is base64, a third longer.
    Binary,
}

/// A form of packets that an application defines: one message for each packet, attachments and all.
///
/// Its own work is to map a message to a [`Packet`] and back. What it returns is checked as a client's text is, so that a
/// mistake in it ends one connection and reaches no other client.
pub trait PacketParser: Debug + Send + Sync {
    /// Whether packets are text or binary messages. Always the same.
    fn form(&self) -> PacketForm;

    /// Reads a message: UTF-8 if the form is text. The packet has its data as JSON text without blanks around it, in which
    /// `{"_placeholder":true,"num":0}` stands for the first attachment; [`Packet::attachments`] is not looked at.
    ///
    /// It is called with messages as long as the endpoint takes them, and holds up every other client while it works.
    ///
    /// # Errors
    ///
    /// What is no packet, by [`PacketError::Foreign`] for instance: the connection is closed, as for malformed JSON.
    fn decode(&self, message: Bytes, limits: &PacketLimits) -> Result<(Packet, Vec<Bytes>), PacketError>;

    /// Appends a packet: UTF-8 if the form is text. It is written once for all its recipients.
    fn encode(&self, packet: &OutgoingPacket<'_>, out: &mut Vec<u8>);
}

/// Reads a message by an application's parser, and checks what it returns.
///
/// # Errors
///
/// The parser's, or those of [`Packet::decode`].
pub(crate) fn decode_by(
    parser: &dyn PacketParser,
    message: Bytes,
    limits: &PacketLimits,
) -> Result<(Packet, Vec<Bytes>), PacketError> {
    let (packet, attachments) = parser.decode(message, limits)?;
    packet.check(&attachments, limits)?;
    Ok((Packet { attachments: 0, ..packet }, attachments))
}
