//! The page for Prometheus.
//!
//! Owns: names and meanings of metrics, and those that the program counts itself. Must never know: why a number is what
//! it is.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use roomcast_openwebui::query::{Question, StoreError};
use roomcast_openwebui::{self as openwebui, AppDocumentCounters, LiveCounts, OpenWebUi, Request};
use roomcast_tokio::core::server::{Audit, Counters};
use roomcast_tokio::{AppHandle, Handle, RedisMonitor};
use tokio::time::MissedTickBehavior;

use crate::shard_apps::ShardApps;
use crate::{bus, reply};

/// Everything that the program counts itself.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// The store's answers.
    pub store: StoreMetrics,
    /// Requests to the HTTP API.
    pub api: ApiMetrics,
    /// Lag of the driver.
    pub lag: Lag,
    /// The connections to Redis, one of each shard.
    pub bus: Vec<RedisMonitor>,
}

impl Metrics {
    /// Nothing is counted yet.
    pub fn new() -> Self {
        Self { store: StoreMetrics::new(), api: ApiMetrics::default(), lag: Lag::new(), bus: Vec::new() }
    }
}

/// Requests to the HTTP API, by route and status.
#[derive(Clone, Debug, Default)]
pub struct ApiMetrics(Family<[(&'static str, String); 2], Counter>);

impl ApiMetrics {
    /// Counts a request.
    pub fn responded(&self, route: &'static str, status: StatusCode) {
        self.0.get_or_create(&[("route", route.to_owned()), ("status", status.as_str().to_owned())]).inc();
    }
}

/// Time between the moment when the driver is asked for something and its answer: how long everything else waits for it.
#[derive(Clone, Debug)]
pub struct Lag(Histogram);

impl Lag {
    fn new() -> Self {
        Self(Histogram::new(BUCKETS_SECONDS))
    }

    /// Measures twice a second, until the server ends: one shard after the other.
    pub async fn measure(self, handle: Handle) {
        let mut ticks = tokio::time::interval(LAG_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // From the moment when this task was due: a thread that is kept busy delays it as well.
            let due_at = ticks.tick().await;
            for (place, shard) in handle.shards().into_iter().enumerate() {
                // Of the first shard alone: a thread that accepts besides is kept busy as well.
                let asked_at = if place == 0 { due_at } else { tokio::time::Instant::now() };
                if shard.query(|_| ()).await.is_none() {
                    return;
                }
                self.0.observe(asked_at.elapsed().as_secs_f64());
            }
        }
    }
}

/// Latencies and errors of the store.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    spans: Family<[Label; 1], Histogram, fn() -> Histogram>,
    errors: Family<[Label; 2], Counter>,
}

/// The name and the value of a label.
type Label = (&'static str, &'static str);

impl StoreMetrics {
    /// Nothing is counted yet.
    pub fn new() -> Self {
        Self { spans: Family::new_with_constructor(|| Histogram::new(BUCKETS_SECONDS)), errors: Family::default() }
    }

    /// Counts an answer and its latency.
    pub fn answered(&self, kind: &'static str, after: Duration, error: Option<&StoreError>) {
        self.spans.get_or_create(&[("question", kind)]).observe(after.as_secs_f64());
        if let Some(error) = error {
            let error = match error {
                StoreError::NotFound => "not_found",
                StoreError::Unavailable => "unavailable",
                StoreError::Corrupt => "corrupt",
                StoreError::Conflict => "conflict",
                _ => "other",
            };
            self.errors.get_or_create(&[("question", kind), ("error", error)]).inc();
        }
    }

    /// Name of a kind of question.
    pub const fn kind(question: &Question) -> &'static str {
        match question {
            Question::Authenticate { .. } => "authenticate",
            Question::ShareSession { .. } => "share_session",
            Question::UnshareSession { .. } => "unshare_session",
            Question::ShareUse { .. } => "share_use",
            Question::SessionPool(_) => "session_pool",
            Question::Encryption(_) => "encryption",
            Question::EncryptionUsers { .. } => "encryption_users",
            Question::Channels { .. } => "channels",
            Question::Note { .. } => "note",
            Question::Chat { .. } => "chat",
            Question::Files { .. } => "files",
            Question::TouchUsers { .. } => "touch_users",
            Question::ReadChannel { .. } => "read_channel",
            Question::ReadChat { .. } => "read_chat",
            Question::ChangeMessage { .. } => "change_message",
            Question::NoteContent { .. } => "note_content",
            Question::NoteFiles { .. } => "note_files",
            Question::SaveNoteData { .. } => "save_note_data",
            Question::LoadDocument { .. } => "load_document",
            Question::AppendUpdates { .. } => "append_updates",
            Question::SaveSnapshot { .. } => "save_snapshot",
            Question::SharedDocument(_) => "shared_document",
        }
    }

    fn register(&self, registry: &mut Registry) {
        let help = "Latency of the store, by kind of question";
        registry.register_with_unit("store_question", help, Unit::Seconds, self.spans.clone());
        let help = "Questions that the store failed to answer, by kind and error";
        registry.register("store_errors", help, self.errors.clone());
    }
}

/// Responds with all metrics.
pub async fn page(metrics: Metrics, shards: ShardApps, app: AppHandle<OpenWebUi>) -> Response<Bytes> {
    let (mut counters, mut audit, mut pool) = (Counters::default(), Audit::default(), LiveCounts::default());
    for shard in shards.all(&app) {
        let server = shard.handle().query(|view| (view.server.counters(), view.server.audit())).await;
        let counts = shard.ask(Request::Counts).await;
        let (Some((of_shard, live)), Some(openwebui::Response::Counts(counts))) = (server, counts) else {
            return reply::body(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "the server has ended");
        };
        counters += of_shard;
        audit += live;
        pool += *counts;
    }
    match write(&metrics, counters, audit, &pool) {
        Ok(text) => reply::body(StatusCode::OK, CONTENT_TYPE, text),
        Err(fmt::Error) => reply::body(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "cannot be written"),
    }
}

fn write(metrics: &Metrics, counters: Counters, audit: Audit, pool: &LiveCounts) -> Result<String, fmt::Error> {
    let mut all = Registry::default();
    register_process(&mut all);
    let registry = all.sub_registry_with_prefix("roomcast");
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "Version of the program", build);
    register_counters(registry, counters);
    register_audit(registry.sub_registry_with_prefix("server"), audit);
    register_pool(registry.sub_registry_with_prefix("app"), pool);
    metrics.store.register(registry);
    if !metrics.bus.is_empty() {
        bus::register(registry.sub_registry_with_prefix("redis"), &metrics.bus);
    }
    let help = "Requests to the HTTP API, by route and status";
    registry.register("api_requests", help, metrics.api.0.clone());
    let help = "Time that a request to the driver takes, which everything else waits for as well";
    registry.register_with_unit("driver_lag", help, Unit::Seconds, metrics.lag.0.clone());
    let mut out = String::new();
    text::encode(&mut out, &all)?;
    Ok(out)
}

/// The process itself, under the names that exporters share. Where there is no `/proc`, they are left out.
fn register_process(registry: &mut Registry) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(bytes) = resident_bytes(&status) {
        gauge(registry, "process_resident_memory_bytes", "Resident memory", bytes);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        // One of them is the folder itself.
        gauge(registry, "process_open_fds", "Open file descriptors", files.count().saturating_sub(1));
    }
}

/// The line `VmRSS:    1234 kB` in the text of `/proc/self/status`.
fn resident_bytes(status: &str) -> Option<usize> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
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
        sockets_recovered,
        recoveries_failed,
        packets_replayed,
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
        ("sockets_recovered", "Sockets that came back as they were", sockets_recovered),
        ("recoveries_failed", "Sockets that asked for it and came back as new ones", recoveries_failed),
        ("packets_replayed", "Packets sent to sockets that had missed them", packets_replayed),
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
        unadmitted_bytes,
        outputs,
        cluster,
        recovery,
        recovery_bytes,
    } = audit;
    for (name, help, value) in [
        ("sessions", "Engine.IO sessions", sessions),
        ("websockets", "WebSocket streams", conns),
        ("requests", "HTTP requests under way", requests),
        ("sockets", "Sockets in namespaces", sockets),
        ("namespaces", "Namespaces with members", namespaces),
        ("rooms", "Rooms with members", rooms),
        ("session_sids", "Engine.IO session ids in use", session_sids),
        ("socket_sids", "Socket.IO ids in use", socket_sids),
        ("acks", "Emits waiting for acks", acks),
        ("timers", "Armed timers", timers),
        ("unread", "Clients with input read but not handled yet, and events held back", unread),
        ("queued_bytes", "Bytes queued for clients", queued_bytes),
        ("unadmitted_bytes", "Bytes held for clients that are not logged in", unadmitted_bytes),
        ("outputs", "Outputs not polled yet", outputs),
        ("cluster_pending", "Requests to other nodes, subscriptions and answers that wait for them", cluster),
        ("recovery", "Sockets that can be recovered, and packets kept for them", recovery),
        ("recovery_bytes", "Bytes of packets and of sockets that are away", recovery_bytes),
    ] {
        gauge(registry, name, help, value);
    }
}

fn register_pool(registry: &mut Registry, pool: &LiveCounts) {
    let LiveCounts {
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
        token_refusals,
        ..
    } = *pool;
    for (name, help, value) in [
        ("sockets", "Sockets of the application, logged in or not", sockets),
        ("logins", "Logged-in sockets", logins),
        ("users", "Users with at least one login", users),
        ("active_users", "Users that sent something lately", active_users),
        ("models", "Models in use", models),
        ("queries", "Questions to the store without an answer yet", queries),
        ("held_events", "Events waiting for such an answer", held_events),
        ("writes", "Rows being written, waiting to be, or written just now", writes),
        ("change_bytes", "Bytes of changes to messages among them", change_bytes),
        ("calls", "Calls waiting for their answer", calls),
        ("documents", "Documents loaded or being loaded", documents.open),
        ("document_members", "Members of documents, counted once per document", documents.members),
        ("document_updates_pending", "Updates waiting for others that they build on", documents.pending_updates),
        ("document_joins_parked", "Joins waiting for their login", documents.parked_joins),
        ("document_peers", "Connections of y-websocket providers", documents.peers),
        ("document_requests", "Requests of the program about documents", documents.visits),
        ("document_bytes", "Bytes of the documents in memory", documents.bytes),
    ] {
        gauge(registry, name, help, value);
    }
    register_documents(registry, &document_totals);
    registry.register(
        "writes_lost",
        "Rows that were given up after failing for too long",
        ConstCounter::new(writes_lost),
    );
    let help = "Questions that the store did not answer in time";
    registry.register("queries_overdue", help, ConstCounter::new(queries_overdue));
    let refusals = Family::<[(&'static str, &'static str); 1], Counter>::default();
    for (reason, count) in token_refusals.by_reason() {
        refusals.get_or_create(&[("reason", reason)]).inc_by(count);
    }
    registry.register("tokens_refused", "Tokens refused, by reason", refusals);
}

fn register_documents(registry: &mut Registry, totals: &AppDocumentCounters) {
    let documents = totals.documents;
    for (name, help, value) in [
        ("document_loads", "Documents loaded", documents.loads),
        ("document_loads_failed", "Loads of documents that failed", documents.loads_failed),
        ("document_refused_full", "Loads and updates refused for want of memory", documents.refused_full),
        ("document_updates_applied", "Updates that changed a document", documents.updates_applied),
        ("document_updates_known", "Updates that brought nothing new", documents.updates_known),
        ("document_updates_held", "Updates that missed something", documents.updates_held),
        ("document_updates_delayed", "Updates that were tried on another thread", documents.updates_delayed),
        ("document_updates_refused", "Updates that were refused", documents.updates_refused),
        ("document_resyncs", "Members that were asked for all they have", documents.resyncs),
        ("document_states_delayed", "States that waited for a slow member", documents.states_delayed),
        ("document_appends", "Groups of changes appended to the store", documents.appends),
        ("document_appends_failed", "Appends that failed and were tried again", documents.appends_failed),
        ("document_snapshots", "Snapshots stored", documents.snapshots),
        ("document_snapshots_failed", "Snapshots that failed and were tried again", documents.snapshots_failed),
        ("document_conflicts", "Writes refused since another program wrote to the document", documents.conflicts),
        ("document_updates_from_nodes", "Updates of other nodes that changed a document", documents.updates_from_nodes),
        ("document_logs_lost", "Times the store had lost the end of a document's log", documents.logs_lost),
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
const LAG_INTERVAL: Duration = Duration::from_millis(500);
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Each number is another one, so that none stands in the line of another. In the order of the fields, which the
    /// functions above take apart: one that is missing there does not compile.
    #[test]
    fn every_number_has_its_line() {
        let text = write(&Metrics::new(), COUNTERS, AUDIT, &pool()).unwrap();
        let names = |prefix: &str| {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let numbers = lines.filter_map(|line| line.strip_prefix(prefix)?.split_once(' '));
            numbers
                .filter_map(|(name, value)| Some((value.parse().ok()?, name.to_owned())))
                .collect::<BTreeMap<u64, _>>()
        };
        let all = names("roomcast_");
        for (from, expected) in [
            (
                101,
                "sessions_opened_total sockets_connected_total packets_received_total packets_queued_total \
                   volatile_dropped_total upgrades_total too_slow_total pings_unanswered_total peer_faults_total \
                   reserved_refused_total stale_handles_total \
                   sockets_recovered_total recoveries_failed_total packets_replayed_total",
            ),
            (
                201,
                "server_sessions server_websockets server_requests server_sockets server_namespaces server_rooms \
                   server_session_sids server_socket_sids server_acks server_timers server_queued_bytes \
                   server_unadmitted_bytes server_outputs server_unread server_cluster_pending \
                   server_recovery server_recovery_bytes",
            ),
            (
                301,
                "app_sockets app_logins app_users app_active_users app_models app_queries app_held_events app_writes \
                   app_change_bytes app_calls app_writes_lost_total app_queries_overdue_total",
            ),
            (
                401,
                "app_documents app_document_members app_document_updates_pending app_document_bytes \
                   app_document_joins_parked app_document_peers app_document_requests",
            ),
            (
                501,
                "app_document_loads_total app_document_loads_failed_total app_document_refused_full_total \
                   app_document_updates_applied_total app_document_updates_known_total app_document_updates_held_total \
                   app_document_updates_refused_total app_document_resyncs_total app_document_states_delayed_total \
                   app_document_appends_total app_document_appends_failed_total app_document_snapshots_total \
                   app_document_snapshots_failed_total app_document_conflicts_total app_document_resets_total \
                   app_document_contents_saved_total app_document_contents_saved_again_total \
                   app_document_contents_lost_total",
            ),
        ] {
            let expected: BTreeMap<u64, String> =
                (from..).zip(expected.split_whitespace().map(str::to_owned)).collect();
            let found: BTreeMap<_, _> =
                all.range(from..from + 100).map(|(value, name)| (*value, name.clone())).collect();
            assert_eq!(found, expected, "{text}");
        }
        for (value, reason) in (601..).zip([
            "bad_signature",
            "expired",
            "not_yet_valid",
            "malformed",
            "unknown_user",
            "role",
            "revoked",
            "wrong_kind",
            "second_factor",
            "unavailable",
        ]) {
            let name = format!("app_tokens_refused_total{{reason=\"{reason}\"}}");
            assert_eq!(all.get(&value), Some(&name), "{text}");
        }
        assert_eq!(text.matches("# EOF").count(), 1);
    }

    #[test]
    fn what_the_program_counts_itself_has_its_lines() {
        let metrics = Metrics::new();
        metrics.store.answered("note", Duration::from_millis(2), None);
        metrics.store.answered("note", Duration::from_secs(2), Some(&StoreError::Unavailable));
        for error in [StoreError::NotFound, StoreError::Corrupt, StoreError::Conflict] {
            metrics.store.answered("chat", Duration::ZERO, Some(&error));
        }
        metrics.api.responded("/api/emit", StatusCode::UNAUTHORIZED);
        metrics.lag.0.observe(0.3);
        let text = write(&metrics, COUNTERS, AUDIT, &pool()).unwrap();
        for line in [
            "roomcast_store_question_seconds_count{question=\"note\"} 2",
            "roomcast_store_question_seconds_bucket{le=\"0.0025\",question=\"note\"} 1",
            "roomcast_store_errors_total{question=\"note\",error=\"unavailable\"} 1",
            "roomcast_store_errors_total{question=\"chat\",error=\"not_found\"} 1",
            "roomcast_store_errors_total{question=\"chat\",error=\"corrupt\"} 1",
            "roomcast_store_errors_total{question=\"chat\",error=\"conflict\"} 1",
            "roomcast_api_requests_total{route=\"/api/emit\",status=\"401\"} 1",
            "roomcast_driver_lag_seconds_bucket{le=\"0.1\"} 0",
            "roomcast_driver_lag_seconds_bucket{le=\"0.5\"} 1",
            "roomcast_driver_lag_seconds_count 1",
            concat!("roomcast_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_process_itself_has_its_lines() {
        let text = write(&Metrics::new(), COUNTERS, AUDIT, &pool()).unwrap();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            line.parse::<u64>().ok()
        };
        // A test has a megabyte at least, and three files.
        assert!(
            value("process_resident_memory_bytes") > Some(1 << 20) && value("process_open_fds") >= Some(3),
            "{text}"
        );
    }

    /// What an operator reads about is there under that name.
    #[test]
    fn documented_metrics_exist() {
        let metrics = Metrics { bus: vec![RedisMonitor::default()], ..Metrics::new() };
        metrics.store.answered("note", Duration::ZERO, Some(&StoreError::Unavailable));
        metrics.api.responded("/api/emit", StatusCode::OK);
        let text = write(&metrics, COUNTERS, AUDIT, &pool()).unwrap();
        let page = include_str!("../../docs/operation.md");
        let words =
            page.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).filter(|word| word.starts_with("roomcast_"));
        let names: BTreeSet<_> =
            words.filter(|word| !matches!(*word, "roomcast_stores" | "roomcast_adapter")).collect();
        assert!(names.len() > 20, "{names:?}");
        for name in names {
            let is_there = text.lines().any(|line| {
                let rest = line.strip_prefix(name);
                rest.is_some_and(|rest| rest.starts_with([' ', '{']) || rest.starts_with("_bucket"))
            });
            assert!(is_there, "{name} is not in\n{text}");
        }
    }

    const COUNTERS: Counters = Counters {
        sessions_opened: 101,
        sockets_connected: 102,
        packets_received: 103,
        packets_queued: 104,
        volatile_dropped: 105,
        upgrades: 106,
        too_slow: 107,
        pings_unanswered: 108,
        peer_faults: 109,
        reserved_refused: 110,
        stale_handles: 111,
        sockets_recovered: 112,
        recoveries_failed: 113,
        packets_replayed: 114,
    };
    const AUDIT: Audit = Audit {
        sessions: 201,
        conns: 202,
        requests: 203,
        sockets: 204,
        namespaces: 205,
        rooms: 206,
        session_sids: 207,
        socket_sids: 208,
        acks: 209,
        timers: 210,
        queued_bytes: 211,
        unadmitted_bytes: 212,
        outputs: 213,
        unread: 214,
        cluster: 215,
        recovery: 216,
        recovery_bytes: 217,
    };

    fn pool() -> LiveCounts {
        let mut pool = LiveCounts::default();
        let numbers = [
            &mut pool.sockets,
            &mut pool.logins,
            &mut pool.users,
            &mut pool.active_users,
            &mut pool.models,
            &mut pool.queries,
            &mut pool.held_events,
            &mut pool.writes,
            &mut pool.change_bytes,
            &mut pool.calls,
        ];
        numbers.into_iter().zip(301..).for_each(|(number, value)| *number = value);
        (pool.writes_lost, pool.queries_overdue) = (311, 312);
        let now = &mut pool.documents;
        let numbers = [
            &mut now.open,
            &mut now.members,
            &mut now.pending_updates,
            &mut now.bytes,
            &mut now.parked_joins,
            &mut now.peers,
            &mut now.visits,
        ];
        numbers.into_iter().zip(401..).for_each(|(number, value)| *number = value);
        let totals = &mut pool.document_totals;
        let machine = &mut totals.documents;
        let numbers = [
            &mut machine.loads,
            &mut machine.loads_failed,
            &mut machine.refused_full,
            &mut machine.updates_applied,
            &mut machine.updates_known,
            &mut machine.updates_held,
            &mut machine.updates_refused,
            &mut machine.resyncs,
            &mut machine.states_delayed,
            &mut machine.appends,
            &mut machine.appends_failed,
            &mut machine.snapshots,
            &mut machine.snapshots_failed,
            &mut machine.conflicts,
            &mut totals.resets,
            &mut totals.contents_saved,
            &mut totals.contents_saved_again,
            &mut totals.contents_lost,
        ];
        numbers.into_iter().zip(501..).for_each(|(number, value)| *number = value);
        let refused = &mut pool.token_refusals;
        let numbers = [
            &mut refused.bad_signature,
            &mut refused.expired,
            &mut refused.not_yet_valid,
            &mut refused.malformed,
            &mut refused.unknown_user,
            &mut refused.role,
            &mut refused.revoked,
            &mut refused.wrong_kind,
            &mut refused.second_factor,
            &mut refused.unavailable,
        ];
        numbers.into_iter().zip(601..).for_each(|(number, value)| *number = value);
        pool
    }

    #[test]
    fn resident_memory_is_read_from_the_status() {
        assert_eq!(resident_bytes("VmPeak:\t  9 kB\nVmRSS:\t  123 kB\nRssAnon: 1 kB\n"), Some(125_952));
        assert_eq!((resident_bytes(""), resident_bytes("VmRSS: many kB")), (None, None));
    }
}
