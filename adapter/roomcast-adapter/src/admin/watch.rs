//! What the dashboard is told, and when.
//!
//! Owns: the times between two looks, and the figures. Must never know: what a dashboard may do.

use std::collections::BTreeSet;
use std::time::Duration;

use roomcast_core::server::{Audit, Counters, EndpointId};
use roomcast_core::socket_io::{Args, ArgsBuilder};
use serde_json::{Value, json};

use super::sightings::Sightings;
use super::{AdminDetail, AdminPanel};
use crate::clock::wall_now;
use crate::handle::Handle;
use crate::socket::Socket;

impl AdminPanel {
    /// Tells dashboards what there is, until the server ends; to be spawned once beside it. Without a dashboard it asks
    /// twice a second whether there is one.
    pub async fn watch(self, handle: Handle) {
        let endpoint = handle.shared().endpoints.first_socket_io();
        let started = wall_now().as_unix_secs();
        let mut known = BTreeSet::new();
        let (mut before, mut counted) = (Sightings::default(), Counters::default());
        let mut looks = 0_u64;
        loop {
            handle.sleep(LOOK_INTERVAL).await;
            let Some(figures) = look(&handle, endpoint).await else { return };
            let admins = handle.of(self.namespace.as_str()).local().sockets().await;
            if admins.is_empty() {
                known.clear();
                counted = figures.counters;
                continue;
            }
            let date = iso(wall_now().as_unix_millis());
            let told = figures.sightings.since(&before, &date);
            let told: Vec<_> = told.into_iter().filter_map(|(name, values)| Some((name, args(&values)?))).collect();
            let mut of_now = BTreeSet::new();
            for admin in &admins {
                let is_new = !known.contains(&admin.sid().to_string());
                of_now.insert(admin.sid().to_string());
                if self.detail == AdminDetail::Sockets {
                    tell_sockets(admin, is_new, &figures.sightings, &told).await;
                }
                if is_new || looks.is_multiple_of(LOOKS_PER_STATS) {
                    let stats = self.stats(&figures, &counted, wall_now().as_unix_secs() - started);
                    let _gone = admin.emit_volatile("server_stats", (stats,)).await;
                }
            }
            if looks.is_multiple_of(LOOKS_PER_STATS) {
                counted = figures.counters;
            }
            (known, before) = (of_now, figures.sightings);
            looks += 1;
        }
    }

    /// What the package says every 2 s. Events of the same time are told as one.
    fn stats(&self, figures: &Figures, before: &Counters, uptime: u64) -> Value {
        let now = &figures.counters;
        let timestamp = wall_now().as_unix_millis() / 1000 * 1000;
        let events: Vec<_> = [
            ("rawConnection", now.sessions_opened - before.sessions_opened),
            ("packetsIn", now.packets_received - before.packets_received),
            ("packetsOut", now.packets_queued - before.packets_queued),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| json!({ "timestamp": timestamp, "type": kind, "count": count }))
        .collect();
        json!({
            "serverId": self.server_id,
            "hostname": self.server_id,
            "pid": std::process::id(),
            "uptime": uptime,
            "clientsCount": figures.sessions,
            "pollingClientsCount": figures.sessions.saturating_sub(figures.streams),
            "aggregatedEvents": events,
            "namespaces": figures.sightings.namespaces(),
        })
    }
}

/// A new dashboard gets all sockets, the others what is different.
async fn tell_sockets(admin: &Socket, is_new: bool, all: &Sightings, told: &[(&'static str, Args)]) {
    if is_new {
        let _gone = admin.emit("all_sockets", (all.all(),)).await;
        return;
    }
    for (name, args) in told {
        let _gone = admin.emit(*name, args).await;
    }
}

/// Values as the arguments of an event.
fn args(values: &[Value]) -> Option<Args> {
    let mut args = ArgsBuilder::new();
    for value in values {
        args.push(value).ok()?;
    }
    args.finish().ok()
}

/// The server at one moment, all shards together.
struct Figures {
    sightings: Sightings,
    counters: Counters,
    sessions: u64,
    streams: u64,
}

/// `None` once the server has ended.
async fn look(handle: &Handle, endpoint: EndpointId) -> Option<Figures> {
    let mut figures =
        Figures { sightings: Sightings::default(), counters: Counters::default(), sessions: 0, streams: 0 };
    for shard in handle.shards() {
        let mut sightings = std::mem::take(&mut figures.sightings);
        let (sightings, counters, Audit { sessions, conns, .. }) = shard
            .look(move |snapshot| {
                sightings.look(snapshot, endpoint);
                (sightings, snapshot.server.counters(), snapshot.server.audit())
            })
            .await?;
        figures.sightings = sightings;
        figures.counters.sessions_opened += counters.sessions_opened;
        figures.counters.packets_received += counters.packets_received;
        figures.counters.packets_queued += counters.packets_queued;
        figures.sessions += sessions as u64;
        figures.streams += conns as u64;
    }
    Some(figures)
}

/// A time as JavaScript's `Date` writes it in JSON: `2026-11-22T04:50:00.000Z`.
fn iso(unix_millis: u64) -> String {
    let (days, millis) = (unix_millis / DAY_MS, unix_millis % DAY_MS);
    let (mut year, mut day) = (1970, days);
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days_of = |year: u64| 365 + u64::from(is_leap(year));
    while day >= days_of(year) {
        day -= days_of(year);
        year += 1;
    }
    let february = days_of(year) - 337;
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", day + 1, millis % 1000)
}

const DAY_MS: u64 = 86_400_000;

/// Time between two looks at the server.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// As the package's 2 s.
const LOOKS_PER_STATS: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_javascript_does() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (1_795_323_000_000, "2026-11-22T04:50:00.000Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        ] {
            assert_eq!(iso(millis), text);
        }
    }
}
