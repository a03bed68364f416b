//! The slab against a list.

use roomcast_core::slab::Slab;
use roomcast_core::slab_key;

/// Invariant tested: a handle finds its own value until that is removed, and nothing ever after, regardless of what
/// else is put into the same place.
///
/// A byte is an operation: the low bit puts a value in or takes one out, the others choose which.
pub fn slab(data: &[u8]) {
    let mut slab = Slab::<TestKey, usize>::new();
    let (mut live, mut stale) = (Vec::new(), Vec::new());
    for (value, byte) in data.iter().enumerate() {
        let which = usize::from(byte >> 1);
        if byte & 1 == 0 {
            let key = slab.insert_with(|own| {
                live.push((own, value));
                value
            });
            assert_eq!(live.last(), Some(&(key, value)), "the handle is known beforehand");
        } else if let Some(at) = which.checked_rem(live.len()) {
            let (key, value) = live.swap_remove(at);
            assert_eq!(slab.remove(key), Some(value));
            stale.push(key);
        }
        if let Some(at) = which.checked_rem(stale.len()) {
            let key = stale[at];
            assert!(!slab.contains(key) && slab.remove(key).is_none(), "a stale handle finds nothing");
        }
        assert_eq!(slab.len(), live.len());
    }
    assert!(live.iter().all(|(key, value)| slab.get(*key) == Some(value)));
    assert_eq!(slab.iter().count(), live.len());
    assert!(slab.places() <= data.len());
}

slab_key! {
    /// A handle of this target.
    pub struct TestKey;
}
