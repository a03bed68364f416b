//! The store in memory.
//!
//! Its faults are part of it, since tests want a store that fails, hesitates and restarts when they say so.
//!
//! Owns: rows, revocations, documents, and what a test does to them. Must never know: clocks, tasks or a runtime.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn, ready};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytestring::ByteString;
use roomcast_documents::{DocumentAnswer, DocumentQuestion, StoredDocument};
use roomcast_openwebui::access::AccessControl;
use roomcast_openwebui::query::{
    self, Chat, ChatShare, ContentHash, MessageChange, Note, Question, StoreAnswer, StoreError, Touch, User,
    UserChannels,
};

use super::document::SnapshotAndLog;
use super::index::Index;
use super::latest::Latest;
use super::message::change_chat;
use super::note::{content_of, files_of, with_members};
use super::revocation::{RevocableToken, Revocations, Revoked};
use super::rows::{Rows, UserRow};
use super::store::Store;

/// A store in memory. Clones are the same store: one for the server, one for the test.
#[derive(Clone)]
pub struct Memory(Arc<Mutex<State>>);

/// When a question is held at a [`Gate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// Before anything is done for it.
    BeforeWork,
    /// After the work, before the answer is delivered.
    AfterWork,
}

/// Questions wait here until it is opened or dropped.
#[must_use]
pub struct Gate(Memory);

impl Memory {
    /// A store of these rows.
    pub fn new(rows: Rows) -> Self {
        Self(Arc::new(Mutex::new(State { index: Index::of(&rows), rows, ..State::default() })))
    }

    /// Answers at once, without faults and gates: for a world without tasks.
    ///
    /// # Errors
    ///
    /// As [`Store::ask`].
    pub fn answer(&self, question: Question) -> Result<StoreAnswer, StoreError> {
        self.lock().answer(question)
    }

    /// Changes rows, as another process would.
    pub fn edit<T>(&self, change: impl FnOnce(&mut Rows) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state.rows);
        state.index = Index::of(&state.rows);
        result
    }

    /// The rows as they are now.
    pub fn rows(&self) -> Rows {
        self.lock().rows.clone()
    }

    /// The snapshot of a document and the updates after it, as they are stored now.
    pub fn stored(&self, document: &str) -> query::StoredNoteDocument {
        self.lock().stored(document)
    }

    /// Revokes the token with this `jti` for ever: for a world without tasks.
    pub fn revoke(&self, jti: impl Into<ByteString>) {
        self.lock().revoked.add_token(jti.into(), None, 0);
    }

    /// Takes back what [`revoke`](Self::revoke) did.
    pub fn restore(&self, jti: &str) {
        self.lock().revoked.remove_token(jti);
    }

    /// A store of its own with the same rows, revocations and documents, as if it were opened on a copy of the files.
    /// Faults and gates stay with this one.
    pub fn copy(&self) -> Self {
        let state = self.lock();
        let (rows, revoked, documents) = (state.rows.clone(), state.revoked.clone(), state.documents.clone());
        Self(Arc::new(Mutex::new(State { index: Index::of(&rows), rows, revoked, documents, ..State::default() })))
    }

    /// From now on every question fails with this error.
    pub fn fail(&self, error: StoreError) {
        self.lock().fault = Some(error);
    }

    /// Questions are answered again.
    pub fn heal(&self) {
        self.lock().fault = None;
    }

    /// Holds every question at a point until the gate opens. A second gate takes the place of the first.
    pub fn hold(&self, moment: Moment) -> Gate {
        self.lock().held = Some(moment);
        Gate(self.clone())
    }

    /// Ends like a server that is killed, and is there again: questions under way fail with
    /// [`StoreError::Unavailable`], and what was written stays.
    pub fn restart(&self) {
        self.change(|state| state.life += 1);
    }

    /// Wakes all waiting tasks after the lock is released: a waker runs foreign code.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers = {
            let mut state = self.lock();
            change(&mut state);
            mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// Releases all questions and holds no more.
    pub fn open(self) {}

    /// The number of questions that wait at the gate.
    pub fn waiting(&self) -> usize {
        self.0.lock().waiting
    }

    /// Returns when at least `count` questions wait at the gate.
    pub async fn reached(&self, count: usize) {
        poll_fn(|cx| {
            let mut state = self.0.lock();
            if state.waiting >= count {
                return Poll::Ready(());
            }
            state.wakers.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.change(|state| state.held = None);
    }
}

impl Store for Memory {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<StoreAnswer, StoreError>> + Send + '_>> {
        let life = self.lock().life;
        Box::pin(QuestionUnderWay { memory: self, life, question: Some(question), result: None, waits: false })
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        let state = self.lock();
        Box::pin(ready(state.refusal(state.life).map_or(Ok(()), Err)))
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.lock().is_closed = true;
        Box::pin(ready(()))
    }
}

impl Revocations for Memory {
    fn is_revoked(&self, token: RevocableToken) -> Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + '_>> {
        Box::pin(ready(Ok(self.lock().revoked.has(&token))))
    }

    fn revoke_token(
        &self,
        jti: ByteString,
        ends_at_secs: Option<u64>,
        now_secs: u64,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        self.lock().revoked.add_token(jti, ends_at_secs, now_secs);
        Box::pin(ready(Ok(())))
    }

    fn revoke_user(
        &self,
        user: ByteString,
        issued_to_secs: u64,
        ends_to_secs: Option<u64>,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        self.lock().revoked.add_user(user, issued_to_secs, ends_to_secs);
        Box::pin(ready(Ok(())))
    }

    fn restore_token(&self, jti: ByteString) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        self.lock().revoked.remove_token(&jti);
        Box::pin(ready(Ok(())))
    }

    fn restore_user(&self, user: ByteString) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        self.lock().revoked.remove_user(&user);
        Box::pin(ready(Ok(())))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("waiting", &self.waiting()).finish()
    }
}

#[derive(Default)]
struct State {
    rows: Rows,
    index: Index,
    revoked: Revoked,
    documents: BTreeMap<ByteString, SnapshotAndLog>,
    contents: Latest,
    fault: Option<StoreError>,
    held: Option<Moment>,
    /// How many times it was restarted.
    life: u64,
    is_closed: bool,
    waiting: usize,
    /// Of the tasks that wait for any change of this state.
    wakers: Vec<Waker>,
}

impl State {
    /// Why a question asked in that life has no answer.
    fn refusal(&self, life: u64) -> Option<StoreError> {
        if self.is_closed || self.life != life { Some(StoreError::Unavailable) } else { self.fault }
    }

    fn answer(&mut self, question: Question) -> Result<StoreAnswer, StoreError> {
        match question {
            Question::Authenticate { user, jti, issued_at_secs, ends_at_secs } => {
                Ok(self.authenticate(RevocableToken { user, jti, issued_at_secs, ends_at_secs }))
            }
            Question::Channels { users } => Ok(StoreAnswer::Channels(self.channels(&users))),
            Question::Note { note, user } => Ok(StoreAnswer::Note(self.note(&note, &user))),
            Question::Chat { chat, .. } => {
                let at = self.index.chats.get(&chat);
                let owner = at.map(|at| self.rows.chats[*at].owner.clone());
                Ok(StoreAnswer::Chat(owner.map(|owner| Chat { owner, share: ChatShare::None, is_internal: false })))
            }
            // As 0.6, which does not look at files.
            Question::Files { files, .. } => Ok(StoreAnswer::Files(vec![true; files.len()])),
            // No other process looks here.
            Question::ShareSession { .. }
            | Question::UnshareSession { .. }
            | Question::ShareUse { .. }
            | Question::SessionPool(_) => Ok(StoreAnswer::Done),
            // As 0.6, which has no encrypted channels.
            Question::EncryptionUsers { .. } => Ok(StoreAnswer::EncryptionUsers(Vec::new())),
            Question::Encryption(_) => Err(StoreError::Unavailable),
            Question::TouchUsers { touches } => Ok(self.touch_users(touches)),
            Question::ReadChannel { channel, user, at_nanos } => Ok(self.read_channel(&channel, &user, at_nanos)),
            Question::ReadChat { chat, user, at_secs } => Ok(self.read_chat(&chat, &user, at_secs)),
            Question::NoteContent { note } => {
                let data = self.index.notes.get(&note).and_then(|at| self.rows.notes[*at].data.as_deref());
                Ok(StoreAnswer::NoteContent(content_of(data)?.map(ByteString::from)))
            }
            Question::NoteFiles { note } => {
                let data = self.index.notes.get(&note).and_then(|at| self.rows.notes[*at].data.as_deref());
                Ok(StoreAnswer::NoteFiles(files_of(data)?.into_iter().map(ByteString::from).collect()))
            }
            Question::SaveNoteData { note, data, at_nanos } => self.save_note_data(&note, &data, at_nanos),
            Question::LoadDocument { document } => Ok(StoreAnswer::Document(self.stored(&document))),
            Question::AppendUpdates { document, first_sequence, updates } => {
                let appended = self.documents.entry(document).or_default().append(first_sequence, updates);
                appended.map(|()| StoreAnswer::Done).map_err(|_| StoreError::Conflict)
            }
            Question::SaveSnapshot { document, snapshot, content_hash, up_to_sequence } => {
                let tag = content_hash.map(|hash| hash.0);
                self.documents.entry(document).or_default().save(snapshot, tag, up_to_sequence);
                Ok(StoreAnswer::Done)
            }
            Question::SharedDocument(question) => self.shared_document(question).map(StoreAnswer::SharedDocument),
            Question::ChangeMessage { chat, message, changes } => self.change_message(&chat, &message, &changes),
        }
    }

    /// What shards of this process ask. Who of them may do what is not decided here.
    fn shared_document(&mut self, question: DocumentQuestion) -> Result<DocumentAnswer, StoreError> {
        match question {
            DocumentQuestion::Load { document } => Ok(DocumentAnswer::Loaded(self.since(&document, 0))),
            DocumentQuestion::Since { document, after_sequence, .. } => {
                Ok(DocumentAnswer::Loaded(self.since(&document, after_sequence)))
            }
            DocumentQuestion::Append { document, first_sequence, updates } => {
                let appended = self.documents.entry(document).or_default().append_behind(first_sequence, updates);
                appended.map(|()| DocumentAnswer::Done).map_err(|_| StoreError::Conflict)
            }
            DocumentQuestion::Snapshot { document, snapshot, tag, up_to_sequence } => {
                self.documents.entry(document).or_default().save(snapshot, tag, up_to_sequence);
                Ok(DocumentAnswer::Done)
            }
            DocumentQuestion::Claim { .. } | DocumentQuestion::Release { .. } => Err(StoreError::Unavailable),
        }
    }

    fn since(&self, document: &str, after_sequence: u64) -> StoredDocument {
        self.documents.get(document).map(|found| found.since(after_sequence)).unwrap_or_default()
    }

    /// A document in the application's words.
    fn stored(&self, document: &str) -> query::StoredNoteDocument {
        let found = self.documents.get(document).map(SnapshotAndLog::load).unwrap_or_default();
        let StoredDocument { snapshot, tag, updates, last_sequence, is_held } = found;
        let content_hash = tag.map(ContentHash);
        query::StoredNoteDocument { snapshot, content_hash, updates, last_sequence, is_held }
    }

    fn authenticate(&self, token: RevocableToken) -> StoreAnswer {
        if self.revoked.has(&token) {
            return StoreAnswer::Revoked;
        }
        let at = self.index.users.get(&token.user);
        StoreAnswer::User(at.map(|at| self.rows.users[*at].user()))
    }

    fn channels(&self, users: &[ByteString]) -> Vec<UserChannels> {
        let of_user = |user: &ByteString| UserChannels {
            channels: self.index.channels_of(user),
            permission: self.index.permission(user, self.rows.channels_default),
        };
        users.iter().map(of_user).collect()
    }

    fn note(&self, note: &ByteString, user: &ByteString) -> Option<Note> {
        let row = &self.rows.notes[*self.index.notes.get(note)?];
        Some(Note {
            owner: row.owner.clone(),
            access: AccessControl::from_column(row.access.as_deref()),
            groups: self.index.groups_of(user).to_vec(),
        })
    }

    fn touch_users(&mut self, touches: Vec<Touch>) -> StoreAnswer {
        for Touch { user, at_secs } in touches {
            if let Some(at) = self.index.users.get(&user) {
                self.rows.users[*at].last_active_at_secs = at_secs;
            }
        }
        StoreAnswer::Done
    }

    fn read_channel(&mut self, channel: &ByteString, user: &ByteString, at_nanos: u64) -> StoreAnswer {
        let row = self.index.channels.get(channel).map(|at| &mut self.rows.channels[*at]);
        for member in row.into_iter().flat_map(|row| &mut row.members).filter(|member| member.user == *user) {
            member.last_read_at_nanos = Some(at_nanos);
        }
        StoreAnswer::Done
    }

    fn read_chat(&mut self, chat: &ByteString, user: &ByteString, at_secs: u64) -> StoreAnswer {
        let row = self.index.chats.get(chat).map(|at| &mut self.rows.chats[*at]);
        if let Some(row) = row.filter(|row| row.owner == *user) {
            row.last_read_at_secs = Some(at_secs);
        }
        StoreAnswer::Done
    }

    /// Keeps the content unless a later one is kept.
    fn save_note_data(&mut self, note: &ByteString, data: &str, at_nanos: u64) -> Result<StoreAnswer, StoreError> {
        let at = *self.index.notes.get(note).ok_or(StoreError::NotFound)?;
        let row = &mut self.rows.notes[at];
        let changed = with_members(row.data.as_deref(), data)?;
        if !self.contents.is_past(note, at_nanos) {
            self.contents.put(note, at_nanos);
            if let Some(changed) = changed {
                (row.data, row.updated_at_nanos) = (Some(changed.into()), Some(at_nanos));
            }
        }
        Ok(StoreAnswer::Done)
    }

    fn change_message(
        &mut self,
        chat: &ByteString,
        message: &str,
        changes: &[MessageChange],
    ) -> Result<StoreAnswer, StoreError> {
        let at = *self.index.chats.get(chat).ok_or(StoreError::NotFound)?;
        let row = &mut self.rows.chats[at];
        if let Some(changed) = change_chat(row.chat.as_deref(), message, changes)? {
            row.chat = Some(changed.into());
        }
        Ok(StoreAnswer::Done)
    }
}

impl UserRow {
    fn user(&self) -> User {
        let profile = serde_json::json!({
            "id": &*self.id,
            "name": &*self.name,
            "email": &*self.email,
            "role": &*self.role,
            "last_active_at": self.last_active_at_secs,
        });
        User {
            id: self.id.clone(),
            name: self.name.clone(),
            role: self.role.clone(),
            profile: profile.to_string().into(),
            account: None,
        }
    }
}

/// A question under way.
struct QuestionUnderWay<'a> {
    memory: &'a Memory,
    life: u64,
    question: Option<Question>,
    /// What came of the work.
    result: Option<Result<StoreAnswer, StoreError>>,
    /// Whether it is counted as waiting.
    waits: bool,
}

impl QuestionUnderWay<'_> {
    fn step(&mut self, state: &mut State, cx: &Context<'_>) -> QuestionStep {
        if let Some(error) = state.refusal(self.life) {
            return QuestionStep::Ended(Err(error));
        }
        if self.result.is_none() {
            if state.held == Some(Moment::BeforeWork) {
                return self.wait(state, cx);
            }
            self.result = self.question.take().map(|question| state.answer(question));
        }
        if state.held == Some(Moment::AfterWork) {
            return self.wait(state, cx);
        }
        QuestionStep::Ended(self.result.take().unwrap_or(Err(StoreError::Unavailable)))
    }

    fn wait(&mut self, state: &mut State, cx: &Context<'_>) -> QuestionStep {
        let mut woken = Vec::new();
        if !self.waits {
            self.waits = true;
            state.waiting += 1;
            woken = mem::take(&mut state.wakers);
        }
        state.wakers.push(cx.waker().clone());
        QuestionStep::Waiting(woken)
    }
}

/// Where a question stands.
enum QuestionStep {
    Ended(Result<StoreAnswer, StoreError>),
    /// These want to know that it waits.
    Waiting(Vec<Waker>),
}

impl Future for QuestionUnderWay<'_> {
    type Output = Result<StoreAnswer, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let memory = self.memory;
        let step = self.step(&mut memory.lock(), cx);
        match step {
            QuestionStep::Ended(result) => Poll::Ready(result),
            QuestionStep::Waiting(woken) => {
                woken.into_iter().for_each(Waker::wake);
                Poll::Pending
            }
        }
    }
}

impl Drop for QuestionUnderWay<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.memory.lock().waiting -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[test]
    fn a_gate_holds_before_the_work() {
        let (memory, cx) = (Memory::new(Rows::demo()), Awake::new());
        let gate = memory.hold(Moment::BeforeWork);
        let (mut first, mut second) = (memory.ask(touch()), memory.ask(touch()));
        assert!(first.as_mut().poll(&mut cx.context()).is_pending());
        assert!(second.as_mut().poll(&mut cx.context()).is_pending());
        assert!(first.as_mut().poll(&mut cx.context()).is_pending());
        assert_eq!((gate.waiting(), memory.rows()), (2, Rows::demo()));
        drop(second);
        assert_eq!(gate.waiting(), 1);
        let woken = cx.woken();
        gate.open();
        assert!(cx.woken() > woken);
        assert!(matches!(first.as_mut().poll(&mut cx.context()), Poll::Ready(Ok(StoreAnswer::Done))));
        assert_ne!(memory.rows(), Rows::demo());
    }

    #[test]
    fn whoever_waits_for_the_gate_is_woken() {
        let (memory, cx) = (Memory::new(Rows::demo()), Awake::new());
        let gate = memory.hold(Moment::BeforeWork);
        let mut reached = Box::pin(gate.reached(1));
        assert!(reached.as_mut().poll(&mut cx.context()).is_pending());
        let mut asked = memory.ask(touch());
        assert!(asked.as_mut().poll(&mut cx.context()).is_pending());
        assert!(cx.woken() > 0);
        assert!(reached.as_mut().poll(&mut cx.context()).is_ready());
    }

    #[test]
    fn a_restart_loses_the_answer_and_keeps_what_was_written() {
        let (memory, cx) = (Memory::new(Rows::demo()), Awake::new());
        let gate = memory.hold(Moment::AfterWork);
        let mut asked = memory.ask(touch());
        assert!(asked.as_mut().poll(&mut cx.context()).is_pending());
        memory.restart();
        assert!(matches!(asked.as_mut().poll(&mut cx.context()), Poll::Ready(Err(StoreError::Unavailable))));
        drop(asked);
        drop(gate);
        assert_eq!(memory.rows().users[0].last_active_at_secs, 7);
        assert!(matches!(memory.ask(touch()).as_mut().poll(&mut cx.context()), Poll::Ready(Ok(StoreAnswer::Done))));
    }

    #[test]
    fn faults_last_until_it_heals_and_closing_is_for_good() {
        let (memory, cx) = (Memory::new(Rows::demo()), Awake::new());
        for error in [StoreError::Corrupt, StoreError::Unavailable] {
            memory.fail(error);
            let ready = memory.ready().as_mut().poll(&mut cx.context());
            assert_eq!(ready, Poll::Ready(Err(error)));
            let asked = memory.ask(touch()).as_mut().poll(&mut cx.context());
            assert!(matches!(asked, Poll::Ready(Err(found)) if found == error));
        }
        memory.heal();
        assert_eq!(memory.ready().as_mut().poll(&mut cx.context()), Poll::Ready(Ok(())));
        assert!(memory.close().as_mut().poll(&mut cx.context()).is_ready());
        memory.heal();
        assert_eq!(memory.ready().as_mut().poll(&mut cx.context()), Poll::Ready(Err(StoreError::Unavailable)));
        assert_eq!(memory.rows(), Rows::demo());
    }

    fn touch() -> Question {
        Question::TouchUsers { touches: vec![Touch { user: "ada".into(), at_secs: 7 }] }
    }

    struct Awake(Arc<Count>, Waker);

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Awake {
        fn new() -> Self {
            let count = Arc::new(Count::default());
            Self(count.clone(), Waker::from(count))
        }

        fn context(&self) -> Context<'_> {
            Context::from_waker(&self.1)
        }

        fn woken(&self) -> usize {
            self.0.0.load(Ordering::Relaxed)
        }
    }
}
