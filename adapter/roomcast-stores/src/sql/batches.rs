//! Questions that wait for one another to be answered together.
//!
//! While a batch is being answered, the questions that arrive form the next one: a single question waits for nothing, and
//! of ten thousand at once each costs a fraction of a statement. There are only so many workers for a kind of question,
//! and a worker ends when nothing is waiting.
//!
//! Owns: the questions that wait, and how many workers there are. Must never know: what is asked, or a connection.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use roomcast_openwebui::query::StoreError;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Questions of one kind about items `I`, with an answer `O` for each item.
#[derive(Debug)]
pub(super) struct BatchQueue<I, O> {
    state: Mutex<State<I, O>>,
    idle: Notify,
}

#[derive(Debug)]
struct State<I, O> {
    waiting: VecDeque<BatchedQuestion<I, O>>,
    workers: usize,
}

/// A question that waits, or is being answered.
#[derive(Debug)]
pub(super) struct BatchedQuestion<I, O> {
    pub(super) items: Vec<I>,
    answer: oneshot::Sender<Result<Vec<O>, StoreError>>,
    asked_at: Instant,
}

/// What a caller that asks has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerNeed {
    /// The caller has to start a worker.
    Start,
    /// The caller has nothing to do: enough workers run already.
    Running,
}

impl<I, O> BatchQueue<I, O> {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State { waiting: VecDeque::new(), workers: 0 }), idle: Notify::new() }
    }

    /// Adds a question to the queue. Returns the receiver of its answer, and whether a worker has to be started.
    pub(super) fn put(
        &self,
        items: Vec<I>,
        workers_max: usize,
    ) -> (oneshot::Receiver<Result<Vec<O>, StoreError>>, WorkerNeed) {
        let (answer, receiver) = oneshot::channel();
        let mut state = self.lock();
        state.waiting.push_back(BatchedQuestion { items, answer, asked_at: Instant::now() });
        let worker = if state.workers < workers_max { WorkerNeed::Start } else { WorkerNeed::Running };
        state.workers += usize::from(worker == WorkerNeed::Start);
        (receiver, worker)
    }

    /// Takes the questions that have waited longest, about as many items as asked for. Those that have waited too long
    /// are refused, and those whose caller has gone are dropped. `None`: the worker has to end.
    pub(super) fn take(&self, items_max: usize, wait_max: Duration) -> Vec<BatchedQuestion<I, O>> {
        let (mut taken, mut items) = (Vec::new(), 0);
        let mut late = Vec::new();
        let mut state = self.lock();
        while let Some(entry) = state.waiting.pop_front() {
            if entry.answer.is_closed() {
                continue;
            }
            if entry.asked_at.elapsed() > wait_max {
                late.push(entry);
                continue;
            }
            items += entry.items.len();
            taken.push(entry);
            if items >= items_max {
                break;
            }
        }
        if taken.is_empty() {
            state.workers -= 1;
        }
        let is_idle = state.workers == 0;
        drop(state);
        if is_idle {
            self.idle.notify_waiters();
        }
        late.into_iter().for_each(|entry| entry.fail(StoreError::Unavailable));
        taken
    }

    /// Waits until there is no worker.
    pub(super) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.lock().workers == 0 {
                return;
            }
            idle.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<I, O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I, O> BatchedQuestion<I, O> {
    /// Answers with what was found for the items of this question.
    pub(super) fn answer(self, found: Vec<O>) {
        // The asker may have gone.
        let _ = self.answer.send(Ok(found));
    }

    pub(super) fn fail(self, error: StoreError) {
        let _ = self.answer.send(Err(error));
    }
}

/// Hands the answers for the items of all entries to the entries they belong to.
pub(super) fn answer<I, O>(entries: Vec<BatchedQuestion<I, O>>, found: Vec<O>) {
    let mut found = found.into_iter();
    for entry in entries {
        let answers = found.by_ref().take(entry.items.len()).collect();
        entry.answer(answers);
    }
}

/// Takes the first half of several entries out, to be answered apart from the rest: one of them spoils the answer for all.
pub(super) fn halve<I, O>(entries: &mut Vec<BatchedQuestion<I, O>>) -> Vec<BatchedQuestion<I, O>> {
    let rest = entries.split_off(entries.len() / 2);
    mem::replace(entries, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENT: Duration = Duration::from_secs(3600);

    #[test]
    fn what_waits_is_taken_together_and_each_gets_its_own() {
        let queue = BatchQueue::new();
        let (mut first, worker) = queue.put(vec![1, 2], 1);
        assert_eq!(worker, WorkerNeed::Start);
        let (mut second, worker) = queue.put(vec![3], 1);
        assert_eq!(worker, WorkerNeed::Running);
        let (mut third, _) = queue.put(vec![4], 1);
        let entries = queue.take(3, PATIENT);
        assert_eq!(entries.len(), 2);
        answer(entries, vec!["a", "b", "c"]);
        assert_eq!(first.try_recv(), Ok(Ok(vec!["a", "b"])));
        assert_eq!(second.try_recv(), Ok(Ok(vec!["c"])));
        queue.take(3, PATIENT).into_iter().for_each(|entry| entry.fail(StoreError::Corrupt));
        assert_eq!(third.try_recv(), Ok(Err(StoreError::Corrupt)));
        assert!(queue.take(3, PATIENT).is_empty());
        // The worker has ended with that.
        assert_eq!(queue.put(vec![5], 1).1, WorkerNeed::Start);
    }

    #[test]
    fn who_has_waited_too_long_or_gone_is_not_asked_for() {
        let queue = BatchQueue::<u8, u8>::new();
        drop(queue.put(vec![1], 1).0);
        let (mut late, _) = queue.put(vec![2], 1);
        assert!(queue.take(9, Duration::ZERO).is_empty());
        assert_eq!(late.try_recv(), Ok(Err(StoreError::Unavailable)));
    }

    #[test]
    fn halves_lose_nothing() {
        let queue = BatchQueue::<u8, u8>::new();
        let receivers: Vec<_> = (0..3).map(|item| queue.put(vec![item], 1).0).collect();
        let mut entries = queue.take(9, PATIENT);
        let first = halve(&mut entries);
        let items = |entries: &[BatchedQuestion<u8, u8>]| {
            entries.iter().flat_map(|entry| entry.items.clone()).collect::<Vec<_>>()
        };
        assert_eq!((items(&first), items(&entries)), (vec![0], vec![1, 2]));
        drop(receivers);
    }
}
