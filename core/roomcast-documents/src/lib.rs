//! Collaborative Yjs documents as a pure state machine: who is in a document and what each member may do there, relaying,
//! awareness, and when a document is loaded and stored.
//!
//! The machine opens no socket, reads no clock and asks no store by itself: its owner feeds it and carries out what it
//! says. [`Documents`] has the same four kinds of method as every machine of roomcast:
//!
//! * getters: [`named`](Documents::named), [`get`](Documents::get), [`counts`](Documents::counts), …
//! * `handle_*`, by which the world tells the machine something: a provider
//!   [opened](Documents::handle_opened), [said](Documents::handle_message) something, [closed](Documents::handle_closed);
//!   the store [answered](Documents::handle_answer); [time](Documents::handle_timeout) has passed;
//! * commands of the owner: [`let_in`](Documents::let_in), [`deny`](Documents::deny), [`leave`](Documents::leave), …
//! * [`poll_output`](Documents::poll_output), to be called until it is empty after any number of the others, and
//!   [`next_deadline`](Documents::next_deadline);
//! * [`poll_work`](Documents::poll_work), which hands out what takes long: reading a long document, trying a long
//!   update, encoding a long state. The owner runs it on another thread and gives back what it comes to.
//!
//! Members come in three [forms](Form). Providers speak y-protocols, which the machine reads and writes. Members of the
//! application speak a protocol of the owner's: the owner [enters](Documents::enter) and [admits](Documents::admit) them
//! and relays [`Output::Updated`] in the encoding that each of them uses. Silent members read or write once.
//!
//! ```
//! use roomcast_core::rng::Rng;
//! use roomcast_core::time::Instant;
//! use roomcast_documents::{Access, DocumentAnswer, Documents, DocumentsConfig, Flow, Output, StoredDocument};
//! use roomcast_yjs::ProtocolMessage;
//!
//! let now = Instant::from_millis(1);
//! let hash = Rng::from_seed([0; 32]).keyed_hash();
//! let mut documents: Documents<u32> = Documents::new(DocumentsConfig::default(), hash);
//!
//! // Provider 7 comes, and asks for the state at once.
//! documents.handle_opened(7, "plan".into());
//! documents.handle_message(7, ProtocolMessage::SyncStep1(&[0]).encode().into(), Flow::Free, now);
//! let mut sent = Vec::new();
//! while let Some(output) = documents.poll_output() {
//!     match output {
//!         Output::Authorize { member, .. } => documents.let_in(member, "alice".into(), Access::Write, now),
//!         Output::Ask { document, question } => {
//!             // The store knows nothing of it.
//!             let answer = DocumentAnswer::Loaded(StoredDocument::default());
//!             documents.handle_answer(document, question.asked(), Ok(answer), now);
//!         }
//!         Output::Loaded { document, waiting } => {
//!             for joining in waiting {
//!                 documents.admit(document, joining, now);
//!             }
//!             documents.settle(document, now);
//!         }
//!         Output::Send { message, .. } => sent.push(message),
//!         _ => {}
//!     }
//! }
//! // It is asked what it has, and told what there is: nothing.
//! assert_eq!(sent, [ProtocolMessage::SyncStep1(&[0]).encode(), ProtocolMessage::SyncStep2(&[0, 0]).encode()]);
//! ```
//!
//! Types of other crates in this API: [`bytes::Bytes`] and [`bytestring::ByteString`]; of `roomcast-core`, times, the
//! keyed hash and [`App`](roomcast_core::server::App); of `roomcast-yjs`, documents, limits and the journal's times.
//!
//! | file | what |
//! |---|---|
//! | `config` | limits and intervals |
//! | `question`, `output` | the vocabulary with the store and with the owner |
//! | `vocabulary` | what the files call documents and members |
//! | `document`, `machine` | the records, the table, the outputs |
//! | `members` | entering, rights, leaving |
//! | `update` | what members write, and who receives it |
//! | `work`, `work_queue`, `offload` | what takes long: the computations, what waits for them, handing them out |
//! | `provider`, `providers` | members by y-protocols: the records, and what they say |
//! | `persist`, `stored` | from the store, and to it |
//! | `node_message` | what nodes with the same document tell each other |
//! | `replica`, `replication` | the same document on several nodes: the records, and keeping in step |
//! | `counters` | figures |
//! | `store` | the trait that stores implement and adapters ask |
//! | `app` | an application that is documents and nothing else |

mod app;
mod config;
mod counters;
mod document;
mod machine;
mod members;
mod node_message;
mod offload;
mod output;
mod persist;
mod provider;
mod providers;
mod question;
mod replica;
mod replication;
mod store;
mod stored;
mod update;
mod vocabulary;
mod work;
mod work_queue;

pub use app::{AppQuery, AppReply, DocumentsApp, DocumentsRequest, DocumentsResponse, ReplyAnswer, Rights, Visitor};
pub use config::DocumentsConfig;
pub use counters::{DocumentCounters, DocumentCounts};
pub use document::{Member, OpenDocument};
pub use machine::{Documents, Pace};
pub use members::{Admitted, Entered};
pub use output::{Close, DENIED_CODE, DocumentNotice, NotLoaded, Output, Relay};
pub use providers::Flow;
pub use question::{
    Claimed, DocumentAnswer, DocumentQuestion, DocumentStoreError, Holding, QuestionKind, StoredDocument,
};
pub use replication::MayBegin;
pub use roomcast_yjs as yjs;
pub use roomcast_yjs::journal::Writers;
pub use store::DocumentStore;
pub use stored::{Opening, ReadDocument, read_stored};
pub use vocabulary::{Access, Beginning, Brings, DocumentId, Form, Joining, Taken};
pub use work::{DocumentWork, Worked};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
