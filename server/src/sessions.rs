//! Who comes and goes, as the log tells it.
//!
//! Owns: one line a minute at most, however many they are. Must never know: who they are.

use std::time::Duration;

use roomcast_tokio::Handle;

/// Tells, until the server ends, how many came and went, if anybody did.
pub async fn tell(handle: Handle) {
    let (mut opened_before, mut open_before) = (0_u64, 0_usize);
    loop {
        tokio::select! {
            () = handle.stopped() => return,
            () = tokio::time::sleep(SPAN) => {}
        }
        let numbers = handle.query(|view| (view.server.counters().sessions_opened, view.server.audit().sessions));
        let Some((opened_total, open)) = numbers.await else { return };
        let opened = opened_total - opened_before;
        let closed = (open_before as u64 + opened).saturating_sub(open as u64);
        if opened + closed > 0 {
            tracing::info!(opened, closed, open, "sessions");
        }
        (opened_before, open_before) = (opened_total, open);
    }
}

const SPAN: Duration = Duration::from_secs(60);
