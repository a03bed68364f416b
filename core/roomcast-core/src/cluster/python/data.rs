//! The `data` of python-socketio's messages: arguments in the forms of its versions.
//!
//! Owns: reading all forms, and writing the one that all versions read. Must never know: whose arguments they are.
//!
//! `emit(event, data)` publishes, for one argument X and for a tuple:
//!
//! | version | one | several | with bytes |
//! |---|---|---|---|
//! | to 5.13 | pickle | pickle | in the pickle |
//! | 5.14 to 5.15.0 | `X` | `[a,b]`, received as one list | `[X,"base64"…]`, placeholders in X |
//! | from 5.15.1 | `[X]` | `[a,b]` | `[[X],"base64"…]` |
//!
//! From 5.15.1 on a list of one is that one argument, another list several, and anything else one; `null`, or a list of
//! `null` alone, is none at all. That is how `data` is read here. An argument that is itself a list is ambiguous where 5.15.0
//! has sent it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;

use crate::cluster::payload_error::BusPayloadError;
use crate::socket_io::Args;
use crate::socket_io::json;

/// Arguments as they stand in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cluster) struct PythonData {
    /// The text of the value, if it is one.
    pub(in crate::cluster) raw: Bytes,
    /// Whether attachments stand behind the arguments.
    pub(in crate::cluster) is_binary: bool,
    /// The argument is `null`. Only nodes that say so can tell it from none.
    pub(in crate::cluster) is_one_null: bool,
}

impl PythonData {
    /// Reads the arguments.
    pub(in crate::cluster) fn args(self) -> Result<Args, BusPayloadError> {
        let Self { raw, is_binary, is_one_null } = self;
        let raw = ByteString::try_from(raw).map_err(|_| BusPayloadError::Shape)?;
        if !is_binary {
            let values = if is_one_null { &*raw } else { values_of(&raw) };
            return Args::from_received(raw.slice_ref(values), Vec::new()).map_err(BusPayloadError::Args);
        }
        let (_, mut elements) = json::elements(&raw).ok_or(BusPayloadError::Shape)?;
        let values = elements.next().ok_or(BusPayloadError::Shape)?;
        let attachments: Option<Vec<Bytes>> = elements.map(decode_base64).collect();
        let attachments = attachments.ok_or(BusPayloadError::Base64)?;
        Args::from_received(raw.slice_ref(values_of(values)), attachments).map_err(BusPayloadError::Args)
    }
}

/// The arguments within a value: values parted by commas.
fn values_of(raw: &str) -> &str {
    match json::elements(raw) {
        Some(("null", _)) => "",
        Some((inner, _)) => inner,
        None if raw == "null" => "",
        None => raw,
    }
}

/// What the writer of a message has to say of the data beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DataForm {
    pub(super) is_binary: bool,
    pub(super) is_one_null: bool,
}

/// Appends arguments in the one form that all versions read: bare where there is one that is no list, in brackets
/// otherwise.
pub(super) fn write_data(out: &mut Vec<u8>, args: &Args) -> DataForm {
    let is_binary = !args.attachments().is_empty();
    if is_binary {
        out.push(b'[');
    }
    let mut values = args.iter();
    let (first, second) = (values.next(), values.next());
    match (first, second) {
        (None, _) => out.extend_from_slice(b"null"),
        (Some(one), None) if !one.starts_with('[') => out.extend_from_slice(one.as_bytes()),
        (Some(_), Some(_) | None) => {
            out.push(b'[');
            out.extend_from_slice(args.json().as_bytes());
            out.push(b']');
        }
    }
    if is_binary {
        write_attachments(out, args.attachments());
        out.push(b']');
    }
    DataForm { is_binary, is_one_null: (first, second) == (Some("null"), None) }
}

/// Appends `,"base64"` for each.
pub(super) fn write_attachments(out: &mut Vec<u8>, attachments: &[Bytes]) {
    for attachment in attachments {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(STANDARD.encode(attachment).as_bytes());
        out.push(b'"');
    }
}

/// A string of base64, given with its quotes. `\/`, as some writers put it, is not among what Python writes.
fn decode_base64(raw: &str) -> Option<Bytes> {
    let text = raw.strip_prefix('"')?.strip_suffix('"')?;
    STANDARD.decode(text).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_is_read() {
        for (raw, expected) in [
            ("1", "1"),
            ("[1]", "1"),
            ("[[1,2]]", "[1,2]"),
            ("[1,2]", "1,2"),
            ("[ {\"a\" : []} , null ]", "{\"a\" : []} , null"),
            ("null", ""),
            ("[null]", ""),
            ("[]", ""),
            ("\"[x\"", "\"[x\""),
        ] {
            assert_eq!(read(raw, false).unwrap().json(), expected, "{raw}");
        }
        let bytes = [Bytes::from_static(b"\x01\x02"), Bytes::from_static(b"")];
        for raw in [
            r#"[{"x":{"_placeholder":true,"num":1},"y":{"num":0,"_placeholder":true}},"AQI=",""]"#,
            r#"[[{"x":{"_placeholder":true,"num":1},"y":{"num":0,"_placeholder":true}}], "AQI=", ""]"#,
        ] {
            let args = read(raw, true).unwrap();
            assert_eq!((args.attachments(), args.len()), (&bytes[..], 1));
        }
    }

    #[test]
    fn what_is_no_argument_list_is_refused() {
        for (raw, is_binary) in [
            ("NaN", false),
            ("[1,]", false),
            ("{", false),
            ("1", true),
            ("[]", true),
            (r#"[{"_placeholder":true,"num":1},"AQI="]"#, true),
            (r#"[{"_placeholder":true,"num":0},"AQI"]"#, true),
            (r#"[{"_placeholder":true,"num":0},5]"#, true),
        ] {
            assert!(read(raw, is_binary).is_err(), "{raw}");
        }
    }

    #[test]
    fn one_form_is_written() {
        for (values, expected) in
            [("", "null"), ("null", "null"), ("{\"a\":1}", "{\"a\":1}"), ("[1]", "[[1]]"), ("1,[2]", "[1,[2]]")]
        {
            let mut out = Vec::new();
            write_data(&mut out, &Args::from_json_values(values).unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(values in prop::collection::vec(value(), 0..4), bytes: Option<Vec<u8>>) {
            let mut json = values.join(",");
            let attachments: Vec<Bytes> = bytes.into_iter().map(Bytes::from).collect();
            if !attachments.is_empty() {
                json = format!("{{\"_placeholder\":true,\"num\":0}}{}{json}", if json.is_empty() { "" } else { "," });
            }
            let args = Args::from_received(json.into(), attachments).unwrap();
            let mut raw = Vec::new();
            let DataForm { is_binary, is_one_null } = write_data(&mut raw, &args);
            prop_assert_eq!(PythonData { raw: raw.into(), is_binary, is_one_null }.args().unwrap(), args);
        }

        #[test]
        fn any_text_is_read_without_panic(raw in r#"[\[\]{}",:0-9nul\\ é=_]{0,20}"#, is_binary: bool) {
            let _ = read(&raw, is_binary);
        }
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![Just("null"), Just("1"), Just("\"a,[b\""), Just("[1,[2]]"), Just("[]"), Just("{\"a\":null}")]
            .prop_map(str::to_owned)
    }

    fn read(raw: &str, is_binary: bool) -> Result<Args, BusPayloadError> {
        PythonData { raw: Bytes::copy_from_slice(raw.as_bytes()), is_binary, is_one_null: false }.args()
    }
}
