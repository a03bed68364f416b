//! The program with two shards: to its clients and to the backend it is one server.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

mod common;
mod fleet;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::{Client, Folder, HttpAnswer, Program, api, get};
use fleet::{Fleet, KEY, SECRET, token};
use roomcast_stores::{DatabaseOptions, Embedded, Rows};
use roomcast_testkit::yjs_update::text_update;

/// The program on a file of its own with the people of the demonstration.
struct Sharded {
    folder: Folder,
    program: Program,
    address: SocketAddr,
}

impl Sharded {
    fn start() -> Self {
        let folder = Folder::new();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let store = Embedded::open(&folder.path().join("roomcast.db"), DatabaseOptions::default()).await.unwrap();
            store.seed(&rows()).await.unwrap();
            roomcast_stores::Store::close(&store).await;
        });
        let (program, address) = serve(&folder);
        Self { folder, program, address }
    }

    /// As after a crash, on the same file.
    fn restart(&mut self) {
        self.program.child.kill().unwrap();
        (self.program, self.address) = serve(&self.folder);
    }

    fn join(&self, shard: u8, user: &str) -> Client {
        join(self.address, shard, user)
    }

    fn api(&self, route: &str, body: &str) -> HttpAnswer {
        api(self.address, route, KEY, body)
    }

    /// The same twice, by connections of both shards.
    fn api_of_both(&self, route: &str, body: &str) -> [serde_json::Value; 2] {
        [(); 2].map(|()| {
            let answer = self.api(route, body);
            assert_eq!(answer.status, 200, "{answer:?}");
            serde_json::from_str(&answer.body).unwrap()
        })
    }

    fn metric(&self, name: &str) -> u64 {
        let metrics = get(self.address, "/metrics").body;
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

fn serve(folder: &Folder) -> (Program, SocketAddr) {
    let folder = folder.path().display().to_string();
    let variables = [("WEBUI_SECRET_KEY", SECRET), ("ROOMCAST_API_KEY", KEY), ("DATA_DIR", &folder)];
    Program::serve(&["--store", "own", "--shards", "2"], &variables)
}

/// A client whose session is on this shard. Connections are spread in turn.
fn join(address: SocketAddr, shard: u8, user: &str) -> Client {
    let token = token(user, "token");
    for attempt in 0.. {
        let client = Client::join(address, &token);
        if shard_of(&client.sid) == shard {
            return client;
        }
        // An odd or an even number of connections lies between two sessions.
        if attempt % 2 == 1 {
            drop(common::connect(address));
        }
    }
    panic!("all sessions are on the other shard")
}

/// The shard whose number a session id begins with: 16 bits in base64url.
fn shard_of(sid: &str) -> u8 {
    assert_eq!(&sid[..2], "AA");
    match sid.as_bytes()[2] {
        b'A'..=b'D' => 0,
        b'E'..=b'H' => 1,
        other => panic!("{}", char::from(other)),
    }
}

#[test]
fn the_api_reaches_the_sockets_of_both_shards_by_connections_of_either() {
    let server = Sharded::start();
    let (mut ada, mut ben) = (server.join(0, "ada"), server.join(1, "ben"));
    let sessions = |answer: &serde_json::Value| {
        let members = answer["members"].as_array().unwrap().iter();
        let mut found: Vec<_> = members
            .map(|member| (member["session"].as_str().unwrap().to_owned(), member["user"]["id"].clone()))
            .filter(|(sid, _)| [&ada.sid, &ben.sid].contains(&sid))
            .collect();
        found.sort_by_key(|(sid, _)| sid.clone());
        found
    };
    let expected = [(ada.sid.clone(), "ada".into()), (ben.sid.clone(), "ben".into())];
    for answer in server.api_of_both("/api/members", r#"{"to":{"all":true}}"#) {
        assert_eq!(sessions(&answer), expected);
    }
    for (client, user) in [(&ada, "ada"), (&ben, "ben")] {
        for answer in server.api_of_both("/api/session", &format!(r#"{{"session":"{}"}}"#, client.sid)) {
            assert_eq!(answer["user"]["id"], user);
            assert!(answer["rooms"].as_array().unwrap().contains(&format!("user:{user}").into()), "{answer}");
        }
    }
    for _ in 0..2 {
        for to in [r#"{"rooms":["user:ada","user:ben"]}"#, r#"{"all":true}"#] {
            assert_eq!(server.api("/api/emit", &format!(r#"{{"to":{to},"event":"e","data":1}}"#)).status, 200);
            assert_eq!([ada.next(), ben.next()], [r#"42["e",1]"#; 2]);
        }
    }
    let users: std::collections::BTreeSet<_> =
        server.api_of_both("/api/usage", "{}").map(|a| a["users"].to_string()).into();
    assert_eq!(users.into_iter().collect::<Vec<_>>(), [r#"["ada","ben"]"#]);
    for answer in server.api_of_both("/api/refresh", r#"{"user":"ben"}"#) {
        assert!(answer["sockets"].as_u64() > Some(0), "{answer}");
    }
    assert!(server.metric("roomcast_sessions_opened_total") >= 2);
    assert_eq!(server.metric("roomcast_server_sockets"), server.metric("roomcast_app_sockets"));
    let gone = format!(r#"{{"to":{{"session":"{}"}}}}"#, ben.sid);
    assert_eq!(server.api("/api/disconnect", &gone).body, r#"{"sockets":1}"#);
    assert_eq!(ben.next(), "41");
}

#[test]
fn a_session_is_called_and_enters_rooms_by_connections_of_either_shard() {
    let server = Sharded::start();
    let mut clients = [server.join(0, "ada"), server.join(1, "ben")];
    for (client, user) in clients.iter_mut().zip(["ada", "ben"]) {
        for round in 0..2 {
            let (address, sid) = (server.address, client.sid.clone());
            let to = format!(r#"{{"session":"{sid}","user":"{user}"}}"#);
            let body = format!(r#"{{"to":{to},"event":"events","data":{{}}}}"#);
            let answer = thread::scope(|scope| {
                let asking = scope.spawn(move || api(address, "/api/call", KEY, &body));
                let asked = client.next();
                let id = asked.strip_prefix("42").unwrap().strip_suffix(r#"["events",{}]"#).unwrap();
                client.send(&format!(r#"43{id}["yes"]"#));
                asking.join().unwrap()
            });
            assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"data":["yes"]}"#));
            let others = format!(r#"{{"to":{{"session":"{sid}","user":"cleo"}},"event":"events","data":{{}}}}"#);
            assert_eq!(server.api("/api/call", &others).status, 403);
            let room = format!(r#"{{"to":{{"session":"{sid}"}},"room":"den{round}"}}"#);
            assert_eq!(server.api("/api/enter_room", &room).body, r#"{"sockets":1}"#);
            let emit = format!(r#"{{"to":{{"room":"den{round}"}},"event":"in","data":1}}"#);
            assert_eq!(server.api("/api/emit", &emit).status, 200);
            assert_eq!(client.next(), r#"42["in",1]"#);
            assert_eq!(server.api("/api/leave_room", &room).body, r#"{"sockets":1}"#);
        }
    }
}

/// Open WebUI 0.6.41: a browser that is named alone begins the empty document.
#[test]
fn a_note_is_begun_once_edited_on_both_shards_and_there_after_a_crash() {
    let mut server = Sharded::start();
    let mut members: Vec<Client> =
        (0..4).map(|place| server.join(place % 2, ["ada", "ben"][usize::from(place / 2)])).collect();
    for member in &members {
        member.send(JOIN);
    }
    let content = numbers(&text_update(9, 0, "x"));
    let seeds = AtomicUsize::new(0);
    thread::scope(|scope| {
        for member in &mut members {
            scope.spawn(|| {
                loop {
                    let packet = member.next();
                    if packet.contains(r#""state":[0,0]"#) && is_alone(&packet) {
                        seeds.fetch_add(1, Ordering::Relaxed);
                        return member.send(&update(None, &content));
                    }
                    if packet.contains(&content) {
                        return;
                    }
                }
            });
        }
    });
    assert_eq!(seeds.into_inner(), 1, "one has begun it");
    // Each edits, on its shard, and all hear of it.
    for place in 0..members.len() {
        let edit = numbers(&text_update(u8::try_from(10 + place).unwrap(), 0, "edit"));
        members[place].send(&update(Some(7), &edit));
        // It is stored.
        while !members[place].next().starts_with("437[") {}
        for (other, member) in members.iter_mut().enumerate() {
            while other != place && !member.next().contains(&edit) {}
        }
    }
    assert!(server.metric("roomcast_app_document_updates_from_nodes_total") > 0);
    server.restart();
    for shard in 0..2 {
        let mut late = server.join(shard, "ada");
        late.send(JOIN);
        // An empty state comes first, as the front end wants it. What each member wrote stands in the next one.
        let state = loop {
            let packet = late.next();
            if packet.starts_with(r#"42["ydoc:document:state""#) && !packet.contains(r#""state":[0,0]"#) {
                break packet;
            }
        };
        assert_eq!(state.matches(&numbers(b"edit")).count(), 4, "{state}");
    }
}

#[test]
fn both_shards_are_drained_and_end() {
    let mut server = Sharded::start();
    let clients = [server.join(0, "ada"), server.join(1, "ben")];
    assert_eq!([get(server.address, "/ready").status, get(server.address, "/health").status], [200; 2]);
    // Both are told to come back, to another process.
    thread::scope(|scope| {
        let last = clients.map(|mut client| scope.spawn(move || client.next()));
        while server.metric("roomcast_server_requests") < 2 {}
        server.program.signal("TERM");
        assert_eq!(last.map(|last| last.join().unwrap()), ["1"; 2]);
    });
    let (status, said) = server.program.end();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("shutdown complete"), "{said}");
}

/// Each shard is a node of the fleet, and to each other they are that without Redis as well.
#[test]
fn shards_take_part_in_a_fleet_on_redis() {
    let mut fleet = Fleet::start(2, &[("ROOMCAST_SHARDS", "2")]);
    let mut clients: Vec<Client> = [(0, 0, "ada"), (0, 1, "ben"), (1, 0, "cleo"), (1, 1, "ada")]
        .map(|(node, shard, user)| join(fleet.nodes[node].1, shard, user))
        .into();
    for client in &clients {
        let session = format!(r#"{{"session":"{}"}}"#, client.sid);
        for node in [0, 1, 0, 1] {
            while fleet.api(node, "/api/session", &session).status != 200 {}
        }
    }
    for node in [0, 1, 0, 1] {
        let emit = r#"{"to":{"rooms":["user:ada","user:ben","user:cleo"]},"event":"e","data":1}"#;
        assert_eq!(fleet.api(node, "/api/emit", emit).status, 200);
        // Each once: what comes next is the next.
        assert!(clients.iter_mut().all(|client| client.next() == r#"42["e",1]"#));
    }
    fleet.publish("socketio", "user:ada", "python");
    assert_eq!([clients[0].next(), clients[3].next()], [r#"42["python",{"n": 1}]"#; 2]);
    fleet.redis.kill();
    fleet.until(0, "roomcast_redis_publishing 0");
    for _ in 0..2 {
        let emit = r#"{"to":{"rooms":["user:ada","user:ben"]},"event":"local","data":1}"#;
        assert_eq!(fleet.api(0, "/api/emit", emit).status, 200);
        assert_eq!([clients[0].next(), clients[1].next()], [r#"42["local",1]"#; 2]);
    }
}

/// The demonstration's, and a note without content.
fn rows() -> Rows {
    let mut rows = Rows::demo();
    let mut fresh = rows.notes[0].clone();
    (fresh.id, fresh.data) = ("fresh".into(), None);
    rows.notes.push(fresh);
    rows
}

fn update(ack: Option<u8>, numbers: &str) -> String {
    let ack = ack.map(|id| id.to_string()).unwrap_or_default();
    format!(r#"42{ack}["ydoc:document:update",{{"document_id":"note:fresh","update":[{numbers}]}}]"#)
}

fn numbers(bytes: &[u8]) -> String {
    bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(",")
}

/// Whether a state names one session.
fn is_alone(packet: &str) -> bool {
    let sessions = packet.split(r#""sessions":["#).nth(1).unwrap_or_default();
    let sessions = sessions.split(']').next().unwrap_or_default();
    !sessions.is_empty() && !sessions.contains(',')
}

const JOIN: &str = r#"42["ydoc:document:join",{"document_id":"note:fresh","user_id":"x","user_name":"X"}]"#;
