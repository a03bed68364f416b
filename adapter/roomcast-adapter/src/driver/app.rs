//! The application layer's dealings with stores and with the rest of the program.
//!
//! Owns: queries, work, requests and notices. Must never know: what any of them means.

use roomcast_core::server::{App, AppRequestId};
use roomcast_core::time::Instant;

use super::Driver;
use crate::app::AppLetter;
use crate::runtime::Runtime;

impl<R: Runtime, A: App + 'static> Driver<R, A> {
    pub(super) fn handle_app_letters(&mut self, now: Instant) {
        for letter in self.app.mail.take() {
            match letter {
                AppLetter::Reply(reply) => self.stack.handle_reply(reply, now),
                // As if it had been computed here.
                AppLetter::Panicked(panic) => std::panic::resume_unwind(panic),
                AppLetter::Request(request, response) => {
                    let id = AppRequestId(self.app.next_request);
                    self.app.next_request += 1;
                    self.app.asked.insert(id, response);
                    self.stack.handle_request(id, request, now);
                }
            }
        }
    }

    pub(super) fn handle_app_outputs(&mut self) {
        while let Some(query) = self.stack.poll_query() {
            self.ask_store(query);
        }
        while let Some(work) = self.stack.poll_work() {
            let (mail, shared) = (self.app.mail.clone(), self.shared.clone());
            self.app.worker.run(work, move |result| match result {
                Ok(reply) => mail.reply(&shared, reply),
                Err(panic) => mail.panicked(&shared, panic),
            });
        }
        while let Some((id, response)) = self.stack.poll_response() {
            if let Some(sender) = self.app.asked.remove(&id) {
                // Dropped by a task that waits no longer.
                let _ = sender.send(response);
            }
        }
        while let Some(notice) = self.stack.poll_notice() {
            if let Some(on_notice) = &mut self.app.on_notice {
                on_notice.tell(notice);
            }
        }
    }

    /// Each question has a task of its own, so that a slow store holds nothing else up.
    fn ask_store(&self, query: A::Query) {
        let Some(store) = &self.app.store else {
            tracing::error!("the application asks, and there is no store");
            return;
        };
        let reply = store.ask(query);
        let (mail, shared) = (self.app.mail.clone(), self.shared.clone());
        self.runtime.spawn(async move { mail.reply(&shared, reply.await) });
    }
}
