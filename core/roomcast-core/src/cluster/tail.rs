//! The members at the end of an object, read from behind.
//!
//! The content of an event stands in the middle of its message and is most of it, and its recipients stand behind that. Read
//! from the end, a message without recipients here costs the same for any length.
//!
//! In an object that is JSON this finds what reading from the front finds: a quote before the end of a value closes a
//! string, and where no backslash stands before the next quote to the left, that one opens it. Where a backslash does, or
//! anything but a simple value, reading ends. Of what is no JSON it finds something, as cutting from the front does.
//!
//! Owns: that reading. Must never know: what a member means.

/// The members of an object from the last one on, each with its key (without quotes) and its value, as long as these are
/// simple: strings without escapes, `null`, `true`, `false`, numbers, and lists of these.
#[derive(Clone, Debug)]
pub(super) struct Tail<'a> {
    bytes: &'a [u8],
    /// What has not been read: up to the comma or the brace before the last member that was.
    end: usize,
    is_over: bool,
}

impl<'a> Tail<'a> {
    /// The members of an object given with its braces. `None` if it does not end as an object does.
    pub(super) fn of(object: &'a [u8]) -> Option<Self> {
        let end = trimmed(object, object.len());
        (end > 1 && object.get(end - 1) == Some(&b'}')).then(|| Self { bytes: object, end: end - 1, is_over: false })
    }

    /// Where the part begins that was read: the comma before it.
    pub(super) const fn start(&self) -> usize {
        self.end
    }

    fn read(&mut self) -> Option<(&'a str, &'a str)> {
        let end = trimmed(self.bytes, self.end);
        let value = value_start(self.bytes, end)?;
        let colon = trimmed(self.bytes, value).checked_sub(1).filter(|at| self.bytes.get(*at) == Some(&b':'))?;
        let key_end = trimmed(self.bytes, colon);
        let key = string_start(self.bytes, key_end)?;
        let before = trimmed(self.bytes, key).checked_sub(1)?;
        match self.bytes.get(before)? {
            b',' => {}
            b'{' if before == 0 => self.is_over = true,
            _ => return None,
        }
        self.end = before;
        let text = |from: usize, to: usize| std::str::from_utf8(self.bytes.get(from..to)?).ok();
        Some((text(key + 1, key_end - 1)?, text(value, end)?))
    }
}

impl<'a> Iterator for Tail<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        if self.is_over {
            return None;
        }
        let read = self.read();
        self.is_over |= read.is_none();
        read
    }
}

/// The end of what stands before blanks.
fn trimmed(bytes: &[u8], mut end: usize) -> usize {
    while let Some(before) = end.checked_sub(1)
        && matches!(bytes.get(before), Some(b' ' | b'\t' | b'\n' | b'\r'))
    {
        end = before;
    }
    end
}

/// Where the simple value begins that ends there.
fn value_start(bytes: &[u8], end: usize) -> Option<usize> {
    match bytes.get(end.checked_sub(1)?)? {
        b']' => list_start(bytes, end),
        _ => scalar_start(bytes, end),
    }
}

fn list_start(bytes: &[u8], end: usize) -> Option<usize> {
    let mut at = trimmed(bytes, end - 1);
    if bytes.get(at.checked_sub(1)?) == Some(&b'[') {
        return Some(at - 1);
    }
    loop {
        at = trimmed(bytes, scalar_start(bytes, at)?).checked_sub(1)?;
        match bytes.get(at)? {
            b'[' => return Some(at),
            b',' => at = trimmed(bytes, at),
            _ => return None,
        }
    }
}

fn scalar_start(bytes: &[u8], end: usize) -> Option<usize> {
    if bytes.get(end.checked_sub(1)?)? == &b'"' {
        return string_start(bytes, end);
    }
    let is_literal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    let length = bytes.get(..end)?.iter().rev().take_while(|byte| is_literal(byte)).count();
    (length > 0).then(|| end - length)
}

/// Where a string without escapes begins, whose closing quote stands before `end`.
fn string_start(bytes: &[u8], end: usize) -> Option<usize> {
    let closing = end.checked_sub(1).filter(|at| bytes.get(*at) == Some(&b'"'))?;
    let inner = bytes.get(..closing)?;
    let opening = inner.iter().rposition(|byte| matches!(byte, b'"' | b'\\'))?;
    let is_opening =
        inner.get(opening) == Some(&b'"') && opening.checked_sub(1).and_then(|at| inner.get(at)) != Some(&b'\\');
    is_opening.then_some(opening)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::socket_io::json;

    #[test]
    fn simple_members_are_read_from_behind_up_to_one_that_is_not() {
        let text = r#"{"method": "emit", "data": {"a": "x, \"room\": \"y\""}, "b": [ ] , "c":["r", 1,null],"n":-1.5e3, "s" : "" } "#;
        let mut tail = Tail::of(text.as_bytes()).unwrap();
        let expected = [("s", "\"\""), ("n", "-1.5e3"), ("c", r#"["r", 1,null]"#), ("b", "[ ]")];
        assert_eq!(tail.by_ref().collect::<Vec<_>>(), expected);
        assert!(text[tail.start()..].starts_with(r#", "b""#));
        assert_eq!(Tail::of(br#"{"a":1,"b":"\\"}"#).unwrap().next(), None, "an escape");
        assert_eq!(Tail::of(br#"{"a\"":1}"#).unwrap().next(), None);
        assert_eq!(Tail::of(br#"{"a":1}"#).unwrap().collect::<Vec<_>>(), [("a", "1")]);
        for text in ["", "}", "{}", "[]", "{,}", "{\"a\"}", "{:1}", "{\"a\":}", "{\"a\":\"}", "\"a\":1}"] {
            assert_eq!(Tail::of(text.as_bytes()).and_then(|mut tail| tail.next()), None, "{text}");
        }
    }

    proptest! {
        /// Of any object that is JSON, what is read from behind is what is read from the front.
        #[test]
        fn the_end_of_an_object_reads_the_same_from_both_sides(members in prop::collection::vec((key(), value()), 0..6)) {
            let text: Vec<String> = members.iter().map(|(key, value)| format!("{key} : {value}")).collect();
            let text = format!("{{{}}}", text.join(" ,"));
            prop_assert!(json::check_value(&text, json::JsonLimits::default(), json::Placeholders::Data).is_ok());
            let front: Vec<(&str, &str)> = json::members(&text).unwrap().collect();
            let behind: Vec<(&str, &str)> = Tail::of(text.as_bytes()).into_iter().flatten().collect();
            for (one, other) in front.iter().rev().zip(behind) {
                prop_assert_eq!((one.0.trim_matches('"'), one.1), other);
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..30), text in r#"[{}\[\]",:a1\\ ]{0,20}"#) {
            for bytes in [&bytes[..], text.as_bytes()] {
                let _ = Tail::of(bytes).map(|tail| tail.count());
            }
        }
    }

    fn key() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("\"room\""), Just("\"\""), Just("\"a,:{\""), Just("\"\\\"\"")]
    }

    fn value() -> impl Strategy<Value = &'static str> {
        prop_oneof![
            Just("null"),
            Just("-1.5E+3"),
            Just("\"x\""),
            Just("\"\""),
            Just("[]"),
            Just("[ 1 , \"a\",null]"),
            Just("[[1]]"),
            Just("{\"room\":\"y\"}"),
            Just(r#""\", \"room\": \"y""#),
            Just(r#""\\""#),
            Just(r#"["a\"", "b"]"#),
            Just("\", \""),
        ]
    }
}
