//! The WebSocket protocol ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455)), server and client side.
//!
//! Owns: the opening handshake as typed HTTP messages ([`handshake`]), frames in both directions, reassembly of fragmented
//! messages, close codes, and the limits a peer must keep. Must never know: sockets, time, what a message means, or who
//! answers a ping or a close; a connection's owner decides when and what to send.
//!
//! A [`Decoder`] takes bytes as they arrive and holds none while its peer is between messages: an idle connection costs
//! 24 bytes. Sending needs no state at all: [`server_header`] writes the header in front of a payload that every
//! recipient shares, [`encode_frame`] writes a whole frame for either side.
//!
//! permessage-deflate ([RFC 7692](https://www.rfc-editor.org/rfc/rfc7692)) is spoken without context takeover:
//! [`DeflateAgreement::choose`] looks at what a request offers, [`Decoder::inflating`] takes compressed messages, and
//! a [`Deflater`] makes them, once for all recipients. No subprotocol is negotiated.

mod close;
mod close_code;
mod decode;
mod deflate;
mod encode;
mod error;
mod extension;
mod frame;
pub mod handshake;
mod mask;

pub use close::CloseFrame;
pub use close_code::CloseCode;
pub use decode::{Decoder, FrameLimits, WsMessage};
pub use deflate::Deflater;
pub use encode::{SERVER_HEADER_BYTES_MAX, ServerHeader, compressed_header, encode_close, encode_frame, server_header};
pub use error::WsError;
pub use extension::DeflateAgreement;
pub use frame::{Fin, Opcode, Role};
pub use handshake::{ClientHandshake, HandshakeError};
