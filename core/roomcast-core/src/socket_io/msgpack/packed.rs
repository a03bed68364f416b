//! MessagePack, as far as notepack.io writes and reads it
//! ([the specification](https://github.com/msgpack/msgpack/blob/master/spec.md)).
//!
//! It is not a crate: of those that read it, one is looking for a maintainer and the others build trees by recursion. What a
//! relay needs is the table of types and a skip without recursion.
//!
//! Owns: values one after the other, and objects cut into their members. Must never know: packets, messages, JSON.

use std::ops::Range;

use bytes::Bytes;
use bytestring::ByteString;

/// What stands at a place: a value, or the beginning of one that has others in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PackedHead {
    Nil,
    Bool(bool),
    Unsigned(u64),
    /// A number below zero; what is not negative is `Unsigned`.
    Negative(i64),
    Float(f64),
    Text(Range<usize>),
    Binary(Range<usize>),
    /// This many values follow.
    Array(u32),
    /// This many keys follow, each with its value.
    Map(u32),
    /// Bytes of a kind that the application defines.
    Extension(i8, Range<usize>),
    /// The same, of a length that its mark says: other things to notepack.io before version 3.
    FixedExtension(i8, Range<usize>),
}

/// A place in a message. Nothing is reserved for a length that is announced: `None` where the bytes are not there.
#[derive(Clone, Debug)]
pub(crate) struct PackedReader {
    bytes: Bytes,
    at: usize,
}

impl PackedReader {
    pub(crate) const fn new(bytes: Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    /// Whether nothing is left.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// How many bytes are read.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// What is left.
    pub(crate) fn rest(&self) -> Bytes {
        self.bytes.slice(self.at..)
    }

    /// A part of the message.
    pub(crate) fn slice(&self, range: Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    /// The next value, or the beginning of it.
    pub(crate) fn head(&mut self) -> Option<PackedHead> {
        let [mark] = self.be()?;
        Some(match mark {
            0x00..=0x7f => PackedHead::Unsigned(mark.into()),
            0x80..=0x8f => PackedHead::Map((mark & 0x0f).into()),
            0x90..=0x9f => PackedHead::Array((mark & 0x0f).into()),
            0xa0..=0xbf => PackedHead::Text(self.part((mark & 0x1f).into())?),
            0xc0 => PackedHead::Nil,
            // Never used.
            0xc1 => return None,
            0xc2 | 0xc3 => PackedHead::Bool(mark == 0xc3),
            0xc4..=0xc6 => {
                let length = self.length(mark - 0xc4)?;
                PackedHead::Binary(self.part(length)?)
            }
            0xc7..=0xc9 => {
                let length = self.length(mark - 0xc7)?;
                let kind = self.kind()?;
                PackedHead::Extension(kind, self.part(length)?)
            }
            0xca => PackedHead::Float(f32::from_be_bytes(self.be()?).into()),
            0xcb => PackedHead::Float(f64::from_be_bytes(self.be()?)),
            0xcc => PackedHead::Unsigned(u8::from_be_bytes(self.be()?).into()),
            0xcd => PackedHead::Unsigned(u16::from_be_bytes(self.be()?).into()),
            0xce => PackedHead::Unsigned(u32::from_be_bytes(self.be()?).into()),
            0xcf => PackedHead::Unsigned(u64::from_be_bytes(self.be()?)),
            0xd0 => signed(i8::from_be_bytes(self.be()?)),
            0xd1 => signed(i16::from_be_bytes(self.be()?)),
            0xd2 => signed(i32::from_be_bytes(self.be()?)),
            0xd3 => signed(i64::from_be_bytes(self.be()?)),
            0xd4..=0xd8 => {
                let kind = self.kind()?;
                PackedHead::FixedExtension(kind, self.part(1 << (mark - 0xd4))?)
            }
            0xd9..=0xdb => {
                let length = self.length(mark - 0xd9)?;
                PackedHead::Text(self.part(length)?)
            }
            0xdc => PackedHead::Array(u16::from_be_bytes(self.be()?).into()),
            0xdd => PackedHead::Array(u32::from_be_bytes(self.be()?)),
            0xde => PackedHead::Map(u16::from_be_bytes(self.be()?).into()),
            0xdf => PackedHead::Map(u32::from_be_bytes(self.be()?)),
            0xe0..=0xff => signed(mark.cast_signed()),
        })
    }

    /// Passes over one value with all that is in it, and says where it was.
    pub(crate) fn skip(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let mut owed: u64 = 1;
        while owed > 0 {
            owed -= 1;
            match self.head()? {
                PackedHead::Array(count) => owed += u64::from(count),
                PackedHead::Map(count) => owed += 2 * u64::from(count),
                PackedHead::Nil
                | PackedHead::Bool(_)
                | PackedHead::Unsigned(_)
                | PackedHead::Negative(_)
                | PackedHead::Float(_)
                | PackedHead::Text(_)
                | PackedHead::Binary(_)
                | PackedHead::Extension(..)
                | PackedHead::FixedExtension(..) => {}
            }
        }
        Some(start..self.at)
    }

    /// A list's length.
    pub(crate) fn array(&mut self) -> Option<u32> {
        if let PackedHead::Array(count) = self.head()? { Some(count) } else { None }
    }

    /// A name. JavaScript's keys and rooms may be numbers: their digits are what it takes them for.
    pub(crate) fn name(&mut self) -> Option<ByteString> {
        match self.head()? {
            PackedHead::Text(range) => Some(self.text(range)),
            PackedHead::Unsigned(number) => Some(number.to_string().into()),
            PackedHead::Negative(number) => Some(number.to_string().into()),
            PackedHead::Nil
            | PackedHead::Bool(_)
            | PackedHead::Float(_)
            | PackedHead::Binary(_)
            | PackedHead::Array(_)
            | PackedHead::Map(_)
            | PackedHead::Extension(..)
            | PackedHead::FixedExtension(..) => None,
        }
    }

    /// Text that shares the bytes of the message. What is no UTF-8 becomes U+FFFD, as in JavaScript.
    pub(crate) fn text(&self, range: Range<usize>) -> ByteString {
        let bytes = self.bytes.slice(range);
        ByteString::try_from(bytes.clone()).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into())
    }

    fn be<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.bytes.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(*bytes)
    }

    /// A length of one, two or four bytes.
    fn length(&mut self, width: u8) -> Option<usize> {
        match width {
            0 => Some(usize::from(u8::from_be_bytes(self.be()?))),
            1 => Some(usize::from(u16::from_be_bytes(self.be()?))),
            _ => usize::try_from(u32::from_be_bytes(self.be()?)).ok(),
        }
    }

    fn part(&mut self, length: usize) -> Option<Range<usize>> {
        let range = self.at..self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        self.at = range.end;
        Some(range)
    }

    fn kind(&mut self) -> Option<i8> {
        self.be().map(i8::from_be_bytes)
    }
}

/// Other writers than notepack.io put numbers above zero there, too.
fn signed(number: impl Into<i64>) -> PackedHead {
    let number = number.into();
    u64::try_from(number).map_or(PackedHead::Negative(number), PackedHead::Unsigned)
}

/// The members of a map, each of which is read when it is needed.
#[derive(Clone, Debug)]
pub(crate) struct PackedMembers {
    message: PackedReader,
    members: Vec<(ByteString, Range<usize>)>,
}

impl PackedMembers {
    /// Cuts the map that comes next. `None` if it is none, or has more members than any message.
    pub(crate) fn read(reader: &mut PackedReader) -> Option<Self> {
        let PackedHead::Map(count) = reader.head()? else { return None };
        if count > MEMBERS_MAX {
            return None;
        }
        let mut members = Vec::new();
        for _ in 0..count {
            members.push((reader.name()?, reader.skip()?));
        }
        Some(Self { message: reader.clone(), members })
    }

    /// A map that is the whole message.
    pub(crate) fn whole(bytes: Bytes) -> Option<Self> {
        let mut reader = PackedReader::new(bytes);
        Self::read(&mut reader).filter(|_| reader.is_at_end())
    }

    /// A value, to be read; `None` if there is no such member, or it is nil. Of a name that comes twice the last counts.
    pub(crate) fn get(&self, name: &str) -> Option<PackedReader> {
        let value = self.get_or_nil(name)?;
        (value.bytes.get(value.at) != Some(&0xc0)).then_some(value)
    }

    /// A value, nil among them.
    pub(crate) fn get_or_nil(&self, name: &str) -> Option<PackedReader> {
        let (_, range) = self.members.iter().rev().find(|(key, _)| key == name)?;
        Some(PackedReader { bytes: self.message.bytes.clone(), at: range.start })
    }

    /// The bytes of a value, nil among them.
    pub(crate) fn raw(&self, name: &str) -> Option<Bytes> {
        let (_, range) = self.members.iter().rev().find(|(key, _)| key == name)?;
        Some(self.message.slice(range.clone()))
    }
}

/// More members than any message has.
const MEMBERS_MAX: u32 = 24;

/// Appends a length with the mark of its width: up to a limit within one mark, else in one, two or four bytes.
fn write_length(out: &mut Vec<u8>, length: usize, [short, short_max, wide]: [u8; 3], has_byte: bool) {
    let width = |step: u8| wide + step - u8::from(!has_byte);
    if let Some(length) = u8::try_from(length).ok().filter(|length| *length <= short_max && short != 0) {
        out.push(short | length);
    } else if let Some(length) = u8::try_from(length).ok().filter(|_| has_byte) {
        out.extend_from_slice(&[wide, length]);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(width(1));
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        // 4 GiB do not go into a message.
        out.push(width(2));
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
}

pub(crate) fn write_array(out: &mut Vec<u8>, count: usize) {
    write_length(out, count, [0x90, 0x0f, 0xdc], false);
}

pub(crate) fn write_map(out: &mut Vec<u8>, count: usize) {
    write_length(out, count, [0x80, 0x0f, 0xde], false);
}

pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_length(out, text.len(), [0xa0, 0x1f, 0xd9], true);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn write_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    write_length(out, bytes.len(), [0, 0, 0xc4], true);
    out.extend_from_slice(bytes);
}

pub(crate) fn write_unsigned(out: &mut Vec<u8>, number: u64) {
    if let Ok(number) = u8::try_from(number) {
        if number >= 0x80 {
            out.push(0xcc);
        }
        out.push(number);
    } else if let Ok(number) = u16::try_from(number) {
        out.push(0xcd);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = u32::try_from(number) {
        out.push(0xce);
        out.extend_from_slice(&number.to_be_bytes());
    } else {
        out.push(0xcf);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// A number below zero.
pub(crate) fn write_negative(out: &mut Vec<u8>, number: i64) {
    if let Ok(number) = i8::try_from(number) {
        if number < -0x20 {
            out.push(0xd0);
        }
        out.push(number.cast_unsigned());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(0xd1);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(0xd2);
        out.extend_from_slice(&number.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

pub(crate) fn write_float(out: &mut Vec<u8>, number: f64) {
    out.push(0xcb);
    out.extend_from_slice(&number.to_be_bytes());
}

pub(crate) fn write_bool(out: &mut Vec<u8>, is_true: bool) {
    out.push(if is_true { 0xc3 } else { 0xc2 });
}

pub(crate) fn write_nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_written_as_short_as_they_go() {
        for (length, text, binary, array) in [
            (0, &b"\xa0"[..], &b"\xc4\0"[..], &b"\x90"[..]),
            (15, b"\xaf", b"\xc4\x0f", b"\x9f"),
            (16, b"\xb0", b"\xc4\x10", b"\xdc\0\x10"),
            (32, b"\xd9\x20", b"\xc4\x20", b"\xdc\0\x20"),
            (256, b"\xda\x01\0", b"\xc5\x01\0", b"\xdc\x01\0"),
            (65_536, b"\xdb\0\x01\0\0", b"\xc6\0\x01\0\0", b"\xdd\0\x01\0\0"),
        ] {
            let written = |write: &dyn Fn(&mut Vec<u8>)| {
                let mut out = Vec::new();
                write(&mut out);
                out
            };
            assert!(written(&|out| write_text(out, &"x".repeat(length))).starts_with(text), "{length}");
            assert!(written(&|out| write_binary(out, &vec![0; length])).starts_with(binary), "{length}");
            assert_eq!(written(&|out| write_array(out, length)), array);
        }
    }

    #[test]
    fn what_is_announced_and_not_there_is_refused_at_once() {
        for bytes in [&b"\xdb\xff\xff\xff\xff"[..], b"\xc6\xff\xff\xff\xffx", b"\xc9\xff\xff\xff\xff\0", b"\xc1", b""] {
            assert_eq!(PackedReader::new(Bytes::copy_from_slice(bytes)).head(), None, "{bytes:?}");
        }
        // Four billion elements, none of which is there; and a million arrays within each other.
        assert_eq!(PackedReader::new(Bytes::from_static(b"\xdd\xff\xff\xff\xff\xdf\xff\xff\xff\xff")).skip(), None);
        let deep = Bytes::from([vec![0x91; 1_000_000], vec![0xc0]].concat());
        assert_eq!(PackedReader::new(deep).skip(), Some(0..1_000_001));
        assert!(PackedMembers::whole(Bytes::from_static(b"\xdf\xff\xff\xff\xff")).is_none());
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_written(number: i64, float: f64) {
            let mut out = Vec::new();
            match u64::try_from(number) {
                Ok(number) => write_unsigned(&mut out, number),
                Err(_) => write_negative(&mut out, number),
            }
            write_float(&mut out, float);
            let mut reader = PackedReader::new(out.into());
            prop_assert_eq!(reader.head(), Some(signed(number)));
            let Some(PackedHead::Float(read)) = reader.head() else { return Err(TestCaseError::fail("a float")) };
            prop_assert_eq!(read.to_bits(), float.to_bits());
            prop_assert!(reader.is_at_end());
        }

        #[test]
        fn any_bytes_are_passed_over_without_panic(bytes: Vec<u8>) {
            let mut reader = PackedReader::new(bytes.into());
            while reader.skip().is_some() {}
            let _ = PackedMembers::whole(reader.bytes);
        }
    }
}
