//! What follows in Open WebUI 0.12 from a user's having read a chat: unread counts of folders, and cancelled timers.
//!
//! Owns: how they are reckoned. Must never know: a statement.

use std::collections::{BTreeMap, BTreeSet};

use roomcast_openwebui::query::StoreError;

use crate::splice::Object;

/// A folder of a user: its parent, and the unread chats that are right in it.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    parent: Option<String>,
    unread: u64,
}

/// The folders from rows of id, parent and number.
pub(super) fn folders_of(rows: Vec<Vec<Option<String>>>) -> Result<BTreeMap<String, Folder>, StoreError> {
    let mut folders = BTreeMap::new();
    for row in rows {
        let Ok([Some(id), parent, Some(unread)]) = <[Option<String>; 3]>::try_from(row) else {
            return Err(StoreError::Corrupt);
        };
        let unread = unread.parse().map_err(|_| StoreError::Corrupt)?;
        folders.insert(id, Folder { parent, unread });
    }
    Ok(folders)
}

/// How many unread chats there are in each folder and in those below it. In a circle of folders each has all of them.
pub(super) fn unread_counts(folders: &BTreeMap<String, Folder>) -> BTreeMap<&str, u64> {
    let mut counts: BTreeMap<&str, u64> = folders.keys().map(|id| (id.as_str(), 0)).collect();
    for (id, folder) in folders.iter().filter(|(_, folder)| folder.unread > 0) {
        let (mut current, mut seen) = (Some(id.as_str()), BTreeSet::new());
        while let Some(at) = current.filter(|at| seen.insert(*at)) {
            if let Some(count) = counts.get_mut(at) {
                *count += folder.unread;
            }
            current = folders.get(at).and_then(|folder| folder.parent.as_deref());
        }
    }
    counts
}

/// The `meta` of a timer that is cancelled since its chat was read; `None` if it does not want that.
pub(super) fn cancelled(meta: &str, at_nanos: u64) -> Result<Option<String>, StoreError> {
    let object = Object::parse(Some(meta))?;
    let wants = object.member("cancel_on").map(serde_json::from_str::<serde_json::Value>);
    let wants = wants.transpose().map_err(|_| StoreError::Corrupt)?;
    let is_wanted =
        wants.is_some_and(|events| events.as_array().into_iter().flatten().any(|event| event == "chat.read"));
    if !is_wanted {
        return Ok(None);
    }
    let mut meta = object.with("status", "\"cancelled\"");
    for (key, value) in
        [("timer_cancelled_at", at_nanos.to_string()), ("timer_cancelled_by", "\"chat.read\"".to_owned())]
    {
        meta = Object::parse(Some(&meta))?.with(key, &value);
    }
    Ok(Some(meta))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(id: &str, parent: Option<&str>, unread: u64) -> Vec<Option<String>> {
        vec![Some(id.to_owned()), parent.map(str::to_owned), Some(unread.to_string())]
    }

    #[test]
    fn a_folder_counts_what_is_below_it() {
        let rows = vec![
            folder("top", None, 1),
            folder("middle", Some("top"), 0),
            folder("low", Some("middle"), 2),
            folder("apart", Some("not there"), 4),
            folder("a", Some("b"), 8),
            folder("b", Some("a"), 16),
            folder("self", Some("self"), 32),
        ];
        let folders = folders_of(rows).unwrap();
        let expected = [("a", 24), ("apart", 4), ("b", 24), ("low", 2), ("middle", 2), ("self", 32), ("top", 3)];
        assert_eq!(unread_counts(&folders), BTreeMap::from(expected));
        assert_eq!(folders_of(vec![vec![None, None, None]]).unwrap_err(), StoreError::Corrupt);
    }

    #[test]
    fn a_timer_is_cancelled_by_what_it_names() {
        let meta = r#"{"n": 1.10, "status": "pending", "cancel_on": ["chat.user_message", "chat.read"]}"#;
        let expected = r#"{"n": 1.10, "status": "cancelled", "cancel_on": ["chat.user_message", "chat.read"],"timer_cancelled_at":7,"timer_cancelled_by":"chat.read"}"#;
        assert_eq!(cancelled(meta, 7), Ok(Some(expected.to_owned())));
        for meta in
            [r#"{"cancel_on":["chat.user_message"]}"#, r#"{"cancel_on":null}"#, r#"{"cancel_on":"chat.read"}"#, "{}"]
        {
            assert_eq!(cancelled(meta, 7), Ok(None), "{meta}");
        }
        assert_eq!(cancelled("[]", 7), Err(StoreError::Corrupt));
    }
}
