//! Stand-in until the codecs land.

/// Arguments.
#[derive(Clone, Debug, Default)]
pub struct Args {
    json: bytestring::ByteString,
    attachments: Vec<bytes::Bytes>,
}

impl Args {
    /// The arguments' JSON, comma separated, without brackets.
    pub fn json(&self) -> &str {
        &self.json
    }
    /// The attachments.
    pub fn attachments(&self) -> &[bytes::Bytes] {
        &self.attachments
    }
}
