//! Threads on which work is done that may panic or never end.
//!
//! Owns: the number of threads, the queue of jobs, and their deadline. Must never know: what the work is.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_channel::oneshot;
use roomcast_adapter::Handle;

use super::error::ContentError;
use super::limits::ContentLimits;

/// A few threads, each for as long as there is something to do.
#[derive(Debug)]
pub(super) struct Workshop {
    limits: ContentLimits,
    bench: Arc<Mutex<Bench>>,
}

impl Workshop {
    pub(super) fn new(limits: ContentLimits) -> Self {
        Self { limits, bench: Arc::default() }
    }

    /// Does this on a thread. What comes after the deadline, or after the caller has gone, is not heard; what has not
    /// begun by then is not done.
    pub(super) async fn run<T, F>(&self, handle: &Handle, work: F) -> Result<T, ContentError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let wanted = CallerWaits(Arc::new(AtomicBool::new(true)));
        let (sender, answer) = oneshot::channel();
        let work = Box::new(move || {
            // Not received where the deadline has passed.
            let _ = sender.send(work());
        });
        self.submit(Job { work, wanted: wanted.0.clone() })?;
        let (mut answer, mut deadline) = (pin!(answer), pin!(handle.sleep(self.limits.deadline)));
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(Ok(value)) => Poll::Ready(Ok(value)),
            Poll::Ready(Err(oneshot::Canceled)) => Poll::Ready(Err(ContentError::Broken)),
            Poll::Pending => deadline.as_mut().poll(cx).map(|()| Err(ContentError::Overdue)),
        })
        .await
    }

    fn submit(&self, job: Job) -> Result<(), ContentError> {
        let mut bench = lock(&self.bench);
        if bench.threads >= self.limits.threads_max {
            bench.waiting.retain(Job::is_wanted);
            if bench.waiting.len() >= self.limits.waiting_max {
                return Err(ContentError::Busy);
            }
            bench.waiting.push_back(job);
            return Ok(());
        }
        let shared = self.bench.clone();
        let thread = std::thread::Builder::new().name("documents".into()).stack_size(self.limits.stack_bytes);
        // The new thread waits for the lock until it is counted.
        thread.spawn(move || work_off(&shared, job)).map_err(|_| ContentError::Busy)?;
        bench.threads += 1;
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Bench {
    /// That work, or hang.
    threads: usize,
    waiting: VecDeque<Job>,
}

struct Job {
    work: Box<dyn FnOnce() + Send>,
    wanted: Arc<AtomicBool>,
}

impl Job {
    fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

/// The caller that waits for a job.
struct CallerWaits(Arc<AtomicBool>);

impl Drop for CallerWaits {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn work_off(bench: &Mutex<Bench>, first: Job) {
    let mut next = Some(first);
    while let Some(job) = next {
        if job.is_wanted()
            && let Err(panic) = catch_unwind(AssertUnwindSafe(job.work))
        {
            // It may be anything, and panic again as it is dropped.
            std::mem::forget(panic);
        }
        let mut bench = lock(bench);
        next = bench.waiting.pop_front();
        if next.is_none() {
            bench.threads -= 1;
        }
    }
}

/// A lock whose data stay usable: no code of callers runs while one is held.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
