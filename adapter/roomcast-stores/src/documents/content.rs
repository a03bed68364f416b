//! A document in yrs, for one call.
//!
//! Owns: everything that touches yrs. Must never know: threads, or where a state comes from. All of it may panic.

use bytes::Bytes;
use roomcast_yjs::{Document, Source, StateVector, Verdict};
use yrs::block::ClientID;
use yrs::types::text::YChange;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    Any, Doc, GetString, OffsetKind, Options, Out, ReadTxn, Text, Transact, Transaction, TransactionMut, Update,
    XmlFragment, XmlOut,
};

use super::error::ContentError;

/// The fragment in which Open WebUI's editor keeps a note.
pub const PROSEMIRROR: &str = "prosemirror";

/// The author of an edit: a client of Yjs, and its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Author {
    client: u64,
    clock: u32,
}

/// The result of an edit.
#[derive(Debug)]
pub(super) struct Changed<T> {
    pub(super) value: T,
    /// The edit as a Yjs update; `None` if the edit changed nothing.
    pub(super) update: Option<Bytes>,
    pub(super) author: Author,
}

/// Looks at a document.
pub(super) fn read<T>(state: &[u8], look: impl FnOnce(&Transaction<'_>) -> T) -> Result<T, ContentError> {
    let (doc, _) = open(state, None)?;
    let txn = Fragile::new(doc.transact());
    Ok(look(txn.get()))
}

/// Changes a document.
pub(super) fn edit<T>(
    state: &[u8],
    author: Option<Author>,
    change: impl FnOnce(&mut TransactionMut<'_>) -> T,
) -> Result<Changed<T>, ContentError> {
    let (doc, client) = open(state, author)?;
    let mut txn = Fragile::new(doc.transact_mut());
    let value = change(txn.get_mut());
    txn.get_mut().commit();
    let update = txn.get().encode_update_v1();
    let clock = txn.get().state_vector().get(&ClientID::new(client));
    let update = (update != EMPTY).then(|| update.into());
    Ok(Changed { value, update, author: Author { client, clock } })
}

/// What a root type says.
pub(super) fn text(txn: &Transaction<'_>, root: &str) -> String {
    let mut text = txn.get_text(root).map(|text| text.get_string(txn)).unwrap_or_default();
    let Some(fragment) = txn.get_xml_fragment(root) else { return text };
    // A walk without recursion, however deep the nesting is.
    for node in fragment.successors(txn) {
        let XmlOut::Text(run) = node else { continue };
        if !text.is_empty() {
            text.push('\n');
        }
        for part in run.diff(txn, YChange::identity) {
            if let Out::Any(Any::String(part)) = part.insert {
                text.push_str(&part);
            }
        }
    }
    text
}

/// What may be broken after a panic: it is leaked then, rather than looked at again as it is dropped.
struct Fragile<T>(Option<T>);

impl<T> Fragile<T> {
    fn new(inner: T) -> Self {
        Self(Some(inner))
    }

    #[expect(clippy::expect_used, reason = "an invariant")]
    fn get(&self) -> &T {
        self.0.as_ref().expect("invariant: taken only by drop")
    }

    #[expect(clippy::expect_used, reason = "an invariant")]
    fn get_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("invariant: taken only by drop")
    }
}

impl<T> std::ops::Deref for Fragile<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.get()
    }
}

impl<T> Drop for Fragile<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::mem::forget(self.0.take());
        }
    }
}

/// A document of this state, and the client that would edit it.
fn open(state: &[u8], author: Option<Author>) -> Result<(Fragile<Doc>, u64), ContentError> {
    let known = state_vector(state)?;
    let client = client(author, &known)?;
    let options = Options {
        offset_kind: OffsetKind::Utf16,
        // It would be by recursion, and of no use.
        skip_gc: true,
        ..Options::with_guid_and_client_id("".into(), ClientID::new(client))
    };
    let doc = Fragile::new(Doc::with_options(options));
    let update = Update::decode_v1(state).map_err(|_| ContentError::Unreadable)?;
    let has_read = {
        let mut txn = Fragile::new(doc.transact_mut());
        txn.get_mut().apply_update(update).map_err(|_| ContentError::Unreadable)?;
        txn.get().state_vector().encode_v1()
    };
    // What it holds back, the server has applied: the two do not mean the same document.
    let has_read = StateVector::decode(&has_read).map_err(|_| ContentError::Unreadable)?;
    if is_same(&known, &has_read) { Ok((doc, client)) } else { Err(ContentError::Unreadable) }
}

/// How far the server's own reading goes.
fn state_vector(state: &[u8]) -> Result<StateVector, ContentError> {
    let mut document = Document::default();
    match document.apply(state, Source::Stored) {
        Verdict::Applied | Verdict::NothingNew => {}
        Verdict::Missing(_) | Verdict::Bad(_) => return Err(ContentError::Unreadable),
    }
    StateVector::decode(&document.state_vector()).map_err(|_| ContentError::Unreadable)
}

fn is_same(left: &StateVector, right: &StateVector) -> bool {
    let sorted = |vector: &StateVector| {
        let mut clocks: Vec<_> = vector.iter().filter(|(_, clock)| *clock > 0).collect();
        clocks.sort_unstable();
        clocks
    };
    sorted(left) == sorted(right)
}

/// An author's client id is used again only where the document has all of its edits: a document that was reset lacks
/// them, while members who were away still have them.
fn client(author: Option<Author>, known: &StateVector) -> Result<u64, ContentError> {
    let clock_of = |client: u64| known.iter().find(|(id, _)| id.as_u64() == client).map_or(0, |(_, clock)| clock);
    if let Some(author) = author.filter(|author| clock_of(author.client) == author.clock) {
        return Ok(author.client);
    }
    let mut bytes = [0; 4];
    loop {
        getrandom::fill(&mut bytes).map_err(|_| ContentError::NoRandomness)?;
        // As yjs draws them.
        let client = u64::from(u32::from_le_bytes(bytes));
        if client != 0 && clock_of(client) == 0 {
            return Ok(client);
        }
    }
}

/// A document, or an update, of nothing.
pub(super) const EMPTY: [u8; 2] = [0, 0];
