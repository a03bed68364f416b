//! Which list a struct stands in: the elements of a shared type, or the values of one of its keys.
//!
//! Owns: [`ListScope`] and [`Anchor`]. Must never know: structs and where they are kept.

use std::hash::{DefaultHasher, Hasher};

use super::wire::Id;

/// The list of a struct, by the place of its [`Anchor`] in the document's table. Two scopes may be the same list: each
/// struct that names its parent makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListScope(u32);

/// Whether a list holds the values of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyed {
    Yes,
    No,
}

impl ListScope {
    /// None: every reader collects what stands here.
    pub(crate) const GONE: Self = Self(u32::MAX);
    /// Not looked up: the struct is not in a document.
    pub(crate) const UNKNOWN: Self = Self(u32::MAX - 1);

    /// The scope of the anchor `at` in the table. A table has fewer than 2^31, for an update has fewer bytes.
    pub(crate) fn of_anchor(at: usize, keyed: Keyed) -> Self {
        let at = u32::try_from(at).unwrap_or(ANCHOR_BITS) & ANCHOR_BITS;
        Self(if keyed == Keyed::Yes { at | KEYED } else { at })
    }

    /// The place of the anchor in the table.
    pub(crate) fn anchor(self) -> Option<usize> {
        (self < Self::UNKNOWN).then_some((self.0 & ANCHOR_BITS) as usize)
    }

    /// Whether it is the values of a key.
    pub(crate) fn is_keyed(self) -> bool {
        self < Self::UNKNOWN && self.0 & KEYED != 0
    }
}

/// A struct that names its parent, on which others build that do not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor {
    /// Its first element.
    pub(crate) id: Id,
    /// How many shared types are around it, apart from the root.
    pub(crate) depth: u32,
    /// What stands for the parent and the key that it names: still there when the struct is collected.
    pub(crate) list: u64,
}

impl Anchor {
    /// The anchor of a struct with these parent and key.
    pub(crate) fn new(id: Id, depth: u32, parent_bytes: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(parent_bytes);
        Self { id, depth, list: hasher.finish() }
    }
}

const KEYED: u32 = 1 << 31;
const ANCHOR_BITS: u32 = KEYED - 1;
