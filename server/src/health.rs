//! Liveness and readiness.
//!
//! Owns: the two responses, and whether the shutdown has begun. Must never know: who asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::reply;
use crate::store::StoreClient;

/// Responds to `/health` and `/ready`.
#[derive(Clone)]
pub struct Health {
    store: StoreClient,
    draining: Arc<AtomicBool>,
    /// When the store was last probed, and the result. Probes run one at a time, so that many requests share a single
    /// probe.
    seen: Arc<Mutex<Option<(Instant, StoreState)>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoreState {
    Usable,
    Unusable,
}

impl Health {
    /// Creates the responses of a server with this store.
    pub fn new(store: StoreClient) -> Self {
        Self { store, draining: Arc::default(), seen: Arc::default() }
    }

    /// Responds from now on that the server is not ready.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Responds that the process runs.
    pub fn health(&self) -> Response<Bytes> {
        reply::json(StatusCode::OK, &json!({ "status": "up" }))
    }

    /// Responds whether the server can take clients: it is not draining, and its store answers and can be written to.
    pub async fn ready(&self) -> Response<Bytes> {
        let is_draining = || self.draining.load(Ordering::Acquire);
        if is_draining() {
            return not_ready("draining");
        }
        match self.store_state().await {
            _ if is_draining() => not_ready("draining"),
            StoreState::Usable => reply::json(StatusCode::OK, &json!({ "status": "ready" })),
            StoreState::Unusable => not_ready("store unusable"),
        }
    }

    async fn store_state(&self) -> StoreState {
        let mut seen = self.seen.lock().await;
        match *seen {
            Some((at, state)) if at.elapsed() < state.valid_for() => state,
            Some(_) | None => {
                let state = if self.store.is_ready().await { StoreState::Usable } else { StoreState::Unusable };
                *seen = Some((Instant::now(), state));
                state
            }
        }
    }
}

fn not_ready(why: &str) -> Response<Bytes> {
    reply::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": why }))
}

impl StoreState {
    /// How long a probe counts. It writes, so that it does not take place often; a failure is looked at again soon.
    const fn valid_for(self) -> Duration {
        match self {
            Self::Usable => Duration::from_secs(5),
            Self::Unusable => Duration::from_secs(1),
        }
    }
}
