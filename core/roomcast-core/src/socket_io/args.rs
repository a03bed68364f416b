//! The arguments of an event or an ack, with their attachments.
//!
//! Owns: argument lists as checked text that a relay sends on as it came, their typed reading and making, and the
//! numbers of placeholders. Must never know: packets, what an argument means.

use bytes::Bytes;
use bytestring::ByteString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::args_text::ArgsText;
use super::json::{self, JsonError, JsonLimits, Placeholders, Values};
use super::positional::{Arity, arity_of, from_values};

/// An argument list.
///
/// It holds the text between the brackets, without the event's name: what a client sent is relayed byte for byte. Binary
/// arguments are placeholders in the text, numbered by their place in [`attachments`](Self::attachments).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    /// Checked values parted by commas, no blanks around them.
    text: ArgsText,
    attachments: Vec<Bytes>,
}

impl Args {
    /// No arguments.
    pub const fn empty() -> Self {
        Self { text: ArgsText::empty(), attachments: Vec::new() }
    }

    /// What [`split_event`](super::split_event) and [`ack_args`](super::ack_args) cut out of a decoded packet, and the
    /// attachments that came behind it: as many as it announced.
    ///
    /// Not checked again. With a text from elsewhere the arguments mean nothing: use
    /// [`from_json_values`](Self::from_json_values).
    pub const fn from_checked(json: ByteString, attachments: Vec<Bytes>) -> Self {
        Self { text: ArgsText::Whole(json), attachments }
    }

    /// The same with a text in several pieces, which make checked values together. Long pieces are shared with the packets
    /// that are made of these arguments: what surrounds a long value is written without copying the value.
    ///
    /// [`json`](Self::json) joins them when it is called first.
    pub fn from_checked_pieces(pieces: Vec<ByteString>, attachments: Vec<Bytes>) -> Self {
        Self { text: ArgsText::of_pieces(pieces), attachments }
    }

    /// Arguments as JSON values parted by commas, without brackets: `1,{"a":[]}`.
    ///
    /// # Errors
    ///
    /// [`ArgsError::Json`].
    pub fn from_json_values(json: impl Into<ByteString>) -> Result<Self, ArgsError> {
        let json = json.into();
        let values = json::check_values(&json, values_limits(), Placeholders::Data).map_err(ArgsError::Json)?;
        Ok(Self { text: json.slice_ref(values).into(), attachments: Vec::new() })
    }

    /// Arguments as JSON values parted by commas, without brackets, and the attachments that they refer to, from elsewhere
    /// than a client: another node, a file. Checked as a client's are.
    ///
    /// # Errors
    ///
    /// [`ArgsError::Json`], also where a placeholder refers to no attachment.
    pub fn from_received(json: ByteString, attachments: Vec<Bytes>) -> Result<Self, ArgsError> {
        let placeholders = match u32::try_from(attachments.len()) {
            Ok(0) => Placeholders::Data,
            Ok(count) => Placeholders::Attachments(count),
            Err(_) => return Err(ArgsError::Json(JsonError::Placeholder)),
        };
        let values = json::check_values(&json, values_limits(), placeholders).map_err(ArgsError::Json)?;
        Ok(Self { text: json.slice_ref(values).into(), attachments })
    }

    /// The elements of a tuple (or of an array of fixed length) as arguments, `()` as none, and anything else as the one
    /// argument. [`parse`](Self::parse) is the reverse. For attachments see [`ArgsBuilder`].
    ///
    /// # Errors
    ///
    /// [`ArgsError::Serialize`] where serde_json fails.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, ArgsError> {
        let arity = arity_of(value);
        if matches!(arity, Arity::None) {
            return Ok(Self::empty());
        }
        let json = ByteString::from(serde_json::to_string(value).map_err(|_| ArgsError::Serialize)?);
        let json = match (arity, json.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'))) {
            (Arity::Many, Some(inner)) => json.slice_ref(inner),
            (Arity::Many | Arity::One | Arity::None, Some(_) | None) => json,
        };
        Ok(Self { text: json.into(), attachments: Vec::new() })
    }

    /// The values, parted by commas, without brackets.
    pub fn json(&self) -> &str {
        self.text.whole()
    }

    /// The pieces of which [`json`](Self::json) consists; one as a rule.
    pub fn json_pieces(&self) -> &[ByteString] {
        self.text.pieces()
    }

    /// How long [`json`](Self::json) is, in bytes.
    pub fn json_bytes(&self) -> usize {
        self.text.len()
    }

    /// The binary messages that the placeholders refer to, in order.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// What a placeholder in these arguments refers to.
    pub fn attachment(&self, placeholder: Attachment) -> Option<&Bytes> {
        self.attachments.get(usize::try_from(placeholder.num).ok()?)
    }

    /// Whether there are no arguments.
    pub fn is_empty(&self) -> bool {
        self.text.len() == 0
    }

    /// How many arguments there are. Walks over the text.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// The JSON text of each argument.
    pub fn iter(&self) -> Values<'_> {
        json::values(self.json())
    }

    /// The JSON text of one argument. Walks over the text up to it.
    pub fn get(&self, index: usize) -> Option<&str> {
        self.iter().nth(index)
    }

    /// Reads the arguments: into a tuple (or an array of fixed length) one by one, into anything else the first one.
    ///
    /// Too few arguments read as `null`, so that an `Option` takes a missing one; too many are ignored. Both as in
    /// JavaScript. Strings may borrow from these arguments; one with a lone surrogate escape is no Rust string.
    ///
    /// # Errors
    ///
    /// [`ArgsError::Deserialize`] where an argument has the wrong type.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ArgsError> {
        from_values(self.iter()).map_err(|_| ArgsError::Deserialize)
    }

    /// As [`parse`](Self::parse), for programs that tell what is wrong.
    ///
    /// # Errors
    ///
    /// In words: what was expected, what was found, and where.
    pub fn parse_or_why<'a, T: Deserialize<'a>>(&'a self) -> Result<T, String> {
        from_values(self.iter()).map_err(|error| error.to_string())
    }

    /// The arguments from the `first` one on; empty if there are not as many.
    ///
    /// The text is shared, and so are all attachments if the dropped arguments refer to none. Otherwise the remaining
    /// placeholders may need other numbers: then the text is copied with the placeholders renumbered in order of
    /// appearance, and only the attachments that it refers to are kept, so that no attachment of a
    /// dropped argument remains.
    #[must_use]
    pub fn slice_from(&self, first: usize) -> Self {
        let mut values = self.iter();
        if first > 0 {
            values.nth(first - 1);
        }
        let (dropped, kept) = self.json().split_at(values.offset());
        let kept = json::trim(kept);
        if kept.is_empty() {
            return Self::empty();
        }
        if self.attachments.is_empty() || json::placeholders(trim_comma(dropped)).is_empty() {
            return Self { text: self.text.whole().slice_ref(kept).into(), attachments: self.attachments.clone() };
        }
        self.renumbered(kept)
    }

    fn renumbered(&self, kept: &str) -> Self {
        let found = json::placeholders(kept);
        if found.is_empty() {
            return Self { text: self.text.whole().slice_ref(kept).into(), attachments: Vec::new() };
        }
        let mut new_nums = vec![None; self.attachments.len()];
        let (mut text, mut attachments) = (String::with_capacity(kept.len()), Vec::new());
        let mut copied = 0;
        for placeholder in found {
            let Some((new_num, attachment)) = usize::try_from(placeholder.num)
                .ok()
                .and_then(|old| new_nums.get_mut(old).zip(self.attachments.get(old)))
            else {
                continue;
            };
            let num = *new_num.get_or_insert_with(|| {
                attachments.push(attachment.clone());
                attachments.len() - 1
            });
            text.push_str(&kept[copied..placeholder.digits.start]);
            text.push_str(&num.to_string());
            copied = placeholder.digits.end;
        }
        text.push_str(&kept[copied..]);
        Self { text: ByteString::from(text).into(), attachments }
    }
}

/// Makes arguments with attachments.
///
/// ```
/// # use roomcast_core::socket_io::{ArgsBuilder, ArgsError};
/// #[derive(serde::Serialize)]
/// struct Picture {
///     name: &'static str,
///     pixels: roomcast_core::socket_io::Attachment,
/// }
///
/// let mut builder = ArgsBuilder::new();
/// let pixels = builder.attach(vec![1, 2, 3].into());
/// builder.push(&Picture { name: "dot", pixels })?;
/// let args = builder.finish()?;
/// assert_eq!(args.json(), r#"{"name":"dot","pixels":{"_placeholder":true,"num":0}}"#);
/// # Ok::<(), ArgsError>(())
/// ```
#[derive(Debug, Default)]
pub struct ArgsBuilder {
    json: Vec<u8>,
    attachments: Vec<Bytes>,
}

impl ArgsBuilder {
    /// No arguments yet.
    pub const fn new() -> Self {
        Self { json: Vec::new(), attachments: Vec::new() }
    }

    /// Adds an attachment. What it returns stands for it in the arguments of this builder, as often as wanted.
    pub fn attach(&mut self, bytes: Bytes) -> Attachment {
        let num = u32::try_from(self.attachments.len()).unwrap_or(u32::MAX);
        self.attachments.push(bytes);
        Attachment { num }
    }

    /// Appends one argument.
    ///
    /// # Errors
    ///
    /// [`ArgsError::Serialize`] where serde_json fails; nothing is appended then.
    pub fn push<T: Serialize + ?Sized>(&mut self, argument: &T) -> Result<(), ArgsError> {
        let before = self.json.len();
        if before > 0 {
            self.json.push(b',');
        }
        serde_json::to_writer(&mut self.json, argument).map_err(|_| {
            self.json.truncate(before);
            ArgsError::Serialize
        })
    }

    /// The arguments.
    ///
    /// # Errors
    ///
    /// [`ArgsError::Json`] if there are attachments and something in the arguments looks like a placeholder that refers
    /// to none of them, or is nested too deep.
    pub fn finish(self) -> Result<Args, ArgsError> {
        let json = ByteString::try_from(self.json).map_err(|_| ArgsError::Serialize)?;
        if let (Ok(count @ 1..), text) = (u32::try_from(self.attachments.len()), &json) {
            json::check_values(text, values_limits(), Placeholders::Attachments(count)).map_err(ArgsError::Json)?;
        }
        Ok(Args { text: json.into(), attachments: self.attachments })
    }
}

/// An attachment where it stands among typed arguments: `{"_placeholder":true,"num":0}`.
///
/// Received ones are resolved by [`Args::attachment`], those to send are made by [`ArgsBuilder::attach`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attachment {
    num: u32,
}

impl Attachment {
    /// Its place among the attachments.
    pub const fn num(self) -> u32 {
        self.num
    }
}

impl Serialize for Attachment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PlaceholderText { placeholder: true, num: self.num }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Attachment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match PlaceholderText::deserialize(deserializer)? {
            PlaceholderText { placeholder: true, num } => Ok(Self { num }),
            PlaceholderText { placeholder: false, .. } => Err(D::Error::custom("no placeholder")),
        }
    }
}

/// A placeholder as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceholderText {
    #[serde(rename = "_placeholder")]
    placeholder: bool,
    num: u32,
}

/// Why arguments cannot be made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgsError {
    /// Not the JSON that may pass.
    Json(JsonError),
    /// A value that has no JSON form.
    Serialize,
    /// An argument of another type.
    Deserialize,
}

impl std::fmt::Display for ArgsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Json(error) => return error.fmt(f),
            Self::Serialize => "value has no JSON form",
            Self::Deserialize => "argument has another type",
        })
    }
}

impl std::error::Error for ArgsError {}

/// The limits of a packet, less the array around the values.
fn values_limits() -> JsonLimits {
    let limits = JsonLimits::default();
    JsonLimits { depth_max: limits.depth_max - 1, ..limits }
}

fn trim_comma(values: &str) -> &str {
    values.strip_suffix(',').unwrap_or(values)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn arguments_one_by_one() {
        let args = Args::from_json_values(r#" 1, "a,b" ,{"c":[null]} "#).unwrap();
        assert_eq!(args.json(), r#"1, "a,b" ,{"c":[null]}"#);
        assert_eq!(args.iter().collect::<Vec<_>>(), ["1", r#""a,b""#, r#"{"c":[null]}"#]);
        assert_eq!((args.len(), args.get(1), args.get(3)), (3, Some(r#""a,b""#), None));
        assert!(!args.is_empty());
        assert_eq!((Args::empty().len(), Args::empty().get(0)), (0, None));
        assert_eq!(Args::from_json_values(""), Ok(Args::empty()));
        for bad in ["1,", "[", "1]"] {
            assert_eq!(Args::from_json_values(bad), Err(ArgsError::Json(JsonError::Syntax)), "{bad}");
        }
        let deep = |levels| Args::from_json_values("[".repeat(levels) + &"]".repeat(levels)).map(drop);
        assert_eq!((deep(127), deep(128)), (Ok(()), Err(ArgsError::Json(JsonError::TooDeep))));
    }

    #[test]
    fn tuples_are_lists_and_anything_else_is_one_argument() {
        assert_eq!(made(&("joined", 1, [None, Some(true)])), r#""joined",1,[null,true]"#);
        assert_eq!(made(&("x",)), r#""x""#);
        assert_eq!(made(&[1, 2]), "1,2");
        assert_eq!(made(&NumberAndText(1, "x")), r#"1,"x""#);
        assert_eq!(made(&()), "");
        assert_eq!(made(&None::<u8>), "null");
        assert_eq!(made(&Some((1, 2))), "[1,2]");
        assert_eq!(made(&vec![1, 2]), "[1,2]");
        assert_eq!(made(&[1, 2][..]), "[1,2]");
        assert_eq!(made("[x]"), r#""[x]""#);
        assert_eq!(made(&serde_json::json!([1, { "a": null }])), r#"[1,{"a":null}]"#);
        assert_eq!(made(&SingleField { a: 1 }), r#"{"a":1}"#);
        assert_eq!(made(&RawValue::from_string("[1, 2]".into()).unwrap()), "[1, 2]");
        let no_json = BTreeMap::from([((1, 2), 3)]);
        assert_eq!(Args::from_serialize(&no_json), Err(ArgsError::Serialize));
        assert_eq!(Args::from_serialize(&(1, no_json)), Err(ArgsError::Serialize));
    }

    #[test]
    fn typed_reading() {
        let args = Args::from_json_values(r#"1,"two",{"a":3},[4]"#).unwrap();
        assert_eq!(args.parse(), Ok((1, "two", SingleField { a: 3 }, vec![4])));
        assert_eq!(args.parse::<u8>(), Ok(1), "the first one");
        assert_eq!(args.parse::<(u8,)>(), Ok((1,)), "too many are ignored");
        assert_eq!(args.parse::<NumberAndText>(), Ok(NumberAndText(1, "two")));
        assert_eq!(args.parse::<()>(), Ok(()));
        assert_eq!(args.parse::<(u8, String, Value, Value, Option<u8>, Value)>().unwrap().4, None, "too few are null");
        assert_eq!(args.parse::<(u8, u8)>(), Err(ArgsError::Deserialize));
        assert_eq!(Args::empty().parse::<u8>(), Err(ArgsError::Deserialize));
        assert_eq!(Args::empty().parse::<Option<u8>>(), Ok(None));
        let (_, _, raw): (u8, String, &RawValue) = args.parse().unwrap();
        assert_eq!(raw.get(), r#"{"a":3}"#);
        let raw: Box<RawValue> = args.slice_from(2).parse().unwrap();
        assert_eq!(raw.get(), r#"{"a":3}"#);
        let lone = Args::from_json_values(r#""\ud83d""#).unwrap();
        assert_eq!(lone.parse::<String>(), Err(ArgsError::Deserialize));
        assert_eq!(lone.parse::<&RawValue>().unwrap().get(), r#""\ud83d""#);
    }

    #[test]
    fn what_passes_the_depth_limit_is_read() {
        let deepest = Args::from_json_values("[".repeat(127) + &"]".repeat(127)).unwrap();
        assert!(deepest.parse::<(Value,)>().is_ok());
    }

    #[test]
    fn attachments_are_named_by_typed_arguments() {
        let mut builder = ArgsBuilder::new();
        let (first, second) = (builder.attach(bytes("first")), builder.attach(bytes("second")));
        builder.push("pictures").unwrap();
        builder.push(&BTreeMap::from([("list", vec![second, first, second])])).unwrap();
        assert_eq!(builder.push(&BTreeMap::from([((1, 2), 3)])), Err(ArgsError::Serialize));
        let args = builder.finish().unwrap();
        assert_eq!(args.len(), 2, "what failed left nothing behind");
        let (name, mut pictures): (&str, BTreeMap<String, Vec<Attachment>>) = args.parse().unwrap();
        assert_eq!(name, "pictures");
        let resolved: Vec<_> = pictures.remove("list").unwrap().into_iter().map(|each| args.attachment(each)).collect();
        assert_eq!(resolved, [Some(&bytes("second")), Some(&bytes("first")), Some(&bytes("second"))]);
        for other in [r#"{"_placeholder":false,"num":0}"#, r#"{"_placeholder":true,"num":0,"x":1}"#, "{}", "0"] {
            let args = Args::from_json_values(other).unwrap();
            assert_eq!(args.parse::<Attachment>(), Err(ArgsError::Deserialize), "{other}");
        }
        let stray: Attachment = Args::from_json_values(r#"{"_placeholder":true,"num":7}"#).unwrap().parse().unwrap();
        assert_eq!((stray.num(), args.attachment(stray)), (7, None));
    }

    #[test]
    fn a_builder_refuses_data_that_looks_like_a_stray_placeholder() {
        let stray = serde_json::json!({"_placeholder": true, "num": 1});
        let mut builder = ArgsBuilder::new();
        builder.push(&stray).unwrap();
        assert!(builder.finish().unwrap().attachments().is_empty(), "without attachments it is data");
        let mut builder = ArgsBuilder::new();
        builder.attach(bytes("x"));
        builder.push(&stray).unwrap();
        assert_eq!(builder.finish(), Err(ArgsError::Json(JsonError::Placeholder)));
    }

    #[test]
    fn slices_share_the_text() {
        let args = Args::from_json_values(r#"1, {"a":2},3"#).unwrap();
        assert_eq!(args.slice_from(0), args);
        assert_eq!(args.slice_from(1).json(), r#"{"a":2},3"#);
        assert_eq!(args.slice_from(2).json(), "3");
        assert_eq!((args.slice_from(3), args.slice_from(9)), (Args::empty(), Args::empty()));
        assert_eq!(args.slice_from(1).json().as_ptr(), args.json()[3..].as_ptr());
    }

    #[test]
    fn slices_keep_the_attachments_unless_a_dropped_argument_has_one() {
        let (a, b, c) = (bytes("a"), bytes("b"), bytes("c"));
        let args = binary("1,[@0,@1],2", &[&a, &b]);
        assert_eq!(args.slice_from(1), binary("[@0,@1],2", &[&a, &b]));
        assert_eq!(args.slice_from(1).json().as_ptr(), args.json()[2..].as_ptr(), "not copied");
        assert_eq!(args.slice_from(2), binary("2", &[]), "nothing of the dropped arguments is left");
        assert_eq!(args.slice_from(3), Args::empty());
        let args = binary(r#"@0,{"x":@2,"y":[@1]},@2"#, &[&a, &b, &c]);
        assert_eq!(args.slice_from(1), binary(r#"{"x":@0,"y":[@1]},@0"#, &[&c, &b]));
        assert_eq!(args.slice_from(2), binary("@0", &[&c]));
    }

    proptest! {
        #[test]
        fn what_was_made_is_read_back(number: i64, text in "(?s:.{0,12})", list: Vec<Option<bool>>) {
            let value = (number, text.clone(), list.clone());
            prop_assert_eq!(Args::from_serialize(&value).unwrap().parse(), Ok(value));
            prop_assert_eq!(Args::from_serialize(&text).unwrap().parse(), Ok(text));
            prop_assert_eq!(Args::from_serialize(&list).unwrap().parse(), Ok(list));
        }

        #[test]
        fn a_slice_resolves_to_what_it_did_before(
            layout in prop::collection::vec(prop::collection::vec(0..12_u32, 0..4), 0..5), first in 0..6_usize,
        ) {
            let attachments: Vec<Bytes> = (0..12_u8).map(|num| vec![num].into()).collect();
            let arguments: Vec<String> = layout
                .iter()
                .map(|nums| format!("[{}]", nums.iter().copied().map(placeholder_json).collect::<Vec<_>>().join(",")))
                .collect();
            let args = Args::from_checked(arguments.join(",").into(), attachments);
            let slice = args.slice_from(first);
            prop_assert_eq!(slice.len(), layout.len().saturating_sub(first));
            for (nums, raw) in layout.iter().skip(first).zip(slice.iter()) {
                let found: Vec<Attachment> = serde_json::from_str(raw).unwrap();
                let resolved: Vec<u32> = found.iter().map(|each| u32::from(slice.attachment(*each).unwrap()[0])).collect();
                prop_assert_eq!(&resolved, nums);
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text in "[\\[\\]{}\",:0-9\\\\ aé]{0,20}", first in 0..4_usize) {
            let args = Args::from_checked(text.as_str().into(), Vec::new());
            let _ = (args.parse::<(Value, Value)>(), args.slice_from(first), args.len());
            if let Ok(args) = Args::from_json_values(text) {
                prop_assert_eq!(args.is_empty(), args.iter().next().is_none());
                prop_assert_eq!(args.slice_from(first).len(), args.len().saturating_sub(first));
            }
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct SingleField {
        a: u8,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct NumberAndText<'a>(u8, &'a str);

    fn made<T: Serialize + ?Sized>(value: &T) -> String {
        let args = Args::from_serialize(value).unwrap();
        assert_eq!(Args::from_json_values(args.json()), Ok(args.clone()));
        args.json().into()
    }

    /// `@n` stands for a placeholder.
    fn binary(text: &str, attachments: &[&Bytes]) -> Args {
        let json = (0..10).fold(text.to_owned(), |json, num| json.replace(&format!("@{num}"), &placeholder_json(num)));
        Args::from_checked(json.into(), attachments.iter().copied().cloned().collect())
    }

    fn placeholder_json(num: u32) -> String {
        format!(r#"{{"_placeholder":true,"num":{num}}}"#)
    }

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }
}
