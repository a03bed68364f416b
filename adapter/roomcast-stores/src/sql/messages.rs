//! A changed message as a row of `chat_message`, which Open WebUI 0.12 keeps beside the chat's JSON.
//!
//! Owns: which member of a message is which column. Must never know: a statement, or what a change was.

use std::borrow::Cow;

use roomcast_openwebui::query::{MessageChange, StoreError};

use super::pool::Arg;
use crate::message::ChangedMessage;
use crate::splice::{Object, present};

/// How a column is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnKind {
    /// Text or a number.
    Plain,
    /// A text that PostgreSQL is told to read as JSON.
    Json,
    /// `true` or `false`.
    Flag,
}

/// The columns of a new row, in the order of its values.
pub(super) const MESSAGE_COLUMNS: &[(&str, ColumnKind)] = &[
    ("id", ColumnKind::Plain),
    ("chat_id", ColumnKind::Plain),
    ("user_id", ColumnKind::Plain),
    ("role", ColumnKind::Plain),
    ("parent_id", ColumnKind::Plain),
    ("model_id", ColumnKind::Plain),
    ("context_summary", ColumnKind::Plain),
    ("content", ColumnKind::Json),
    ("output", ColumnKind::Json),
    ("files", ColumnKind::Json),
    ("sources", ColumnKind::Json),
    ("embeds", ColumnKind::Json),
    ("meta", ColumnKind::Json),
    ("status_history", ColumnKind::Json),
    ("error", ColumnKind::Json),
    ("usage", ColumnKind::Json),
    ("done", ColumnKind::Flag),
    ("created_at", ColumnKind::Plain),
    ("updated_at", ColumnKind::Plain),
];

/// A changed message, its ids and when it was changed.
pub(super) struct MessageRow<'a> {
    /// The ids of its chat and its own, with `-` between them.
    id: String,
    chat: &'a str,
    owner: &'a str,
    message: Object<'a>,
    texts: [Option<Cow<'a, str>>; 5],
    now_secs: u64,
}

impl<'a> MessageRow<'a> {
    pub(super) fn new(
        (chat, owner): (&'a str, &'a str),
        changed: &'a ChangedMessage,
        now_secs: u64,
    ) -> Result<Self, StoreError> {
        let message = Object::parse(Some(&changed.message))?;
        let text = |keys: &[&str]| {
            let value = keys.iter().find_map(|key| present(message.member(key)))?;
            serde_json::from_str::<String>(value).ok().filter(|text| !text.is_empty()).map(Cow::Owned)
        };
        let texts = [
            text(&["user_id"]),
            text(&["role"]),
            text(&["parent_id", "parentId"]),
            text(&["model_id", "model"]),
            text(&["context_summary", "contextSummary"]),
        ];
        Ok(Self { id: format!("{chat}-{}", changed.id), chat, owner, message, texts, now_secs })
    }

    /// Values for [`GrantStatements::change_message`](super::grants::GrantStatements): of members that were not changed,
    /// the column stays as it is.
    pub(super) fn changes<'s>(&'s self, changes: &[MessageChange]) -> [Arg<'s>; 7] {
        let changed = |key: &str| {
            let is_changed = changes.iter().any(|change| member_of(change) == key);
            Arg::text(self.message.member(key).filter(|_| is_changed))
        };
        [
            Arg::Text(&self.id),
            changed("content"),
            changed("statusHistory"),
            changed("files"),
            changed("sources"),
            changed("embeds"),
            Arg::Number(self.now_secs),
        ]
    }

    /// Values in the order of [`MESSAGE_COLUMNS`].
    pub(super) fn values(&self) -> Vec<Arg<'_>> {
        let [user, role, parent, model, summary] = self.texts.each_ref().map(Option::as_deref);
        let json = |keys: &[&str]| Arg::text(keys.iter().find_map(|key| present(self.message.member(key))));
        let is_done = present(self.message.member("done")) != Some("false");
        let created_at = self.message.member("timestamp").and_then(|at| at.parse().ok()).unwrap_or(self.now_secs);
        vec![
            Arg::Text(&self.id),
            Arg::Text(self.chat),
            Arg::Text(user.unwrap_or(self.owner)),
            Arg::Text(role.unwrap_or("user")),
            Arg::text(parent),
            Arg::text(model),
            Arg::text(summary),
            json(&["content"]),
            json(&["output"]),
            json(&["files"]),
            json(&["sources"]),
            json(&["embeds"]),
            json(&["meta"]),
            json(&["status_history", "statusHistory"]),
            json(&["error"]),
            json(&["usage"]),
            Arg::Text(if is_done { "true" } else { "false" }),
            Arg::Number(created_at),
            Arg::Number(self.now_secs),
        ]
    }
}

/// Whether a chat counts as changed by this: content alone makes it unread.
pub(super) const fn touches_chat(change: &MessageChange) -> bool {
    match change {
        MessageChange::AppendContent(_) | MessageChange::ReplaceContent(_) => true,
        MessageChange::AppendStatus(_)
        | MessageChange::ExtendEmbeds(_)
        | MessageChange::ReplaceEmbeds(_)
        | MessageChange::ExtendFiles(_)
        | MessageChange::AppendSource(_) => false,
    }
}

const fn member_of(change: &MessageChange) -> &'static str {
    match change {
        MessageChange::AppendStatus(_) => "statusHistory",
        MessageChange::AppendContent(_) | MessageChange::ReplaceContent(_) => "content",
        MessageChange::ExtendEmbeds(_) | MessageChange::ReplaceEmbeds(_) => "embeds",
        MessageChange::ExtendFiles(_) => "files",
        MessageChange::AppendSource(_) => "sources",
    }
}
