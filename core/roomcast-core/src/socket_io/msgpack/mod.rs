//! MessagePack, as the parser of the JavaScript family and the Redis adapter of JavaScript write and read it.
//!
//! Owns: values, and packets made of them. Must never know: transports, the bus, what an event means.

mod date;
mod packed;
pub(super) mod packet;
mod tokens;
mod values;

pub(crate) use packed::{
    PackedHead, PackedMembers, PackedReader, write_array, write_bool, write_map, write_text, write_unsigned,
};
pub use packet::PackedPacketCheck;
pub(crate) use values::{UnpackError, UnpackLimits, ValuesUnpacking, write_values};
