//! Which client of the bridge gets which event.
//!
//! Owns: who listens for what. Must never know: what an event says.

use std::collections::BTreeMap;

use roomcast_tokio::{Socket, SocketId};

/// Events by name, each with those who listen, the first of which gets it.
#[derive(Debug, Default)]
pub struct Listeners {
    by_event: BTreeMap<String, Vec<Listener>>,
    /// Events that each client listens for.
    counts: BTreeMap<SocketId, usize>,
}

#[derive(Clone, Debug)]
struct Listener {
    socket: Socket,
    user: Option<String>,
}

impl Listeners {
    /// A client listens from now on, unless it listens for as many events as it may. `user`: whose event it is.
    pub fn add(&mut self, event: String, user: Option<String>, socket: &Socket) {
        let count = self.counts.entry(socket.id()).or_default();
        if *count >= EVENTS_PER_CLIENT_MAX || event.len() > EVENT_BYTES_MAX {
            return tracing::warn!(sid = socket.sid().as_str(), "a backend process listens for too much");
        }
        let listeners = self.by_event.entry(event).or_default();
        match listeners.iter_mut().find(|known| known.socket.id() == socket.id()) {
            Some(known) => known.user = user,
            None => {
                *count += 1;
                listeners.push(Listener { socket: socket.clone(), user });
            }
        }
    }

    /// A client listens for this event no longer.
    pub fn remove(&mut self, event: &str, socket: &Socket) {
        let Some(listeners) = self.by_event.get_mut(event) else { return };
        let before = listeners.len();
        listeners.retain(|known| known.socket.id() != socket.id());
        if let Some(count) = self.counts.get_mut(&socket.id()) {
            *count -= before - listeners.len();
        }
        if listeners.is_empty() {
            self.by_event.remove(event);
        }
    }

    /// A client is gone.
    pub fn forget(&mut self, socket: &Socket) {
        if self.counts.remove(&socket.id()).is_some_and(|count| count > 0) {
            self.by_event.retain(|_, listeners| {
                listeners.retain(|known| known.socket.id() != socket.id());
                !listeners.is_empty()
            });
        }
    }

    /// Who gets an event, and as which user the sender must be logged in.
    pub fn of(&self, event: &str) -> Option<(Socket, Option<String>)> {
        let first = self.by_event.get(event)?.first()?;
        Some((first.socket.clone(), first.user.clone()))
    }
}

/// Events that one client may listen for. Each answer over a direct connection is one while it is written.
const EVENTS_PER_CLIENT_MAX: usize = 100_000;
/// Length of an event's name.
const EVENT_BYTES_MAX: usize = 256;
