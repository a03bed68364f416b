//! Questions, answered from the tables of Open WebUI 0.12.
//!
//! Owns: which of its statements answer a question, and in which transaction. Must never know: how a statement is worded.

use bytestring::ByteString;
use roomcast_openwebui::query::{Chat, ChatShare, MessageChange, ReadOutcome, StoreAnswer, StoreError};

use super::accounts::{encryption_users_of, note_of};
use super::chat_reads::{cancelled, folders_of, unread_counts};
use super::crowd::ids_of;
use super::fault::Fault;
use super::file_access::readable;
use super::grants::GrantStatements;
use super::messages::{MessageRow, touches_chat};
use super::options::DatabaseOptions;
use super::pool::{Arg, Conn, Executor, transaction};
use super::statements::READ_CHAT;
use crate::message::change_chat_of_0_12;

impl GrantStatements {
    pub(super) async fn answer_note(
        &self,
        link: &mut Executor<'_>,
        note: &str,
        user: &str,
    ) -> Result<StoreAnswer, Fault> {
        let rows = link.rows(self.note.clone(), &[Arg::Text(note), Arg::Text(user)]).await?;
        Ok(StoreAnswer::Note(note_of(rows)?))
    }

    pub(super) async fn answer_chat(
        &self,
        link: &mut Executor<'_>,
        chat: &str,
        user: &str,
    ) -> Result<StoreAnswer, Fault> {
        let rows = link.rows(self.chat.clone(), &[Arg::Text(chat), Arg::Text(user)]).await?;
        let Some(row) = rows.into_iter().next() else { return Ok(StoreAnswer::Chat(None)) };
        let Ok([owner, internal, share]) = <[Option<String>; 3]>::try_from(row) else {
            return Err(StoreError::Corrupt.into());
        };
        let share = match share.as_deref() {
            None => ChatShare::None,
            Some("write") => ChatShare::Write,
            Some(_) => ChatShare::Read,
        };
        let owner = owner.unwrap_or_default().into();
        Ok(StoreAnswer::Chat(Some(Chat { owner, share, is_internal: internal.is_some() })))
    }

    pub(super) async fn answer_files(
        &self,
        link: &mut Executor<'_>,
        user: &str,
        files: &[ByteString],
    ) -> Result<StoreAnswer, Fault> {
        let rows = link.rows(self.files.clone(), &[Arg::Text(&ids_of(files)), Arg::Text(user)]).await?;
        Ok(StoreAnswer::Files(readable(files, rows)?))
    }

    pub(super) async fn answer_encryption_users(
        &self,
        link: &mut Executor<'_>,
        (channel, users): (&str, &[ByteString]),
        options: &DatabaseOptions,
    ) -> Result<StoreAnswer, Fault> {
        let args = [Arg::Text(&ids_of(users)), Arg::Text(channel)];
        let rows = link.rows(self.encryption_users.clone(), &args).await?;
        Ok(StoreAnswer::EncryptionUsers(encryption_users_of(rows, options)?))
    }

    /// Marks a chat as read, counts what is unread now, and cancels timers, in this order: a cancelled timer is a chat that
    /// has changed.
    pub(super) async fn answer_read_chat(
        &self,
        conn: &mut Conn,
        chat: &str,
        user: &str,
        at_secs: u64,
    ) -> Result<StoreAnswer, Fault> {
        let outcome = transaction!(conn, link => self.read_chat(&mut link, chat, user, at_secs));
        Ok(StoreAnswer::ChatRead(outcome))
    }

    pub(super) async fn read_chat(
        &self,
        link: &mut Executor<'_>,
        chat: &str,
        user: &str,
        at_secs: u64,
    ) -> Result<ReadOutcome, Fault> {
        let nothing = ReadOutcome { was_unread: false, folder_unread_counts: ByteString::from_static("{}") };
        let (chat, user) = (Arg::Text(chat), Arg::Text(user));
        let Some(state) = link.rows(self.read_state, &[chat, user]).await?.into_iter().next() else {
            return Ok(nothing);
        };
        link.run(READ_CHAT, &[chat, user, Arg::Number(at_secs)]).await?;
        let was_unread = state.into_iter().next().flatten().is_some();
        let outcome = if was_unread {
            let folders = folders_of(link.rows(self.folders, &[user]).await?)?;
            let counts = serde_json::json!(unread_counts(&folders)).to_string();
            ReadOutcome { was_unread, folder_unread_counts: counts.into() }
        } else {
            nothing
        };
        for row in link.rows(self.timers.clone(), &[chat, user]).await? {
            let Ok([Some(timer), Some(meta)]) = <[Option<String>; 2]>::try_from(row) else { continue };
            if let Some(meta) = cancelled(&meta, at_secs.saturating_mul(1_000_000_000))? {
                let args = [Arg::Text(&timer), Arg::Text(&meta), Arg::Number(at_secs)];
                link.run(self.cancel_timer, &args).await?;
            }
        }
        Ok(outcome)
    }

    /// Changes a message in the chat's JSON and in its own row.
    pub(super) async fn answer_change_message(
        &self,
        conn: &mut Conn,
        chat: &str,
        message: &str,
        changes: Vec<MessageChange>,
    ) -> Result<StoreAnswer, Fault> {
        let now_secs = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        let changes = Changes { message, changes, now_secs };
        transaction!(conn, link => self.change_message(&mut link, chat, changes));
        Ok(StoreAnswer::Done)
    }

    async fn change_message(
        &self,
        link: &mut Executor<'_>,
        chat: &str,
        Changes { message, changes, now_secs }: Changes<'_>,
    ) -> Result<(), Fault> {
        let row =
            link.rows(self.chat_text, &[Arg::Text(chat)]).await?.into_iter().next().ok_or(StoreError::NotFound)?;
        let Ok([owner, stored]) = <[Option<String>; 2]>::try_from(row) else { return Err(StoreError::Corrupt.into()) };
        let is_long = stored.as_ref().is_some_and(|text| text.len() > super::tables::INLINE_BYTES_MAX);
        let (id, asked) = (message.to_owned(), changes.clone());
        let work = move || change_chat_of_0_12(stored.as_deref(), &id, &asked, now_secs);
        let changed = if is_long {
            tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Unavailable))?
        } else {
            work()?
        };
        let Some(changed) = changed else { return Ok(()) };
        let touched = if changes.iter().any(touches_chat) { "touched" } else { "" };
        let current = changed.is_new.then_some(&*changed.id);
        let args =
            [Arg::Text(chat), Arg::Text(&changed.chat), Arg::Text(touched), Arg::Number(now_secs), Arg::text(current)];
        link.run(self.rewrite_chat, &args).await?;
        let owner = owner.unwrap_or_default();
        let row = MessageRow::new((chat, &owner), &changed, now_secs)?;
        if link.run(self.change_message, &row.changes(&changes)).await? == 0 {
            link.run(self.insert_message.clone(), &row.values()).await?;
        }
        Ok(())
    }
}

/// What is to be done to a message, and when.
struct Changes<'a> {
    message: &'a str,
    changes: Vec<MessageChange>,
    now_secs: u64,
}
