//! The real-time protocol of Open WebUI as a pure state machine on top of `roomcast-core`.
//!
//! [`OpenWebUi`] is an [`App`](roomcast_core::server::App): run with a server as a
//! [`Stack`](roomcast_core::server::Stack), it is fed the server's events and gives it commands. It does no IO and reads
//! no clock; what only a store knows it asks by [`query::Query`], and the rest of the program talks to it by [`Request`]s.
//! The protocol, and where it deviates from the original, is in `docs/openwebui-protocol.md` of the repository.
//!
//! | in | out |
//! |---|---|
//! | `handle_event`: what sockets do | the event again, if it is not the application's; `poll_event` for those that had to wait |
//! | `handle_reply`: a store's answer | `poll_query`: a question, whose number the answer carries; it has [`Settings::query_timeout`] |
//! | `handle_request`: another part of the program asks | `poll_response`: one response for each request, now or later |
//! | `handle_timeout`, spurious calls do nothing | `poll_timeout`: when to call it |
//! | `handle_end`: the server ends | `is_settled`: whether everything is stored |
//! | | `poll_notice`: logins and active users, if [`Settings::notices`] says so |
//!
//! After any `handle_*` every `poll_*` may have something, and `poll_timeout` may have changed. All of that is what a
//! `Stack` does with a server; a driver adds only the store:
//!
//! ```
//! use roomcast_core::server::{Config, EndpointId, Server, Stack, Start};
//! use roomcast_core::time::{Instant, WallTime};
//! use roomcast_openwebui::query::{Query, Reply, StoreError};
//! use roomcast_openwebui::{OpenWebUi, Request, Response, Settings};
//!
//! let mut settings = Settings::new(EndpointId::new(0), b"the WEBUI_SECRET_KEY of Open WebUI")?;
//! settings.limits.notes_per_socket_max = 100;
//! let config = Config::new([settings.endpoint("/ws/socket.io")]);
//! let (now, wall) = (Instant::from_millis(0), WallTime::from_unix_millis(1_800_000_000_000));
//! let server = Server::new(config, Start { node: 0, now, wall, seed: [7; 32] })?;
//! let mut stack = Stack::new(server, OpenWebUi::new(settings, [8; 32]));
//!
//! stack.handle_request(roomcast_core::server::AppRequestId(1), Request::ActiveUsers, now);
//! while let Some(Query { id, question: _ }) = stack.poll_query() {
//!     // A store answers here.
//!     stack.handle_reply(Reply { id, result: Err(StoreError::Unavailable) }, now);
//! }
//! let Some((_, Response::Users(users))) = stack.poll_response() else { panic!("answered at once") };
//! assert!(users.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Types of other crates in this API: [`bytes::Bytes`] and [`bytestring::ByteString`]; the vocabulary of `roomcast-core`
//! (events, arguments, times); [`Verifier`](roomcast_auth::Verifier) and its policy; limits and figures of
//! `roomcast-documents` and `roomcast-yjs`.
//!
//! Inside, [`OpenWebUi`] composes machines, each with its own state and clock, in a file that reads and tests alone:
//!
//! | file | what |
//! |---|---|
//! | [`settings`], `release` | what it is told before it starts |
//! | [`query`], [`access`], `rules` | the vocabulary with the stores, and access rights |
//! | `requests`, `refusals` | the vocabulary with the rest of the program |
//! | `wire`, `token`, `chat`, `turn`, `purpose` | payloads and rooms, and the words of the machines below |
//! | `turns`, `ration` | the events of each socket in order, and how many dear ones it may send |
//! | `sockets`, `activity` | sockets, logins and users, their expiry and checks, and who is idle |
//! | `channel_reads`, `typing`, `usage`, `calls` | channels, typing, models in use, events with an ack |
//! | `encryption`, `encryption_query` | conversations of encrypted channels, and the vocabulary with what keeps them |
//! | `pool` | what this node does for the sessions that it shares with others |
//! | `queries`, `writes`, `touches`, `flushes` | questions under way, what is not written yet, and waiting for that |
//! | `documents` | documents, by `ydoc:*` and by y-protocols, on top of `roomcast-documents` |
//! | `app` | [`OpenWebUi`], which composes them |

pub mod access;
mod activity;
mod app;
mod by_socket;
mod calls;
mod channel_reads;
mod chat;
mod documents;
mod elsewhere;
mod encryption;
mod encryption_query;
mod flushes;
mod pool;
mod purpose;
mod queries;
pub mod query;
mod ration;
mod refusals;
mod release;
mod requests;
mod rules;
pub mod settings;
mod sockets;
mod sums;
#[cfg(test)]
mod testing;
mod token;
mod touches;
mod turn;
mod turns;
mod typing;
mod usage;
mod wire;
mod writes;

pub use self::app::{Audit, OpenWebUi};
pub use self::documents::{AppDocumentCounters, AppDocumentCounts, DocumentSettings};
pub use self::refusals::{TokenRefusal, TokenRefusals};
pub use self::requests::{
    DocumentChange, DocumentRefusal, DocumentState, Intent, LiveCounts, LoginInfo, LogoutReason, Notice, Request,
    Response, SocketInfo, SocketPlace, StoreChange, To,
};
pub use roomcast_documents::Writers;

pub use self::settings::{
    AdminChats, AppLimits, AuthRequirement, EncryptedChannels, Notices, Release, SessionSharing, Settings,
    SettingsError,
};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
