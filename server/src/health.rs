//! Whether the program is there, and whether it should be given work.
//!
//! Owns: the two answers, and whether the end has begun. Must never know: who asks.

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

/// The answers to `/health` and `/ready`.
#[derive(Clone)]
pub struct Health {
    store: StoreClient,
    draining: Arc<AtomicBool>,
    /// When the store was last looked at, and what was seen. One looks at a time, so that a crowd of askers does not
    /// become one of the store's.
    seen: Arc<Mutex<Option<(Instant, StoreState)>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoreState {
    Reachable,
    Unreachable,
}

impl Health {
    /// Of a server with this store.
    pub fn new(store: StoreClient) -> Self {
        Self { store, draining: Arc::default(), seen: Arc::default() }
    }

    /// From now on it should be given no more work.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// The process is up.
    pub fn health(&self) -> Response<Bytes> {
        reply::json(StatusCode::OK, &json!({ "status": "up" }))
    }

    /// It can be given work.
    pub async fn ready(&self) -> Response<Bytes> {
        let is_draining = || self.draining.load(Ordering::Acquire);
        if is_draining() {
            return not_ready("draining");
        }
        match self.store_state().await {
            _ if is_draining() => not_ready("draining"),
            StoreState::Reachable => reply::json(StatusCode::OK, &json!({ "status": "ready" })),
            StoreState::Unreachable => not_ready("store unreachable"),
        }
    }

    async fn store_state(&self) -> StoreState {
        let mut seen = self.seen.lock().await;
        match *seen {
            Some((at, state)) if at.elapsed() < SEEN_FOR => state,
            Some(_) | None => {
                let state = if self.store.is_ready().await { StoreState::Reachable } else { StoreState::Unreachable };
                *seen = Some((Instant::now(), state));
                state
            }
        }
    }
}

fn not_ready(why: &str) -> Response<Bytes> {
    reply::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": why }))
}

const SEEN_FOR: Duration = Duration::from_secs(1);
