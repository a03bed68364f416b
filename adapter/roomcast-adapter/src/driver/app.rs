//! The application layer's dealings with stores and with the rest of the program.
//!
//! Owns: queries, requests and notices. Must never know: what any of them means.

use std::collections::BTreeMap;

use roomcast_core::server::{App, AppRequestId};
use roomcast_core::time::Instant;

use super::Driver;
use crate::builder::{OnNotice, Store};
use crate::mailbox::{AppLetter, AppMail};
use crate::promise::Debt;
use crate::runtime::Runtime;

/// What the application layer is connected to.
pub(crate) struct AppSide<A: App> {
    store: Option<Store<A>>,
    on_notice: Option<OnNotice<A>>,
    mail: AppMail<A>,
    /// Requests that have no answer yet.
    asked: BTreeMap<AppRequestId, Debt<A::Response>>,
    next_ticket: u64,
}

impl<A: App> AppSide<A> {
    pub(crate) fn new(store: Option<Store<A>>, on_notice: Option<OnNotice<A>>, mail: AppMail<A>) -> Self {
        Self { store, on_notice, mail, asked: BTreeMap::new(), next_ticket: 0 }
    }

    /// Nobody is answered any more.
    pub(super) fn bury(&self) {
        self.mail.take();
    }
}

impl<R: Runtime, A: App + 'static> Driver<R, A> {
    pub(super) fn handle_app_letters(&mut self, now: Instant) {
        for letter in self.app.mail.take() {
            match letter {
                AppLetter::Reply(reply) => self.stack.handle_reply(reply, now),
                AppLetter::Request(request, debt) => {
                    let ticket = AppRequestId(self.app.next_ticket);
                    self.app.next_ticket += 1;
                    self.app.asked.insert(ticket, debt);
                    self.stack.handle_request(ticket, request, now);
                }
            }
        }
    }

    pub(super) fn handle_app_outputs(&mut self) {
        while let Some(query) = self.stack.poll_query() {
            self.ask_store(query);
        }
        while let Some((ticket, answer)) = self.stack.poll_response() {
            if let Some(debt) = self.app.asked.remove(&ticket) {
                debt.pay(answer);
            }
        }
        while let Some(notice) = self.stack.poll_notice() {
            if let Some(on_notice) = &mut self.app.on_notice {
                on_notice.tell(notice);
            }
        }
    }

    /// Each question has a task of its own, so that a slow store holds nobody up.
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
