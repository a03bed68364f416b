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
//! No extension is offered or accepted, so permessage-deflate is not spoken; no subprotocol is negotiated.

mod close;
mod close_code;
mod decode;
mod encode;
mod error;
mod frame;
pub mod handshake;
mod mask;

pub use close::CloseFrame;
pub use close_code::CloseCode;
pub use decode::{Decoder, FrameLimits, WsMessage};
pub use encode::{SERVER_HEADER_BYTES_MAX, ServerHeader, encode_close, encode_frame, server_header};
pub use error::WsError;
pub use frame::{Fin, Opcode, Role};
pub use handshake::{ClientHandshake, HandshakeError};
