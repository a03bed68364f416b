//! Arguments on their way over the bus, not looked at before they are needed.
//!
//! Owns: the forms that dialects give to arguments. Must never know: who they are for.

use bytes::Bytes;
use bytestring::ByteString;

use super::payload_error::PayloadError;
use super::python::Data;
use crate::socket_io::Args;

/// The arguments of an event or an ack as they came over the bus, or as they are to go out.
///
/// What another node sent is kept as the raw bytes of its message until [`args`](Self::args) is called: most messages of
/// a large cluster have no recipient here, and then nothing of a payload is ever read.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload(Form);

/// How a payload is written.
#[derive(Clone, Debug, PartialEq)]
enum Form {
    Args(Args),
    /// Text of JSON values parted by commas, not checked, and the binary messages that it refers to.
    Values(ByteString, Vec<Bytes>),
    Python(Data),
}

impl Payload {
    /// Text of JSON values parted by commas, without brackets, as it stands in a message: not checked yet.
    pub const fn from_unchecked(values: ByteString, attachments: Vec<Bytes>) -> Self {
        Self(Form::Values(values, attachments))
    }

    pub(super) const fn from_python(data: Data) -> Self {
        Self(Form::Python(data))
    }

    /// The arguments, checked as those of a client are.
    ///
    /// # Errors
    ///
    /// What is wrong with them: another node's text is no more trusted than a client's.
    pub fn args(self) -> Result<Args, PayloadError> {
        match self.0 {
            Form::Args(args) => Ok(args),
            Form::Values(values, attachments) => Args::from_received(values, attachments).map_err(PayloadError::Args),
            Form::Python(data) => data.args(),
        }
    }
}

impl From<Args> for Payload {
    fn from(args: Args) -> Self {
        Self(Form::Args(args))
    }
}
