//! Documents: `ydoc:*` of the application protocol, and y-protocols over plain WebSocket.
//!
//! Owns: what is Open WebUI's about documents: their names, rights by notes, the notes' contents, who loads them into
//! empty documents, and the remedy for offline edits. Must never know: how a document is kept, relayed and stored, which
//! [`roomcast_documents`] does.
//!
//! | file | what |
//! |---|---|
//! | `settings` | what it is told before it starts |
//! | `records` | the records |
//! | `frame` | names and payloads as they go over the wire |
//! | `pump` | carries out what the document machine says |
//! | `join` | from `ydoc:document:join` to leaving, parked joins |
//! | `state` | what members are told of the state, and who loads a note |
//! | `rights` | whether members may still do what they could |
//! | `load`, `persist` | a note's content and its document from the stores, and to them |
//! | `content`, `fields` | the rendered content of notes, and other members of their data |
//! | `saves` | how both are saved |
//! | `files` | files that come attached to a note |
//! | `update`, `cursors`, `cursor_ids` | what sockets send |
//! | `unstored_acks` | acks of updates, until the store has these |
//! | `peers`, `protocol` | members by y-protocols |
//! | `nodes` | what nodes tell each other that share a document |
//! | `visits` | what the rest of the program reads and writes |
//!
//! A document is a note's: its id is `note:` and the note's. With 0.12 there are others, of any id, which have no content
//! and are open to all who have a login. It is loaded with its first member, and leaves memory a while
//! after its last member has left and everything is stored.

mod answers;
mod content;
mod counts;
mod cursor_ids;
mod cursors;
mod fields;
mod files;
mod frame;
mod join;
mod load;
mod names;
mod nodes;
mod peers;
mod persist;
mod protocol;
mod pump;
mod records;
mod rights;
mod saves;
mod settings;
mod state;
mod unstored_acks;
mod update;
mod visit;
mod visits;

pub use self::counts::{AppDocumentCounters, AppDocumentCounts};
pub(super) use self::frame::FilesTurn;
pub(super) use self::names::{Aim, Joiner, Parked};
pub(super) use self::records::DocumentRecords;
pub use self::settings::DocumentSettings;
pub(super) use self::unstored_acks::HeldAck;
pub(super) use self::visit::VisitTask;
