//! How to put events of your own next to Open WebUI's.
//!
//! The application [`OpenWebUi`](roomcast_openwebui::OpenWebUi) keeps the events that it knows for itself and gives
//! back all others, in order: an event that comes behind a built-in one of the same socket waits until that is done, so
//! a subscription right behind `user-join` finds the session. They go to the handlers that are registered for their
//! namespace, as in a server without an application. So an extension is four things, all in the example below:
//!
//! 1. **Events from clients** are handlers. What a handler returns is the ack: `{status, feature_id}` when it is done,
//!    `{"error":"Not authenticated"}` for a socket without a session.
//! 2. **Who asks** is what the application knows of the socket, by
//!    [`Request::Login`](roomcast_openwebui::Request::Login). Nothing that a client says of itself is believed.
//!    Handlers exist before the server does; they reach the application by the
//!    [`AppLink`](crate::AppLink) that the builder gives.
//! 3. **Rooms** with a prefix of their own. When a token ends or is revoked the socket loses its session and leaves all
//!    rooms, those of extensions too; there is nothing to clean up.
//! 4. **Events to clients** from elsewhere in the program: to a room by the [`Handle`](crate::Handle), to a user by
//!    [`Request::Emit`](roomcast_openwebui::Request::Emit), which reaches all sessions of that user. Other processes do
//!    the same by `POST /api/emit` of the program `roomcast`.
//!
//! The whole of it is `adapter-tokio/examples/feature.rs`:
//!
//! ```no_run
#![doc = include_str!("../examples/feature.rs")]
//! ```
//!
//! Owns: nothing, it is a page. Must never know: a feature.
