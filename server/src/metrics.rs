//! What Prometheus reads.
//!
//! Owns: names and meanings of metrics, and the store's times. Must never know: why a number is what it is.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use roomcast_openwebui::query::{Question, StoreError};
use roomcast_openwebui::{self as openwebui, DocumentCounters, OpenWebUi, Pool, Request};
use roomcast_tokio::AppHandle;
use roomcast_tokio::core::server::{Audit, Counters};

use crate::reply;

/// How long a store takes, and how often it fails.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    spans: Family<[Label; 1], Histogram, fn() -> Histogram>,
    errors: Family<[Label; 2], Counter>,
}

/// Name and value.
type Label = (&'static str, &'static str);

impl StoreMetrics {
    /// Nothing has been asked.
    pub fn new() -> Self {
        Self { spans: Family::new_with_constructor(|| Histogram::new(BUCKETS_SECONDS)), errors: Family::default() }
    }

    /// A question was answered after this time.
    pub fn answered(&self, kind: &'static str, after: Duration, error: Option<&StoreError>) {
        self.spans.get_or_create(&[("question", kind)]).observe(after.as_secs_f64());
        if let Some(error) = error {
            let error = match error {
                StoreError::NotFound => "not_found",
                StoreError::Unavailable => "unavailable",
                StoreError::Corrupt => "corrupt",
                StoreError::Conflict => "conflict",
            };
            self.errors.get_or_create(&[("question", kind), ("error", error)]).inc();
        }
    }

    /// What a question is called.
    pub const fn kind(question: &Question) -> &'static str {
        match question {
            Question::Authenticate { .. } => "authenticate",
            Question::Channels { .. } => "channels",
            Question::Note { .. } => "note",
            Question::Chat { .. } => "chat",
            Question::TouchUsers { .. } => "touch_users",
            Question::ReadChannel { .. } => "read_channel",
            Question::ReadChat { .. } => "read_chat",
            Question::ChangeMessage { .. } => "change_message",
            Question::NoteContent { .. } => "note_content",
            Question::SaveNoteContent { .. } => "save_note_content",
            Question::LoadDocument { .. } => "load_document",
            Question::AppendUpdates { .. } => "append_updates",
            Question::SaveSnapshot { .. } => "save_snapshot",
        }
    }

    fn register(&self, registry: &mut Registry) {
        let help = "Time that the store took for a question";
        registry.register_with_unit("store_question", help, Unit::Seconds, self.spans.clone());
        registry.register("store_errors", "Questions that the store did not answer", self.errors.clone());
    }
}

/// All metrics, as they are now.
pub async fn page(store: StoreMetrics, app: AppHandle<OpenWebUi>) -> Response<Bytes> {
    let server = app.handle().query(|view| (view.server.counters(), view.server.audit())).await;
    let pool = app.ask(Request::Pool).await;
    let (Some((counters, audit)), Some(openwebui::Response::Pool(pool))) = (server, pool) else {
        return reply::body(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "the server has ended");
    };
    match write(&store, counters, audit, &pool) {
        Ok(text) => reply::body(StatusCode::OK, CONTENT_TYPE, text),
        Err(fmt::Error) => reply::body(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "cannot be written"),
    }
}

fn write(store: &StoreMetrics, counters: Counters, audit: Audit, pool: &Pool) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("roomcast");
    register_counters(&mut registry, counters);
    register_audit(registry.sub_registry_with_prefix("server"), audit);
    register_pool(registry.sub_registry_with_prefix("app"), pool);
    store.register(&mut registry);
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

fn register_counters(registry: &mut Registry, counters: Counters) {
    // Taken apart, so that a counter more does not go unseen.
    let Counters {
        sessions_opened,
        sockets_connected,
        packets_received,
        packets_queued,
        volatile_dropped,
        upgrades,
        too_slow,
        pings_unanswered,
        peer_faults,
        reserved_refused,
        stale_handles,
    } = counters;
    for (name, help, value) in [
        ("sessions_opened", "Sessions opened", sessions_opened),
        ("sockets_connected", "Sockets connected to a namespace", sockets_connected),
        ("packets_received", "Packets received", packets_received),
        ("packets_queued", "Packets queued, once per recipient", packets_queued),
        ("volatile_dropped", "Volatile packets dropped, once per recipient", volatile_dropped),
        ("upgrades", "Upgrades from polling to WebSocket", upgrades),
        ("too_slow", "Sessions closed as too slow", too_slow),
        ("pings_unanswered", "Sessions ended for a missing pong", pings_unanswered),
        ("peer_faults", "Sessions and requests ended for a fault of the peer", peer_faults),
        ("reserved_refused", "Emits of event names that clients reserve", reserved_refused),
        ("stale_handles", "Inputs and commands with a stale handle", stale_handles),
    ] {
        registry.register(name, help, ConstCounter::new(value));
    }
}

fn register_audit(registry: &mut Registry, audit: Audit) {
    let Audit {
        sessions,
        conns,
        requests,
        sockets,
        namespaces,
        rooms,
        session_sids,
        socket_sids,
        acks,
        timers,
        unread,
        queued_bytes,
        outputs,
    } = audit;
    for (name, help, value) in [
        ("sessions", "Engine.IO sessions", sessions),
        ("websockets", "WebSocket streams", conns),
        ("requests", "HTTP requests under way", requests),
        ("sockets", "Presences in namespaces", sockets),
        ("namespaces", "Namespaces that somebody is in", namespaces),
        ("rooms", "Rooms that somebody is in", rooms),
        ("session_sids", "Engine.IO session ids that are known", session_sids),
        ("socket_sids", "Socket.IO ids that are known", socket_sids),
        ("acks", "Emits whose acks are awaited", acks),
        ("timers", "Deadlines", timers),
        ("unread", "Peers of whom more was read than was taken, and events that are held back", unread),
        ("queued_bytes", "Bytes that wait to be sent", queued_bytes),
        ("outputs", "Outputs that have not been polled", outputs),
    ] {
        gauge(registry, name, help, value);
    }
}

fn register_pool(registry: &mut Registry, pool: &Pool) {
    let Pool {
        sockets,
        logins,
        users,
        active_users,
        models,
        queries,
        held_events,
        writes,
        change_bytes,
        calls,
        documents,
        document_totals,
        writes_lost,
        queries_overdue,
    } = *pool;
    for (name, help, value) in [
        ("sockets", "Sockets, with a session or without", sockets),
        ("sessions", "Sockets whose user is known", logins),
        ("users", "Users with sessions", users),
        ("active_users", "Users who have been heard of lately", active_users),
        ("models", "Models in use", models),
        ("queries", "Questions to the store that are open", queries),
        ("held_events", "Events that wait for one of them", held_events),
        ("writes", "Rows that are being written, wait to be, or have been just now", writes),
        ("change_bytes", "Bytes of changes to messages among them", change_bytes),
        ("calls", "Calls that wait for their answer", calls),
        ("documents", "Documents that are loaded or being loaded", documents.open),
        ("document_members", "Who is in documents, each once per document", documents.members),
        ("document_updates_pending", "Updates that wait for others", documents.pending_updates),
        ("document_joins_parked", "Joins that wait for their session", documents.parked_joins),
        ("document_peers", "Sessions of y-protocols", documents.peers),
        ("document_requests", "Requests of the program about documents", documents.visits),
        ("document_bytes", "Bytes of the documents in memory", documents.bytes),
    ] {
        gauge(registry, name, help, value);
    }
    register_documents(registry, &document_totals);
    registry.register("writes_lost", "Rows given up", ConstCounter::new(writes_lost));
    let help = "Questions that the store did not answer in time";
    registry.register("queries_overdue", help, ConstCounter::new(queries_overdue));
}

fn register_documents(registry: &mut Registry, totals: &DocumentCounters) {
    let documents = totals.documents;
    for (name, help, value) in [
        ("document_loads", "Documents loaded", documents.loads),
        ("document_loads_failed", "Loads of documents that failed", documents.loads_failed),
        ("document_refused_full", "Loads and updates refused for want of memory", documents.refused_full),
        ("document_updates_applied", "Updates that changed a document", documents.updates_applied),
        ("document_updates_known", "Updates that brought nothing new", documents.updates_known),
        ("document_updates_held", "Updates that missed something", documents.updates_held),
        ("document_updates_refused", "Updates that were refused", documents.updates_refused),
        ("document_resyncs", "Members that were asked for all they have", documents.resyncs),
        ("document_states_delayed", "States that waited for a slow member", documents.states_delayed),
        ("document_appends", "Groups of changes appended to the store", documents.appends),
        ("document_appends_failed", "Appends that failed and were tried again", documents.appends_failed),
        ("document_snapshots", "Snapshots stored", documents.snapshots),
        ("document_snapshots_failed", "Snapshots that failed and were tried again", documents.snapshots_failed),
        ("document_conflicts", "Writes refused since another program wrote to the document", documents.conflicts),
        ("document_resets", "Documents begun again since their note was changed elsewhere", totals.resets),
        ("document_contents_saved", "Contents of notes saved", totals.contents_saved),
        ("document_contents_saved_again", "Contents saved again over an earlier one", totals.contents_saved_again),
        ("document_contents_lost", "Contents given up since their note is gone", totals.contents_lost),
    ] {
        registry.register(name, help, ConstCounter::new(value));
    }
}

fn gauge(registry: &mut Registry, name: &'static str, help: &'static str, value: usize) {
    registry.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
}

const BUCKETS_SECONDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_line() {
        let store = StoreMetrics::new();
        store.answered("note", Duration::from_millis(2), None);
        store.answered("note", Duration::from_secs(2), Some(&StoreError::Unavailable));
        let counters = Counters { peer_faults: 3, ..Counters::default() };
        let audit = Audit { queued_bytes: 4, ..Audit::default() };
        let pool = Pool { users: 5, writes_lost: 6, ..Pool::default() };
        let text = write(&store, counters, audit, &pool).unwrap();
        for line in [
            "roomcast_peer_faults_total 3",
            "roomcast_server_queued_bytes 4",
            "roomcast_app_users 5",
            "roomcast_app_writes_lost_total 6",
            "roomcast_store_question_seconds_count{question=\"note\"} 2",
            "roomcast_store_question_seconds_bucket{le=\"0.0025\",question=\"note\"} 1",
            "roomcast_store_errors_total{question=\"note\",error=\"unavailable\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
