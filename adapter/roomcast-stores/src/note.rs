//! The content in a note's data.
//!
//! Owns: where it stands. Must never know: what it says, or where the data are kept.

use roomcast_openwebui::query::StoreError;

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

/// The data with this content.
///
/// # Errors
///
/// [`StoreError::Corrupt`] if the data or the content are not an object.
pub(crate) fn with_content(data: Option<&str>, content: &str) -> Result<String, StoreError> {
    let content = checked(content)?;
    if !content.starts_with('{') {
        return Err(StoreError::Corrupt);
    }
    Ok(Object::parse(data)?.with("content", &content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_data_stays() {
        let data = r#"{"files": [1.10, 2], "content": {"md": "a\\u0000"} , "content": {"md": "b"}, "x": null}"#;
        assert_eq!(content_of(Some(data)), Ok(Some(r#"{"md": "b"}"#.to_owned())));
        let after = data.replace(r#"{"md": "b"}"#, r#"{"md":"c"}"#);
        assert_eq!(with_content(Some(data), "{\"md\":\"c\\u0000\"}\n"), Ok(after));
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
            assert_eq!(with_content(data, "{}").as_deref(), Ok(after));
        }
    }

    #[test]
    fn what_cannot_be_read_is_corrupt() {
        for data in ["[]", "{", "7", ""] {
            assert_eq!(content_of(Some(data)), Err(StoreError::Corrupt), "{data}");
            assert_eq!(with_content(Some(data), "{}"), Err(StoreError::Corrupt), "{data}");
        }
        for content in ["[]", "{", "7", "null", "", "{} {}"] {
            assert_eq!(with_content(None, content), Err(StoreError::Corrupt), "{content}");
        }
    }
}
