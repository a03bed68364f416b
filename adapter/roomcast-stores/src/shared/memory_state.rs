//! Shared state in memory, for the shards of one program that is the only one.
//!
//! Owns: what is there until the program ends. Must never know: a socket, who is asked for what.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytestring::ByteString;

use super::{Lease, ReapedSession, SharedReply, SharedState};

/// [`SharedState`] that no other program sees. Nothing is left behind by a crash, so that there are no leases. Clones are
/// the same state.
#[derive(Clone, Debug, Default)]
pub struct MemoryState(Arc<Mutex<Pools>>);

#[derive(Debug, Default)]
struct Pools {
    sessions: BTreeMap<ByteString, ByteString>,
    /// When each socket has last used a model, in seconds since the epoch.
    uses: BTreeMap<ByteString, BTreeMap<ByteString, u64>>,
}

impl MemoryState {
    /// Without sessions and uses of models.
    pub fn new() -> Self {
        Self::default()
    }

    fn pools(&self) -> MutexGuard<'_, Pools> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedState for MemoryState {
    fn put_sessions(&self, sessions: Vec<(ByteString, ByteString)>, _now_secs: u64) -> SharedReply<'_, ()> {
        self.pools().sessions.extend(sessions);
        Box::pin(ready(Ok(())))
    }

    fn remove_sessions(&self, sids: Vec<ByteString>) -> SharedReply<'_, ()> {
        let mut pools = self.pools();
        for sid in &sids {
            pools.sessions.remove(sid);
            pools.uses.retain(|_, uses| {
                uses.remove(sid);
                !uses.is_empty()
            });
        }
        Box::pin(ready(Ok(())))
    }

    fn sessions(&self, sids: Vec<ByteString>) -> SharedReply<'_, Vec<Option<ByteString>>> {
        let pools = self.pools();
        let found = sids.iter().map(|sid| pools.sessions.get(sid).cloned()).collect();
        Box::pin(ready(Ok(found)))
    }

    fn use_model(&self, model: ByteString, sid: ByteString, now_secs: u64) -> SharedReply<'_, ()> {
        self.pools().uses.entry(model).or_default().insert(sid, now_secs);
        Box::pin(ready(Ok(())))
    }

    fn models_in_use(&self, since_secs: u64) -> SharedReply<'_, Vec<ByteString>> {
        let mut pools = self.pools();
        pools.uses.retain(|_, uses| {
            uses.retain(|_, at| *at >= since_secs);
            !uses.is_empty()
        });
        let models = pools.uses.keys().cloned().collect();
        Box::pin(ready(Ok(models)))
    }

    fn renew_lease(&self, _sessions: usize) -> SharedReply<'_, Lease> {
        Box::pin(ready(Ok(Lease::Kept)))
    }

    fn reap(&self) -> SharedReply<'_, Vec<ReapedSession>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn leave(&self) -> SharedReply<'_, ()> {
        *self.pools() = Pools::default();
        Box::pin(ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_and_uses_are_there_until_they_are_removed() {
        let state = MemoryState::new();
        let now = |reply: SharedReply<'_, Vec<ByteString>>| ready_now(reply).unwrap();
        let _put = state.put_sessions(vec![("a".into(), "{}".into()), ("b".into(), "{}".into())], 9);
        for (model, sid, at) in [("m", "a", 10), ("m", "b", 12), ("n", "a", 11)] {
            let _used = state.use_model(model.into(), sid.into(), at);
        }
        assert_eq!(now(state.models_in_use(11)), ["m", "n"]);
        let _removed = state.remove_sessions(vec!["a".into()]);
        assert_eq!(now(state.models_in_use(11)), ["m"]);
        let found = ready_now(state.sessions(vec!["b".into(), "a".into()]));
        assert_eq!(found, Ok(vec![Some("{}".into()), None]));
        assert_eq!(now(state.models_in_use(13)), Vec::<ByteString>::new());
        assert_eq!((ready_now(state.renew_lease(1)), ready_now(state.reap())), (Ok(Lease::Kept), Ok(Vec::new())));
        let _left = state.leave();
        assert_eq!(ready_now(state.sessions(vec!["b".into()])), Ok(vec![None]));
    }

    fn ready_now<T>(mut reply: SharedReply<'_, T>) -> Result<T, super::super::StoreError> {
        let waker = std::task::Waker::noop();
        match reply.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
            std::task::Poll::Ready(result) => result,
            std::task::Poll::Pending => panic!("it waits for nothing"),
        }
    }
}
