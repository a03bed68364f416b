//! The strings of JSON: where they end, what they stand for, how they are written.
//!
//! Owns: escapes ([RFC 8259 §7](https://www.rfc-editor.org/rfc/rfc8259#section-7)). Must never know: values, nesting.

use std::borrow::Cow;

/// Where the string ends whose opening quote was just before `text`: the place of the closing quote.
pub(crate) fn string_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at += plain_run(bytes.get(at..)?);
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// What stands between the quotes of a checked string, without its escapes. A lone surrogate becomes U+FFFD.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', raw.as_bytes()) else {
        return Cow::Borrowed(raw);
    };
    let mut out = String::with_capacity(raw.len());
    out.push_str(&raw[..first]);
    let mut rest = &raw[first..];
    while let Some(escape) = rest.strip_prefix('\\') {
        let (value, after) = unescape_one(escape);
        out.push(value);
        let plain = memchr::memchr(b'\\', after.as_bytes()).unwrap_or(after.len());
        out.push_str(&after[..plain]);
        rest = &after[plain..];
    }
    Cow::Owned(out)
}

/// Appends `value` as a JSON string, quotes included.
pub(crate) fn write_string(out: &mut Vec<u8>, value: &str) {
    out.reserve(value.len() + 2);
    out.push(b'"');
    let mut rest = value.as_bytes();
    while !rest.is_empty() {
        let plain = plain_run(rest);
        out.extend_from_slice(&rest[..plain]);
        if let Some(&byte) = rest.get(plain) {
            write_escape(out, byte);
        }
        rest = rest.get(plain + 1..).unwrap_or_default();
    }
    out.push(b'"');
}

/// Whether a string has escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    None,
    Some,
}

/// How many bytes come before the first quote, backslash or control character.
#[inline]
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    run(
        bytes,
        |word| zero_bytes(word ^ QUOTES) | zero_bytes(word ^ BACKSLASHES) | bytes_below_32(word),
        |byte| byte == b'"' || byte == b'\\' || byte < 0x20,
    )
}

/// How many bytes come before the first quote, bracket or brace.
#[inline]
pub(super) fn structure_run(bytes: &[u8]) -> usize {
    run(
        bytes,
        |word| {
            // Brackets differ from braces in the bit of lower case alone.
            let lower = word | LOWER_CASE;
            zero_bytes(word ^ QUOTES) | zero_bytes(lower ^ OPENING_BRACES) | zero_bytes(lower ^ CLOSING_BRACES)
        },
        |byte| matches!(byte, b'"' | b'[' | b']' | b'{' | b'}'),
    )
}

/// How many digits come first.
#[inline]
pub(super) fn digit_run(bytes: &[u8]) -> usize {
    run(
        bytes,
        |word| {
            let from_zero = word ^ ZEROS;
            (((from_zero & !HIGH_BITS) + (HIGH_BITS - ONES * 10)) | from_zero) & HIGH_BITS
        },
        |byte| !byte.is_ascii_digit(),
    )
}

/// How many bytes come before the first that is special, eight at a time: the compiler does not do that by itself, and
/// the end of a short run costs no mispredicted branch. `special_in` sets the high bit of each special byte. It may set
/// that of a byte behind one by mistake, as a borrow does, since only the lowest is used.
#[inline]
fn run(bytes: &[u8], special_in: impl Fn(u64) -> u64, is_special: impl Fn(u8) -> bool) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let special = special_in(u64::from_le_bytes(*word));
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8 + tail.iter().position(|&byte| is_special(byte)).unwrap_or(tail.len())
}

#[inline]
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH_BITS
}

#[inline]
const fn bytes_below_32(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word & HIGH_BITS
}

/// What an escape stands for, from behind its backslash, and what follows it.
fn unescape_one(escape: &str) -> (char, &str) {
    let mut after = escape.chars();
    let value = match after.next() {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => return unescape_code_unit(after.as_str()),
        Some(other) => other,
        None => char::REPLACEMENT_CHARACTER,
    };
    (value, after.as_str())
}

/// As [`unescape_one`], from behind the `u`; takes both halves of a surrogate pair.
fn unescape_code_unit(text: &str) -> (char, &str) {
    let Some((first, after)) = code_unit(text) else {
        return (char::REPLACEMENT_CHARACTER, text);
    };
    if let Some((second, after_both)) = after.strip_prefix("\\u").and_then(code_unit)
        && let Some(Ok(value)) = char::decode_utf16([first, second]).next()
        && value > '\u{ffff}'
    {
        return (value, after_both);
    }
    (char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER), after)
}

fn code_unit(text: &str) -> Option<(u16, &str)> {
    let (digits, after) = text.split_at_checked(4)?;
    Some((u16::from_str_radix(digits, 16).ok()?, after))
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0c => out.extend_from_slice(b"\\f"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = ONES * 0x80;
const LOWER_CASE: u64 = ONES * 0x20;
const QUOTES: u64 = ONES * b'"' as u64;
const BACKSLASHES: u64 = ONES * b'\\' as u64;
const OPENING_BRACES: u64 = ONES * b'{' as u64;
const CLOSING_BRACES: u64 = ONES * b'}' as u64;
const ZEROS: u64 = ONES * b'0' as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_a_byte_by_byte_search_ends() {
        for special in 0..=u8::MAX {
            for length in 0..20_usize {
                for at in 0..=length {
                    // Twice the same byte, the neighbour that a borrow would reach, and a digit in front.
                    let mut bytes = vec![b'7'; length];
                    bytes.iter_mut().skip(at).step_by(2).for_each(|byte| *byte = special);
                    bytes.iter_mut().skip(at + 1).step_by(2).for_each(|byte| *byte = special.wrapping_add(1));
                    let expected = |stops: fn(u8) -> bool| bytes.iter().position(|&byte| stops(byte)).unwrap_or(length);
                    assert_eq!(plain_run(&bytes), expected(|byte| byte < 0x20 || byte == b'"' || byte == b'\\'));
                    assert_eq!(structure_run(&bytes), expected(|byte| b"\"[]{}".contains(&byte)));
                    assert_eq!(digit_run(&bytes), expected(|byte| !byte.is_ascii_digit()));
                }
            }
        }
    }
}
