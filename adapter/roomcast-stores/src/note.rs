//! The data of a note: its content, its files, and other members.
//!
//! Owns: where each stands. Must never know: what they say, or where the data are kept.

use roomcast_openwebui::query::StoreError;
use serde::Deserialize;
use serde_json::Value;

use super::splice::{Object, checked, present};

/// `content` of the data, unless it is missing or `null`. `data` is the column: SQL NULL, or text.
///
/// # Errors
///
/// [`StoreError::Corrupt`] if the data are not an object.
pub(crate) fn content_of(data: Option<&str>) -> Result<Option<String>, StoreError> {
    let data = Object::parse(data)?;
    Ok(present(data.member("content")).map(str::to_owned))
}

/// Ids of the files that are attached: those entries of `files` that are of the type `file`.
///
/// # Errors
///
/// [`StoreError::Corrupt`] if the data are not an object.
pub(crate) fn files_of(data: Option<&str>) -> Result<Vec<String>, StoreError> {
    #[derive(Deserialize)]
    struct AttachedFile {
        #[serde(rename = "type")]
        kind: String,
        id: String,
    }
    let data = Object::parse(data)?;
    let entries: Vec<Value> =
        data.member("files").and_then(|files| serde_json::from_str(files).ok()).unwrap_or_default();
    let attachments = entries.into_iter().filter_map(|entry| serde_json::from_value::<AttachedFile>(entry).ok());
    Ok(attachments.filter(|entry| entry.kind == "file" && !entry.id.is_empty()).map(|entry| entry.id).collect())
}

/// The data with these members, each in place of the one of its name. `None` if the data have them already.
///
/// # Errors
///
/// [`StoreError::Corrupt`] if the data, the members together or a content are not an object.
pub(crate) fn with_members(data: Option<&str>, members: &str) -> Result<Option<String>, StoreError> {
    let members = checked(members)?;
    if !members.starts_with('{') {
        return Err(StoreError::Corrupt);
    }
    let mut changed: Option<String> = None;
    Object::parse(data)?;
    for (name, value) in Object::parse(Some(&members))?.members() {
        if name == "content" && !value.starts_with('{') {
            return Err(StoreError::Corrupt);
        }
        let object = Object::parse(changed.as_deref().or(data))?;
        if !object.member(name).is_some_and(|stored| is_same(stored, value)) {
            changed = Some(object.with(name, value));
        }
    }
    Ok(changed)
}

/// Whether two texts are of one value. Of what cannot be read, the text counts.
fn is_same(one: &str, other: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    one == other || value(one).is_some_and(|one| Some(one) == value(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_data_stays() {
        let data = r#"{"files": [1.10, 2], "content": {"md": "a\\u0000"} , "content": {"md": "b"}, "x": null}"#;
        assert_eq!(content_of(Some(data)), Ok(Some(r#"{"md": "b"}"#.to_owned())));
        let after = data.replace(r#"{"md": "b"}"#, r#"{"md":"c"}"#);
        assert_eq!(with_members(Some(data), "{\"content\":{\"md\":\"c\\u0000\"}}\n"), Ok(Some(after.clone())));
        let after = after.replace(r#"[1.10, 2]"#, "[]").replace("null}", r#"null,"new":{"a":1}}"#);
        let members = r#"{"files":[],"new":{"a":1},"content":{"md":"c"}}"#;
        assert_eq!(with_members(Some(data), members), Ok(Some(after)));
    }

    #[test]
    fn data_without_content_get_some() {
        for (data, after) in [
            (None, r#"{"content":{}}"#),
            (Some("null"), r#"{"content":{}}"#),
            (Some("{}"), r#"{"content":{}}"#),
            (Some(r#"{"content":null}"#), r#"{"content":{}}"#),
            (Some(r#"{"a":1}"#), r#"{"a":1,"content":{}}"#),
        ] {
            assert_eq!(content_of(data), Ok(None));
            assert_eq!(with_members(data, r#"{"content":{}}"#), Ok(Some(after.to_owned())));
        }
    }

    #[test]
    fn what_cannot_be_read_is_corrupt() {
        for data in ["[]", "{", "7", ""] {
            assert_eq!(content_of(Some(data)), Err(StoreError::Corrupt), "{data}");
            assert_eq!(files_of(Some(data)), Err(StoreError::Corrupt), "{data}");
            assert_eq!(with_members(Some(data), "{}"), Err(StoreError::Corrupt), "{data}");
        }
        for members in ["[]", "{", "7", "null", "", "{} {}"] {
            assert_eq!(with_members(None, members), Err(StoreError::Corrupt), "{members}");
            let content = format!(r#"{{"content":{members}}}"#);
            assert_eq!(with_members(None, &content), Err(StoreError::Corrupt), "{content}");
        }
    }

    #[test]
    fn what_is_there_already_changes_nothing() {
        let data = r#"{"files": [1.10, 2], "content": {"md": "\u00e9", "json": null}, "half": "\ud800"}"#;
        for same in [
            "{}",
            r#"{"content":{"json":null,"md":"é"}}"#,
            r#"{"files":[1.1,2]}"#,
            r#"{"half":"\ud800","files":[1.1,2]}"#,
        ] {
            assert_eq!(with_members(Some(data), same), Ok(None), "{same}");
        }
        assert!(matches!(with_members(Some(data), r#"{"files":[1.1,2],"half":"\ud801"}"#), Ok(Some(_))));
        assert_eq!(with_members(None, "{}"), Ok(None));
    }

    #[test]
    fn attached_files_are_entries_of_that_type() {
        let data = r#"{"files":[{"type":"file","id":"a","name":"A"},{"type":"file","id":""},{"type":"note","id":"b"},
            {"type":"file","id":7},{"type":"file"},7,null,{"type":"file","id":"c"}]}"#;
        assert_eq!(files_of(Some(data)), Ok(vec!["a".to_owned(), "c".to_owned()]));
        for none in [None, Some("null"), Some("{}"), Some(r#"{"files":null}"#), Some(r#"{"files":{"id":"a"}}"#)] {
            assert_eq!(files_of(none), Ok(vec![]), "{none:?}");
        }
    }
}
