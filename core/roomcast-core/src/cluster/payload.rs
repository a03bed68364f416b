//! Arguments on their way over the bus, not looked at before they are needed.
//!
//! Owns: the forms that dialects give to arguments. Must never know: who they are for.

use bytes::Bytes;
use bytestring::ByteString;

use super::javascript::data::PackedArgs;
use super::payload_error::BusPayloadError;
use super::python::data::PythonData;
use crate::socket_io::Args;

/// The arguments of an event or an ack as they came over the bus, or as they are to go out.
///
/// What another node sent is kept as the raw bytes of its message until [`args`](Self::args) is called: most messages of
/// a large cluster have no recipient here, and then nothing of a payload is ever read.
#[derive(Clone, Debug, PartialEq)]
pub struct BusPayload(PayloadForm);

/// How a payload is written.
#[derive(Clone, Debug, PartialEq)]
enum PayloadForm {
    Args(Args),
    /// Text of JSON values parted by commas, not checked, and the binary messages that it refers to.
    Values(ByteString, Vec<Bytes>),
    Python(PythonData),
    JavaScript(PackedArgs),
}

impl BusPayload {
    /// Text of JSON values parted by commas, without brackets, as it stands in a message: not checked yet.
    pub const fn from_unchecked(values: ByteString, attachments: Vec<Bytes>) -> Self {
        Self(PayloadForm::Values(values, attachments))
    }

    pub(super) const fn from_python(data: PythonData) -> Self {
        Self(PayloadForm::Python(data))
    }

    pub(super) const fn from_javascript(packed: PackedArgs) -> Self {
        Self(PayloadForm::JavaScript(packed))
    }

    /// Bytes of arguments that were made on this node. Those that came over a bus are that bus's to count: 0.
    pub fn own_bytes(&self) -> usize {
        match &self.0 {
            PayloadForm::Args(args) => args.json_bytes() + args.attachments().iter().map(Bytes::len).sum::<usize>(),
            PayloadForm::Values(..) | PayloadForm::Python(_) | PayloadForm::JavaScript(_) => 0,
        }
    }

    /// The arguments, checked as those of a client are.
    ///
    /// # Errors
    ///
    /// What is wrong with them: another node's text is no more trusted than a client's.
    pub fn args(self) -> Result<Args, BusPayloadError> {
        match self.0 {
            PayloadForm::Args(args) => Ok(args),
            PayloadForm::Values(values, attachments) => {
                Args::from_received(values, attachments).map_err(BusPayloadError::Args)
            }
            PayloadForm::Python(data) => data.args(),
            PayloadForm::JavaScript(packed) => packed.args(),
        }
    }
}

impl From<Args> for BusPayload {
    fn from(args: Args) -> Self {
        Self(PayloadForm::Args(args))
    }
}
