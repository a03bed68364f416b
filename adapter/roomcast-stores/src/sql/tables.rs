//! Questions, answered from tables.
//!
//! Owns: which statements answer a question, within which time, and in which transaction. Must never know: whose tables
//! they are beyond their [`Dialect`].

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytestring::ByteString;
use roomcast_openwebui::Release;
use roomcast_openwebui::access::AccessControl;
use roomcast_openwebui::query::{Chat, ChatShare, Note, Question, StoreAnswer, StoreError, Touch, User, UserChannels};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, error::Elapsed, timeout};

use super::accounts::accounts_of;
#[cfg(feature = "sqlite")]
use super::application_documents;
use super::crowd;
use super::fault::{Fault, FaultKind};
use super::grants::GrantStatements;
use super::health::DatabaseHealth;
use super::open_error::OpenError;
use super::options::DatabaseOptions;
use super::pool::{Arg, Conn, Executor, LoanPurpose, Pool, transaction};
use super::schema::Schema;
use super::statements::{self, Dialect, Rewrite};
use super::together::{self, Crowds, Together};
use crate::latest::Latest;
use crate::message::change_chat;
use crate::note::{content_of, files_of, with_members};

/// Tables of Open WebUI's shape.
#[derive(Debug)]
pub(super) struct Tables {
    pool: Pool,
    dialect: Dialect,
    options: DatabaseOptions,
    /// What is known of the database and since when, until it proves wrong.
    schema: Mutex<Option<(Arc<Schema>, Instant)>>,
    /// Whose tables they were when they were first looked at. Another release has to be asked other questions.
    release: OnceLock<Release>,
    contents: Arc<Mutex<Latest>>,
    health: DatabaseHealth,
    together: Together,
}

impl Tables {
    /// Must be called within tokio.
    pub(super) fn new(pool: Pool, dialect: Dialect, options: DatabaseOptions) -> Self {
        Self {
            pool,
            dialect,
            options,
            schema: Mutex::default(),
            release: OnceLock::new(),
            contents: Arc::default(),
            health: DatabaseHealth::default(),
            together: Together::new(),
        }
    }

    /// Answers a question. Whether a token is revoked is not looked at here.
    pub(super) async fn ask(self: &Arc<Self>, question: Question) -> Result<StoreAnswer, StoreError> {
        if let Some(result) = unknown_by_its_name(&question) {
            return result;
        }
        let (purpose, _write) = match question {
            Question::Authenticate { user, .. } => {
                let found = together::users(self, vec![user]).await?;
                return Ok(StoreAnswer::User(found.into_iter().next().flatten()));
            }
            Question::Channels { users } => {
                return Ok(StoreAnswer::Channels(together::channels(self, users).await?));
            }
            // What nodes share is in no table.
            Question::ShareSession { .. }
            | Question::UnshareSession { .. }
            | Question::ShareUse { .. }
            | Question::SessionPool(_) => {
                return Ok(StoreAnswer::Done);
            }
            Question::TouchUsers { touches } => {
                return together::touch(self, touches).await.map(|()| StoreAnswer::Done);
            }
            Question::Encryption(_) => return Err(StoreError::Unavailable),
            mark @ (Question::ReadChannel { .. } | Question::ReadChat { .. }) if self.dialect.is_file() => {
                return together::mark(self, mark).await;
            }
            Question::Note { .. }
            | Question::Chat { .. }
            | Question::Files { .. }
            | Question::EncryptionUsers { .. }
            | Question::NoteContent { .. }
            | Question::NoteFiles { .. }
            | Question::LoadDocument { .. } => (LoanPurpose::Read, None),
            Question::ReadChannel { .. }
            | Question::ReadChat { .. }
            | Question::ChangeMessage { .. }
            | Question::SaveNoteData { .. }
            | Question::AppendUpdates { .. }
            | Question::SaveSnapshot { .. }
            | Question::SharedDocument(_) => (LoanPurpose::Write, Some(self.together.write())),
        };
        let mut conn = self.acquire(purpose).await?;
        let result = timeout(self.options.statement_timeout, self.answer(&mut conn, question)).await;
        self.settle(conn, result).map_err(|fault| fault.store_error())
    }

    /// Whether the database is there and has what is needed.
    pub(super) async fn examine(&self) -> Result<Release, OpenError> {
        let mut conn = self.pool.acquire(LoanPurpose::Read).await.map_err(|fault| fault.open_error())?;
        let result = timeout(self.options.statement_timeout, self.read_schema(&mut conn)).await;
        self.settle(conn, result).map(|schema| schema.release).map_err(|fault| fault.open_error())
    }

    pub(super) async fn close(&self) {
        self.together.close().await;
        self.pool.close().await;
    }

    /// Gives the connection back, or closes it if it failed.
    pub(super) fn settle<T>(&self, mut conn: Conn, result: Result<Result<T, Fault>, Elapsed>) -> Result<T, Fault> {
        let result = result.unwrap_or(Err(Fault::Late));
        self.judge(&mut conn, result.as_ref().err());
        result
    }

    /// Answers a question, unless it is answered together with others, or without the database.
    async fn answer(&self, conn: &mut Conn, question: Question) -> Result<StoreAnswer, Fault> {
        let schema = self.schema(conn).await?;
        if let Some(grants) = &schema.grants {
            return self.answer_by_grants(conn, grants, question).await;
        }
        let mut link = conn.link();
        match question {
            Question::Authenticate { .. }
            | Question::Channels { .. }
            | Question::TouchUsers { .. }
            | Question::ShareSession { .. }
            | Question::UnshareSession { .. }
            | Question::ShareUse { .. }
            | Question::SessionPool(_)
            | Question::Encryption(_) => Err(StoreError::Unavailable.into()),
            Question::EncryptionUsers { .. } => Ok(StoreAnswer::EncryptionUsers(Vec::new())),
            Question::Note { note, user } => {
                let rows = link.rows(statements::NOTE, &[Arg::Text(&note)]).await?;
                let Some(row) = rows.into_iter().next() else { return Ok(StoreAnswer::Note(None)) };
                let mut row = row.into_iter();
                let owner = row.next().flatten().unwrap_or_default().into();
                let access = AccessControl::from_column(row.next().flatten().as_deref());
                let groups = first_column(link.rows(statements::GROUPS, &[Arg::Text(&user)]).await?);
                Ok(StoreAnswer::Note(Some(Note { owner, access, groups })))
            }
            Question::Chat { chat, .. } => {
                let rows = link.rows(statements::CHAT, &[Arg::Text(&chat)]).await?;
                let owner = first_column(rows).into_iter().next();
                Ok(StoreAnswer::Chat(owner.map(|owner| Chat { owner, share: ChatShare::None, is_internal: false })))
            }
            Question::Files { files, .. } => Ok(StoreAnswer::Files(vec![true; files.len()])),
            Question::ReadChannel { .. }
            | Question::NoteContent { .. }
            | Question::NoteFiles { .. }
            | Question::SaveNoteData { .. } => self.answer_by_both(conn, question).await,
            Question::ReadChat { chat, user, at_secs } => {
                if schema.has_read_mark {
                    let args = [Arg::Text(&chat), Arg::Text(&user), Arg::Number(at_secs)];
                    link.run(statements::READ_CHAT, &args).await?;
                }
                Ok(StoreAnswer::Done)
            }
            Question::ChangeMessage { chat, message, changes } => {
                let work = move |stored: Option<&str>| change_chat(stored, &message, &changes);
                self.rewrite(conn, self.dialect.chat(), &[Arg::Text(&chat)], work).await.map(|()| StoreAnswer::Done)
            }
            Question::LoadDocument { .. }
            | Question::AppendUpdates { .. }
            | Question::SaveSnapshot { .. }
            | Question::SharedDocument(_) => match (self.dialect, conn) {
                #[cfg(feature = "sqlite")]
                (Dialect::Own, Conn::Sqlite(conn)) => application_documents::answer(conn, question).await,
                // Open WebUI has no tables for them.
                _ => Err(StoreError::Unavailable.into()),
            },
        }
    }

    /// The same, where the tables are those of 0.12.
    async fn answer_by_grants(
        &self,
        conn: &mut Conn,
        grants: &GrantStatements,
        question: Question,
    ) -> Result<StoreAnswer, Fault> {
        match question {
            Question::Note { note, user } => grants.answer_note(&mut conn.link(), &note, &user).await,
            Question::Chat { chat, user } => grants.answer_chat(&mut conn.link(), &chat, &user).await,
            Question::Files { user, files } => grants.answer_files(&mut conn.link(), &user, &files).await,
            Question::EncryptionUsers { channel, users } => {
                grants.answer_encryption_users(&mut conn.link(), (&channel, &users), &self.options).await
            }
            Question::ReadChat { chat, user, at_secs } => grants.answer_read_chat(conn, &chat, &user, at_secs).await,
            Question::ChangeMessage { chat, message, changes } => {
                grants.answer_change_message(conn, &chat, &message, changes).await
            }
            Question::ReadChannel { .. }
            | Question::NoteContent { .. }
            | Question::NoteFiles { .. }
            | Question::SaveNoteData { .. } => self.answer_by_both(conn, question).await,
            Question::Authenticate { .. }
            | Question::Channels { .. }
            | Question::TouchUsers { .. }
            | Question::ShareSession { .. }
            | Question::UnshareSession { .. }
            | Question::ShareUse { .. }
            | Question::SessionPool(_)
            | Question::Encryption(_)
            | Question::LoadDocument { .. }
            | Question::AppendUpdates { .. }
            | Question::SaveSnapshot { .. }
            | Question::SharedDocument(_) => Err(StoreError::Unavailable.into()),
        }
    }

    /// The same, where both releases have the same columns for it.
    async fn answer_by_both(&self, conn: &mut Conn, question: Question) -> Result<StoreAnswer, Fault> {
        if let Question::ReadChannel { channel, user, at_nanos } = question {
            let args = [Arg::Text(&channel), Arg::Text(&user), Arg::Number(at_nanos)];
            conn.link().run(statements::READ_CHANNEL, &args).await?;
            Ok(StoreAnswer::Done)
        } else if let Question::NoteContent { note } = question {
            let data = first_column(conn.link().rows(statements::NOTE_DATA, &[Arg::Text(&note)]).await?);
            let content = content_of(data.first().map(|data| &**data))?;
            Ok(StoreAnswer::NoteContent(content.map(ByteString::from)))
        } else if let Question::NoteFiles { note } = question {
            let data = first_column(conn.link().rows(statements::NOTE_DATA, &[Arg::Text(&note)]).await?);
            let files = files_of(data.first().map(|data| &**data))?;
            Ok(StoreAnswer::NoteFiles(files.into_iter().map(ByteString::from).collect()))
        } else if let Question::SaveNoteData { note, data, at_nanos } = question {
            self.save_note_data(conn, note, data, at_nanos).await.map(|()| StoreAnswer::Done)
        } else {
            Err(StoreError::Unavailable.into())
        }
    }

    async fn save_note_data(
        &self,
        conn: &mut Conn,
        note: ByteString,
        data: ByteString,
        at_nanos: u64,
    ) -> Result<(), Fault> {
        let (contents, id) = (self.contents.clone(), note.clone());
        // The row is locked meanwhile, so that of two saves one is behind the other.
        let work = move |stored: Option<&str>| {
            let changed = with_members(stored, &data)?;
            let mut contents = contents.lock().unwrap_or_else(PoisonError::into_inner);
            if contents.is_past(&id, at_nanos) {
                return Ok(None);
            }
            contents.put(&id, at_nanos);
            Ok(changed)
        };
        self.rewrite(conn, self.dialect.note(), &[Arg::Text(&note), Arg::Number(at_nanos)], work).await
    }

    /// Reads the one text of a row and writes what comes of it. Others write to the same row: it is locked before it is
    /// read. The first of the arguments is its id.
    async fn rewrite<W>(&self, conn: &mut Conn, sql: Rewrite, args: &[Arg<'_>], work: W) -> Result<(), Fault>
    where
        W: FnOnce(Option<&str>) -> Result<Option<String>, StoreError> + Send + 'static,
    {
        transaction!(conn, link => rewrite(&mut link, sql, args, work));
        Ok(())
    }

    async fn schema(&self, conn: &mut Conn) -> Result<Arc<Schema>, Fault> {
        let known = self.schema.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            // Open WebUI may be upgraded at any time, and most statements would still find what they name.
            Some((schema, read_at)) if read_at.elapsed() < SCHEMA_AGE_MAX => Ok(schema),
            Some(_) | None => self.read_schema(conn).await,
        }
    }

    async fn read_schema(&self, conn: &mut Conn) -> Result<Arc<Schema>, Fault> {
        let wanted = self.options.release.or(self.release.get().copied());
        let read = Schema::read(&mut conn.link(), self.dialect, &self.options.profile_without, wanted).await;
        let read = read.map(Arc::new);
        let known = read.as_ref().ok().map(|schema| (schema.clone(), Instant::now()));
        *self.schema.lock().unwrap_or_else(PoisonError::into_inner) = known;
        let schema = read?;
        self.release.get_or_init(|| schema.release);
        Ok(schema)
    }
}

impl Crowds for Tables {
    fn together(&self) -> &Together {
        &self.together
    }

    async fn acquire(&self, purpose: LoanPurpose) -> Result<Conn, StoreError> {
        self.pool.acquire(purpose).await.map_err(|fault| {
            self.health.ill(&fault);
            fault.store_error()
        })
    }

    fn judge(&self, conn: &mut Conn, error: Option<&Fault>) {
        let Some(fault) = error else { return self.health.well() };
        self.health.ill(fault);
        match fault.kind() {
            FaultKind::Unavailable => conn.discard(),
            // The tables may have changed since they were looked at.
            FaultKind::Corrupt => *self.schema.lock().unwrap_or_else(PoisonError::into_inner) = None,
            FaultKind::NotFound | FaultKind::Conflict => {}
        }
    }

    fn limits(&self) -> (Duration, Duration) {
        (self.options.acquire_timeout, self.options.statement_timeout)
    }

    async fn users(&self, conn: &mut Conn, users: &[ByteString]) -> Result<Vec<Option<User>>, Fault> {
        let schema = self.schema(conn).await?;
        let ids = crowd::ids_of(users);
        let rows = conn.link().rows(schema.users(), &[Arg::Text(&ids)]).await?;
        let mut found = crowd::users_of(users, rows)?;
        if let Some(grants) = &schema.grants {
            let rows = conn.link().rows(grants.accounts.clone(), &[Arg::Text(&ids)]).await?;
            let accounts = accounts_of(users, rows, &self.options)?;
            for (user, account) in found.iter_mut().zip(accounts) {
                if let Some(user) = user {
                    user.account = Some(account);
                }
            }
        }
        Ok(found)
    }

    async fn channels(&self, conn: &mut Conn, users: &[ByteString]) -> Result<Vec<UserChannels>, Fault> {
        let schema = self.schema(conn).await?;
        let (ids, mut link) = (crowd::ids_of(users), conn.link());
        let rows = match &schema.grants {
            Some(grants) => link.rows(grants.channels.clone(), &[Arg::Text(&ids)]).await?,
            None => link.rows(self.dialect.channels(), &[Arg::Text(&ids)]).await?,
        };
        Ok(crowd::channels_of(users, rows, self.options.stored_config, self.options.features_default.channels)?)
    }

    async fn touch(&self, conn: &mut Conn, touches: &[Touch]) -> Result<(), Fault> {
        self.schema(conn).await?;
        conn.link().run(self.dialect.touch_users(), &[Arg::Text(&crowd::moments_of(touches))]).await?;
        Ok(())
    }

    async fn mark(&self, conn: &mut Conn, marks: &[Question]) -> Result<Vec<StoreAnswer>, Fault> {
        let schema = self.schema(conn).await?;
        Ok(transaction!(conn, link => mark(&mut link, &schema, marks)))
    }
}

/// Writes marks in one transaction; those of channels by one statement, as 0.6.41 has no index for them.
async fn mark(link: &mut Executor<'_>, schema: &Schema, marks: &[Question]) -> Result<Vec<StoreAnswer>, Fault> {
    if let Some(channels) = crowd::channel_marks_of(marks) {
        link.run(statements::READ_CHANNELS, &[Arg::Text(&channels)]).await?;
    }
    let mut answers = Vec::with_capacity(marks.len());
    for question in marks {
        let mut answer = StoreAnswer::Done;
        if let Question::ReadChat { chat, user, at_secs } = question {
            if let Some(grants) = &schema.grants {
                answer = StoreAnswer::ChatRead(grants.read_chat(link, chat, user, *at_secs).await?);
            } else if schema.has_read_mark {
                link.run(statements::READ_CHAT, &[Arg::Text(chat), Arg::Text(user), Arg::Number(*at_secs)]).await?;
            }
        }
        answers.push(answer);
    }
    Ok(answers)
}

async fn rewrite<W>(link: &mut Executor<'_>, sql: Rewrite, args: &[Arg<'_>], work: W) -> Result<(), Fault>
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
        Question::Chat { chat, user } => (&[chat, user], Ok(StoreAnswer::Chat(None))),
        Question::ReadChannel { channel, user, .. } => (&[channel, user], Ok(StoreAnswer::Done)),
        Question::ReadChat { chat, user, .. } => (&[chat, user], Ok(StoreAnswer::Done)),
        Question::ChangeMessage { chat, .. } => (&[chat], Err(StoreError::NotFound)),
        Question::NoteContent { note } => (&[note], Ok(StoreAnswer::NoteContent(None))),
        Question::NoteFiles { note } => (&[note], Ok(StoreAnswer::NoteFiles(Vec::new()))),
        Question::SaveNoteData { note, .. } => (&[note], Err(StoreError::NotFound)),
        Question::EncryptionUsers { channel, .. } => (&[channel], Ok(StoreAnswer::EncryptionUsers(Vec::new()))),
        // Of several users or files some may be there.
        Question::Channels { .. } | Question::TouchUsers { .. } | Question::Files { .. } => return None,
        Question::LoadDocument { .. }
        | Question::AppendUpdates { .. }
        | Question::SaveSnapshot { .. }
        | Question::SharedDocument(_) => return None,
        Question::ShareSession { .. }
        | Question::UnshareSession { .. }
        | Question::ShareUse { .. }
        | Question::SessionPool(_)
        | Question::Encryption(_) => return None,
    };
    ids.iter().any(|id| id.contains('\0')).then_some(result)
}

fn first_column(rows: Vec<Vec<Option<String>>>) -> Vec<ByteString> {
    rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).map(ByteString::from).collect()
}

/// A longer text is not cut on a thread that other tasks wait for.
pub(super) const INLINE_BYTES_MAX: usize = 64 * 1024;

/// How long the database is taken for what it was found to be.
const SCHEMA_AGE_MAX: Duration = Duration::from_secs(60);
