//! Questions, answered from tables.
//!
//! Owns: which statements answer a question, within which time, and in which transaction. Must never know: whose tables
//! they are beyond their [`Dialect`].

use std::sync::{Arc, Mutex, PoisonError};

use bytestring::ByteString;
use roomcast_openwebui::access::AccessControl;
use roomcast_openwebui::query::{Chat, Note, Permission, Question, StoreAnswer, StoreError, Touch, User, UserChannels};
use sqlx::Connection;
use tokio::task::spawn_blocking;
use tokio::time::{error::Elapsed, timeout};

#[cfg(feature = "sqlite")]
use super::documents;
use super::fault::{Fault, Health};
use super::open_error::OpenError;
use super::options::Options;
use super::pool::{Arg, Conn, Link, Pool, Purpose};
use super::statements::{self, Dialect, Rewrite, Schema};
use crate::latest::Latest;
use crate::message::change_chat;
use crate::note::{content_of, with_content};

/// Tables of Open WebUI's shape.
#[derive(Debug)]
pub(super) struct Tables {
    pool: Pool,
    dialect: Dialect,
    options: Options,
    /// What is known of the database, until it proves wrong.
    schema: Mutex<Option<Arc<Schema>>>,
    contents: Arc<Mutex<Latest>>,
    health: Health,
}

impl Tables {
    pub(super) fn new(pool: Pool, dialect: Dialect, options: Options) -> Self {
        Self { pool, dialect, options, schema: Mutex::default(), contents: Arc::default(), health: Health::default() }
    }

    /// Answers a question. Whether a token is revoked is asked before.
    pub(super) async fn ask(&self, question: Question) -> Result<StoreAnswer, StoreError> {
        if let Some(result) = unknown_by_its_name(&question) {
            return result;
        }
        let purpose = match &question {
            Question::Authenticate { .. }
            | Question::Channels { .. }
            | Question::Note { .. }
            | Question::Chat { .. }
            | Question::NoteContent { .. }
            | Question::LoadDocument { .. } => Purpose::Read,
            Question::TouchUsers { .. }
            | Question::ReadChannel { .. }
            | Question::ReadChat { .. }
            | Question::ChangeMessage { .. }
            | Question::SaveNoteContent { .. }
            | Question::AppendUpdates { .. }
            | Question::SaveSnapshot { .. } => Purpose::Write,
        };
        let mut conn = self.acquire(purpose).await?;
        let result = timeout(self.options.statement_timeout, self.answer(&mut conn, question)).await;
        self.settle(conn, result).map_err(|fault| fault.store_error())
    }

    /// Whether the database is there and has what is needed.
    pub(super) async fn examine(&self) -> Result<(), OpenError> {
        let mut conn = self.pool.acquire(Purpose::Read).await.map_err(|fault| fault.open_error())?;
        let result = timeout(self.options.statement_timeout, self.read_schema(&mut conn)).await;
        self.settle(conn, result).map(drop).map_err(|fault| fault.open_error())
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    pub(super) async fn acquire(&self, purpose: Purpose) -> Result<Conn, StoreError> {
        self.pool.acquire(purpose).await.map_err(|fault| {
            self.health.ill(&fault);
            fault.store_error()
        })
    }

    /// Gives the connection back, or throws it away.
    pub(super) fn settle<T>(&self, mut conn: Conn, result: Result<Result<T, Fault>, Elapsed>) -> Result<T, Fault> {
        let result = result.unwrap_or(Err(Fault::Late));
        match &result {
            Ok(_) => self.health.well(),
            Err(fault) => {
                self.health.ill(fault);
                match fault.store_error() {
                    StoreError::NotFound | StoreError::Conflict => {}
                    StoreError::Unavailable => conn.discard(),
                    // The tables may have changed since they were looked at.
                    StoreError::Corrupt => *self.schema.lock().unwrap_or_else(PoisonError::into_inner) = None,
                }
            }
        }
        result
    }

    async fn answer(&self, conn: &mut Conn, question: Question) -> Result<StoreAnswer, Fault> {
        let mut link = conn.link();
        match question {
            Question::Authenticate { user, jti, issued_at_secs, ends_at_secs } => {
                let schema = self.schema(conn).await?;
                let args = token_args(&user, jti.as_deref(), issued_at_secs, ends_at_secs);
                let args = match self.dialect {
                    #[cfg(feature = "sqlite")]
                    Dialect::Own => &args[..],
                    #[cfg(feature = "sqlite")]
                    Dialect::Sqlite => &args[..1],
                    #[cfg(feature = "postgres")]
                    Dialect::Postgres => &args[..1],
                };
                let rows = conn.link().rows(schema.user(), args).await?;
                Ok(StoreAnswer::User(rows.into_iter().next().map(user_of).transpose()?))
            }
            Question::Channels { users } => {
                let mut found = Vec::with_capacity(users.len());
                for user in &users {
                    found.push(match user.contains('\0') {
                        true => NO_CHANNELS,
                        false => {
                            let rows = link.rows(self.dialect.channels(), &[Arg::Text(user)]).await?;
                            channels_of(rows, self.options.channels_default)?
                        }
                    });
                }
                Ok(StoreAnswer::Channels(found))
            }
            Question::Note { note, user } => {
                let rows = link.rows(statements::NOTE, &[Arg::Text(&note)]).await?;
                let Some(row) = rows.into_iter().next() else { return Ok(StoreAnswer::Note(None)) };
                let mut row = row.into_iter();
                let owner = row.next().flatten().unwrap_or_default().into();
                let access = AccessControl::from_column(row.next().flatten().as_deref());
                let groups = first_column(link.rows(statements::GROUPS, &[Arg::Text(&user)]).await?);
                Ok(StoreAnswer::Note(Some(Note { owner, access, groups })))
            }
            Question::Chat { chat } => {
                let rows = link.rows(statements::CHAT, &[Arg::Text(&chat)]).await?;
                Ok(StoreAnswer::Chat(first_column(rows).into_iter().next().map(|owner| Chat { owner })))
            }
            Question::TouchUsers { touches } => {
                self.touch_users(conn, &touches).await?;
                Ok(StoreAnswer::Done)
            }
            Question::ReadChannel { channel, user, at_nanos } => {
                let args = [Arg::Text(&channel), Arg::Text(&user), Arg::Number(at_nanos)];
                link.run(statements::READ_CHANNEL, &args).await?;
                Ok(StoreAnswer::Done)
            }
            Question::ReadChat { chat, user, at_secs } => {
                if self.schema(conn).await?.has_read_mark {
                    let args = [Arg::Text(&chat), Arg::Text(&user), Arg::Number(at_secs)];
                    conn.link().run(statements::READ_CHAT, &args).await?;
                }
                Ok(StoreAnswer::Done)
            }
            Question::ChangeMessage { chat, message, changes } => {
                let work = move |stored: Option<&str>| change_chat(stored, &message, &changes);
                self.rewrite(conn, self.dialect.chat(), &[Arg::Text(&chat)], work).await?;
                Ok(StoreAnswer::Done)
            }
            Question::NoteContent { note } => {
                let rows = link.rows(statements::NOTE_DATA, &[Arg::Text(&note)]).await?;
                let data = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
                Ok(StoreAnswer::NoteContent(content_of(data.as_deref())?.map(ByteString::from)))
            }
            Question::SaveNoteContent { note, content, at_nanos } => {
                let (contents, id) = (self.contents.clone(), note.clone());
                // The row is locked meanwhile, so that of two saves one is behind the other.
                let work = move |stored: Option<&str>| {
                    let changed = with_content(stored, &content)?;
                    let mut contents = contents.lock().unwrap_or_else(PoisonError::into_inner);
                    if contents.is_past(&id, at_nanos) {
                        return Ok(None);
                    }
                    contents.put(&id, at_nanos);
                    Ok(Some(changed))
                };
                let args = [Arg::Text(&note), Arg::Number(at_nanos)];
                self.rewrite(conn, self.dialect.note(), &args, work).await?;
                Ok(StoreAnswer::Done)
            }
            Question::LoadDocument { .. } | Question::AppendUpdates { .. } | Question::SaveSnapshot { .. } => {
                match (self.dialect, conn) {
                    #[cfg(feature = "sqlite")]
                    (Dialect::Own, Conn::Sqlite(conn)) => documents::answer(conn, question).await,
                    // Open WebUI has no tables for them.
                    _ => Err(StoreError::Unavailable.into()),
                }
            }
        }
    }

    /// Writes when users were active, in one transaction.
    async fn touch_users(&self, conn: &mut Conn, touches: &[Touch]) -> Result<(), Fault> {
        match conn {
            #[cfg(feature = "sqlite")]
            Conn::Sqlite(conn) => {
                let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
                touch_users(Link::Sqlite(&mut transaction), touches).await?;
                Ok(transaction.commit().await?)
            }
            #[cfg(feature = "postgres")]
            Conn::Postgres(conn) => {
                let mut transaction = conn.begin().await?;
                touch_users(Link::Postgres(&mut transaction), touches).await?;
                Ok(transaction.commit().await?)
            }
        }
    }

    /// Reads the one text of a row and writes what comes of it. Others write to the same row: it is locked before it is
    /// read. The first of the arguments is its id.
    async fn rewrite<W>(&self, conn: &mut Conn, sql: Rewrite, args: &[Arg<'_>], work: W) -> Result<(), Fault>
    where
        W: FnOnce(Option<&str>) -> Result<Option<String>, StoreError> + Send + 'static,
    {
        match conn {
            #[cfg(feature = "sqlite")]
            Conn::Sqlite(conn) => {
                let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
                rewrite(Link::Sqlite(&mut transaction), sql, args, work).await?;
                Ok(transaction.commit().await?)
            }
            #[cfg(feature = "postgres")]
            Conn::Postgres(conn) => {
                let mut transaction = conn.begin().await?;
                rewrite(Link::Postgres(&mut transaction), sql, args, work).await?;
                Ok(transaction.commit().await?)
            }
        }
    }

    async fn schema(&self, conn: &mut Conn) -> Result<Arc<Schema>, Fault> {
        let known = self.schema.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(schema) => Ok(schema),
            None => self.read_schema(conn).await,
        }
    }

    async fn read_schema(&self, conn: &mut Conn) -> Result<Arc<Schema>, Fault> {
        let schema = Schema::read(&mut conn.link(), self.dialect, &self.options.profile_without).await?;
        let schema = Arc::new(schema);
        *self.schema.lock().unwrap_or_else(PoisonError::into_inner) = Some(schema.clone());
        Ok(schema)
    }
}

async fn touch_users(mut link: Link<'_>, touches: &[Touch]) -> Result<(), Fault> {
    for Touch { user, at_secs } in touches.iter().filter(|touch| !touch.user.contains('\0')) {
        link.run(statements::TOUCH_USER, &[Arg::Text(user), Arg::Number(*at_secs)]).await?;
    }
    Ok(())
}

async fn rewrite<W>(mut link: Link<'_>, sql: Rewrite, args: &[Arg<'_>], work: W) -> Result<(), Fault>
where
    W: FnOnce(Option<&str>) -> Result<Option<String>, StoreError> + Send + 'static,
{
    let rows = link.rows(sql.select, &args[..1]).await?;
    let stored = rows.into_iter().next().ok_or(StoreError::NotFound)?.into_iter().next().flatten();
    let is_long = stored.as_ref().is_some_and(|text| text.len() > INLINE_BYTES_MAX);
    let work = move || work(stored.as_deref());
    let changed = if is_long { spawn_blocking(work).await.unwrap_or(Err(StoreError::Unavailable))? } else { work()? };
    if let Some(changed) = changed {
        link.run(sql.update, &[args, &[Arg::Text(&changed)]].concat()).await?;
    }
    Ok(())
}

/// No row has such an id: PostgreSQL could not keep it, and refuses to be asked for it.
fn unknown_by_its_name(question: &Question) -> Option<Result<StoreAnswer, StoreError>> {
    let (ids, result): (&[&ByteString], _) = match question {
        Question::Authenticate { user, .. } => (&[user], Ok(StoreAnswer::User(None))),
        Question::Note { note, user } => (&[note, user], Ok(StoreAnswer::Note(None))),
        Question::Chat { chat } => (&[chat], Ok(StoreAnswer::Chat(None))),
        Question::ReadChannel { channel, user, .. } => (&[channel, user], Ok(StoreAnswer::Done)),
        Question::ReadChat { chat, user, .. } => (&[chat, user], Ok(StoreAnswer::Done)),
        Question::ChangeMessage { chat, .. } => (&[chat], Err(StoreError::NotFound)),
        Question::NoteContent { note } => (&[note], Ok(StoreAnswer::NoteContent(None))),
        Question::SaveNoteContent { note, .. } => (&[note], Err(StoreError::NotFound)),
        // Of several users some may be there.
        Question::Channels { .. } | Question::TouchUsers { .. } => return None,
        Question::LoadDocument { .. } | Question::AppendUpdates { .. } | Question::SaveSnapshot { .. } => return None,
    };
    ids.iter().any(|id| id.contains('\0')).then_some(result)
}

fn first_column(rows: Vec<Vec<Option<String>>>) -> Vec<ByteString> {
    rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).map(ByteString::from).collect()
}

fn user_of(row: Vec<Option<String>>) -> Result<User, StoreError> {
    match <[Option<String>; 4]>::try_from(row) {
        Ok([Some(id), Some(name), Some(role), Some(profile)]) => {
            Ok(User { id: id.into(), name: name.into(), role: role.into(), profile: profile.into() })
        }
        Ok(_) | Err(_) => Err(StoreError::Corrupt),
    }
}

/// Of what the groups and the default say the most generous counts; nothing said means what the environment says.
fn channels_of(rows: Vec<Vec<Option<String>>>, unsaid: Permission) -> Result<UserChannels, StoreError> {
    let mut channels = Vec::new();
    let (mut by_group, mut default) = (None, unsaid);
    for row in rows {
        let Ok([Some(kind), Some(text)]) = <[Option<String>; 2]>::try_from(row) else { continue };
        if kind == "channel" {
            channels.push(text.into());
            continue;
        }
        let said: serde_json::Value = serde_json::from_str(&text).map_err(|_| StoreError::Corrupt)?;
        match (kind.as_str(), is_true(&said)) {
            ("group", true) => by_group = Some(Permission::Granted),
            ("default", true) => default = Permission::Granted,
            ("default", false) => default = Permission::Denied,
            _ => {}
        }
    }
    Ok(UserChannels { channels, permission: by_group.unwrap_or(default) })
}

/// User, id, time of issue and end of a token.
pub(super) fn token_args<'a>(
    user: &'a str,
    jti: Option<&'a str>,
    issued_at_secs: Option<u64>,
    ends_at_secs: Option<u64>,
) -> [Arg<'a>; 4] {
    let number = |number: Option<u64>| number.map_or(Arg::Nothing, Arg::Number);
    [Arg::Text(user), jti.map_or(Arg::Nothing, Arg::Text), number(issued_at_secs), number(ends_at_secs)]
}

/// What Python takes for true.
fn is_true(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => false,
        serde_json::Value::Bool(value) => *value,
        serde_json::Value::Number(number) => number.as_f64() != Some(0.0),
        serde_json::Value::String(text) => !text.is_empty(),
        serde_json::Value::Array(list) => !list.is_empty(),
        serde_json::Value::Object(members) => !members.is_empty(),
    }
}

/// Of a user that there cannot be.
const NO_CHANNELS: UserChannels = UserChannels { channels: Vec::new(), permission: Permission::Denied };

/// A longer text is not cut on a thread that other tasks wait for.
const INLINE_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_generous_word_counts() {
        for (rows, permission_expected) in [
            (&[][..], Permission::Granted),
            (&[("default", "true")], Permission::Granted),
            (&[("default", "false")], Permission::Denied),
            (&[("default", "null")], Permission::Denied),
            (&[("group", "false")], Permission::Granted),
            (&[("group", "false"), ("default", "false")], Permission::Denied),
            (&[("group", "false"), ("group", "true"), ("default", "false")], Permission::Granted),
            (
                &[("group", "0"), ("group", "\"\""), ("group", "[]"), ("group", "{}"), ("default", "0.0")],
                Permission::Denied,
            ),
            (&[("group", "1"), ("default", "false")], Permission::Granted),
        ] {
            assert_eq!(permission(rows, Permission::Granted), Ok(permission_expected), "{rows:?}");
        }
        assert_eq!(permission(&[("group", "{")], Permission::Granted), Err(StoreError::Corrupt));
        for (rows, permission_expected) in [
            (&[][..], Permission::Denied),
            (&[("group", "false")], Permission::Denied),
            (&[("group", "true")], Permission::Granted),
            (&[("default", "true")], Permission::Granted),
        ] {
            assert_eq!(permission(rows, Permission::Denied), Ok(permission_expected), "{rows:?}");
        }
    }

    fn permission(rows: &[(&str, &str)], unsaid: Permission) -> Result<Permission, StoreError> {
        let texts = rows.iter().map(|(source, said)| vec![Some((*source).to_owned()), Some((*said).to_owned())]);
        let channel = vec![Some("channel".to_owned()), Some("c".to_owned())];
        let silent = vec![Some("default".to_owned()), None];
        let answer = channels_of(texts.chain([channel, silent]).collect(), unsaid)?;
        assert_eq!(answer.channels, ["c"]);
        Ok(answer.permission)
    }
}
