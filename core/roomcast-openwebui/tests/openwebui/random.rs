//! Random input in random order, from clients, stores and the rest of the program: no panic, each ack and answer
//! exactly once, no socket in a room without a session, and no state left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use roomcast_core::server::Extent;
use roomcast_openwebui::{Notices, Request, Response, To};

use super::events::{call, emit};
use super::store::Manner;
use super::world::{START_SECS, World, token, token_of};

proptest! {
    #[test]
    fn nothing_is_lost_doubled_or_left_behind(steps in vec(steps(), 0..60)) {
        let mut run = Run::new();
        for step in steps {
            run.take(step);
            run.check();
        }
        run.come_to_rest();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Connect {
        auth: usize,
    },
    Send {
        client: Index,
        event: Index,
        user: usize,
        ack: bool,
    },
    Leave {
        client: Index,
    },
    /// A client acknowledges what it was asked.
    Acknowledge {
        client: Index,
    },
    Request(usize, Index),
    Manner(Manner),
    Answer {
        which: Index,
    },
    /// The store says something that was not asked.
    AnswerOddly {
        which: Index,
    },
    Change(usize),
    Pass {
        millis: u64,
    },
    SetWall {
        secs: u64,
    },
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..4usize).prop_map(|auth| Step::Connect { auth }),
        8 => (any::<Index>(), any::<Index>(), 0..USERS.len(), any::<bool>())
            .prop_map(|(client, event, user, ack)| Step::Send { client, event, user, ack }),
        1 => any::<Index>().prop_map(|client| Step::Leave { client }),
        1 => any::<Index>().prop_map(|client| Step::Acknowledge { client }),
        2 => (0..9usize, any::<Index>()).prop_map(|(kind, client)| Step::Request(kind, client)),
        1 => select(vec![Manner::AtOnce, Manner::Later, Manner::Failing]).prop_map(Step::Manner),
        3 => any::<Index>().prop_map(|which| Step::Answer { which }),
        1 => any::<Index>().prop_map(|which| Step::AnswerOddly { which }),
        1 => (0..7usize).prop_map(Step::Change),
        3 => select(vec![1, 300, 700, 3000, 6000, 70_000, 200_000]).prop_map(|millis| Step::Pass { millis }),
        1 => select(vec![0, 50, 5000]).prop_map(|secs| Step::SetWall { secs }),
    ]
}

const USERS: [&str; 5] = ["alice", "bob", "carol", "pete", "nobody"];

/// `TOKEN` is a user's. What is here is acknowledged if that is asked for.
const EVENTS: [&str; 26] = [
    r#"["user-join",{"auth":{"token":"TOKEN"}}]"#,
    r#"["user-join",{"auth":{"token":"TOKEN"}}]"#,
    r#"["user-join",{"auth":{"token":"x"}}]"#,
    r#"["user-join",[]]"#,
    r#"["heartbeat",{}]"#,
    r#"["usage",{"model":"small"}]"#,
    r#"["usage",7]"#,
    r#"["join-channels",{"auth":{"token":"TOKEN"}}]"#,
    r#"["join-note",{"note_id":"plan","auth":{"token":"TOKEN"}}]"#,
    r#"["join-note",{"note_id":"plan"}]"#,
    r#"["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"typing","data":{"typing":true}}}]"#,
    r#"["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"last_read_at"}}]"#,
    r#"["events:channel",{"channel_id":"general"}]"#,
    r#"["events:chat",{"chat_id":"talk","data":{"type":"join"}}]"#,
    r#"["events:chat",{"chat_id":"talk","data":{"type":"leave"}}]"#,
    r#"["events:chat",{"chat_id":"talk","data":{"type":"typing","data":{"typing":true}}}]"#,
    r#"["events:chat",{"chat_id":"talk","data":{"type":"last_read_at"}}]"#,
    r#"["events:chat",{"chat_id":null,"data":{"type":"join"}}]"#,
    r#"["ydoc:document:join",{"document_id":"note:plan"}]"#,
    r#"["ydoc:document:join",{"document_id":"note_plan"}]"#,
    r#"["ydoc:document:join",{"document_id":"plan"}]"#,
    r#"["ydoc:document:update",{"document_id":"note:plan","update":[1,1,1,0,4,1,1,116,2,104,105,0],"data":{"content":{"md":"hi"}}}]"#,
    r#"["ydoc:document:update",{"document_id":"note:plan","update":[1,1,1,7,132,1,6,1,104,0]}]"#,
    r#"["ydoc:document:state",{"document_id":"note:plan"}]"#,
    r#"["ydoc:document:leave",{"document_id":"note:plan"}]"#,
    r#"["ydoc:awareness:update",{"document_id":"note:plan","update":[123,125]}]"#,
];

struct Run {
    world: World,
    /// How often each ack that a client asked for has come.
    acks: Vec<BTreeMap<u64, u32>>,
    /// Those that must come.
    owed: Vec<BTreeSet<u64>>,
    /// Packets that asked a client for an ack.
    asked: Vec<Vec<u64>>,
    next_ack: u64,
    requests: u64,
}

impl Run {
    fn new() -> Self {
        let world = World::with(|settings| settings.notices = Notices::On);
        Self { world, acks: Vec::new(), owed: Vec::new(), asked: Vec::new(), next_ack: 0, requests: 0 }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Connect { auth } => {
                let short = token_of(&format!(r#"{{"id":"bob","exp":{}}}"#, START_SECS + 100));
                let auth = match auth {
                    0 => "{}".to_owned(),
                    1 => r#"{"token":"x"}"#.to_owned(),
                    2 => format!(r#"{{"token":"{}"}}"#, token("bob")),
                    _ => format!(r#"{{"token":"{short}"}}"#),
                };
                self.world.connect(&auth);
                self.acks.push(BTreeMap::new());
                self.owed.push(BTreeSet::new());
                self.asked.push(Vec::new());
            }
            Step::Send { client, event, user, ack } => {
                let Some(client) = self.pick(client) else { return };
                let event = event.get(&EVENTS).replace("TOKEN", &token(USERS[user]));
                if ack {
                    self.next_ack += 1;
                    // An update that builds on another is acknowledged if that is there.
                    if !event.contains("1,1,1,7") {
                        self.owed[client].insert(self.next_ack);
                    }
                    self.acks[client].insert(self.next_ack, 0);
                    self.world.send(client, &format!("2{}{event}", self.next_ack));
                } else {
                    self.world.send(client, &format!("2{event}"));
                }
                self.world.send(client, r#"2["an-event-of-others"]"#);
            }
            Step::Leave { client } => {
                if let Some(client) = self.pick(client) {
                    self.world.leave(client);
                }
            }
            Step::Acknowledge { client } => {
                let Some(client) = self.pick(client) else { return };
                if let Some(id) = self.asked[client].pop() {
                    self.world.send(client, &format!("3{id}[1]"));
                }
            }
            Step::Request(kind, client) => self.request(kind, client),
            Step::Manner(manner) => self.world.store.manner = manner,
            Step::Answer { which } => {
                if let Some(index) = nth(which, self.world.waiting.len()) {
                    let query = self.world.waiting.remove(index).unwrap();
                    self.world.answer(query);
                }
            }
            Step::AnswerOddly { which } => {
                if let Some(index) = nth(which, self.world.waiting.len()) {
                    let mut query = self.world.waiting.remove(index).unwrap();
                    query.question =
                        roomcast_openwebui::query::Question::Chat { chat: "talk".into(), user: "bob".into() };
                    self.world.answer(query);
                }
            }
            Step::Change(change) => self.change(change),
            Step::Pass { millis } => self.world.pass_ms(millis),
            Step::SetWall { secs } => {
                self.world.wall_step = Duration::from_secs(secs);
                self.world.tell_wall();
            }
        }
    }

    fn request(&mut self, kind: usize, client: Index) {
        let sid = self.pick(client).map(|client| self.world.clients[client].sid.clone()).unwrap_or_default();
        let message = r#"{"chat_id":"talk","message_id":"m","data":{"type":"message","data":{"content":"x"}}}"#;
        let bob = || To::User("bob".into());
        let request = match kind {
            0 => emit(bob(), "events", message),
            1 => call(&sid, message),
            2 => call(&sid, message),
            3 => Request::Refresh { user: "bob".into() },
            4 => emit(bob(), "events:channel", r#"{"data":{"type":"channel:created"}}"#),
            5 => Request::Disconnect { to: To::Socket(sid.into()), extent: Extent::Namespace },
            6 => Request::Disconnect { to: bob(), extent: Extent::Connection },
            7 => Request::Flush { timeout: Duration::from_secs(2) },
            _ => Request::Counts,
        };
        self.world.request(request);
        self.requests += 1;
    }

    fn change(&mut self, change: usize) {
        let store = &self.world.store;
        match change {
            0 => store.revoke("of-bob"),
            1 => store.restore("of-bob"),
            2 => store.set_role("bob", "pending"),
            3 => store.set_role("bob", "admin"),
            4 => store.leave_channels("bob"),
            5 => store.enter_channel("bob", "general"),
            _ => store.put_chat("talk", "alice"),
        }
    }

    /// What holds at any time.
    fn check(&mut self) {
        for client in 0..self.acks.len() {
            for text in self.world.read(client) {
                let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
                if let Some(text) = text.strip_prefix('3') {
                    let id: u64 = text[..digits(text)].parse().unwrap();
                    *self.acks[client].get_mut(&id).expect("an ack that was asked for") += 1;
                } else if let Some(id) = text.strip_prefix('2').and_then(|text| text[..digits(text)].parse().ok()) {
                    self.asked[client].push(id);
                }
            }
            assert!(self.acks[client].values().all(|count| *count <= 1), "an ack twice");
            let rooms = self.world.rooms(client);
            let user = self.world.socket(client).and_then(|socket| self.world.stack.app.user_of(socket));
            match user {
                Some(user) => {
                    let own: Vec<_> = rooms.iter().filter(|room| room.starts_with("user:")).collect();
                    assert_eq!(own, [&format!("user:{}", user.id)]);
                    assert!(matches!(&*user.role, "admin" | "user"));
                }
                None => assert_eq!(rooms, Vec::<String>::new(), "rooms belong to sessions"),
            }
        }
        assert!(u64::try_from(self.world.answers.len()).unwrap() <= self.requests);
    }

    fn come_to_rest(mut self) {
        let world = &mut self.world;
        world.store.manner = Manner::AtOnce;
        world.answer_waiting();
        world.pass(Duration::from_secs(400));
        self.check();
        for (client, acks) in self.acks.iter().enumerate() {
            // A socket that was disconnected is owed none.
            if self.world.socket(client).is_some() {
                let missing = self.owed[client].iter().find(|id| acks[id] != 1);
                assert!(missing.is_none(), "an ack is missing: {acks:?}");
            }
        }
        assert_eq!(u64::try_from(self.world.answers.len()).unwrap(), self.requests, "each request is answered once");
        let flush = Request::Flush { timeout: Duration::from_secs(2) };
        assert!(matches!(self.world.ask(flush), Response::Flushed { unstored: 0 }));
        for client in 0..self.acks.len() {
            self.world.leave(client);
        }
        self.world.pass(Duration::from_secs(60));
        assert_eq!(self.world.stack.app.audit(), Default::default());
        assert_eq!(self.world.stack.server.audit(), Default::default());
    }

    fn pick(&self, client: Index) -> Option<usize> {
        let client = nth(client, self.acks.len())?;
        (!self.world.clients[client].is_closed).then_some(client)
    }
}

fn nth(which: Index, count: usize) -> Option<usize> {
    (count > 0).then(|| which.index(count))
}
