//! The server, from elsewhere in the program.
//!
//! Owns: [`Handle`]. Must never know: the driver's insides.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytestring::ByteString;
use roomcast_core::server::{Audit, EndpointId, Scope};

use crate::broadcast::Broadcast;
use crate::mailbox::{Mail, Shared};
use crate::promise::promise;
use crate::socket::Socket;
use crate::view::View;

/// Emits, joins and disconnects from anywhere in the program. Cheap to clone. The server ends once all handles, and all
/// services, are dropped.
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.owners.fetch_add(1, Ordering::AcqRel);
        Self { shared }
    }

    /// Everybody in a namespace of the first Socket.IO endpoint.
    pub fn of(&self, namespace: impl Into<ByteString>) -> Broadcast {
        let endpoint = self.shared.routes.first_socket_io();
        Broadcast::new(self.shared.clone(), Scope { endpoint, namespace: namespace.into() })
    }

    /// Everybody in a namespace of the endpoint with this path; `None` if there is no such endpoint.
    pub fn of_endpoint(&self, path: &str, namespace: impl Into<ByteString>) -> Option<Broadcast> {
        let endpoint = self.endpoint(path)?;
        Some(Broadcast::new(self.shared.clone(), Scope { endpoint, namespace: namespace.into() }))
    }

    /// The endpoint with this path.
    pub fn endpoint(&self, path: &str) -> Option<EndpointId> {
        self.shared.routes.endpoint(path)
    }

    /// The socket with this sid in a namespace of the first Socket.IO endpoint. To emit to it there is no need to look
    /// it up: its sid is the name of a room.
    pub async fn socket(&self, namespace: impl Into<ByteString>, sid: impl Into<String>) -> Option<Socket> {
        let scope = Scope { endpoint: self.shared.routes.first_socket_io(), namespace: namespace.into() };
        let sid = sid.into();
        self.query(move |view| view.socket(view.server.socket(&scope, &sid)?).cloned()).await?
    }

    /// What must be all zeros once everybody has left; `None` if the server has ended.
    pub async fn audit(&self) -> Option<Audit> {
        self.query(|view| view.server.audit()).await
    }

    /// Looks at the server between two of its inputs; `None` if it has ended. The closure runs in the driver and holds
    /// everybody up: it should be quick.
    pub async fn query<T, F>(&self, look: F) -> Option<T>
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> T + Send + 'static,
    {
        let (answer, debt) = promise();
        self.shared.send(Mail::Query(Box::new(move |view| debt.pay(look(view)))), 0);
        answer.await
    }

    /// Ends the server: accepts nobody any more and closes every transport in such a way that clients come back, to
    /// another process. Resolves when all are gone, or after `grace`, when those that are left have been cut off; and when
    /// an application has written what it had to, for which it has up to 10 s more.
    pub async fn shutdown(&self, grace: Duration) {
        let (done, debt) = promise();
        self.shared.send(Mail::Shutdown(grace, debt), 0);
        done.await;
    }

    /// Resolves when the server begins to end.
    pub async fn stopped(&self) {
        crate::mailbox::Stopped::new(self.shared.clone()).await;
    }

    /// Completes after `span`, by a timer of the server's runtime.
    pub async fn sleep(&self, span: Duration) {
        (self.shared.sleep)(span).await;
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.shared.owners.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.send(Mail::Nudge, 0);
        }
    }
}
