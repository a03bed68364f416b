//! One struct of an update v1: how it is checked, cut in two and written.
//!
//! Owns: the wire form of GC, Skip and Item with every kind of content, and the two rules of Yjs about them: how a
//! struct is split, and which two are one ([`joins`]). Must never know: where structs are kept.
//!
//! The layout is that of `Item.write` and the `Content*` classes of
//! [yjs](https://github.com/yjs/yjs/blob/v13.6.33/src/structs/Item.js).

use super::scope::ListScope;
use super::wire::{self, ClientId, Id, Malformed, Reader};

/// What a struct holds: the low five bits of its info byte. Kind 11 (a move of yrs) and weak links (type 7) are refused,
/// for no yjs 13 member could load the document any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Collected,
    Deleted,
    Json,
    Binary,
    Text,
    Embed,
    Format,
    Type,
    Any,
    Subdocument,
    Skip,
}

impl Kind {
    pub(crate) const fn of(info: u8) -> Option<Self> {
        Some(match info & KIND_BITS {
            0 => Self::Collected,
            1 => Self::Deleted,
            2 => Self::Json,
            3 => Self::Binary,
            4 => Self::Text,
            5 => Self::Embed,
            6 => Self::Format,
            7 => Self::Type,
            8 => Self::Any,
            9 => Self::Subdocument,
            10 => Self::Skip,
            _ => return None,
        })
    }

    /// Whether neighbours of this kind may be one struct.
    const fn runs(self) -> bool {
        match self {
            Self::Collected | Self::Deleted | Self::Json | Self::Text | Self::Any => true,
            Self::Binary | Self::Embed | Self::Format | Self::Type | Self::Subdocument | Self::Skip => false,
        }
    }
}

/// What stands before the content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header<'a> {
    pub(crate) info: u8,
    pub(crate) kind: Kind,
    pub(crate) origin: Option<Id>,
    pub(crate) right_origin: Option<Id>,
    /// The struct that holds the shared type which this one is in, if it is named.
    pub(crate) parent: Option<Id>,
    /// Parent and key as they stand on the wire; empty if they follow from an origin.
    pub(crate) parent_bytes: &'a [u8],
}

impl<'a> Header<'a> {
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let info = reader.byte()?;
        let kind = Kind::of(info).ok_or(Malformed::Kind)?;
        let mut header = Self { info, kind, origin: None, right_origin: None, parent: None, parent_bytes: &[] };
        if matches!(kind, Kind::Collected | Kind::Skip) {
            return if info & !KIND_BITS == 0 { Ok(header) } else { Err(Malformed::Kind) };
        }
        if info & HAS_ORIGIN != 0 {
            header.origin = Some(reader.id()?);
        }
        if info & HAS_RIGHT_ORIGIN != 0 {
            header.right_origin = Some(reader.id()?);
        }
        if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) == 0 {
            let from = reader.position();
            match reader.integer()? {
                0 => header.parent = Some(reader.id()?),
                1 => drop(reader.text()?),
                _ => return Err(Malformed::Kind),
            }
            if info & HAS_KEY != 0 {
                reader.text()?;
            }
            header.parent_bytes = reader.since(from);
        }
        Ok(header)
    }

    /// Whether a key of a map stands beside the parent that is named.
    pub(crate) const fn names_key(&self) -> bool {
        self.info & HAS_KEY != 0 && !self.parent_bytes.is_empty()
    }

    /// The ids that must be known before this struct is.
    pub(crate) fn needs(&self) -> impl Iterator<Item = Id> {
        [self.origin, self.right_origin, self.parent].into_iter().flatten()
    }
}

/// A struct: bytes of its own, or a part of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) header: Header<'a>,
    /// Elements: UTF-16 units of a text, values of an array, one for most others.
    pub(crate) len: u32,
    pub(crate) body: Body<'a>,
}

/// Content without the number in front of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body<'a> {
    /// GC and deleted content: the number is all there is.
    Length,
    /// JSON texts or `Any` values, one behind the other.
    Values(&'a [u8]),
    /// Text between two edges, each empty or U+FFFD where a surrogate pair was cut.
    Text(&'static [u8], &'a [u8], &'static [u8]),
    /// One element of any other kind, complete.
    Single(&'a [u8]),
}

impl Body<'_> {
    /// The bytes behind the number.
    pub(crate) const fn payload_bytes(&self) -> usize {
        match self {
            Self::Length => 0,
            Self::Values(bytes) | Self::Single(bytes) => bytes.len(),
            Self::Text(left, text, right) => left.len() + text.len() + right.len(),
        }
    }

    pub(crate) fn write_payload(&self, out: &mut Vec<u8>) {
        match self {
            Self::Length => {}
            Self::Values(bytes) | Self::Single(bytes) => out.extend_from_slice(bytes),
            Self::Text(left, text, right) => {
                out.extend_from_slice(left);
                out.extend_from_slice(text);
                out.extend_from_slice(right);
            }
        }
    }
}

impl<'a> Piece<'a> {
    /// Reads and checks one struct.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let header = Header::read(reader)?;
        let (len, body) = match header.kind {
            Kind::Collected | Kind::Deleted | Kind::Skip => (reader.clock()?, Body::Length),
            Kind::Json => read_values(reader, |reader| {
                let text = reader.text()?;
                if text == "undefined" { Ok(()) } else { wire::check_json(text) }
            })?,
            Kind::Any => read_values(reader, Reader::any)?,
            Kind::Text => {
                let text = reader.text()?;
                (
                    u32::try_from(utf16_len(text.as_bytes())).map_err(|_| Malformed::Integer)?,
                    Body::Text(b"", text.as_bytes(), b""),
                )
            }
            Kind::Binary | Kind::Embed | Kind::Format | Kind::Type | Kind::Subdocument => {
                let from = reader.position();
                read_single(reader, header.kind)?;
                (1, Body::Single(reader.since(from)))
            }
        };
        // yjs makes no struct without length and cannot look up anything behind one. Skips are read over.
        if len == 0 && header.kind != Kind::Skip { Err(Malformed::Empty) } else { Ok(Self { header, len, body }) }
    }

    /// The struct in `bytes`, which was checked when it came in and has `len` elements.
    #[inline]
    pub(crate) fn trusted(bytes: &'a [u8], len: u32) -> Self {
        let mut reader = Reader::new(bytes);
        let header = trusted(Header::read(&mut reader));
        let mut content = bytes.get(reader.position()..).unwrap_or_default();
        if matches!(header.kind, Kind::Json | Kind::Any | Kind::Text) {
            trusted(reader.integer().map(drop));
            content = bytes.get(reader.position()..).unwrap_or_default();
        }
        let body = match header.kind {
            Kind::Collected | Kind::Deleted | Kind::Skip => Body::Length,
            Kind::Json | Kind::Any => Body::Values(content),
            Kind::Text => Body::Text(b"", content, b""),
            Kind::Binary | Kind::Embed | Kind::Format | Kind::Type | Kind::Subdocument => Body::Single(content),
        };
        Self { header, len, body }
    }

    /// The elements `from..to` of this struct, which begins at `start`, exactly as `Item.write` with an offset and
    /// `Content.splice` make them: the right part of a split follows the element before it and names no parent; a
    /// surrogate pair that is cut leaves U+FFFD on both sides.
    pub(crate) fn slice(&self, start: Id, from: u32, to: u32) -> Self {
        let to = to.min(self.len);
        if from == 0 && to == self.len {
            return *self;
        }
        let mut piece = Self { len: to.saturating_sub(from), ..*self };
        if from > 0 && self.header.kind != Kind::Collected {
            piece.header.origin = Some(Id { client: start.client, clock: start.clock + from - 1 });
            piece.header.info |= HAS_ORIGIN;
            piece.header.parent = None;
            piece.header.parent_bytes = &[];
        }
        piece.body = match self.body {
            Body::Length => Body::Length,
            Body::Single(bytes) => Body::Single(bytes),
            Body::Values(bytes) => {
                let begin = skip_values(self.header.kind, bytes, 0, from);
                let end =
                    if to == self.len { bytes.len() } else { skip_values(self.header.kind, bytes, begin, piece.len) };
                Body::Values(bytes.get(begin..end).unwrap_or_default())
            }
            Body::Text(_, text, _) => {
                let (begin, left) = utf16_index(text, self.len, from);
                let (end, right) = utf16_index(text, self.len, to);
                // The end stands behind a pair of which only the first half belongs here.
                let end = if right == TextPlace::Pair { end.saturating_sub(4) } else { end };
                let edge = |cut| if cut == TextPlace::Pair { REPLACEMENT } else { b"" };
                Body::Text(edge(left), text.get(begin..end).unwrap_or_default(), edge(right))
            }
        };
        piece
    }

    /// This struct once it is deleted: its place stays, its content goes. A collected one has none.
    pub(crate) const fn deleted(mut self) -> Self {
        if !matches!(self.header.kind, Kind::Collected) {
            self.header.info = self.header.info & !KIND_BITS | DELETED_INFO;
            self.header.kind = Kind::Deleted;
            self.body = Body::Length;
        }
        self
    }

    /// This struct once nothing is known of it but its length.
    pub(crate) const fn collected(mut self) -> Self {
        self.header = Header {
            info: 0,
            kind: Kind::Collected,
            origin: None,
            right_origin: None,
            parent: None,
            parent_bytes: &[],
        };
        self.body = Body::Length;
        self
    }

    /// Parts this struct, which begins at `start`, into a front whose payload is not much above `bytes_max`, and the rest.
    /// `None` if it is one piece. No pair is cut.
    pub(crate) fn split_front(&self, start: Id, bytes_max: usize) -> Option<(Self, Self)> {
        let (len, front, rest) = match self.body {
            Body::Length | Body::Single(_) => return None,
            Body::Values(bytes) => {
                let (mut len, mut end) = (0, 0);
                while len < self.len && end < bytes_max {
                    end = skip_values(self.header.kind, bytes, end, 1);
                    len += 1;
                }
                let (front, rest) = bytes.split_at_checked(end)?;
                (len, Body::Values(front), Body::Values(rest))
            }
            Body::Text(left @ [_, ..], text, right) => (1, Body::Text(left, b"", b""), Body::Text(b"", text, right)),
            Body::Text([], text, right) => {
                let mut end = bytes_max.min(text.len());
                while text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
                    end += 1;
                }
                let (front, rest) = text.split_at_checked(end)?;
                let len = u32::try_from(utf16_len(front)).ok()?;
                (len, Body::Text(b"", front, b""), Body::Text(b"", rest, right))
            }
        };
        if len == 0 || len >= self.len {
            return None;
        }
        let mut header = self.header;
        header.origin = Some(Id { client: start.client, clock: start.clock + len - 1 });
        header.info |= HAS_ORIGIN;
        (header.parent, header.parent_bytes) = (None, &[]);
        Some((Self { len, body: front, ..*self }, Self { header, len: self.len - len, body: rest }))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.write_head(out, u64::from(self.len), self.body.payload_bytes());
        self.body.write_payload(out);
    }

    /// Writes everything before the payload, for a payload of `payload_bytes` and `len` elements.
    pub(crate) fn write_head(&self, out: &mut Vec<u8>, len: u64, payload_bytes: usize) {
        out.push(self.header.info);
        if let Some(origin) = self.header.origin {
            wire::write_id(out, origin);
        }
        if let Some(right_origin) = self.header.right_origin {
            wire::write_id(out, right_origin);
        }
        out.extend_from_slice(self.header.parent_bytes);
        match self.body {
            Body::Length | Body::Values(_) => wire::write_integer(out, len),
            Body::Text(..) => wire::write_count(out, payload_bytes),
            Body::Single(_) => {}
        }
    }

    /// Whether a text holds characters outside the basic plane, each a surrogate pair in JavaScript.
    pub(crate) fn has_pairs(&self) -> bool {
        match self.body {
            Body::Length | Body::Values(_) | Body::Single(_) => false,
            Body::Text(_, text, _) => text.len() != self.len as usize && text.iter().any(|&byte| byte >= 0xf0),
        }
    }
}

/// Whether `right`, which begins at `clock` where `left` ends, is what a split of the two together would have made.
///
/// This is `Item.mergeWith` without its look at the list: a struct of many elements means the same as its parts, each
/// with the one before as origin, regardless of what was inserted between them. A live map entry is left alone: each
/// one replaces the one before, which is no run. `scope` is the list of `left`, which is that of `right` too if they
/// join.
pub(crate) fn joins(client: ClientId, left: &Header<'_>, right: &Header<'_>, clock: u32, scope: ListScope) -> bool {
    if left.kind != right.kind || !left.kind.runs() {
        return false;
    }
    match left.kind {
        Kind::Collected => true,
        Kind::Deleted | Kind::Json | Kind::Any | Kind::Text => {
            right.origin == clock.checked_sub(1).map(|before| Id { client, clock: before })
                && right.right_origin == left.right_origin
                && (left.kind == Kind::Deleted || (left.info | right.info) & HAS_KEY == 0 && may_run(left, scope))
        }
        Kind::Binary | Kind::Embed | Kind::Format | Kind::Type | Kind::Subdocument | Kind::Skip => false,
    }
}

/// Whether live structs behind `left` may be one with it, for all that is known of their map key.
///
/// Once an update has gone through `Y.mergeUpdates`, only structs that name their parent tell whether they have a key.
/// yjs puts no text under a key, but any values.
fn may_run(left: &Header<'_>, scope: ListScope) -> bool {
    if scope != ListScope::UNKNOWN {
        return !scope.is_keyed();
    }
    left.kind == Kind::Text || !left.parent_bytes.is_empty()
}

/// The length of UTF-8 in JavaScript: in UTF-16 units.
fn utf16_len(text: &[u8]) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    // Continuation bytes count nothing, the first byte of four counts twice.
    text.iter().map(|&byte| usize::from(byte & 0xc0 != 0x80) + usize::from(byte >= 0xf0)).sum()
}

/// Where the UTF-16 unit `units` begins in a text of `len`; the end of the pair if it is the second half of one.
fn utf16_index(text: &[u8], len: u32, units: u32) -> (usize, TextPlace) {
    let units = units as usize;
    if text.len() == len as usize {
        return (units.min(text.len()), TextPlace::Clean);
    }
    if units >= len as usize {
        return (text.len(), TextPlace::Clean);
    }
    let (mut at, mut seen) = (0, 0);
    while seen < units {
        let Some(&first) = text.get(at) else { break };
        let (bytes, width) = match first {
            0..0xc0 => (1, 1),
            0xc0..0xe0 => (2, 1),
            0xe0..0xf0 => (3, 1),
            0xf0.. => (4, 2),
        };
        at += bytes;
        seen += width;
    }
    (at, if seen > units { TextPlace::Pair } else { TextPlace::Clean })
}

/// Whether a place in a text is between two characters or within a surrogate pair.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TextPlace {
    Clean,
    Pair,
}

fn read_values<'a>(
    reader: &mut Reader<'a>,
    read: impl Fn(&mut Reader<'a>) -> Result<(), Malformed>,
) -> Result<(u32, Body<'a>), Malformed> {
    let count = reader.count(1)?;
    let from = reader.position();
    for _ in 0..count {
        read(reader)?;
    }
    Ok((u32::try_from(count).map_err(|_| Malformed::Integer)?, Body::Values(reader.since(from))))
}

fn read_single(reader: &mut Reader<'_>, kind: Kind) -> Result<(), Malformed> {
    match kind {
        Kind::Binary => drop(reader.buffer()?),
        Kind::Embed => drop(reader.json()?),
        Kind::Format => {
            reader.text()?;
            reader.json()?;
        }
        Kind::Type => match reader.integer()? {
            0..=2 | 4 | 6 => {}
            // An element and a hook have a name.
            3 | 5 => drop(reader.text()?),
            _ => return Err(Malformed::Kind),
        },
        Kind::Subdocument => {
            reader.text()?;
            // yjs reads properties of the options, at which null and undefined throw.
            let from = reader.position();
            reader.any()?;
            if reader.since(from).first() != Some(&wire::ANY_OBJECT) {
                return Err(Malformed::Any);
            }
        }
        Kind::Collected | Kind::Deleted | Kind::Json | Kind::Text | Kind::Any | Kind::Skip => {}
    }
    Ok(())
}

/// Where the `count`-th value behind `at` ends.
fn skip_values(kind: Kind, bytes: &[u8], at: usize, count: u32) -> usize {
    let mut reader = Reader::starting(bytes, at);
    for _ in 0..count {
        trusted(if kind == Kind::Any { reader.any() } else { reader.text().map(drop) });
    }
    reader.position()
}

/// Stored structs were checked when they came in.
#[expect(clippy::expect_used, reason = "a stored struct that does not read back is a bug of the store")]
fn trusted<T>(read: Result<T, Malformed>) -> T {
    read.expect("invariant: stored structs were checked when they came in")
}

pub(crate) const KIND_BITS: u8 = 0x1f;
const HAS_KEY: u8 = 0x20;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const HAS_ORIGIN: u8 = 0x80;
const DELETED_INFO: u8 = 1;
/// U+FFFD, which yjs puts where half of a pair was.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::Keyed;

    #[test]
    fn a_front_ends_between_characters_and_takes_no_more_than_there_is() {
        let text = "a\u{e9}\u{20ac}\u{1f600}b\u{e9}c";
        let len = u32::try_from(text.encode_utf16().count()).unwrap();
        let piece = Piece { header: header(Kind::Text), len, body: Body::Text(b"", text.as_bytes(), b"") };
        for bytes_max in 1..text.len() - 1 {
            let (front, rest) = piece.split_front(START, bytes_max).unwrap();
            let [Body::Text(_, begin, _), Body::Text(_, end, _)] = [front.body, rest.body] else { panic!("no text") };
            assert_eq!([begin, end].concat(), text.as_bytes());
            let begin = std::str::from_utf8(begin).expect("whole characters");
            assert!((bytes_max..bytes_max + 4).contains(&begin.len()), "{bytes_max}: {begin}");
            assert_eq!((front.len as usize, front.len + rest.len), (begin.encode_utf16().count(), len));
            let before = Id { client: START.client, clock: START.clock + front.len - 1 };
            assert_eq!(rest.header.origin, Some(before));
        }
        assert!(piece.split_front(START, text.len()).is_none());
        let values = Piece { header: header(Kind::Any), len: 3, body: Body::Values(&[126, 120, 121]) };
        for bytes_max in 1..3 {
            let (front, rest) = values.split_front(START, bytes_max).unwrap();
            assert_eq!((front.len as usize, rest.len as usize), (bytes_max, 3 - bytes_max));
        }
        assert!(values.split_front(START, 3).is_none() && values.split_front(START, 9).is_none());
    }

    #[test]
    fn live_values_are_one_run_unless_they_may_be_those_of_a_key() {
        let named = Header { parent_bytes: b"\x01\x01m", ..header(Kind::Any) };
        let [list, map] = [Keyed::No, Keyed::Yes].map(|keyed| ListScope::of_anchor(0, keyed));
        for (left, scope, expected) in [
            (header(Kind::Any), ListScope::UNKNOWN, false),
            (named, ListScope::UNKNOWN, true),
            (header(Kind::Text), ListScope::UNKNOWN, true),
            (header(Kind::Any), list, true),
            (named, map, false),
            (header(Kind::Text), map, false),
        ] {
            let right = Header { origin: Some(START), ..header(left.kind) };
            let runs = |left: &Header<'_>, right: &Header<'_>| joins(START.client, left, right, START.clock + 1, scope);
            assert_eq!(runs(&left, &right), expected, "{left:?} {scope:?}");
            let [mut keyed_left, mut keyed_right] = [left, right];
            keyed_left.info |= HAS_KEY;
            keyed_right.info |= HAS_KEY;
            assert!(!runs(&keyed_left, &right) && !runs(&left, &keyed_right));
            let elsewhere = Header { right_origin: Some(START), ..right };
            assert!(!runs(&left, &elsewhere) && !runs(&left, &header(left.kind)));
        }
    }

    fn header(kind: Kind) -> Header<'static> {
        let info = (0..=10).find(|info| Kind::of(*info) == Some(kind)).unwrap();
        Header { info, kind, origin: None, right_origin: None, parent: None, parent_bytes: &[] }
    }

    const START: Id = Id { client: ClientId::new(7).unwrap(), clock: 5 };
}
