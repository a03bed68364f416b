//! Arguments as they stand in a message of the JavaScript adapter's dialect.
//!
//! Owns: these, unread until they are needed. Must never know: whose arguments they are.

use bytes::Bytes;

use crate::cluster::payload_error::BusPayloadError;
use crate::socket_io::msgpack::{PackedReader, UnpackError, UnpackLimits, ValuesUnpacking};
use crate::socket_io::{Args, ArgsError, JsonError};

/// Arguments as they stand in a message: this many values in MessagePack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cluster) struct PackedArgs {
    pub(super) bytes: Bytes,
    pub(super) count: u32,
}

impl PackedArgs {
    /// Reads the arguments.
    pub(in crate::cluster) fn args(self) -> Result<Args, BusPayloadError> {
        let mut reader = PackedReader::new(self.bytes);
        let (json, attachments) = unpacked(&mut reader, self.count).map_err(|error| match error {
            UnpackError::Shape | UnpackError::TooManyAttachments => BusPayloadError::Shape,
            UnpackError::TooDeep => BusPayloadError::Args(ArgsError::Json(JsonError::TooDeep)),
        })?;
        if !reader.is_at_end() {
            return Err(BusPayloadError::Shape);
        }
        Args::from_received(json, attachments).map_err(BusPayloadError::Args)
    }
}

fn unpacked(reader: &mut PackedReader, count: u32) -> Result<(bytestring::ByteString, Vec<Bytes>), UnpackError> {
    let mut unpacking = ValuesUnpacking::new(count, UnpackLimits { depth_max: DEPTH_MAX, attachments_max: usize::MAX });
    while !unpacking.step(reader, usize::MAX)? {}
    unpacking.finish()
}

/// What arguments may have open at once, with themselves.
const DEPTH_MAX: usize = 128;
