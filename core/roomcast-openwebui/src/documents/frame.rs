//! What is said of documents, as it goes over the wire of the application protocol.
//!
//! Owns: names, payloads and their exact form. Must never know: when one is sent.

use std::collections::BTreeSet;

use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::content::says_nothing;
use super::fields::{AttachedFiles, DataFields};
use crate::settings::Release;
use roomcast_core::socket_io::{Args, Attachment};
use roomcast_documents::Brings;
use roomcast_yjs::int_array;

/// What names a document.
#[derive(Deserialize)]
pub(super) struct DocumentNamed {
    pub(super) document_id: String,
}

/// `ydoc:document:join`. The joining user is known from the session.
#[derive(Deserialize)]
pub(super) struct Join {
    pub(super) document_id: String,
    #[serde(default)]
    pub(super) user_color: Option<String>,
}

/// `ydoc:document:update` and `ydoc:awareness:update`.
#[derive(Deserialize)]
pub(super) struct UpdateEvent<'a> {
    pub(super) document_id: String,
    #[serde(borrow, default)]
    pub(super) update: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    initialize: Option<&'a RawValue>,
}

impl<'a> UpdateEvent<'a> {
    /// What is in the place of the update. 0.12 counts an empty list as none.
    fn update(&self, release: Release) -> Option<&'a RawValue> {
        let is_empty = |value: &&RawValue| value.get().strip_prefix('[').is_some_and(|rest| rest.trim() == "]");
        match release {
            Release::V0_6 => self.update,
            Release::V0_12 => self.update.filter(|value| !is_empty(value)),
        }
    }
}

impl UpdateEvent<'_> {
    /// Whether it counts only as the first one.
    fn initializes(&self) -> bool {
        self.initialize.is_some_and(|value| value.get() == "true")
    }

    /// The note's content as JSON, if it came with it.
    fn content(&self) -> Option<&str> {
        #[derive(Deserialize)]
        struct UpdateData<'a> {
            #[serde(borrow, default)]
            content: Option<&'a RawValue>,
        }
        let data: UpdateData<'_> = serde_json::from_str(self.data?.get()).ok()?;
        data.content.map(RawValue::get)
    }
}

/// An update of a socket, read.
#[derive(Debug)]
pub(super) struct ReadUpdate {
    pub(super) document_id: String,
    /// The update's bytes, if there is one; `Some(None)` if that is none, or too long.
    pub(super) update: Option<Option<Blob>>,
    /// The note's content, unless it says nothing.
    pub(super) content: Option<ByteString>,
    /// Other members of the note's data. None with 0.6.
    pub(super) fields: DataFields,
    /// Files that are attached by those.
    pub(super) files: AttachedFiles,
    /// Whether it counts only as the first one.
    pub(super) initializes: bool,
    /// Whether it is all that its sender has.
    pub(super) brings: Brings,
}

/// An update that waits for what a store says of its files.
#[derive(Debug)]
pub(crate) struct FilesTurn {
    pub(super) read: ReadUpdate,
    /// Those that have not been looked at.
    pub(super) files: BTreeSet<ByteString>,
}

/// Reads an update with all that came with it. That takes 4 ms per megabyte.
pub(super) fn read_update(args: &Args, bytes_max: usize, release: Release) -> Option<ReadUpdate> {
    let payload = args.parse::<UpdateEvent<'_>>().ok()?;
    let update = payload.update(release).map(|value| Blob::read(value, args, bytes_max));
    let content = payload.content().filter(|json| !says_nothing(json)).map(ByteString::from);
    let initializes = payload.initializes();
    let is_attached =
        update.as_ref().is_some_and(|blob| blob.as_ref().is_some_and(|blob| matches!(blob.form, BlobForm::Attachment)));
    let (is_whole, fields) = match release {
        Release::V0_6 => (is_attached, DataFields::default()),
        // What a browser was asked for comes without a content.
        Release::V0_12 => {
            let fields = payload.data.map(DataFields::read).unwrap_or_default();
            (is_attached || payload.data.is_none() && !initializes, fields)
        }
    };
    let update = update.map(|blob| blob.map(|blob| blob.told_by(release)));
    let files = fields.files();
    let brings = if is_whole { Brings::Everything } else { Brings::Edit };
    Some(ReadUpdate { document_id: payload.document_id, update, content, fields, files, initializes, brings })
}

/// Bytes in the form in which they came, or in which they are sent.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    pub(super) bytes: Bytes,
    pub(super) form: BlobForm,
}

/// A form of bytes among JSON.
#[derive(Clone, Debug)]
pub(super) enum BlobForm {
    /// A JSON array of numbers: this text.
    Array(ByteString),
    /// A binary attachment.
    Attachment,
}

impl Blob {
    /// Reads what a browser sent. `None`: no bytes, or too many.
    pub(super) fn read(value: &RawValue, args: &Args, bytes_max: usize) -> Option<Self> {
        let text = value.get();
        if text.starts_with('[') {
            let bytes = int_array::decode(text.as_bytes(), bytes_max).ok()?;
            return Some(Self { bytes: bytes.into(), form: BlobForm::Array(text.into()) });
        }
        let placeholder: Attachment = serde_json::from_str(text).ok()?;
        let bytes = args.attachment(placeholder)?;
        (bytes.len() <= bytes_max).then(|| Self { bytes: Bytes::copy_from_slice(bytes), form: BlobForm::Attachment })
    }

    /// The same in a form in which browsers of a release are told: 0.12 sends arrays alone.
    pub(super) fn told_by(self, release: Release) -> Self {
        match (release, &self.form) {
            (Release::V0_12, BlobForm::Attachment) => Self::new(self.bytes, usize::MAX),
            (Release::V0_6 | Release::V0_12, BlobForm::Attachment | BlobForm::Array(_)) => self,
        }
    }

    /// Bytes that no browser sent: an array up to this length.
    pub(super) fn new(bytes: Bytes, array_bytes_max: usize) -> Self {
        if bytes.len() > array_bytes_max {
            return Self { bytes, form: BlobForm::Attachment };
        }
        let text = array_text(int_array::encode(&bytes));
        Self { bytes, form: BlobForm::Array(text) }
    }
}

/// An array's text. It has ASCII characters alone.
pub(super) fn array_text(text: impl Into<Bytes>) -> ByteString {
    ByteString::try_from(text.into()).unwrap_or_default()
}

/// One argument, an object, under construction. Long values stay where they are.
#[derive(Debug)]
pub(super) struct ArgumentWriter {
    /// What is finished: up to the last long value.
    pieces: Vec<ByteString>,
    /// The short members that came since.
    json: Vec<u8>,
    attachments: Vec<Bytes>,
}

impl ArgumentWriter {
    /// An object that begins with the document's id.
    pub(super) fn of(document: &str) -> Self {
        Self { pieces: Vec::new(), json: vec![b'{'], attachments: Vec::new() }.text("document_id", document)
    }

    pub(super) fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        self.string(value);
        self
    }

    pub(super) fn texts<'a>(mut self, name: &str, values: impl Iterator<Item = &'a str>) -> Self {
        self.name(name);
        self.json.push(b'[');
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.json.push(b',');
            }
            self.string(value);
        }
        self.json.push(b']');
        self
    }

    /// A value that is JSON.
    pub(super) fn raw(mut self, name: &str, json: &str) -> Self {
        self.name(name);
        self.json.extend_from_slice(json.as_bytes());
        self
    }

    /// The same, of a value that may be long.
    pub(super) fn json(mut self, name: &str, json: &ByteString) -> Self {
        self.name(name);
        self.push_json(json);
        self
    }

    pub(super) fn blob(mut self, name: &str, blob: &Blob) -> Self {
        self.name(name);
        self.push_blob(blob);
        self
    }

    pub(super) fn finish(mut self) -> Args {
        self.json.push(b'}');
        self.into_args()
    }

    /// Bytes as the one argument.
    pub(super) fn of_blob(blob: &Blob) -> Args {
        let mut frame = Self { pieces: Vec::new(), json: Vec::new(), attachments: Vec::new() };
        frame.push_blob(blob);
        frame.into_args()
    }

    fn into_args(mut self) -> Args {
        self.end_piece();
        // Made of strings that serde_json wrote and of values that were checked when they came.
        Args::from_checked_pieces(self.pieces, self.attachments)
    }

    fn end_piece(&mut self) {
        self.pieces.push(ByteString::try_from(std::mem::take(&mut self.json)).unwrap_or_default());
    }

    fn push_json(&mut self, json: &ByteString) {
        if json.len() >= SHARED_JSON_BYTES_MIN {
            self.end_piece();
            return self.pieces.push(json.clone());
        }
        // With room for what follows, so that much is not moved once more.
        self.json.reserve(json.len() + MEMBER_BYTES);
        self.json.extend_from_slice(json.as_bytes());
    }

    fn push_blob(&mut self, blob: &Blob) {
        match &blob.form {
            BlobForm::Array(text) => self.push_json(text),
            BlobForm::Attachment => {
                let placeholder = format!(r#"{{"_placeholder":true,"num":{}}}"#, self.attachments.len());
                self.json.extend_from_slice(placeholder.as_bytes());
                self.attachments.push(blob.bytes.clone());
            }
        }
    }

    fn name(&mut self, name: &str) {
        if self.json.len() > 1 || !self.pieces.is_empty() {
            self.json.push(b',');
        }
        self.string(name);
        self.json.push(b':');
    }

    fn string(&mut self, value: &str) {
        let before = self.json.len();
        if serde_json::to_writer(&mut self.json, value).is_err() {
            self.json.truncate(before);
            self.json.extend_from_slice(b"\"\"");
        }
    }
}

/// What stands behind an array: a name or two.
const MEMBER_BYTES: usize = 256;
/// Shorter values are copied: the server shares none that are shorter.
const SHARED_JSON_BYTES_MIN: usize = 1 << 20;
pub(super) const STATE: ByteString = ByteString::from_static("ydoc:document:state");
pub(super) const UPDATE: ByteString = ByteString::from_static("ydoc:document:update");
pub(super) const AWARENESS: ByteString = ByteString::from_static("ydoc:awareness:update");
pub(super) const JOINED: ByteString = ByteString::from_static("ydoc:user:joined");
pub(super) const LEFT: ByteString = ByteString::from_static("ydoc:user:left");
pub(super) const JOIN_REFUSED: &str = r#"{"message":"Failed to join document"}"#;
pub(super) const FILES_REFUSED: &str = r#"{"message":"Cannot attach files you cannot access"}"#;
pub(super) const UPDATE_REFUSED: &str = r#"{"message":"Failed to update document"}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_stays_where_it_is_and_a_short_one_is_copied() {
        for (len, pieces) in [(SHARED_JSON_BYTES_MIN - 2, 1), (SHARED_JSON_BYTES_MIN, 3)] {
            let text = ByteString::from(format!("[{}]", "1".repeat(len - 2)));
            let blob = Blob { bytes: Bytes::new(), form: BlobForm::Array(text.clone()) };
            let args = ArgumentWriter::of("note:plan").blob("update", &blob).text("socket_id", "s").finish();
            assert_eq!(args.json_pieces().len(), pieces);
            assert_eq!(args.json_pieces().iter().any(|piece| piece.as_ptr() == text.as_ptr()), pieces == 3);
            assert_eq!(args.json(), format!(r#"{{"document_id":"note:plan","update":{text},"socket_id":"s"}}"#));

            let args = ArgumentWriter::of("note:plan").json("content", &text).blob("state", &blob).finish();
            assert_eq!(args.json(), format!(r#"{{"document_id":"note:plan","content":{text},"state":{text}}}"#));
            assert_eq!(ArgumentWriter::of_blob(&blob).json(), &*text);
        }
    }
}
