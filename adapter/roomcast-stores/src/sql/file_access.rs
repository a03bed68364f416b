//! Whether a file is attached to a note or a model of Open WebUI 0.12.
//!
//! The databases look for its id in the text, which finds too much: what is in a note is its writers' own.
//!
//! Owns: where attachments stand. Must never know: a statement, or who asks.

use std::collections::BTreeSet;

use bytestring::ByteString;
use roomcast_openwebui::query::StoreError;
use serde_json::Value;

/// Which of these files may be read, from rows of a kind, a file, and a text:
///
/// | kind | text |
/// |---|---|
/// | `may` | |
/// | `note` | data of a note that may be read, of the file's owner |
/// | `model` | `meta` of a model that may be used |
pub(super) fn readable(files: &[ByteString], rows: Vec<Vec<Option<String>>>) -> Result<Vec<bool>, StoreError> {
    let mut found = BTreeSet::new();
    for row in rows {
        let Ok([Some(kind), Some(file), text]) = <[Option<String>; 3]>::try_from(row) else {
            return Err(StoreError::Corrupt);
        };
        let text = text.as_deref().unwrap_or("null");
        let may = match kind.as_str() {
            "may" => true,
            "note" => is_attached(&parsed(text)?["files"], &file),
            "model" => is_of_model(&parsed(text)?, &file),
            _ => return Err(StoreError::Corrupt),
        };
        if may {
            found.insert(file);
        }
    }
    Ok(files.iter().map(|file| found.contains(&**file)).collect())
}

/// Whether a list has an item that is this file.
fn is_attached(list: &Value, file: &str) -> bool {
    let mut items = list.as_array().into_iter().flatten();
    items.any(|item| item["type"] == "file" && item["id"] == file)
}

/// Whether a model knows the file, or has it as its picture or voice.
fn is_of_model(meta: &Value, file: &str) -> bool {
    let avatar = &meta["voice_avatar"];
    let states = avatar["states"].as_object().into_iter().flat_map(|states| states.values());
    let gestures = avatar["gestures"].as_array().into_iter().flatten();
    is_attached(&meta["knowledge"], file)
        || meta["background_image_url"] == format!("/api/v1/files/{file}/content")
        || std::iter::once(avatar).chain(states).chain(gestures).any(|asset| asset["file_id"] == file)
}

fn parsed(text: &str) -> Result<Value, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_attachment_counts() {
        for (kind, text, may) in [
            ("may", None, true),
            ("note", Some(r#"{"files":[{"type":"file","id":"f"}]}"#), true),
            ("note", Some(r#"{"files":[{"type":"note","id":"f"}]}"#), false),
            ("note", Some(r#"{"files":[{"type":"file","id":"ff"}],"content":{"md":"f"}}"#), false),
            ("note", Some(r#"{"files":{"type":"file","id":"f"}}"#), false),
            ("note", Some("null"), false),
            ("note", None, false),
            ("model", Some(r#"{"knowledge":[7,{"type":"file","id":"f"}]}"#), true),
            ("model", Some(r#"{"knowledge":null,"description":"f"}"#), false),
            ("model", Some(r#"{"background_image_url":"/api/v1/files/f/content"}"#), true),
            ("model", Some(r#"{"background_image_url":"/api/v1/files/ff/content"}"#), false),
            ("model", Some(r#"{"voice_avatar":{"file_id":"f"}}"#), true),
            ("model", Some(r#"{"voice_avatar":{"states":{"idle":{"file_id":"f"}}}}"#), true),
            ("model", Some(r#"{"voice_avatar":{"gestures":[{"file_id":"f"}]}}"#), true),
            ("model", Some(r#"{"voice_avatar":[]}"#), false),
        ] {
            let row = vec![Some(kind.to_owned()), Some("f".to_owned()), text.map(str::to_owned)];
            assert_eq!(readable(&["f".into(), "g".into()], vec![row]), Ok(vec![may, false]), "{kind} {text:?}");
        }
    }
}
