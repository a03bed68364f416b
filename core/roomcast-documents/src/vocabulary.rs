//! The words by which the files of this crate speak of documents and members.
//!
//! Owns: the names of a document, and what a member may do, has sent, and is told of it. Must never know: a document.

use bytestring::ByteString;

roomcast_core::slab_key! {
    /// A document that is loaded or being loaded.
    pub struct DocumentId;
}

/// A member on its way into a document. Its rights are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joining<M> {
    /// The owner's key for it.
    pub member: M,
    /// The owner's name for its user; empty if it has none. Awareness ids belong to a user, and of members without one each
    /// to its own; the machine gives it no other meaning.
    pub user: ByteString,
    /// What it may do.
    pub access: Access,
    /// The form in which it receives changes.
    pub form: Form,
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read, and announce where it is.
    Read,
    /// Read and change.
    Write,
}

/// The form in which a member receives changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By messages of y-protocols, which the machine writes and reads.
    Protocol,
    /// By the owner, who carries out [`Output::Updated`](crate::Output::Updated) in its own way.
    Application,
    /// Not at all: a member for one moment, of which nothing is asked.
    Silent,
}

/// The member that may write into a document while it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Each member that may write.
    ByAnyone,
    /// Members of [`Form::Application`] alone, which bring what the document stands for. What providers write before
    /// that is kept out, and asked for again afterwards.
    ByApplication,
}

/// Whether a member was asked for all that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resync {
    No,
    /// It was asked when it joined.
    Invited,
    /// Because it built on something that is missing: it is not asked twice for that.
    Asked,
}

/// What a member sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brings {
    /// What it has just changed.
    Edit,
    /// All that it has, or all that is new: the answer to being asked, which may be long.
    Everything,
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The document has changed.
    Applied,
    /// It brought nothing new.
    Known,
    /// It, or a part of it, waits for something that is missing.
    Waits,
    /// It was refused: it is no update, over a limit, or the member may not write.
    Refused,
    /// It takes long, and `Output::Taken` will say what has become of it.
    Later,
}
