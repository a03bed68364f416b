//! What there is at one moment, and what is different from the moment before.
//!
//! Owns: [`Sightings`], the form of a socket in the dashboard, and the events that tell of a difference. Must never know:
//! how they are sent.

use std::collections::BTreeMap;

use roomcast_core::engine_io::session::State;
use roomcast_core::server::{EndpointId, Handshake};
use serde_json::{Map, Value, json};

use crate::presence::{Presence, Snapshot};

/// The sockets of an endpoint at one moment, by namespace and sid.
#[derive(Clone, Default)]
pub(super) struct Sightings(BTreeMap<(String, String), SeenSocket>);

#[derive(Clone, Debug, PartialEq)]
struct SeenSocket {
    client: String,
    transport: &'static str,
    handshake: Value,
    rooms: Vec<String>,
}

impl Sightings {
    /// Takes in the sockets of a shard.
    pub(super) fn look(&mut self, snapshot: Snapshot<'_>, endpoint: EndpointId) {
        let is_meant = |presence: &&Presence| presence.scope.endpoint == endpoint && presence.is_connected();
        for presence in snapshot.presences.iter().flatten().map(|presence| &**presence).filter(is_meant) {
            let connect = &presence.connect;
            let sid = connect.sid.to_string();
            let mut rooms: Vec<_> = snapshot.server.rooms(connect.socket).map(str::to_owned).collect();
            rooms.sort_unstable();
            // In socket.io it is a room like any other.
            rooms.insert(0, sid.clone());
            let (state, client) = match snapshot.server.session_state(connect.session) {
                Some((state, sid)) => (state, sid.as_str().chars().take(CLIENT_ID_CHARS).collect()),
                None => continue,
            };
            let transport = if state == State::WebSocket { "websocket" } else { "polling" };
            let seen = SeenSocket { client, transport, handshake: handshake(&connect.request), rooms };
            self.0.insert((presence.scope.namespace.to_string(), sid), seen);
        }
    }

    /// The argument of `all_sockets`.
    pub(super) fn all(&self) -> Value {
        self.0.iter().map(|((nsp, sid), seen)| seen.form(nsp, sid)).collect()
    }

    /// The namespaces with the number of their sockets, as `server_stats` has them.
    pub(super) fn namespaces(&self) -> Value {
        let mut counts = BTreeMap::<&str, usize>::new();
        for (nsp, _) in self.0.keys() {
            *counts.entry(nsp).or_default() += 1;
        }
        counts.into_iter().map(|(name, count)| json!({ "name": name, "socketsCount": count })).collect()
    }

    /// What to tell a dashboard that knows `before`: names of events and their arguments, `date` among them.
    pub(super) fn since(&self, before: &Self, date: &str) -> Vec<(&'static str, Vec<Value>)> {
        let mut told = Vec::new();
        for ((nsp, sid), _) in before.0.iter().filter(|(key, _)| !self.0.contains_key(*key)) {
            // Why it went is not known any more.
            told.push(("socket_disconnected", vec![json!(nsp), json!(sid), json!("unknown"), json!(date)]));
        }
        for ((nsp, sid), seen) in &self.0 {
            let Some(known) = before.0.get(&(nsp.clone(), sid.clone())) else {
                told.push(("socket_connected", vec![seen.form(nsp, sid), json!(date)]));
                continue;
            };
            if seen.transport != known.transport {
                told.push(("socket_updated", vec![json!({ "id": sid, "nsp": nsp, "transport": seen.transport })]));
            }
            let room = |room: &String| vec![json!(nsp), json!(room), json!(sid), json!(date)];
            let joined = seen.rooms.iter().filter(|room| !known.rooms.contains(room));
            told.extend(joined.map(|name| ("room_joined", room(name))));
            let left = known.rooms.iter().filter(|room| !seen.rooms.contains(room));
            told.extend(left.map(|name| ("room_left", room(name))));
        }
        told
    }
}

impl SeenSocket {
    fn form(&self, nsp: &str, sid: &str) -> Value {
        json!({
            "id": sid,
            "clientId": self.client,
            "transport": self.transport,
            "nsp": nsp,
            "data": {},
            "handshake": self.handshake,
            "rooms": self.rooms,
        })
    }
}

/// The request that opened a session. Cookies and tokens in its headers are left out, of which the package shows all.
fn handshake(request: &Handshake) -> Value {
    let shown = |name: &str| !matches!(name, "authorization" | "cookie" | "proxy-authorization");
    let headers: Map<_, _> = request
        .headers()
        .filter(|(name, _)| shown(name))
        .map(|(name, value)| (name.to_owned(), json!(String::from_utf8_lossy(value))))
        .collect();
    let (path, query) = request.target().split_once('?').unwrap_or((request.target(), ""));
    let parameters: Map<_, _> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    // As the trusted proxies say; the package believes any header.
    let address = request.address().map(|address| address.to_string());
    json!({ "address": address, "headers": headers, "query": parameters, "secure": false, "url": path, "xdomain": headers.contains_key("origin") })
}

const CLIENT_ID_CHARS: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_by_the_events_that_lead_to_it() {
        let seen = |transport, rooms: &[&str]| SeenSocket {
            client: "c".into(),
            transport,
            handshake: Value::Null,
            rooms: rooms.iter().map(|&room| room.to_owned()).collect(),
        };
        let of = |sockets: &[(&str, SeenSocket)]| {
            Sightings(sockets.iter().map(|(sid, seen)| (("/".to_owned(), (*sid).to_owned()), seen.clone())).collect())
        };
        let before = of(&[("a", seen("polling", &["a", "x"])), ("b", seen("polling", &["b"]))]);
        let after = of(&[("a", seen("websocket", &["a", "y"])), ("c", seen("polling", &["c"]))]);
        let told: Vec<_> = after.since(&before, "now").into_iter().map(|(name, args)| (name, json!(args))).collect();
        assert_eq!(told[0], ("socket_disconnected", json!(["/", "b", "unknown", "now"])));
        assert_eq!(told[1], ("socket_updated", json!([{ "id": "a", "nsp": "/", "transport": "websocket" }])));
        assert_eq!(told[2], ("room_joined", json!(["/", "y", "a", "now"])));
        assert_eq!(told[3], ("room_left", json!(["/", "x", "a", "now"])));
        assert_eq!((told[4].0, &told[4].1[0]["id"], told.len()), ("socket_connected", &json!("c"), 5));
        assert!(after.since(&after, "now").is_empty());
    }
}
