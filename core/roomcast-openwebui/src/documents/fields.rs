//! Members of a note's data other than its content: what came of them, and when it is saved.
//!
//! Owns: reading them, gathering, retries. Must never know: a document or a store.
//!
//! The front end of 0.12 sends a content alone; others may send more, as its server merges all of it into the note.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::query::User;
use roomcast_core::time::Instant;

/// Members of a note's data, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DataFields(BTreeMap<String, ByteString>);

impl DataFields {
    /// All but the content. What is no object has none.
    pub(super) fn read(data: &RawValue) -> Self {
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(data.get()).unwrap_or_default();
        let others = members.into_iter().filter(|(name, _)| name != CONTENT);
        Self(others.map(|(name, value)| (name, value.get().into())).collect())
    }

    /// Files that are attached by these.
    pub(super) fn files(&self) -> AttachedFiles {
        #[derive(Deserialize)]
        struct FileEntry {
            #[serde(rename = "type")]
            kind: String,
            id: String,
        }
        let Some(json) = self.0.get(FILES).filter(|json| &***json != "null") else {
            return AttachedFiles::Listed(BTreeSet::new());
        };
        let Ok(entries) = serde_json::from_str::<Vec<&RawValue>>(json) else { return AttachedFiles::Unreadable };
        let entries = entries.into_iter().filter_map(|entry| serde_json::from_str::<FileEntry>(entry.get()).ok());
        let files = entries.filter(|entry| entry.kind == "file" && !entry.id.is_empty());
        AttachedFiles::Listed(files.map(|entry| entry.id.into()).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// As one JSON object.
    fn object(&self) -> ByteString {
        let name = |name: &str| serde_json::Value::from(name).to_string();
        let members: Vec<String> = self.0.iter().map(|(key, value)| format!("{}:{value}", name(key))).collect();
        format!("{{{}}}", members.join(",")).into()
    }
}

/// Files that are to be attached to a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AttachedFiles {
    /// Their ids, none of which may be there.
    Listed(BTreeSet<ByteString>),
    /// They are in no list.
    Unreadable,
}

/// What is to be saved of a note beside its content.
#[derive(Debug, Default)]
pub(super) struct UnsavedFields {
    next: DataFields,
    /// Who sent the last of them.
    author: Option<User>,
    due: Option<Instant>,
    flying: Option<(DataFields, Option<User>)>,
    failures: u32,
}

impl UnsavedFields {
    /// These are to be saved, in place of those of the same names. What is too long altogether is not.
    pub(super) fn put(&mut self, fields: DataFields, author: Option<User>, bytes_max: usize, due: Instant) {
        if fields.is_empty() || self.next.bytes().saturating_add(fields.bytes()) > bytes_max {
            return;
        }
        self.next.0.extend(fields.0);
        (self.author, self.due) = (author, Some(due));
    }

    /// Everything is saved without delay.
    pub(super) fn flush(&mut self, now: Instant) {
        self.due = self.due.map(|due| due.min(now));
    }

    /// What is to be saved now, and in whose name. Answer by [`saved`](Self::saved), [`failed`](Self::failed),
    /// [`refused`](Self::refused) or [`give_up`](Self::give_up).
    pub(super) fn poll(&mut self, now: Instant) -> Option<(ByteString, Option<User>)> {
        if self.flying.is_some() || self.due? > now {
            return None;
        }
        self.due = None;
        let fields = std::mem::take(&mut self.next);
        let (object, author) = (fields.object(), self.author.take());
        self.flying = Some((fields, author.clone()));
        Some((object, author))
    }

    pub(super) fn saved(&mut self) {
        (self.flying, self.failures) = (None, 0);
    }

    /// It may be saved or not, and is tried again with what came since.
    pub(super) fn failed(&mut self, retry: Duration, now: Instant) {
        let Some((fields, author)) = self.flying.take() else { return };
        for (name, value) in fields.0 {
            self.next.0.entry(name).or_insert(value);
        }
        self.author = self.author.take().or(author);
        let span = retry * 2u32.saturating_pow(self.failures.min(5)).min(RETRY_FACTOR_MAX);
        self.failures = self.failures.saturating_add(1);
        self.due = Some(now + span);
    }

    /// They must not be saved: who sent them may not write any more.
    pub(super) fn refused(&mut self) {
        self.flying = None;
    }

    /// They have no place any more.
    pub(super) fn give_up(&mut self) {
        *self = Self::default();
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.due.filter(|_| self.flying.is_none())
    }

    pub(super) fn is_flying(&self) -> bool {
        self.flying.is_some()
    }

    pub(super) fn is_saved(&self) -> bool {
        self.flying.is_none() && self.next.is_empty()
    }
}

const CONTENT: &str = "content";
const FILES: &str = "files";
const RETRY_FACTOR_MAX: u32 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> DataFields {
        DataFields::read(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn all_but_the_content_is_kept_as_it_came() {
        let data = fields(r#"{"content":{"md":"x"},"files":[ 1.10 ],"a\"b":null}"#);
        assert_eq!(&*data.object(), r#"{"a\"b":null,"files":[ 1.10 ]}"#);
        for none in ["{}", "[]", "7", "null", r#"{"content":{}}"#] {
            assert!(fields(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn files_are_entries_of_that_type_in_a_list() {
        let listed = |ids: &[&'static str]| AttachedFiles::Listed(ids.iter().map(|id| (*id).into()).collect());
        for (files, read) in [
            ("null", listed(&[])),
            ("[]", listed(&[])),
            (r#"[{"type":"file","id":"b"},{"type":"file","id":"a"},{"type":"note","id":"n"}]"#, listed(&["a", "b"])),
            (r#"[{"type":"file","id":""},{"type":"file"},{"type":"file","id":7},7,null]"#, listed(&[])),
            (r#"{"type":"file","id":"a"}"#, AttachedFiles::Unreadable),
            ("7", AttachedFiles::Unreadable),
        ] {
            assert_eq!(fields(&format!(r#"{{"files":{files}}}"#)).files(), read, "{files}");
        }
        assert_eq!(fields("{}").files(), listed(&[]));
    }

    #[test]
    fn what_came_last_is_saved_and_nothing_is_lost_by_a_failure() {
        let (mut unsaved, at) = (UnsavedFields::default(), |millis| Instant::from_millis(millis));
        unsaved.put(fields(r#"{"a":1,"b":1}"#), None, 100, at(500));
        unsaved.put(fields(r#"{"b":2}"#), None, 100, at(600));
        assert_eq!((unsaved.poll(at(599)), unsaved.timeout()), (None, Some(at(600))));
        assert_eq!(unsaved.poll(at(600)), Some((r#"{"a":1,"b":2}"#.into(), None)));
        unsaved.put(fields(r#"{"b":3}"#), None, 100, at(700));
        assert_eq!((unsaved.poll(at(700)), unsaved.timeout(), unsaved.is_saved()), (None, None, false));
        unsaved.failed(Duration::from_secs(1), at(800));
        assert_eq!(unsaved.timeout(), Some(at(1800)));
        unsaved.flush(at(900));
        assert_eq!(unsaved.poll(at(900)), Some((r#"{"a":1,"b":3}"#.into(), None)));
        unsaved.saved();
        assert!(unsaved.is_saved() && unsaved.timeout().is_none());
    }

    #[test]
    fn what_is_too_long_altogether_is_not_saved() {
        let mut unsaved = UnsavedFields::default();
        unsaved.put(fields(r#"{"a":"0123456789"}"#), None, 12, Instant::default());
        assert!(unsaved.is_saved() && unsaved.timeout().is_none());
    }
}
