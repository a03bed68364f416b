//! A note in two programs at once: one Redis, one database of Open WebUI, members by y-protocols and by Socket.IO.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;
#[expect(dead_code, reason = "shared with the tests of the bus, which use all of it")]
#[path = "../../adapter/roomcast-redis/tests/redis/server.rs"]
mod server;

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Client, Program, get};
use roomcast_auth::sign_hs256;
use roomcast_testkit::yjs_update::text_update;
use roomcast_yjs::{Document, DocumentLimits, ProtocolMessage, Source, StateVector, Verdict};
use server::RedisServer;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tungstenite::{Message as Frame, WebSocket};

const SECRET: &str = "the-secret-of-a-test-of-documents";

struct Fleet {
    redis: RedisServer,
    nodes: Vec<(Program, SocketAddr)>,
    folder: PathBuf,
}

impl Fleet {
    fn start(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fleet-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        create(&folder.join("webui.db"));
        let mut fleet = Self { redis: RedisServer::start(&["--appendonly", "yes"]), nodes: Vec::new(), folder };
        for _ in 0..2 {
            let node = fleet.node();
            fleet.nodes.push(node);
        }
        fleet
    }

    /// A program with files of its own beside what it shares.
    fn node(&self) -> (Program, SocketAddr) {
        self.node_with(&[])
    }

    /// The same with variables of its own.
    fn node_with(&self, more: &[(&str, &str)]) -> (Program, SocketAddr) {
        let (redis, database) = (self.redis.url(), format!("sqlite:///{}", self.folder.join("webui.db").display()));
        let variables = [
            ("WEBUI_SECRET_KEY", SECRET),
            ("WEBSOCKET_MANAGER", "redis"),
            ("WEBSOCKET_REDIS_URL", redis.as_str()),
            ("DATABASE_URL", database.as_str()),
        ];
        let variables: Vec<(&str, &str)> = variables.into_iter().chain(more.iter().copied()).collect();
        let node = Program::serve(&[], &variables);
        while !get(node.1, "/metrics").body.lines().any(|line| line == "roomcast_redis_receiving 1") {}
        node
    }

    fn metric(&self, node: usize, name: &str) -> u64 {
        let metrics = get(self.nodes[node].1, "/metrics").body;
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// What Open WebUI's database has of the note that was empty.
    fn content(&self) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(self.folder.join("webui.db"));
            let mut database = SqliteConnection::connect_with(&options).await.unwrap();
            let content = sqlx::query_scalar("SELECT data FROM note WHERE id = 'fresh'");
            let content: String = content.fetch_one(&mut database).await.unwrap();
            database.close().await.unwrap();
            content
        })
    }

    /// Claims and presences of nodes in documents.
    fn held(&self) -> usize {
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut self.redis.admin()).unwrap();
        let of_node = |key: &String| key.ends_with(":claim") || key.ends_with(":nodes");
        keys.into_iter().filter(|key| key.contains("roomcast:document") && of_node(key)).count()
    }

    fn provider(&self, node: usize, user: &str, client: u8) -> Provider {
        Provider::join(self.nodes[node].1, user, client)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.nodes.clear();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The tables of Open WebUI, an empty note that all may write and one with a content.
fn create(file: &Path) {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/webui.sql");
    let tables = std::fs::read_to_string(tables).unwrap();
    let notes = r#"INSERT INTO note (id, user_id, title, data, access_control, created_at, updated_at) VALUES
        ('fresh', 'alice', 'Fresh', 'null', '{"read":{"user_ids":["bob"]},"write":{"user_ids":["bob"]}}', 1, 1),
        ('full', 'alice', 'Full', '{"content":{"json":null,"html":"<p>x</p>","md":"x"}}',
         '{"read":{"user_ids":["bob"]},"write":{"user_ids":["bob"]}}', 1, 1)"#;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
        let mut database = SqliteConnection::connect_with(&options).await.unwrap();
        for sql in [tables, notes.to_owned()] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut database).await.unwrap();
        }
        database.close().await.unwrap();
    });
}

fn token(user: &str) -> String {
    sign_hs256(SECRET.as_bytes(), &format!(r#"{{"id":"{user}"}}"#))
}

/// A stock provider with one client of Yjs.
struct Provider {
    socket: WebSocket<TcpStream>,
    doc: Document,
    client: u8,
    clock: u32,
    /// What others have announced.
    awareness: Vec<u8>,
}

impl Provider {
    fn join(address: SocketAddr, user: &str, client: u8) -> Self {
        let stream = common::connect(address);
        let url = format!("ws://{address}/ws/yjs/note:fresh?token={}", token(user));
        let (socket, _) = tungstenite::client(url, stream).unwrap();
        let doc = Document::new(DocumentLimits::default());
        let mut provider = Self { socket, doc, client, clock: 0, awareness: Vec::new() };
        provider.say(&ProtocolMessage::SyncStep1(&[0]));
        // The server asks, and answers.
        while !matches!(provider.hear(), MessageKind::Step2) {}
        provider
    }

    fn say(&mut self, message: &ProtocolMessage<'_>) {
        self.socket.send(Frame::binary(message.encode())).unwrap();
    }

    /// Types text behind what this client typed before.
    fn edit(&mut self, said: &str) {
        let update = text_update(self.client, self.clock, said);
        assert_eq!(self.doc.apply(&update, Source::Stored), Verdict::Applied);
        self.clock += u32::try_from(said.len()).unwrap();
        self.say(&ProtocolMessage::Update(&update));
    }

    fn announce(&mut self, clock: u8, state: &str) {
        let mut update = vec![1, self.client, clock, u8::try_from(state.len()).unwrap()];
        update.extend_from_slice(state.as_bytes());
        self.say(&ProtocolMessage::Awareness(&update));
    }

    /// The next message.
    fn hear(&mut self) -> MessageKind {
        loop {
            let Frame::Binary(bytes) = self.socket.read().unwrap() else { continue };
            return match ProtocolMessage::decode(&bytes).unwrap() {
                ProtocolMessage::SyncStep1(vector) => {
                    let known = StateVector::decode(vector).unwrap();
                    let difference = self.doc.difference(&known);
                    self.say(&ProtocolMessage::SyncStep2(&difference));
                    MessageKind::Other
                }
                ProtocolMessage::SyncStep2(update) => {
                    self.doc.apply(update, Source::Stored);
                    MessageKind::Step2
                }
                ProtocolMessage::Update(update) => {
                    self.doc.apply(update, Source::Stored);
                    MessageKind::Other
                }
                ProtocolMessage::Awareness(update) => {
                    self.awareness.extend_from_slice(update);
                    MessageKind::Other
                }
                ProtocolMessage::PermissionDenied(_) | ProtocolMessage::QueryAwareness => MessageKind::Other,
            };
        }
    }

    /// What it has of a client of Yjs.
    fn clock_of(&self, client: u8) -> u32 {
        let vector = self.doc.store().state_vector();
        vector.iter().find(|(id, _)| id.as_u64() == u64::from(client)).map_or(0, |(_, clock)| clock)
    }

    fn hear_until(&mut self, client: u8, clock: u32) {
        while self.clock_of(client) < clock {
            self.hear();
        }
    }

    fn hear_of(&mut self, state: &str) {
        while !String::from_utf8_lossy(&self.awareness).contains(state) {
            self.hear();
        }
        self.awareness.clear();
    }
}

#[derive(PartialEq, Eq)]
enum MessageKind {
    Step2,
    Other,
}

#[test]
fn editors_on_two_nodes_see_each_others_edits_and_cursors() {
    let fleet = Fleet::start("editors");
    let (mut alice, mut bob) = (fleet.provider(0, "alice", 1), fleet.provider(1, "bob", 2));
    alice.edit("from alice");
    bob.hear_until(1, 10);
    bob.edit("from bob");
    alice.hear_until(2, 8);
    alice.announce(1, r#"{"at":7}"#);
    bob.hear_of(r#"{"at":7}"#);
    bob.announce(1, r#"{"at":9}"#);
    alice.hear_of(r#"{"at":9}"#);
    // One that comes later is told of both, at either node.
    let mut late = fleet.provider(1, "alice", 3);
    late.hear_of(r#"{"at":7}"#);
    assert_eq!((late.clock_of(1), late.clock_of(2)), (10, 8));
    drop(alice);
    bob.hear_of("null");
    assert!(fleet.metric(0, "roomcast_app_document_updates_from_nodes_total") > 0);
}

#[test]
fn what_was_seen_on_another_node_survives_the_end_of_the_one_that_took_it() {
    let mut fleet = Fleet::start("crash");
    let (mut alice, mut bob) = (fleet.provider(0, "alice", 1), fleet.provider(1, "bob", 2));
    for round in 1..=200 {
        alice.edit("word ");
        if round % 20 == 0 {
            bob.edit("bob's ");
            // The stream goes on, and what has been seen counts.
            bob.hear_until(1, 5 * (round - 15));
        }
    }
    let seen = bob.clock_of(1);
    fleet.nodes[0].0.child.kill().unwrap();
    fleet.nodes[0] = fleet.node();
    // The editor is gone as well: what it has kept does not help.
    let _gone = alice;
    let mut again = fleet.provider(0, "alice", 3);
    assert!(again.clock_of(1) >= seen, "{} of {seen}", again.clock_of(1));
    bob.edit("after");
    again.hear_until(2, bob.clock);
    again.edit("the end");
    bob.hear_until(3, 7);
    assert_eq!(bob.doc.store().state_vector(), again.doc.store().state_vector());
    // And from the store alone.
    fleet.nodes[1].0.child.kill().unwrap();
    fleet.nodes[0].0.child.kill().unwrap();
    fleet.nodes[0] = fleet.node();
    let last = fleet.provider(0, "bob", 4);
    assert_eq!(last.doc.store().state_vector(), bob.doc.store().state_vector());
}

#[test]
fn redis_may_go_away_and_come_back_while_both_nodes_are_written_to() {
    let mut fleet = Fleet::start("redis");
    let (mut alice, mut bob) = (fleet.provider(0, "alice", 1), fleet.provider(1, "bob", 2));
    alice.edit("before");
    bob.hear_until(1, 6);
    fleet.redis.kill();
    alice.edit(" without alice");
    bob.edit("without bob");
    fleet.redis.run();
    bob.hear_until(1, alice.clock);
    alice.hear_until(2, bob.clock);
    assert_eq!(bob.doc.store().state_vector(), alice.doc.store().state_vector());
}

/// What would keep the other nodes waiting: that it has the document in memory, and that it may begin it.
#[test]
fn a_node_that_ends_in_order_releases_the_documents_it_had() {
    let mut fleet = Fleet::start("release");
    let member = Client::join(fleet.nodes[0].1, &token("alice"));
    member.send(r#"42["ydoc:document:join",{"document_id":"note:full","user_id":"x","user_name":"X"}]"#);
    let mut alice = fleet.provider(0, "alice", 1);
    alice.edit("something");
    while fleet.held() < 2 {}
    fleet.nodes[0].0.signal("TERM");
    fleet.nodes[0].0.end();
    assert_eq!(fleet.held(), 0, "neither a claim nor a presence");
    let mut bob = fleet.provider(1, "bob", 2);
    assert_eq!(bob.clock_of(1), 9, "and all is stored");
    bob.edit("more");
}

/// No time is left for clients to go by themselves: they are cut off.
#[test]
fn a_node_whose_grace_is_over_releases_the_documents_of_those_that_are_left() {
    let mut fleet = Fleet::start("cut-off");
    let node = fleet.node_with(&[("ROOMCAST_GRACE_SECONDS", "0")]);
    fleet.nodes[0] = node;
    let mut alice = fleet.provider(0, "alice", 1);
    alice.edit("something");
    while fleet.held() == 0 {}
    fleet.nodes[0].0.signal("TERM");
    fleet.nodes[0].0.end();
    assert_eq!(fleet.held(), 0, "neither a claim nor a presence");
    let mut bob = fleet.provider(1, "bob", 2);
    assert_eq!(bob.clock_of(1), 9, "and all is stored");
    bob.edit("more");
}

// docs/openwebui-protocol.md, section 2.5, item 13.
/// Open WebUI 0.6.41: a browser that is named alone loads the note's content into the empty document.
#[test]
fn of_the_browsers_of_two_nodes_one_loads_the_note() {
    let fleet = Fleet::start("seed");
    let mut members: Vec<Client> =
        (0..4).map(|place| Client::join(fleet.nodes[place % 2].1, &token(["alice", "bob"][place / 2]))).collect();
    for member in &members {
        member.send(r#"42["ydoc:document:join",{"document_id":"note:full","user_id":"x","user_name":"X"}]"#);
    }
    // One of them is told that it is alone, sooner or later; it does as a front end does, and then all have it.
    let content = text_update(9, 0, "x");
    let numbers = content.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
    let seeds = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for member in &mut members {
            scope.spawn(|| {
                loop {
                    let packet = member.next();
                    if packet.contains(r#""state":[0,0]"#) && is_alone(&packet) {
                        seeds.fetch_add(1, Ordering::Relaxed);
                        return member.send(&format!(
                            r#"42["ydoc:document:update",{{"document_id":"note:full","update":[{numbers}]}}]"#
                        ));
                    }
                    if packet.contains(&numbers) {
                        return;
                    }
                }
            });
        }
    });
    assert_eq!(seeds.into_inner(), 1, "one has loaded it");
}

// Item 13 as well.
/// Open WebUI 0.12: all browsers bring the note's content, and each waits for what it is to begin with. Those of the node
/// that may not begin the document wait for the other one's.
#[test]
fn of_the_first_updates_on_two_nodes_one_counts_and_all_are_answered_with_it() {
    let fleet = Fleet::start("initialize");
    let mut members: Vec<Client> =
        (0..6).map(|place| Client::join(fleet.nodes[place % 2].1, &token(["alice", "bob"][place / 3]))).collect();
    for member in &members {
        member.send(r#"42["ydoc:document:join",{"document_id":"note:full","user_id":"x","user_name":"X"}]"#);
    }
    for (client, member) in (10..).zip(&members) {
        let update = numbers(&text_update(client, 0, "the note"));
        let payload = format!(r#"{{"document_id":"note:full","update":[{update}],"initialize":true}}"#);
        member.send(&format!(r#"427["ydoc:document:update",{payload}]"#));
    }
    let acks: Vec<String> = members.iter_mut().map(|member| ack(member, 7)).collect();
    let begun = (10..16).filter(|client| acks[0] == format!("[[{}]]", numbers(&text_update(*client, 0, "the note"))));
    assert_eq!(begun.count(), 1, "{}", acks[0]);
    assert!(acks.iter().all(|ack| *ack == acks[0]), "{acks:?}");
}

/// What the browsers of one node rendered is saved by that node, and taken by the others for what it is: no change from
/// elsewhere, with which the document would begin anew.
#[test]
fn the_content_of_a_note_is_saved_by_the_node_of_its_author_and_known_on_the_others() {
    let mut fleet = Fleet::start("contents");
    let names = [("alice", 0), ("bob", 1)];
    let mut members = names.map(|(user, node)| Client::join(fleet.nodes[node].1, &token(user)));
    for member in &members {
        member.send(r#"42["ydoc:document:join",{"document_id":"note:fresh","user_id":"x","user_name":"X"}]"#);
    }
    for round in 0..4_u8 {
        let author = usize::from(round % 2);
        let update = numbers(&text_update(10 + round, 0, "word "));
        let content = format!(r#"{{"md":"round {round}","html":"","json":null}}"#);
        let payload = format!(r#"{{"document_id":"note:fresh","update":[{update}],"data":{{"content":{content}}}}}"#);
        members[author].send(&format!(r#"42{round}["ydoc:document:update",{payload}]"#));
        assert_eq!(ack(&mut members[author], round), "[]");
        while !fleet.content().contains(&format!("round {round}")) {}
    }
    drop(members);
    for node in 0..2 {
        fleet.nodes[node].0.signal("TERM");
        fleet.nodes[node].0.end();
    }
    assert!(fleet.content().contains("round 3"), "{}", fleet.content());
    fleet.nodes[0] = fleet.node();
    let late = fleet.provider(0, "alice", 1);
    assert_eq!((10..14).map(|client| late.clock_of(client)).collect::<Vec<_>>(), [5; 4]);
    assert_eq!(fleet.metric(0, "roomcast_app_document_resets_total"), 0);
}

/// The arguments of an ack, behind other packets.
fn ack(member: &mut Client, id: u8) -> String {
    let start = format!("43{id}");
    loop {
        if let Some(args) = member.next().strip_prefix(&start) {
            return args.to_owned();
        }
    }
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
