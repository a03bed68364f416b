//! One frame for all bare WebSockets that are sent the same bytes.
//!
//! An application sends a message to one peer at a time. The state of a document may have megabytes and hundreds of
//! takers: they share a frame as the members of a room do.
//!
//! Owns: the last long message and its frame. Must never know: who is sent it.

use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::encoded::Encoded;
use crate::websocket::Opcode;

/// The last long binary message, and its frame for as long as a queue holds it.
#[derive(Debug, Default)]
pub(super) struct SharedFrame(Option<(Bytes, Weak<Encoded>)>);

impl SharedFrame {
    /// A binary frame. The same `Bytes` (not only equal ones) as last time give the same frame.
    pub(super) fn of(&mut self, payload: &Bytes) -> Arc<Encoded> {
        if payload.len() < SHARED_BYTES_MIN {
            return Encoded::frame(Opcode::Binary, payload);
        }
        if let Some((last, frame)) = &self.0
            // The last ones are still held, so that their address is nothing else's.
            && (last.as_ptr(), last.len()) == (payload.as_ptr(), payload.len())
            && let Some(frame) = frame.upgrade()
        {
            return frame;
        }
        let frame = Encoded::frame(Opcode::Binary, payload);
        self.0 = Some((payload.clone(), Arc::downgrade(&frame)));
        frame
    }
}

/// Shorter messages are cheaper to copy than to look up and keep.
const SHARED_BYTES_MIN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_share_a_frame_while_it_is_held() {
        let mut shared = SharedFrame::default();
        let (state, other) = (Bytes::from(vec![7; 5000]), Bytes::from(vec![7; 5000]));
        let first = shared.of(&state);
        assert!(Arc::ptr_eq(&first, &shared.of(&state.clone())));
        assert!(!Arc::ptr_eq(&first, &shared.of(&state.slice(1..))));
        assert!(!Arc::ptr_eq(&first, &shared.of(&other)), "equal bytes of another owner");
        let again = shared.of(&state);
        let held = Arc::downgrade(&again);
        drop(again);
        assert_eq!(held.strong_count(), 0, "nothing but the queues keeps a frame");
        assert_eq!(shared.of(&state).len(), first.len());
        let short = Bytes::from_static(b"short");
        assert!(!Arc::ptr_eq(&shared.of(&short), &shared.of(&short)));
    }
}
