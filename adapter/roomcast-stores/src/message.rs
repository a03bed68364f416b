//! A change to one message of a chat's JSON.
//!
//! The rules are those of Open WebUI's event emitter. Of two versions the later one is followed where the earlier one
//! spoils something: `history.currentId` moves to a message that is made here, and stays where the reader of the chat
//! put it when a message is only changed.
//!
//! Owns: those rules. Must never know: where the text is kept.

use roomcast_openwebui::query::{MessageChange, StoreError};

use super::splice::{BLANK, Object, checked, present, quoted};

/// What became of a chat and its message.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres")),
    allow(dead_code, reason = "rows of messages are in SQL; with the tests of Memory all of it is used")
)]
pub(crate) struct ChangedMessage {
    /// Id of the message, as it is stored.
    pub(crate) id: String,
    /// The chat's JSON.
    pub(crate) chat: String,
    /// The message's JSON.
    pub(crate) message: String,
    /// Whether there was no such message before.
    pub(crate) is_new: bool,
}

/// The chat's JSON after the changes; `None` if they change nothing. `chat` is the column: SQL NULL, or text.
///
/// # Errors
///
/// [`StoreError::Corrupt`] if what has to be read for it is not of the expected kind, or if a change itself is not JSON.
pub(crate) fn change_chat(
    chat: Option<&str>,
    message: &str,
    changes: &[MessageChange],
) -> Result<Option<String>, StoreError> {
    Ok(change_with(chat, message, changes, |made, _| Ok(made))?.map(|changed| changed.chat))
}

/// The same as Open WebUI 0.12 does it: a message that is made here has its place among the others, by the one that
/// names it as its child, and the moment `now_secs`.
///
/// # Errors
///
/// As [`change_chat`].
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) fn change_chat_of_0_12(
    chat: Option<&str>,
    message: &str,
    changes: &[MessageChange],
    now_secs: u64,
) -> Result<Option<ChangedMessage>, StoreError> {
    change_with(chat, message, changes, |made, messages| {
        let parent = parent_of(message, messages)?;
        let role = match parent.as_ref().map(|(_, role)| role.as_str()) {
            Some("assistant") => "user",
            Some(_) | None => "assistant",
        };
        let id = parent.map_or_else(|| "null".to_owned(), |(id, _)| quoted(&id));
        let mut made = made;
        for (key, value) in [
            ("parentId", id),
            ("childrenIds", "[]".to_owned()),
            ("role", quoted(role)),
            ("timestamp", now_secs.to_string()),
        ] {
            made = Object::parse(Some(&made))?.with(key, &value);
        }
        Ok(made)
    })
}

/// The message that names this one as its child, and its role.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn parent_of(message: &str, messages: &Object<'_>) -> Result<Option<(String, String)>, StoreError> {
    for (id, other) in messages.members() {
        // What is no message has no children.
        let Ok(other) = Object::parse(Some(other)) else { continue };
        let children = other.member("childrenIds").and_then(|list| serde_json::from_str::<Vec<String>>(list).ok());
        if children.is_some_and(|children| children.iter().any(|child| child == message)) {
            let role = other.member("role").and_then(|role| serde_json::from_str(role).ok());
            return Ok(Some((id.to_owned(), role.unwrap_or_default())));
        }
    }
    Ok(None)
}

/// Changes a message; one that is made here is handed to `complete` with the others.
fn change_with(
    chat: Option<&str>,
    message: &str,
    changes: &[MessageChange],
    complete: impl FnOnce(String, &Object<'_>) -> Result<String, StoreError>,
) -> Result<Option<ChangedMessage>, StoreError> {
    let message = message.replace('\0', "");
    let chat = Object::parse(chat)?;
    let history = Object::parse(chat.member("history"))?;
    let messages = Object::parse(history.member("messages"))?;
    let stored = messages.member(&message);
    let Some(mut changed) = change_message(stored, &message, changes)? else { return Ok(None) };
    let is_new = stored.is_none();
    if is_new {
        changed = complete(changed, &messages)?;
    }
    let messages = messages.with(&message, &changed);
    let mut history = history.with("messages", &messages);
    if is_new {
        history = Object::parse(Some(&history))?.with("currentId", &quoted(&message));
    }
    Ok(Some(ChangedMessage { chat: chat.with("history", &history), id: message, message: changed, is_new }))
}

/// Statuses and further content need a message; what else is written makes one.
fn change_message(stored: Option<&str>, id: &str, changes: &[MessageChange]) -> Result<Option<String>, StoreError> {
    let mut changed: Option<String> = None;
    for change in changes {
        let present = changed.as_deref().or(stored);
        let message = Object::parse(present)?;
        let (key, value) = match change {
            MessageChange::AppendStatus(status) => {
                let Some(_) = present else { continue };
                ("statusHistory", with_last(message.member("statusHistory"), status)?)
            }
            MessageChange::AppendContent(text) => {
                let Some(_) = present else { continue };
                ("content", with_text(message.member("content"), text)?)
            }
            MessageChange::ReplaceContent(text) => ("content", quoted(&text.replace('\0', ""))),
            MessageChange::ExtendEmbeds(list) => ("embeds", with_first(message.member("embeds"), list)?),
            MessageChange::ReplaceEmbeds(list) => ("embeds", with_first(None, list)?),
            MessageChange::ExtendFiles(list) => ("files", with_first(message.member("files"), list)?),
            MessageChange::AppendSource(source) => ("sources", with_last(message.member("sources"), source)?),
        };
        changed = Some(match present {
            Some(_) => message.with(key, &value),
            None => format!("{{\"id\":{},{}:{value}}}", quoted(id), quoted(key)),
        });
    }
    Ok(changed)
}

/// An array with one more value at its end.
fn with_last(array: Option<&str>, value: &str) -> Result<String, StoreError> {
    Ok(joined(elements(array)?, &checked(value)?))
}

/// An array with those of another in front of its own, as the original has it.
fn with_first(array: Option<&str>, first: &str) -> Result<String, StoreError> {
    let first = checked(first)?;
    Ok(joined(elements(Some(&first))?, elements(array)?))
}

fn joined(left: &str, right: &str) -> String {
    let comma = if left.is_empty() || right.is_empty() { "" } else { "," };
    format!("[{left}{comma}{right}]")
}

/// What stands between the brackets of an array.
fn elements(array: Option<&str>) -> Result<&str, StoreError> {
    let Some(array) = present(array) else { return Ok("") };
    let inner = array.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(StoreError::Corrupt)?;
    Ok(inner.trim_matches(BLANK))
}

/// A string with more text at its end. The escapes of what is there stay as they are.
fn with_text(string: Option<&str>, more: &str) -> Result<String, StoreError> {
    let string = present(string).unwrap_or("\"\"");
    let open = string.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(StoreError::Corrupt)?;
    Ok(format!("\"{open}{}", &quoted(&more.replace('\0', ""))[1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(chat: &str, changes: &[MessageChange]) -> Result<Option<String>, StoreError> {
        change_chat(Some(chat), "m", changes)
    }

    fn append(text: &str) -> MessageChange {
        MessageChange::AppendContent(text.into())
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        let before = r#"{ "a": 1.10, "n": 123456789012345678901234567890, "e": 1E400, "history": {"x" : "\ud83d",
            "messages": {"o": {"content": "other"}, "m": {"b": -0.0, "content": "caf\u00e9 \ud83d", "z": [ 1 ]}, "p": 7},
            "currentId": "o"}, "a": 2 }"#;
        let after = before.replace(r#"\ud83d", "z""#, r#"\ud83d\"\n€", "z""#);
        assert_eq!(change(before, &[append("\"\n€")]), Ok(Some(after)));
    }

    #[test]
    fn each_change_has_its_place() {
        let before = r#"{"history":{"messages":{"m":{"content":"a","statusHistory":[{"s":1}],"files":[ "old" ],"embeds":[],"sources":null}}}}"#;
        let changes = [
            append("b\0"),
            MessageChange::AppendStatus(r#"{"s":2}"#.into()),
            MessageChange::ExtendFiles(r#"["new", "newer"]"#.into()),
            MessageChange::ExtendEmbeds("[7]".into()),
            MessageChange::ExtendEmbeds("[ ]".into()),
            MessageChange::AppendSource(r#"{"u":"a\u0000b\\u0000\n"}"#.into()),
        ];
        let after = r#"{"history":{"messages":{"m":{"content":"ab","statusHistory":[{"s":1},{"s":2}],"files":["new", "newer","old"],"embeds":[7],"sources":[{"u":"ab\\u0000\n"}]}}}}"#;
        assert_eq!(change(before, &changes), Ok(Some(after.into())));
        let replaced = change(before, &[MessageChange::ReplaceContent("x".into()), append("y")]).unwrap().unwrap();
        assert_eq!(replaced, before.replace(r#""content":"a""#, r#""content":"xy""#));
        for list in ["[1, 2]", "[]"] {
            let changes = [MessageChange::ExtendEmbeds("[7]".into()), MessageChange::ReplaceEmbeds(list.into())];
            let expected = before.replace(r#""embeds":[]"#, &format!(r#""embeds":{list}"#));
            assert_eq!(change(before, &changes), Ok(Some(expected)));
        }
    }

    #[test]
    fn a_missing_message_is_made_only_for_what_stands_by_itself() {
        let before = r#"{"history":{"messages":{},"currentId":null}}"#;
        assert_eq!(change(before, &[append("a"), MessageChange::AppendStatus("{}".into())]), Ok(None));
        let made = r#"{"history":{"messages":{"m":{"id":"m","content":"ab"}},"currentId":"m"}}"#;
        let changes = [append("lost"), MessageChange::ReplaceContent("a".into()), append("b")];
        assert_eq!(change(before, &changes), Ok(Some(made.into())));
        for empty in [None, Some("null"), Some(" null\n"), Some("{}"), Some(r#"{"history":null}"#)] {
            let made = change_chat(empty, "m", &[MessageChange::ExtendFiles("[1]".into())]).unwrap().unwrap();
            let history = r#"{"history":{"messages":{"m":{"id":"m","files":[1]}},"currentId":"m"}}"#;
            assert_eq!(made, history, "{empty:?}");
        }
    }

    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    #[test]
    fn a_message_that_is_made_in_0_12_has_its_place_among_the_others() {
        for (other, role) in [("user", "assistant"), ("assistant", "user"), ("system", "assistant")] {
            let before = format!(
                r#"{{"history":{{"messages":{{"o":{{"role":"{other}","childrenIds":["x","m"]}},"p":7}},"currentId":"o"}}}}"#
            );
            let changes = [MessageChange::ReplaceContent("a".into())];
            let changed = change_chat_of_0_12(Some(&before), "m", &changes, 9).unwrap().unwrap();
            let made =
                format!(r#"{{"id":"m","content":"a","parentId":"o","childrenIds":[],"role":"{role}","timestamp":9}}"#);
            assert_eq!((changed.message, changed.is_new), (made.clone(), true));
            let chat = before.replace(r#""p":7"#, &format!(r#""p":7,"m":{made}"#));
            assert_eq!(changed.chat, chat.replace(r#""currentId":"o""#, r#""currentId":"m""#));
        }
        let made = change_chat_of_0_12(None, "m", &[MessageChange::ExtendFiles("[1]".into())], 9).unwrap().unwrap();
        let message = r#"{"id":"m","files":[1],"parentId":null,"childrenIds":[],"role":"assistant","timestamp":9}"#;
        assert_eq!(made.message, message);
    }

    #[test]
    fn the_last_of_several_members_counts() {
        let before = r#"{"history":{"messages":{"m":{"content":"no"},"m":{"content":"a","content":"b"}}}}"#;
        let after = before.replace(r#""b""#, r#""bc""#);
        assert_eq!(change(before, &[append("c")]), Ok(Some(after)));
    }

    #[test]
    fn what_cannot_be_read_is_corrupt() {
        for chat in [
            "",
            "{",
            "[]",
            "7",
            r#"{"history":[]}"#,
            r#"{"history":{"messages":"m"}}"#,
            r#"{"history":{"messages":{"m":[]}}}"#,
            r#"{"history":{"messages":{"m":{"content":["a"]}}}}"#,
            r#"{"history":{"messages":{"m":{"content":NaN}}}}"#,
            r#"{"history":{"messages":{"m":{"content":"a"}}}} x"#,
        ] {
            assert_eq!(change(chat, &[append("b")]), Err(StoreError::Corrupt), "{chat}");
        }
        let chat = r#"{"history":{"messages":{"m":{"files":{}}}}}"#;
        for list in ["[1]", "{}", "[1", "[1] [2]", ""] {
            let changes = [MessageChange::ExtendFiles(list.into())];
            assert_eq!(change(chat, &changes), Err(StoreError::Corrupt), "{list}");
        }
    }

    #[test]
    fn depth_and_ids_of_any_kind_do_no_harm() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let before = format!(r#"{{"d":{deep},"history":{{"messages":{{}}}}}}"#);
        let id = "\"\\\n\0\u{1f600}";
        let changes = [MessageChange::ReplaceContent("x".into())];
        let made = change_chat(Some(&before), id, &changes).unwrap().unwrap();
        let again = change_chat(Some(&made), id, &[append("y")]).unwrap().unwrap();
        assert!(again.contains(r#""content":"xy""#) && again.contains(&deep));
        assert_eq!(again.len(), made.len() + 1);
    }
}
