//! What documents say, and edits made on the server's side (feature `yrs`).
//!
//! The server keeps structs and never reads a document: see [`roomcast_yjs`]. A program that needs the text of one, or
//! to change one, does so here, in a copy that yrs builds from the document's state. An edit goes back as an update, the
//! way of any member: it is checked, merged, told to all who are in the document, and stored.
//!
//! ```
//! use roomcast_openwebui::OpenWebUi;
//! use roomcast_stores::documents::yrs::{XmlFragment, XmlTextPrelim, types::xml::XmlElementPrelim, WriteTxn};
//! use roomcast_stores::documents::{ContentError, DocumentContents, PROSEMIRROR};
//! use roomcast_adapter::AppHandle;
//!
//! async fn sign(app: AppHandle<OpenWebUi>) -> Result<String, ContentError> {
//!     let note = DocumentContents::new(app).of("note:plan").as_user("alice");
//!     note.edit(|txn| {
//!         let page = txn.get_or_insert_xml_fragment(PROSEMIRROR);
//!         let line = page.push_back(txn, XmlElementPrelim::empty("paragraph"));
//!         line.push_back(txn, XmlTextPrelim::new("Read and approved."));
//!     })
//!     .await?;
//!     note.text().await
//! }
//! # let _ = sign;
//! ```
//!
//! # What is kept apart, and what is not
//!
//! What members write is well-formed, as the server checks, and yrs is not safe on everything that is: it panics, and
//! a sequence is known on which its version 0.28 reads freed memory. Therefore
//!
//! * nothing here runs in the server's driver, nor on a thread of the runtime: there are a few threads of its own,
//!   with a large stack, a bounded queue and a deadline;
//! * each call has a document of its own, built from the whole state and dropped afterwards. A panic is an
//!   [`ContentError::Broken`] of that call; what it leaves is leaked rather than touched again;
//! * yrs collects no garbage, which it does by recursion, and is believed only if it has read as much as the server has.
//!
//! What remains: a stack that overflows all the same, memory that runs out, and memory that yrs misuses are not caught.
//! They end the process, or worse. A thread that hangs is lost until the process ends, with its place. With
//! `panic = "abort"` no panic is caught. A program that serves strangers and cannot accept that runs a process for this alone,
//! which gets states by [`Request::DocumentState`] and gives updates by [`Request::DocumentUpdate`]: neither needs yrs.
//!
//! yrs differs from yjs where an edit cuts a surrogate pair: count in UTF-16 units, as this does, and do not cut there.
//!
//! Owns: [`DocumentContents`] and how a call goes to yrs and back. Must never know: the driver, or how an update is applied.

mod content;
mod error;
mod limits;
mod workshop;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_openwebui::{DocumentChange, DocumentRefusal, DocumentState, Intent, OpenWebUi, Request, Response};
pub use yrs;
use yrs::{Transaction, TransactionMut};

pub use self::content::PROSEMIRROR;
use self::content::{Author, Changed};
pub use self::error::ContentError;
pub use self::limits::ContentLimits;
use self::workshop::{Workshop, lock};
use roomcast_adapter::AppHandle;

/// The documents of a server by their content. Cheap to clone; clones share their threads. It is a handle of the
/// server, which does not end by itself while this is kept.
#[derive(Clone, Debug)]
pub struct DocumentContents(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    app: AppHandle<OpenWebUi>,
    state_bytes_max: usize,
    workshop: Workshop,
    authors: Mutex<Authors>,
}

impl DocumentContents {
    /// The documents of the server that this handle is of.
    pub fn new(app: AppHandle<OpenWebUi>) -> Self {
        Self::with_limits(app, ContentLimits::default())
    }

    /// The same with limits of one's own.
    pub fn with_limits(app: AppHandle<OpenWebUi>, limits: ContentLimits) -> Self {
        let state_bytes_max = limits.state_bytes_max;
        let workshop = Workshop::new(limits);
        Self(Arc::new(Inner { app, state_bytes_max, workshop, authors: Mutex::default() }))
    }

    /// One of them, live or stored: `note:` and the note's id. The caller is trusted to have checked the rights.
    pub fn of(&self, id: impl Into<ByteString>) -> DocumentContent {
        DocumentContent { documents: self.clone(), id: id.into(), user: None }
    }
}

/// A document. Nothing is looked up before a method is called, and nothing is kept afterwards.
#[derive(Clone, Debug)]
pub struct DocumentContent {
    documents: DocumentContents,
    id: ByteString,
    user: Option<ByteString>,
}

/// An edit that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edited<T> {
    /// What the caller's function returned.
    pub value: T,
    /// What became of it.
    pub change: DocumentChange,
}

impl DocumentContent {
    /// The same document with the rights of this user, under whose name members see what is edited.
    #[must_use]
    pub fn as_user(self, user: impl Into<ByteString>) -> Self {
        Self { user: Some(user.into()), ..self }
    }

    /// The text of a note, as front ends keep it in the fragment [`PROSEMIRROR`]: a line for each run of text, without
    /// marks. See [`DocumentRefusal::Unseeded`] for a note that no front end has opened yet.
    ///
    /// # Errors
    ///
    /// [`ContentError`].
    pub async fn text(&self) -> Result<String, ContentError> {
        self.text_of(PROSEMIRROR).await
    }

    /// The text of a root type: what is in a text, and the lines of a fragment. Empty if there is none of that name.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub async fn text_of(&self, root: impl Into<String>) -> Result<String, ContentError> {
        let root = root.into();
        let DocumentState { state, content } = self.state().await?;
        if state[..] == content::EMPTY && content.is_some() {
            return Err(ContentError::Refused(DocumentRefusal::Unseeded));
        }
        self.run(move || content::read(&state, |txn| content::text(txn, &root))).await
    }

    /// Looks at the document.
    ///
    /// # Errors
    ///
    /// [`ContentError`].
    pub async fn read<T, F>(&self, look: F) -> Result<T, ContentError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> T + Send + 'static,
    {
        let state = self.state().await?.state;
        self.run(move || content::read(&state, look)).await
    }

    /// Changes the document. The function runs on the state of a moment; what members write meanwhile is merged with
    /// it as with any member's edit. Offsets count UTF-16 units.
    ///
    /// # Errors
    ///
    /// [`ContentError`]. After any but [`ContentError::Stopped`], nothing has changed.
    pub async fn edit<T, F>(&self, change: F) -> Result<Edited<T>, ContentError>
    where
        T: Send + 'static,
        F: FnOnce(&mut TransactionMut<'_>) -> T + Send + 'static,
    {
        self.change(Intent::Edit, change).await
    }

    /// Writes into an empty document what its note says, as otherwise the first front end does that opens it.
    ///
    /// # Errors
    ///
    /// [`DocumentRefusal::Seeded`] if another writer was first, and as [`edit`](Self::edit).
    pub async fn initialize<T, F>(&self, change: F) -> Result<Edited<T>, ContentError>
    where
        T: Send + 'static,
        F: FnOnce(&mut TransactionMut<'_>) -> T + Send + 'static,
    {
        self.change(Intent::Initialize, change).await
    }

    /// The document as it is kept, and the content of its note as last rendered. Needs no yrs.
    ///
    /// # Errors
    ///
    /// [`ContentError::Refused`], [`ContentError::Stopped`], or [`ContentError::TooLong`].
    pub async fn state(&self) -> Result<DocumentState, ContentError> {
        let request = Request::DocumentState { document: self.id.clone(), user: self.user.clone() };
        let inner = &self.documents.0;
        let Some(Response::Document(answer)) = inner.app.ask(request).await else { return Err(ContentError::Stopped) };
        let document = answer.map_err(ContentError::Refused)?;
        if document.state.len() > inner.state_bytes_max {
            return Err(ContentError::TooLong);
        }
        Ok(document)
    }

    async fn change<T, F>(&self, intent: Intent, change: F) -> Result<Edited<T>, ContentError>
    where
        T: Send + 'static,
        F: FnOnce(&mut TransactionMut<'_>) -> T + Send + 'static,
    {
        // Before the state is asked for, so that the state holds every edit of this author.
        let author = lock(&self.documents.0.authors).take(&self.id);
        let state = self.state().await?.state;
        let Changed { value, update, author } = self.run(move || content::edit(&state, author, change)).await?;
        let change = match update {
            Some(update) => self.send(update, intent).await?,
            None => DocumentChange::NothingNew,
        };
        lock(&self.documents.0.authors).put(self.id.clone(), author);
        Ok(Edited { value, change })
    }

    async fn send(&self, update: Bytes, intent: Intent) -> Result<DocumentChange, ContentError> {
        let (document, user) = (self.id.clone(), self.user.clone());
        let request = Request::DocumentUpdate { document, user, update, content: None, intent };
        match self.documents.0.app.ask(request).await {
            Some(Response::DocumentUpdated(changed)) => changed.map_err(ContentError::Refused),
            _ => Err(ContentError::Stopped),
        }
    }

    async fn run<T, F>(&self, work: F) -> Result<T, ContentError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, ContentError> + Send + 'static,
    {
        let inner = &self.documents.0;
        inner.workshop.run(inner.app.handle(), work).await?
    }
}

/// Client ids of earlier edits, for reuse. A client id for every edit would stay in the document for ever; one that is
/// used twice at a time would break it.
#[derive(Debug, Default)]
struct Authors(BTreeMap<ByteString, Author>);

impl Authors {
    fn take(&mut self, document: &str) -> Option<Author> {
        self.0.remove(document)
    }

    fn put(&mut self, document: ByteString, author: Author) {
        if self.0.len() >= AUTHORS_MAX {
            self.0.pop_first();
        }
        self.0.insert(document, author);
    }
}

const AUTHORS_MAX: usize = 4096;
