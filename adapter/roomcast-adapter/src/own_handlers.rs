//! Handlers of a single socket, which come and go while it is there.
//!
//! Owns: the handlers that were given to a [`Socket`] rather than to its namespace. Must never know: when they are called.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::handler::{Handler, Received};
use crate::presence::Presence;
use crate::registry::HandlerFn;
use crate::socket::Socket;
use crate::sync::lock;

/// The handlers of one socket, by the names of events.
#[derive(Default)]
pub(crate) struct OwnHandlers(Mutex<BTreeMap<String, Arc<HandlerFn<Received>>>>);

impl Socket {
    /// Handles an event of this socket alone, ahead of the namespace's handler of that name, from the next event on. A
    /// later one of the same name takes its place.
    ///
    /// ```
    /// # use roomcast_adapter::{Namespace, Socket};
    /// fn set_up(ns: &mut Namespace) {
    ///     ns.on("begin", async |socket: Socket| {
    ///         socket.on("answer", async |socket: Socket| {
    ///             socket.off("answer");
    ///             "thanks"
    ///         });
    ///     });
    /// }
    /// ```
    pub fn on<M>(&self, name: impl Into<String>, handler: impl Handler<Received, M>) {
        let states = handler.arguments().states;
        if let Some(missing) = states.iter().find(|state| !self.shared().states.has(state.id)) {
            tracing::error!(state = missing.name, "a handler takes a state that the server has not been given");
        }
        let own = self.extension::<OwnHandlers>().unwrap_or_else(|| {
            self.extend(OwnHandlers::default());
            self.presence().has_handlers();
            self.extension().unwrap_or_default()
        });
        lock(&own.0).insert(name.into(), Arc::new(HandlerFn::event(handler)));
    }

    /// Takes the handler of an event from this socket: the namespace's is called again. Whether there was one.
    pub fn off(&self, name: &str) -> bool {
        self.extension::<OwnHandlers>().is_some_and(|own| lock(&own.0).remove(name).is_some())
    }
}

/// The handler that a socket has for an event.
pub(crate) fn own_handler(presence: &Presence, name: &str) -> Option<Arc<HandlerFn<Received>>> {
    if !presence.may_have_handlers() {
        return None;
    }
    lock(&presence.extension::<OwnHandlers>()?.0).get(name).cloned()
}
