//! JSON that means one thing only, and its numbers without floats.
//!
//! Owns: members as they are written, the refusal of duplicate names, the depth limit. Must never know: tokens.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of a JSON object, values as they are written.
pub(crate) struct Object<'a>(Vec<(String, &'a RawValue)>);

/// Why a text is not a JSON object that means one thing only.
pub(crate) enum JsonFault {
    NotAnObject,
    NameTwice,
    TooDeep,
}

/// Deeper than any claim in use, and low enough that reading each level again costs nothing: the header is read
/// before the signature is known to be right.
const DEPTH_MAX: u32 = 16;

impl<'a> Object<'a> {
    /// Refuses a name that stands twice in one object, at any depth: parsers differ in which of the two they take,
    /// [RFC 8259 section 4](https://www.rfc-editor.org/rfc/rfc8259#section-4).
    pub(crate) fn parse(json: &'a str) -> Result<Self, JsonFault> {
        let top = Self::parse_one(json)?;
        let mut open: Vec<(&RawValue, u32)> = top.0.iter().map(|(_, value)| (*value, 1)).collect();
        while let Some((value, depth)) = open.pop() {
            let nested: Vec<&RawValue> = match value.get().as_bytes().first() {
                Some(b'{' | b'[') if depth == DEPTH_MAX => return Err(JsonFault::TooDeep),
                Some(b'{') => Self::parse_one(value.get())?.0.into_iter().map(|(_, value)| value).collect(),
                Some(b'[') => serde_json::from_str(value.get()).map_err(|_| JsonFault::NotAnObject)?,
                Some(_) | None => continue,
            };
            open.extend(nested.into_iter().map(|value| (value, depth + 1)));
        }
        Ok(top)
    }

    fn parse_one(json: &'a str) -> Result<Self, JsonFault> {
        let object: Self = serde_json::from_str(json).map_err(|_| JsonFault::NotAnObject)?;
        let mut names: Vec<&str> = object.0.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(JsonFault::NameTwice);
        }
        Ok(object)
    }

    pub(crate) fn find(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.get())
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// The text of a JSON string, escapes resolved; `None` for any other value.
pub(crate) fn text(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

/// How a fraction of a millisecond is rounded: always so that a token is valid for less time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    Down,
    Up,
}

/// Milliseconds of a JSON number of seconds, digit by digit, so that no float is involved: 0 for what is negative,
/// `u64::MAX` for what is too large.
pub(crate) fn millis(number: &str, round: Round) -> u64 {
    if number.starts_with('-') {
        return 0;
    }
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent = exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX });
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole_digits = i64::try_from(whole.len()).unwrap_or(i64::MAX);
    let mut digits_left = exponent.saturating_add(whole_digits).saturating_add(3);
    let (mut value, mut is_cut) = (0u64, false);
    for digit in whole.bytes().chain(fraction.bytes()).map(|digit| u64::from(digit - b'0')) {
        if digits_left > 0 {
            value = value.saturating_mul(10).saturating_add(digit);
            digits_left -= 1;
        } else if digit > 0 {
            is_cut = true;
        }
    }
    while digits_left > 0 && (1..u64::MAX).contains(&value) {
        value = value.saturating_mul(10);
        digits_left -= 1;
    }
    match round {
        Round::Up if is_cut => value.saturating_add(1),
        Round::Up | Round::Down => value,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_at_the_edges() {
        for (number, down, up) in [
            ("-0", 0, 0),
            ("-1e9", 0, 0),
            ("0e999999999999999999999", 0, 0),
            ("0.0000", 0, 0),
            ("1e-999999999999999999999", 0, 1),
            ("1E+3", 1_000_000, 1_000_000),
            ("1.0009", 1000, 1001),
            ("1.00100", 1001, 1001),
            ("18446744073709551.615", u64::MAX, u64::MAX),
            ("18446744073709551.616", u64::MAX, u64::MAX),
            ("18446744073709551.614", u64::MAX - 1, u64::MAX - 1),
            ("1e999999999999999999999", u64::MAX, u64::MAX),
        ] {
            assert_eq!((millis(number, Round::Down), millis(number, Round::Up)), (down, up), "{number}");
        }
    }

    proptest! {
        #[test]
        fn millis_agree_with_whole_numbers(mantissa in 0u32..100_000, exponent in -3i32..4) {
            let text = format!("{mantissa}e{exponent}");
            let thousandth = u64::from(mantissa) * 1000;
            let ten = |power: i32| 10u64.pow(power.unsigned_abs());
            let (down, up) = if exponent < 0 {
                (thousandth / ten(exponent), thousandth.div_ceil(ten(exponent)))
            } else {
                (thousandth * ten(exponent), thousandth * ten(exponent))
            };
            prop_assert_eq!((millis(&text, Round::Down), millis(&text, Round::Up)), (down, up));
        }
    }
}
