//! Engine.IO protocol revision 4.
//!
//! Owns: packets, the bodies of long polling, the open handshake, and the life of a session. Must never know: what a
//! message means.

pub mod packet;
pub mod payload;

pub mod session;

pub use packet::{OpenData, Packet, PacketError, PeerHandshake};
pub use payload::{PACKETS_PER_ANSWER_MAX, Payload, PayloadError, PayloadWriter, decode_payload};
