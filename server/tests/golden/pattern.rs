//! Frames, and patterns of frames in which names stand for what differs from run to run.
//!
//! `$name` stands for a string or, in front of the JSON, for digits: the first value that it meets, and the same from then
//! on. `$any` is different each time. Order and blanks of JSON objects do not count.

use std::collections::BTreeMap;

use serde_json::Value;

/// What names stand for.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// A text with its names filled in; those of tokens by `token`.
    pub fn fill(&self, text: &str, token: &dyn Fn(&str) -> String) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            filled.push_str(&rest[..at]);
            let end = rest[at + 1..].find(|found| !is_of_name(found)).map_or(rest.len(), |end| at + 1 + end);
            let name = &rest[at + 1..end];
            match (name.strip_prefix("token."), self.0.get(name)) {
                (Some(user), _) => filled.push_str(&token(user)),
                (None, Some(known)) => filled.push_str(known),
                (None, None) => panic!("nothing is known of ${name} in {text}"),
            }
            rest = &rest[end..];
        }
        filled.push_str(rest);
        filled
    }

    /// Whether a frame is of this form. If it is, names that were met for the first time are kept.
    pub fn is_like(&mut self, pattern: &str, frame: &str) -> bool {
        let mut met = BTreeMap::new();
        let ((head, json), (frame_head, frame_json)) = (split(pattern), split(frame));
        let is_head = match head.split_once('$') {
            Some((before, name)) => frame_head
                .strip_prefix(before)
                .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
                .is_some_and(|digits| self.stands(name, digits, &mut met)),
            None => head == frame_head,
        };
        let is_body = match (parsed(json), parsed(frame_json)) {
            (Some(expected), Some(found)) => self.is_same(&expected, &found, &mut met),
            (None, None) => json == frame_json,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if is_head && is_body {
            self.0.append(&mut met);
        }
        is_head && is_body
    }

    fn is_same(&self, pattern: &Value, found: &Value, met: &mut BTreeMap<String, String>) -> bool {
        match (pattern, found) {
            (Value::String(pattern), _) if pattern.starts_with('$') => match found {
                Value::String(text) => self.stands(&pattern[1..], text, met),
                Value::Number(number) => self.stands(&pattern[1..], &number.to_string(), met),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
            },
            (Value::Array(patterns), Value::Array(items)) => {
                patterns.len() == items.len()
                    && patterns.iter().zip(items).all(|(pattern, item)| self.is_same(pattern, item, met))
            }
            (Value::Object(patterns), Value::Object(fields)) => {
                patterns.len() == fields.len()
                    && patterns
                        .iter()
                        .all(|(key, pattern)| fields.get(key).is_some_and(|field| self.is_same(pattern, field, met)))
            }
            _ => pattern == found,
        }
    }

    fn stands(&self, name: &str, text: &str, met: &mut BTreeMap<String, String>) -> bool {
        if name == "any" {
            return true;
        }
        match self.0.get(name).or_else(|| met.get(name)) {
            Some(known) => known == text,
            None => {
                met.insert(name.to_owned(), text.to_owned());
                true
            }
        }
    }
}

/// What stands before the JSON, and the JSON.
pub fn split(frame: &str) -> (&str, &str) {
    frame.split_at(frame.find(['[', '{', '"']).unwrap_or(frame.len()))
}

fn parsed(json: &str) -> Option<Value> {
    serde_json::from_str(json).ok()
}

fn is_of_name(found: char) -> bool {
    found.is_ascii_alphanumeric() || found == '.'
}

#[test]
fn names_stand_for_the_same_throughout() {
    let mut names = Names::default();
    assert!(names.is_like(r#"42$ack["e",{"a":"$x","b":null}]"#, r#"427["e", {"b":null,"a":"1"}]"#));
    assert!(names.is_like(r#"43$ack["$x"]"#, r#"437["1"]"#));
    for frame in [r#"438["1"]"#, r#"437["2"]"#, r#"43["1"]"#, r#"437["1","1"]"#, r#"437{"1":"1"}"#] {
        assert!(!names.is_like(r#"43$ack["$x"]"#, frame), "{frame}");
    }
    assert!(names.is_like("2", "2") && !names.is_like("2", "3"));
    assert_eq!(names.fill("43$ack[\"$x\",\"$token.ann\"]", &|user| format!("T {user}")), r#"437["1","T ann"]"#);
}
