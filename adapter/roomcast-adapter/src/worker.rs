//! A thread for what would hold the driver's thread for long.
//!
//! Owns: that thread, which starts with the first piece of work and ends with the driver. Must never know: what is
//! computed.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use roomcast_core::server::Work;

/// What a panic carries.
pub(crate) type Panic = Box<dyn Any + Send>;

type WorkerJob = Box<dyn FnOnce() + Send>;

/// Runs pieces of work one after the other, in the order in which they come. The driver is at its own work meanwhile.
#[derive(Debug)]
pub(crate) struct Worker(Option<mpsc::Sender<WorkerJob>>);

impl Worker {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Has `work` done, and `done` called with its result, on the worker's thread. Where no thread can be started it is
    /// done at once.
    pub(crate) fn run<T: 'static>(&mut self, work: Work<T>, done: impl FnOnce(Result<T, Panic>) + Send + 'static) {
        let job: WorkerJob = Box::new(move || done(catch_unwind(AssertUnwindSafe(|| work.run()))));
        let unsent = match self.thread() {
            Some(jobs) => jobs.send(job).err().map(|mpsc::SendError(job)| job),
            None => Some(job),
        };
        if let Some(job) = unsent {
            job();
        }
    }

    fn thread(&mut self) -> Option<&mpsc::Sender<WorkerJob>> {
        if self.0.is_none() {
            let (jobs, asked) = mpsc::channel::<WorkerJob>();
            let thread = std::thread::Builder::new().name("roomcast-worker".to_owned());
            let started = thread.spawn(move || asked.into_iter().for_each(|job| job()));
            match started {
                Ok(_detached) => self.0 = Some(jobs),
                Err(error) => tracing::error!(%error, "cannot start the worker thread"),
            }
        }
        self.0.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_in_order_on_one_other_thread_and_a_panic_is_told() {
        let (mut worker, (tell, told)) = (Worker::new(), mpsc::channel());
        for number in 0..3 {
            let tell = tell.clone();
            let work = Work::new(move || {
                assert_ne!(number, 1, "planted");
                (number, std::thread::current().id())
            });
            worker.run(work, move |result| tell.send(result.map_err(drop)).unwrap());
        }
        let results: Vec<_> = told.iter().take(3).collect();
        let [Ok((0, first)), Err(()), Ok((2, last))] = results[..] else { panic!("{results:?}") };
        assert_eq!(first, last);
        assert_ne!(first, std::thread::current().id());
    }
}
