//! How many clients came and left, for the log.
//!
//! Owns: at most one line a minute, however many clients there are. Must never know: which clients.

use std::time::Duration;

use roomcast_tokio::Handle;

/// Logs how many sessions were opened and closed, in each minute with a change, until the server ends.
pub async fn log(handle: Handle) {
    let (mut opened_before, mut open_before) = (0_u64, 0_usize);
    loop {
        tokio::select! {
            () = handle.stopped() => return,
            () = tokio::time::sleep(SPAN) => {}
        }
        let (mut opened_total, mut open) = (0, 0);
        for shard in handle.shards() {
            let numbers = shard.query(|view| (view.server.counters().sessions_opened, view.server.audit().sessions));
            let Some((opened_of_shard, open_there)) = numbers.await else { return };
            opened_total += opened_of_shard;
            open += open_there;
        }
        let opened = opened_total - opened_before;
        let closed = (open_before as u64 + opened).saturating_sub(open as u64);
        if opened + closed > 0 {
            tracing::info!(opened, closed, open, "sessions");
        }
        (opened_before, open_before) = (opened_total, open);
    }
}

const SPAN: Duration = Duration::from_secs(60);
