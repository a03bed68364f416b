//! The work on questions that are answered together.
//!
//! Owns: which questions are, how many at a time, on how many connections, and which writes go before others. Must never
//! know: a statement.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytestring::ByteString;
use roomcast_openwebui::query::{Question, StoreAnswer, StoreError, Touch, User, UserChannels};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::batches::{self, BatchQueue, BatchedQuestion, WorkerNeed, halve};
use super::fault::Fault;
use super::pool::{Conn, LoanPurpose};

/// Questions that wait to be answered together, and what has to be known about other writes.
#[derive(Debug)]
pub(super) struct Together {
    users: BatchQueue<ByteString, Option<User>>,
    channels: BatchQueue<ByteString, UserChannels>,
    touches: BatchQueue<Touch, ()>,
    marks: BatchQueue<Question, StoreAnswer>,
    /// Writes that wait for a connection or have one, but for touches and marks.
    writes: AtomicUsize,
    written: Notify,
    is_closing: AtomicBool,
    closing: Notify,
    runtime: tokio::runtime::Handle,
}

/// Answers questions about many users.
pub(super) trait Crowds: Send + Sync + 'static {
    fn together(&self) -> &Together;

    /// A connection, or why there is none.
    fn acquire(&self, purpose: LoanPurpose) -> impl Future<Output = Result<Conn, StoreError>> + Send;

    /// Takes notice of how the work on a connection ended, which may be the end of the connection.
    fn judge(&self, conn: &mut Conn, error: Option<&Fault>);

    /// How long a question waits at most, and how long the work on several takes.
    fn limits(&self) -> (Duration, Duration);

    fn users(
        &self,
        conn: &mut Conn,
        users: &[ByteString],
    ) -> impl Future<Output = Result<Vec<Option<User>>, Fault>> + Send;

    fn channels(
        &self,
        conn: &mut Conn,
        users: &[ByteString],
    ) -> impl Future<Output = Result<Vec<UserChannels>, Fault>> + Send;

    fn touch(&self, conn: &mut Conn, touches: &[Touch]) -> impl Future<Output = Result<(), Fault>> + Send;

    fn mark(&self, conn: &mut Conn, marks: &[Question])
    -> impl Future<Output = Result<Vec<StoreAnswer>, Fault>> + Send;
}

/// A write other than a touch or a mark, until it is dropped.
pub(super) struct RowWrite<'a>(&'a Together);

impl Together {
    /// Nothing waits. Must be called within tokio.
    pub(super) fn new() -> Self {
        Self {
            users: BatchQueue::new(),
            channels: BatchQueue::new(),
            touches: BatchQueue::new(),
            marks: BatchQueue::new(),
            writes: AtomicUsize::new(0),
            written: Notify::new(),
            is_closing: AtomicBool::new(false),
            closing: Notify::new(),
            runtime: tokio::runtime::Handle::current(),
        }
    }

    /// Counts a write that touches and marks wait for.
    pub(super) fn write(&self) -> RowWrite<'_> {
        self.writes.fetch_add(1, Ordering::AcqRel);
        RowWrite(self)
    }

    /// Waits until no question waits here. Touches that are spaced out are hurried.
    pub(super) async fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.closing.notify_waiters();
        self.users.idle().await;
        self.channels.idle().await;
        self.touches.idle().await;
        self.marks.idle().await;
    }

    /// Waits until no other write wants the database, for a while.
    async fn others_first(&self) {
        let none = async {
            loop {
                let written = self.written.notified();
                if self.writes.load(Ordering::Acquire) == 0 {
                    return;
                }
                written.await;
            }
        };
        let _ = timeout(OTHERS_FIRST_MAX, none).await;
    }

    /// Keeps a distance from the next transaction.
    async fn pause(&self, pace: Duration) {
        let closing = self.closing.notified();
        if !pace.is_zero() && !self.is_closing.load(Ordering::Acquire) {
            let _ = timeout(pace, closing).await;
        }
    }
}

impl Drop for RowWrite<'_> {
    fn drop(&mut self) {
        if self.0.writes.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.written.notify_waiters();
        }
    }
}

/// The users of these ids.
pub(super) async fn users<T: Crowds>(tables: &Arc<T>, ids: Vec<ByteString>) -> Result<Vec<Option<User>>, StoreError> {
    ask::<T, UserQuestions>(tables, ids).await
}

/// The channels of these users.
pub(super) async fn channels<T: Crowds>(
    tables: &Arc<T>,
    users: Vec<ByteString>,
) -> Result<Vec<UserChannels>, StoreError> {
    ask::<T, ChannelQuestions>(tables, users).await
}

/// Writes when users were active.
pub(super) async fn touch<T: Crowds>(tables: &Arc<T>, touches: Vec<Touch>) -> Result<(), StoreError> {
    ask::<T, TouchQuestions>(tables, touches).await.map(drop)
}

/// Writes what a user has read. Only for a file, of which each transaction keeps others out: elsewhere one mark would wait
/// for the row of another.
pub(super) async fn mark<T: Crowds>(tables: &Arc<T>, question: Question) -> Result<StoreAnswer, StoreError> {
    let mut answers = ask::<T, MarkQuestions>(tables, vec![question]).await?;
    answers.pop().ok_or(StoreError::Unavailable)
}

/// A kind of question.
trait BatchKind: Send + 'static {
    type Item: Clone + Send + Sync + 'static;
    type Found: Send + 'static;
    const PURPOSE: LoanPurpose;
    /// Connections at a time. There are others for everything else.
    const WORKERS_MAX: usize;
    const ITEMS_MAX: usize;
    /// Distance between two batches of one worker.
    const PACE: Duration;

    fn queue(together: &Together) -> &BatchQueue<Self::Item, Self::Found>;

    fn answer<T: Crowds>(
        tables: &T,
        conn: &mut Conn,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<Vec<Self::Found>, Fault>> + Send;
}

struct UserQuestions;
struct ChannelQuestions;
struct TouchQuestions;
struct MarkQuestions;

impl BatchKind for UserQuestions {
    type Item = ByteString;
    type Found = Option<User>;
    const PURPOSE: LoanPurpose = LoanPurpose::Read;
    const WORKERS_MAX: usize = 2;
    const ITEMS_MAX: usize = 256;
    const PACE: Duration = Duration::ZERO;

    fn queue(together: &Together) -> &BatchQueue<Self::Item, Self::Found> {
        &together.users
    }

    async fn answer<T: Crowds>(tables: &T, conn: &mut Conn, items: &[ByteString]) -> Result<Vec<Self::Found>, Fault> {
        tables.users(conn, items).await
    }
}

impl BatchKind for ChannelQuestions {
    type Item = ByteString;
    type Found = UserChannels;
    const PURPOSE: LoanPurpose = LoanPurpose::Read;
    const WORKERS_MAX: usize = 2;
    const ITEMS_MAX: usize = 512;
    const PACE: Duration = Duration::ZERO;

    fn queue(together: &Together) -> &BatchQueue<Self::Item, Self::Found> {
        &together.channels
    }

    async fn answer<T: Crowds>(tables: &T, conn: &mut Conn, items: &[ByteString]) -> Result<Vec<Self::Found>, Fault> {
        tables.channels(conn, items).await
    }
}

/// With the rollback journal that Open WebUI leaves an SQLite file in, a transaction keeps all others out of the file
/// until it is on the disk: a few in a second are what others do not notice.
impl BatchKind for TouchQuestions {
    type Item = Touch;
    type Found = ();
    const PURPOSE: LoanPurpose = LoanPurpose::Write;
    const WORKERS_MAX: usize = 1;
    const ITEMS_MAX: usize = 1024;
    const PACE: Duration = Duration::from_millis(250);

    fn queue(together: &Together) -> &BatchQueue<Self::Item, Self::Found> {
        &together.touches
    }

    async fn answer<T: Crowds>(tables: &T, conn: &mut Conn, items: &[Touch]) -> Result<Vec<()>, Fault> {
        tables.touch(conn, items).await?;
        Ok(vec![(); items.len()])
    }
}

/// A message in a channel that thousands look at is read by all of them at once.
impl BatchKind for MarkQuestions {
    type Item = Question;
    type Found = StoreAnswer;
    const PURPOSE: LoanPurpose = LoanPurpose::Write;
    const WORKERS_MAX: usize = 1;
    /// With a chat go four statements.
    const ITEMS_MAX: usize = 128;
    /// As long as others sleep between two looks at a file that is busy.
    const PACE: Duration = Duration::from_millis(100);

    fn queue(together: &Together) -> &BatchQueue<Self::Item, Self::Found> {
        &together.marks
    }

    async fn answer<T: Crowds>(tables: &T, conn: &mut Conn, items: &[Question]) -> Result<Vec<StoreAnswer>, Fault> {
        tables.mark(conn, items).await
    }
}

async fn ask<T: Crowds, K: BatchKind>(tables: &Arc<T>, items: Vec<K::Item>) -> Result<Vec<K::Found>, StoreError> {
    let together = tables.together();
    let (found, worker) = K::queue(together).put(items, K::WORKERS_MAX);
    if worker == WorkerNeed::Start {
        together.runtime.spawn(work::<T, K>(tables.clone()));
    }
    // Without an answer, the runtime has ended.
    found.await.unwrap_or(Err(StoreError::Unavailable))
}

async fn work<T: Crowds, K: BatchKind>(tables: Arc<T>) {
    let together = tables.together();
    let (wait_max, _) = tables.limits();
    loop {
        if K::PURPOSE == LoanPurpose::Write {
            together.others_first().await;
        }
        let conn = tables.acquire(K::PURPOSE).await;
        let entries = K::queue(together).take(K::ITEMS_MAX, wait_max);
        if entries.is_empty() {
            return;
        }
        match conn {
            Ok(conn) => answer::<T, K>(&tables, conn, entries).await,
            Err(error) => entries.into_iter().for_each(|entry| entry.fail(error)),
        }
        together.pause(K::PACE).await;
    }
}

/// Answers all entries. If a row about one of them cannot be read, the others are answered all the same.
async fn answer<T: Crowds, K: BatchKind>(tables: &T, mut conn: Conn, entries: Vec<BatchedQuestion<K::Item, K::Found>>) {
    let (_, work_max) = tables.limits();
    let mut parts = vec![entries];
    while let Some(mut entries) = parts.pop() {
        let items: Vec<K::Item> = entries.iter().flat_map(|entry| entry.items.iter().cloned()).collect();
        let result = timeout(work_max, K::answer(tables, &mut conn, &items)).await.unwrap_or(Err(Fault::Late));
        match result {
            Ok(found) => {
                tables.judge(&mut conn, None);
                batches::answer(entries, found);
            }
            Err(fault) => {
                tables.judge(&mut conn, Some(&fault));
                let error = fault.store_error();
                if error == StoreError::Corrupt && entries.len() > 1 {
                    let first = halve(&mut entries);
                    parts.extend([entries, first]);
                    continue;
                }
                entries.into_iter().for_each(|entry| entry.fail(error));
                if error == StoreError::Unavailable {
                    // The connection is of no more use.
                    parts.drain(..).flatten().for_each(|entry| entry.fail(error));
                }
            }
        }
    }
}

/// How long touches and marks give way: a stream of other writes must not keep them waiting without end.
const OTHERS_FIRST_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::task::yield_now;

    use super::*;

    #[test]
    fn touches_give_way_to_every_other_write_and_reads_to_none() {
        run(async {
            let tables = Arc::new(Refusing::new());
            let (first, second) = (tables.together.write(), tables.together.write());
            let touching = tokio::spawn(touch_one(tables.clone()));
            assert_eq!(users(&tables, vec!["u".into()]).await, Err(StoreError::Unavailable));
            drop(first);
            // Others run: a login that comes now, or another write, finds the connection free.
            for _ in 0..100 {
                yield_now().await;
            }
            assert!(!tables.wanted().contains(&LoanPurpose::Write));
            drop(second);
            assert_eq!(touching.await.unwrap(), Err(StoreError::Unavailable));
            assert!(tables.wanted().contains(&LoanPurpose::Write));
        });
    }

    #[test]
    fn a_stream_of_other_writes_does_not_hold_touches_back_without_end() {
        run(async {
            let tables = Arc::new(Refusing::new());
            let _write = tables.together.write();
            assert_eq!(touch_one(tables.clone()).await, Err(StoreError::Unavailable));
            assert_eq!(tables.wanted(), [LoanPurpose::Write]);
        });
    }

    async fn touch_one(tables: Arc<Refusing>) -> Result<(), StoreError> {
        touch(&tables, vec![Touch { user: "u".into(), at_secs: 1 }]).await
    }

    fn run(work: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work);
    }

    /// Has no connection for anything, and remembers for what one was wanted.
    struct Refusing {
        together: Together,
        wanted: Mutex<Vec<LoanPurpose>>,
    }

    impl Refusing {
        fn new() -> Self {
            Self { together: Together::new(), wanted: Mutex::default() }
        }

        fn wanted(&self) -> Vec<LoanPurpose> {
            self.wanted.lock().unwrap().clone()
        }
    }

    impl Crowds for Refusing {
        fn together(&self) -> &Together {
            &self.together
        }

        async fn acquire(&self, purpose: LoanPurpose) -> Result<Conn, StoreError> {
            self.wanted.lock().unwrap().push(purpose);
            Err(StoreError::Unavailable)
        }

        fn judge(&self, _conn: &mut Conn, _error: Option<&Fault>) {}

        fn limits(&self) -> (Duration, Duration) {
            (Duration::from_secs(10), Duration::from_secs(10))
        }

        async fn users(&self, _conn: &mut Conn, _users: &[ByteString]) -> Result<Vec<Option<User>>, Fault> {
            Err(StoreError::Unavailable.into())
        }

        async fn channels(&self, _conn: &mut Conn, _users: &[ByteString]) -> Result<Vec<UserChannels>, Fault> {
            Err(StoreError::Unavailable.into())
        }

        async fn touch(&self, _conn: &mut Conn, _touches: &[Touch]) -> Result<(), Fault> {
            Err(StoreError::Unavailable.into())
        }

        async fn mark(&self, _conn: &mut Conn, _marks: &[Question]) -> Result<Vec<StoreAnswer>, Fault> {
            Err(StoreError::Unavailable.into())
        }
    }
}
