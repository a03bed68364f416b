//! The shards of one server, as each of them sees the others.
//!
//! A server is one or more shards, each with a core and a driver of its own. Session ids begin with the number of their
//! shard, which is how a request finds its session on any connection.
//!
//! Owns: which shard a request is for, and the life that all shards share. Must never know: threads, or what a shard does.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use roomcast_core::server::Sid;

/// What the shards of a server have in common. A server of one shard is a group of its own.
#[derive(Debug)]
pub(crate) struct ShardGroup<S> {
    /// The number of the first shard's node; the others follow.
    first_node: u16,
    /// All of them, once they are made. They do not keep each other.
    shards: OnceLock<Vec<Weak<S>>>,
    /// Handles and services of all shards: the drivers end with the last of them.
    owners: AtomicUsize,
    /// How many turns were given out.
    turns: AtomicUsize,
}

impl<S> ShardGroup<S> {
    pub(crate) fn new(first_node: u16) -> Arc<Self> {
        Arc::new(Self { first_node, shards: OnceLock::new(), owners: AtomicUsize::new(0), turns: AtomicUsize::new(0) })
    }

    /// These are all. To be called once.
    pub(crate) fn join_up<'a>(&self, shards: impl Iterator<Item = &'a Arc<S>>)
    where
        S: 'a,
    {
        let first = self.shards.set(shards.map(Arc::downgrade).collect()).is_ok();
        debug_assert!(first, "a group is made once");
    }

    /// One handle more.
    pub(crate) fn own(&self) {
        self.owners.fetch_add(1, Ordering::AcqRel);
    }

    /// One handle less; `true` if it was the last.
    pub(crate) fn disown(&self) -> bool {
        self.owners.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether no handle is left.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.owners.load(Ordering::Acquire) == 0
    }

    /// All shards that are left.
    pub(crate) fn alive(&self) -> impl Iterator<Item = Arc<S>> {
        self.all().iter().filter_map(Weak::upgrade)
    }

    pub(crate) fn len(&self) -> usize {
        self.all().len().max(1)
    }

    /// The shard whose session or socket this is.
    pub(crate) fn of_sid(&self, sid: &str) -> Option<Arc<S>> {
        if self.all().len() < 2 {
            return None;
        }
        let shard = Sid::parse(sid)?.node()?.checked_sub(self.first_node)?;
        self.all().get(usize::from(shard))?.upgrade()
    }

    /// The shard where all meet who name the same thing.
    pub(crate) fn of_name(&self, name: &[u8]) -> Option<Arc<S>> {
        let shards = self.all();
        if shards.len() < 2 {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let place = hasher.finish() % u64::try_from(shards.len()).unwrap_or(1);
        shards.get(usize::try_from(place).unwrap_or(0))?.upgrade()
    }

    /// The place of the shard whose turn it is.
    pub(crate) fn turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed) % self.len()
    }

    /// The shard whose turn it is; `None` where there is one.
    pub(crate) fn next(&self) -> Option<Arc<S>> {
        if self.all().len() < 2 { None } else { self.all().get(self.turn())?.upgrade() }
    }

    fn all(&self) -> &[Weak<S>] {
        self.shards.get().map_or(&[], Vec::as_slice)
    }
}

/// A path below an endpoint's, percent-decoded, without the slashes in front: what names a document there.
pub(crate) fn name_below(path: &str, endpoint: &str) -> Vec<u8> {
    let endpoint = endpoint.trim_end_matches('/');
    let below = path.strip_prefix(endpoint).unwrap_or(path).trim_start_matches('/').as_bytes();
    let mut name = Vec::with_capacity(below.len());
    let mut rest = below;
    while let Some((first, behind)) = rest.split_first() {
        let decoded = (*first == b'%').then(|| behind.split_at_checked(2)).flatten().and_then(|(digits, behind)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, behind))
        });
        let (byte, behind) = decoded.unwrap_or((*first, behind));
        name.push(byte);
        rest = behind;
    }
    name
}

/// The session that a request names.
pub(crate) fn sid_of(query: Option<&str>) -> Option<&str> {
    query?.split('&').find_map(|pair| pair.strip_prefix("sid="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_one_name_however_its_path_is_written() {
        for path in ["/yjs/a b", "/yjs/a%20b", "/yjs//a%20b", "/yjs/%61%20b"] {
            assert_eq!(name_below(path, "/yjs/"), b"a b", "{path}");
        }
        assert_eq!(name_below("/yjs/%zz%4", "/yjs"), b"%zz%4");
        assert_eq!(name_below("/yjs", "/yjs"), b"");
    }

    #[test]
    fn a_session_is_named_by_its_parameter_alone() {
        assert_eq!(sid_of(Some("EIO=4&sid=abc&t=1")), Some("abc"));
        assert_eq!((sid_of(Some("EIO=4&asid=abc")), sid_of(None)), (None, None));
    }
}
