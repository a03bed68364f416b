//! Several servers and a bus in one thread: what clients of one node get of what is said on another.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks for one event among all")]

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use http::Response;
use roomcast_core::cluster::{
    BusPayload, BusState, ClusterBody, ClusterEmit, ClusterMessage, ClusterSettings, EmitWatch, Leaving, NodeId,
    Recipients, RequestToken, RoomChannel, Strangers, Subscriptions,
};
use roomcast_core::server::config::{ConnectionRecovery, EndpointKind, EngineIo, SocketIo};
use roomcast_core::server::{
    AckEnd, AckRequest, Audit, ClusterCommand, ClusterConfig, ClusterEvent, ClusterInput, Command, Config, ConnId,
    Delivery, Emit, EmitId, Endpoint, EndpointId, Event, Extent, FetchId, Input, Reach, RequestId, Scope, Selection,
    Server, Sid, SocketId, Stack, Start, Target, Transmit, Upgrade,
};
use roomcast_core::socket_io::Args;
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::websocket::{ClientHandshake, Fin, Opcode, encode_frame};
use roomcast_testkit::{Hooks, Kit};

#[test]
fn an_emit_to_a_room_reaches_its_members_on_every_node_once() {
    let mut fleet = Fleet::of(3);
    let members = [(0, "red"), (1, "red"), (1, "blue"), (2, "red")].map(|(node, room)| fleet.client_in(node, room));
    fleet.emit(0, room("red"), "news");
    assert_eq!(
        members.map(|client| fleet.received(client)),
        [vec![r#"42["news",1]"#], vec![r#"42["news",1]"#], vec![], vec![r#"42["news",1]"#]]
    );
    fleet.emit(2, Target::everyone(scope()), "all");
    assert!(members.iter().all(|client| fleet.received(*client) == [r#"42["all",1]"#]));
    let [a, b, c] = [0, 1, 2].map(|node| fleet.server(node).cluster_counters().unwrap());
    assert_eq!((a.own, a.lost, b.duplicates, c.without_recipients), (a.published, 0, 0, 0));
}

#[test]
fn exceptions_and_a_local_reach_hold_on_other_nodes() {
    let mut fleet = Fleet::of(2);
    let [own, other, excepted] = [(0, "red"), (1, "red"), (1, "red")].map(|(node, room)| fleet.client_in(node, room));
    let all = || Selection { rooms: vec!["red".into()], ..Selection::of(scope()) };
    let except_rooms = vec![ByteString::from(excepted.sid.as_str())];
    let target = Selection { except_sockets: vec![own.socket], except_rooms, ..all() };
    fleet.emit(0, Target::Select(Box::new(target)), "x");
    assert_eq!([own, other, excepted].map(|client| fleet.received(client).len()), [0, 1, 0]);
    fleet.emit(0, Target::Select(Box::new(Selection { reach: Reach::Local, ..all() })), "x");
    assert_eq!([own, other, excepted].map(|client| fleet.received(client).len()), [1, 0, 0]);
}

#[test]
fn a_sid_is_a_room_on_any_node_and_what_is_local_is_not_published() {
    let mut fleet = Fleet::of(2);
    let [here, there] = [0, 1].map(|node| fleet.client(node));
    let before = fleet.server(0).cluster_counters().unwrap().published;
    fleet.emit(0, sid_room(here), "near");
    fleet.emit(0, Target::Socket(here.socket), "near");
    assert_eq!(fleet.server(0).cluster_counters().unwrap().published, before);
    fleet.emit(0, sid_room(there), "far");
    assert_eq!([here, there].map(|client| fleet.received(client).len()), [2, 1]);
}

#[test]
fn an_application_is_told_of_the_emits_of_others_that_it_watches_for() {
    let watch = EmitWatch { name: "news".into(), room_start: "re".into() };
    let mut settings = ClusterSettings::default();
    settings.watches = vec![watch];
    let mut fleet = Fleet::with(2, settings);
    let members = [(0, "red"), (1, "red"), (1, "blue")].map(|(node, room)| fleet.client_in(node, room));
    for (to, name) in [("red", "other"), ("blue", "news"), ("red", "news"), ("rest", "news")] {
        fleet.emit(0, room(to), name);
    }
    let mut told = |node| -> Vec<_> {
        let told = fleet.events(node).filter_map(|event| match event {
            ClusterEvent::Emitted { room, name, args } => Some(format!("{room} {name} {}", args.json())),
            _ => None,
        });
        told.collect()
    };
    assert_eq!((told(0), told(1)), (vec![], vec!["red news 1".to_owned()]));
    assert_eq!(fleet.received(members[1]).len(), 2, "its members have it");
}

#[test]
fn acks_come_from_every_node_and_are_counted() {
    let mut fleet = Fleet::of(3);
    let clients = [0, 1, 1, 2].map(|node| fleet.client_in(node, "red"));
    fleet.ask(0, room("red"), 7);
    // The request and its emit; elsewhere, the emit and the requester of its acks.
    assert_eq!(fleet.audits(), [2, 2, 2]);
    for (n, client) in clients.into_iter().enumerate() {
        let [packet] = &fleet.received(client)[..] else { panic!("one packet") };
        let id = packet.strip_prefix("42").unwrap().split('[').next().unwrap().to_owned();
        assert_eq!(fleet.ended(0), [], "{n} have answered");
        fleet.says(client, &format!("43{id}[{n}]"));
        fleet.says(client, &format!("43{id}[\"again\"]"));
    }
    assert_eq!(fleet.ended(0), [(7, 4, 4, AckEnd::Complete)]);
    let answers: Vec<_> = fleet.acked(0);
    assert_eq!(answers, ["0", "1", "2", "3"]);
    assert_eq!(fleet.audits(), [0; 3], "nothing is left of it");
}

#[test]
fn an_ack_that_does_not_come_ends_by_the_deadline_and_a_node_that_goes_is_not_waited_for() {
    let mut fleet = Fleet::of(2);
    let client = fleet.client_in(1, "red");
    fleet.ask(0, room("red"), 7);
    fleet.pass(Duration::from_secs(10));
    assert_eq!(fleet.ended(0), [(7, 1, 0, AckEnd::TimedOut)]);
    fleet.ask(0, room("red"), 8);
    fleet.command(1, Command::Shutdown);
    assert_eq!(fleet.ended(0), [(8, 1, 0, AckEnd::Gone)]);
    fleet.says(client, "430[]");
    assert_eq!(fleet.server(0).nodes().count(), 0);
}

#[test]
fn an_emit_with_ack_to_one_sid_ends_with_its_answer_although_strangers_may_have_sockets() {
    let settings = ClusterSettings::default();
    assert_eq!(settings.strangers, Strangers::Wait);
    let mut fleet = Fleet::with(2, settings);
    let client = fleet.client(1);
    fleet.ask(0, sid_room(client), 7);
    let packet = fleet.received(client).pop().unwrap();
    assert_eq!(packet, r#"420["ask"]"#);
    fleet.says(client, "430[true]");
    assert_eq!((fleet.ended(0), fleet.acked(0)), (vec![(7, 1, 1, AckEnd::Complete)], vec!["true".to_owned()]));
    // Of no socket anywhere: another node may have it.
    fleet.ask(0, room("aaaaaaaaaaaaaaaaaaaa"), 8);
    assert_eq!(fleet.ended(0), []);
    fleet.pass(Duration::from_secs(10));
    assert_eq!(fleet.ended(0), [(8, 0, 0, AckEnd::TimedOut)]);
}

/// Of a room there may be members on a node that says nothing of itself, however the room's name looks.
#[test]
fn an_emit_with_ack_to_a_room_waits_for_strangers() {
    let mut fleet = Fleet::with(2, ClusterSettings::default());
    for (emit, name) in [(1, "red"), (2, "room of 20 letters !"), (3, "a-room-of-21-letters_")] {
        let client = fleet.client_in(1, name);
        fleet.ask(0, room(name), emit);
        let packet = fleet.received(client).pop().unwrap();
        let id = packet.strip_prefix("42").unwrap().split('[').next().unwrap().to_owned();
        fleet.says(client, &format!("43{id}[]"));
        assert_eq!((fleet.ended(0), fleet.acked(0).len()), (vec![], 1), "{name}");
        fleet.pass(Duration::from_secs(10));
        assert_eq!(fleet.ended(0), [(emit, 1, 1, AckEnd::Complete)]);
    }
}

#[test]
fn remote_sockets_join_leave_and_are_disconnected() {
    let mut fleet = Fleet::of(2);
    let [a, b] = [1, 1].map(|node| fleet.client(node));
    fleet.command(0, Command::Join { target: sid_room(a), room: "red".into() });
    fleet.command(0, Command::Join { target: room("red"), room: "blue".into() });
    let rooms = |fleet: &mut Fleet, client: Client| -> Vec<String> {
        let mut rooms: Vec<_> = fleet.server(1).rooms(client.socket).map(str::to_owned).collect();
        rooms.sort();
        rooms
    };
    assert_eq!((rooms(&mut fleet, a), rooms(&mut fleet, b)), (vec!["blue".to_owned(), "red".to_owned()], vec![]));
    let left = |fleet: &mut Fleet| -> Vec<(SocketId, String)> {
        let left = fleet.events(1).filter_map(|event| match event {
            ClusterEvent::RoomLeft { socket, room } => Some((socket, room.to_string())),
            _ => None,
        });
        left.collect()
    };
    fleet.command(0, Command::Leave { target: sid_room(a), room: "red".into() });
    assert_eq!((rooms(&mut fleet, a), left(&mut fleet)), (vec!["blue".to_owned()], vec![(a.socket, "red".to_owned())]));
    fleet.command(0, Command::Leave { target: sid_room(a), room: "red".into() });
    assert_eq!(left(&mut fleet), [], "it was not in it");
    fleet.command(0, Command::Leave { target: room("blue"), room: "blue".into() });
    assert_eq!((rooms(&mut fleet, a), left(&mut fleet)), (vec![], vec![(a.socket, "blue".to_owned())]));
    fleet.command(0, Command::Disconnect { target: sid_room(a), extent: Extent::Namespace });
    assert_eq!((fleet.received(a), fleet.server(1).sid(a.socket)), (vec!["41".to_owned()], None));
    assert!(fleet.server(1).sid(b.socket).is_some());
}

#[test]
fn who_is_not_meant_stays_in_a_room_on_other_nodes() {
    let mut fleet = Fleet::of(2);
    let [a, b] = [1, 1].map(|node| fleet.client_in(node, "red"));
    let others = Selection {
        rooms: vec!["red".into()],
        except_rooms: vec![b.sid.as_str().to_owned().into()],
        ..Selection::of(scope())
    };
    let members = |fleet: &mut Fleet| -> Vec<SocketId> { fleet.server(1).members(&scope(), "red").collect() };
    for target in [sid_room(a), Target::Select(Box::new(others))] {
        fleet.command(0, Command::Join { target: sid_room(a), room: "red".into() });
        assert_eq!(members(&mut fleet).len(), 2);
        fleet.command(0, Command::Leave { target, room: "red".into() });
        assert_eq!(members(&mut fleet), [b.socket]);
        assert_eq!(fleet.server(1).everyone(&scope()).count(), 2);
    }
}

/// Only servers of other makes say several rooms in one message, and close or ask for rooms.
#[test]
fn servers_of_other_makes_join_leave_close_and_list_rooms() {
    let mut fleet = Fleet::of(1);
    let client = fleet.client_in(0, "red");
    let other = fleet.client_in(0, "green");
    let rooms = |fleet: &mut Fleet| -> Vec<String> {
        let token = RequestToken { key: "k".into(), id: 7 };
        fleet.stranger_says(0, ClusterBody::FetchRooms { namespace: "/".into(), token: token.clone() });
        let body = fleet.published(0).pop().unwrap().body;
        let ClusterBody::Rooms { to, token: answered, rooms } = body else { panic!("{body:?}") };
        assert_eq!((to.as_str(), answered), ("stranger", token));
        rooms.iter().map(|room| room.to_string()).collect()
    };
    let listed = |names: &[&str]| {
        let own = [client, other].map(|client| client.sid.as_str().to_owned());
        let mut all: Vec<String> = names.iter().map(|name| (*name).to_owned()).chain(own).collect();
        all.sort();
        all
    };
    assert_eq!(rooms(&mut fleet), listed(&["green", "red"]));
    let of = |room: &str| Recipients::room("/".into(), room.to_owned().into());
    let several = |names: &[&'static str]| names.iter().map(|name| (*name).into()).collect();
    let sid = client.sid.as_str();
    fleet.stranger_says(0, ClusterBody::JoinRooms { recipients: of(sid), rooms: several(&["blue", "grey", "green"]) });
    assert_eq!(rooms(&mut fleet), listed(&["blue", "green", "grey", "red"]));
    fleet.stranger_says(0, ClusterBody::LeaveRooms { recipients: of("red"), rooms: several(&["blue", "red"]) });
    assert_eq!(rooms(&mut fleet), listed(&["green", "grey"]));
    fleet.stranger_says(0, ClusterBody::CloseRoom { namespace: "/".into(), room: "green".into() });
    assert_eq!(rooms(&mut fleet), listed(&["grey"]));
    assert!(fleet.server(0).rooms(client.socket).eq(["grey"]));
}

#[test]
fn sockets_are_fetched_from_all_nodes_and_a_silent_one_is_missing() {
    let mut fleet = Fleet::of(3);
    let clients = [0, 1, 2].map(|node| fleet.client_in(node, "red"));
    let fetch = |n| {
        let (fetch, target, timeout) = (FetchId(n), room("red"), Duration::from_secs(5));
        Command::Cluster(ClusterCommand::FetchSockets { fetch, target, timeout })
    };
    fleet.command(0, fetch(1));
    fleet.cut = Some(2);
    fleet.command(0, fetch(2));
    fleet.command(0, fetch(3));
    assert_eq!(fleet.audits(), [4, 0, 0], "two requests, and what has come for each");
    fleet.pass(Duration::from_millis(4999));
    let before = fleet.events(0).collect::<Vec<_>>();
    assert!(matches!(&before[..], [ClusterEvent::SocketsFetched { fetch: FetchId(1), .. }]), "it is waited for");
    fleet.pass(Duration::from_millis(1));
    let fetched: Vec<_> = before
        .into_iter()
        .chain(fleet.events(0))
        .filter_map(|event| match event {
            ClusterEvent::SocketsFetched { fetch, sockets, nodes_missing } => Some((fetch.0, sockets, nodes_missing)),
            _ => None,
        })
        .collect();
    let [(1, all, 0), (2, some, 1), (3, same, 1)] = &fetched[..] else { panic!("{fetched:?}") };
    let sids: Vec<_> = all.iter().map(|socket| (socket.node.is_none(), &*socket.sid)).collect();
    let [a, b, c] = &clients;
    assert_eq!(sids[0], (true, a.sid.as_str()));
    assert!(sids.contains(&(false, b.sid.as_str())) && sids.contains(&(false, c.sid.as_str())) && some.len() == 2);
    assert_eq!((same, fleet.audits()), (some, vec![0; 3]));
    assert!(all.iter().all(|socket| socket.rooms == ["red"]));
}

#[test]
fn applications_talk_to_each_other() {
    let mut fleet = Fleet::of(3);
    let ack = Some(AckRequest { emit: EmitId(3), timeout: Duration::from_secs(1) });
    let args = Args::from_json_values(r#"{"n":1}"#).unwrap();
    let (namespace, name) = ("/".into(), "question".into());
    fleet.command(0, Command::Cluster(ClusterCommand::ServerEmit { namespace, name, args, ack }));
    for node in [1, 2] {
        let event = fleet.events(node).find(|event| matches!(event, ClusterEvent::ServerReceived { .. })).unwrap();
        let ClusterEvent::ServerReceived { name, args, reply: Some(reply), .. } = event else { panic!("{event:?}") };
        assert_eq!((&*name, args.json()), ("question", r#"{"n":1}"#));
        let args = Args::from_serialize(&node).unwrap();
        fleet.command(node, Command::Cluster(ClusterCommand::ServerReply { reply, args }));
    }
    let told: Vec<_> = fleet
        .events(0)
        .filter_map(|event| match event {
            ClusterEvent::ServerReplied { emit: EmitId(3), args, .. } => Some(args.json().to_owned()),
            ClusterEvent::ServerRepliesEnded { emit: EmitId(3), asked, answered, end } => {
                Some(format!("{answered} of {asked} {end:?}"))
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, ["1", "2", "2 of 2 Complete"]);
}

#[test]
fn replies_of_applications_that_do_not_come_are_waited_for_until_the_deadline() {
    let mut fleet = Fleet::of(3);
    fleet.events(0).for_each(drop);
    fleet.cut = Some(2);
    let ack = Some(AckRequest { emit: EmitId(3), timeout: Duration::from_secs(1) });
    let (namespace, name, args) = ("/".into(), "question".into(), Args::empty());
    fleet.command(0, Command::Cluster(ClusterCommand::ServerEmit { namespace, name, args, ack }));
    let heard = fleet.events(1).find_map(|event| match event {
        ClusterEvent::ServerReceived { reply, .. } => reply,
        _ => None,
    });
    let reply = heard.unwrap();
    fleet.command(1, Command::Cluster(ClusterCommand::ServerReply { reply: reply.clone(), args: Args::empty() }));
    fleet.pass(Duration::from_millis(999));
    let early: Vec<_> = fleet.events(0).collect();
    assert!(matches!(&early[..], [ClusterEvent::ServerReplied { emit: EmitId(3), .. }]), "{early:?}");
    fleet.pass(Duration::from_millis(1));
    let late: Vec<_> = fleet.events(0).collect();
    let [ClusterEvent::ServerRepliesEnded { emit: EmitId(3), asked: 2, answered: 1, end: AckEnd::TimedOut }] =
        &late[..]
    else {
        panic!("{late:?}")
    };
    // Behind the deadline a reply is stale.
    fleet.command(1, Command::Cluster(ClusterCommand::ServerReply { reply, args: Args::empty() }));
    assert_eq!((fleet.events(0).count(), fleet.audits()), (0, vec![0; 3]));
}

#[test]
fn a_node_that_falls_silent_leaves_and_comes_back() {
    let mut fleet = Fleet::of(2);
    fleet.events(0).for_each(drop);
    fleet.cut = Some(1);
    fleet.pass(Duration::from_secs(20));
    let b = fleet.server(1).node_id().unwrap().clone();
    assert!(matches!(&fleet.events(0).collect::<Vec<_>>()[..],
        [ClusterEvent::NodeLeft { node, leaving: Leaving::Silent }] if *node == b));
    fleet.cut = None;
    fleet.pass(Duration::from_secs(5));
    assert!(matches!(&fleet.events(0).collect::<Vec<_>>()[..], [ClusterEvent::NodeJoined { node }] if *node == b));
}

#[test]
fn what_no_socket_here_is_meant_by_is_dropped_unread_and_a_bad_payload_is_not_sent() {
    let mut fleet = Fleet::of(1);
    let client = fleet.client_in(0, "red");
    let emit = |room: &'static str, values: &'static str, name: &'static str| {
        ClusterBody::Emit(ClusterEmit {
            recipients: Recipients::room("/".into(), room.into()),
            name: name.into(),
            args: BusPayload::from_unchecked(values.into(), Vec::new()),
            delivery: Delivery::Reliable,
            ack: Some(RequestToken { key: "k".into(), id: 1 }),
        })
    };
    for (room, values, name) in [
        ("blue", "[[[not json", "x"),
        ("red", "[[[not json", "x"),
        ("red", "1", "connect"),
        ("red", r#"{"_placeholder":true,"num":0}"#, "data"),
    ] {
        fleet.stranger_says(0, emit(room, values, name));
    }
    let counters = fleet.server(0).cluster_counters().unwrap();
    assert_eq!((counters.without_recipients, counters.bad_payloads), (1, 1));
    assert_eq!(fleet.server(0).counters().reserved_refused, 1);
    assert_eq!(fleet.received(client), [r#"420["data",{"_placeholder":true,"num":0}]"#]);
    fleet.says(client, "430[5]");
    let body = fleet.published(0).pop().unwrap().body;
    let ClusterBody::Ack { to, token, args, .. } = body else { panic!("{body:?}") };
    assert_eq!((to.as_str(), &*token.key, token.id, args.args().unwrap().json()), ("stranger", "k", 1, "5"));
}

#[test]
fn a_join_is_acknowledged_when_its_subscription_is_confirmed() {
    let mut settings = settings();
    settings.subscriptions = Subscriptions::PerRoom;
    let mut fleet = Fleet::with(1, settings);
    fleet.confirms = false;
    let client = fleet.client(0);
    assert_eq!(fleet.received(client), [""; 0], "not even that it is connected");
    let own = channel(client.sid.as_str());
    assert_eq!(fleet.subscribed(0), std::slice::from_ref(&own));
    fleet.input(0, ClusterInput::Subscribed(own));
    assert_eq!(fleet.received(client).len(), 1);
    for (n, release) in
        [ClusterInput::Subscribed(channel("room0")), ClusterInput::Bus(BusState::Down)].into_iter().enumerate()
    {
        fleet.command(0, Command::Join { target: Target::Socket(client.socket), room: format!("room{n}").into() });
        fleet.says(client, r#"427["event"]"#);
        assert_eq!(fleet.received(client), [""; 0], "{n}");
        assert!(fleet.audits()[0] > 0, "an answer is held");
        fleet.input(0, release);
        assert_eq!(fleet.received(client), ["437[]"], "{n}");
    }
    fleet.command(0, Command::Join { target: Target::Socket(client.socket), room: "room2".into() });
    fleet.says(client, r#"428["event"]"#);
    assert_eq!(fleet.received(client), ["438[]"], "without a bus nothing waits");
    fleet.input(0, ClusterInput::Bus(BusState::Up));
    fleet.command(0, Command::Join { target: Target::Socket(client.socket), room: "room3".into() });
    fleet.says(client, r#"429["event"]"#);
    fleet.pass(Duration::from_secs(2));
    assert_eq!(fleet.received(client), ["439[]"], "not longer than the timeout");
    assert_eq!(fleet.server(0).cluster_counters().unwrap().joins_unconfirmed, 3);
}

#[test]
fn rooms_without_members_are_not_subscribed_to() {
    let mut settings = settings();
    settings.subscriptions = Subscriptions::PerRoom;
    let mut fleet = Fleet::with(2, settings);
    let [a, b] = ["red", "red"].map(|room| fleet.client_in(0, room));
    assert_eq!(fleet.subscriptions(0), 3, "two sids and a room");
    fleet.command(0, Command::Leave { target: Target::Socket(a.socket), room: "red".into() });
    fleet.emit(1, room("red"), "x");
    assert_eq!((fleet.received(a).len(), fleet.received(b).len()), (0, 1));
    fleet.command(0, Command::Leave { target: Target::Socket(b.socket), room: "red".into() });
    assert_eq!(fleet.subscriptions(0), 2, "none is in the room");
    for client in [a, b] {
        fleet.command(0, Command::Disconnect { target: Target::Socket(client.socket), extent: Extent::Connection });
    }
    assert_eq!((fleet.subscriptions(0), fleet.server(0).audit().cluster), (0, 0));
}

/// Also where each room has a channel: it is subscribed to for as long as the client may come back.
#[test]
fn what_other_nodes_say_while_a_client_is_away_is_kept_for_it() {
    for subscriptions in [Subscriptions::Everything, Subscriptions::PerRoom] {
        let mut settings = settings();
        settings.subscriptions = subscriptions;
        let mut fleet = Fleet::recovering(2, settings);
        let client = fleet.client_in(0, "red");
        let channels = fleet.subscriptions(0);
        let auth = fleet.answer.replace("40{\"sid\"", "{\"sid\"");
        fleet.nodes[0].input(Input::WsEnded { conn: client.conn });
        fleet.settle();
        for (target, name) in [(room("red"), "a"), (sid_room(client), "b"), (Target::everyone(scope()), "c")] {
            fleet.emit(1, target, name);
        }
        fleet.emit(1, room("blue"), "not for it");
        assert_eq!(fleet.subscriptions(0), channels);
        let back = fleet.client_with(0, &auth);
        assert_eq!(back.sid, client.sid);
        let names = fleet.received(back).into_iter().map(|text| text.split('"').nth(1).unwrap().to_owned());
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b", "c"], "{subscriptions:?}");
        fleet.emit(1, room("red"), "d");
        assert_eq!((fleet.received(back).len(), fleet.subscriptions(0)), (1, channels));
        fleet.nodes[0].input(Input::WsEnded { conn: back.conn });
        fleet.pass(Duration::from_secs(119));
        assert_eq!(fleet.subscriptions(0), channels);
        fleet.pass(Duration::from_secs(2));
        assert_eq!((fleet.subscriptions(0), fleet.server(0).audit().recovery), (0, 0));
    }
}

/// Nodes on a bus that delivers at once and in order.
struct Fleet {
    /// The answer to the last CONNECT.
    answer: String,
    /// What came with it.
    unread: Vec<String>,
    nodes: Vec<Kit<(), Node>>,
    now: Instant,
    /// A node that the bus does not reach.
    cut: Option<usize>,
    /// Whether the bus confirms subscriptions at once.
    confirms: bool,
}

/// What a node says to its clients, its application and the bus.
#[derive(Default)]
struct Node {
    received: BTreeMap<ConnId, Vec<u8>>,
    events: VecDeque<Event>,
    subscribed: Vec<RoomChannel>,
    published: Vec<ClusterMessage>,
    /// What the bus has not delivered yet.
    posted: Option<ClusterMessage>,
    /// What the bus has not confirmed yet.
    asked: Option<RoomChannel>,
}

impl Hooks<()> for Node {
    /// Acknowledges every event that a client sends.
    fn event(&mut self, event: Event, stack: &mut Stack<()>, now: Instant) {
        let Event::Received { session, socket, ack, .. } = event else { return self.events.push_back(event) };
        if let Some(ack) = ack {
            let args = Args::empty();
            stack.server.handle_input(Input::Command(Command::Ack { socket, ack, args }), now);
        }
        stack.server.handle_input(Input::Command(Command::Handled { session }), now);
    }

    fn respond(&mut self, _request: RequestId, _response: Response<Bytes>) {}

    fn write(&mut self, conn: ConnId, transmit: &Transmit) -> usize {
        let mut slices = [std::io::IoSlice::new(&[]); 64];
        let count = transmit.slices(&mut slices);
        let received = self.received.entry(conn).or_default();
        slices[..count].iter().map(|slice| received.write(slice).unwrap()).sum()
    }

    fn close(&mut self, _conn: ConnId) {}

    fn publish(&mut self, message: ClusterMessage) {
        self.published.push(message.clone());
        self.posted = Some(message);
    }

    fn subscribe(&mut self, channel: RoomChannel) {
        self.subscribed.push(channel.clone());
        self.asked = Some(channel);
    }

    fn unsubscribe(&mut self, channel: RoomChannel) {
        self.subscribed.retain(|other| *other != channel);
    }
}

#[derive(Clone, Copy, Debug)]
struct Client {
    node: usize,
    conn: ConnId,
    socket: SocketId,
    sid: Sid,
}

impl Fleet {
    fn of(nodes: u8) -> Self {
        Self::with(nodes, settings())
    }

    fn with(nodes: u8, settings: ClusterSettings) -> Self {
        Self::at(nodes, settings, Endpoint::socket_io("/socket.io"))
    }

    fn recovering(nodes: u8, settings: ClusterSettings) -> Self {
        let recovery = Some(ConnectionRecovery::default());
        let kind = EndpointKind::SocketIo(EngineIo::default(), SocketIo { recovery, ..SocketIo::default() });
        Self::at(nodes, settings, Endpoint { kind, ..Endpoint::socket_io("/socket.io") })
    }

    fn at(nodes: u8, settings: ClusterSettings, endpoint: Endpoint) -> Self {
        let now = Instant::from_millis(1);
        let nodes = (0..nodes).map(|node| {
            let cluster = Some(ClusterConfig { settings: settings.clone(), ..ClusterConfig::new(EndpointId::new(0)) });
            let config = Config { cluster, ..Config::new([endpoint.clone()]) };
            let start = Start { node: node.into(), now, wall: WallTime::default(), seed: [node; 32] };
            Kit::new(Stack::new(Server::new(config, start).unwrap(), ()), Node::default(), now)
        });
        let mut fleet =
            Self { answer: String::new(), unread: Vec::new(), nodes: nodes.collect(), now, cut: None, confirms: true };
        fleet.pass(Duration::ZERO);
        let known = fleet.nodes.len() - 1;
        assert!(fleet.nodes.iter().all(|node| node.stack.server.nodes().count() == known));
        fleet
    }

    fn client(&mut self, node: usize) -> Client {
        let client = self.client_with(node, "");
        if self.confirms {
            assert_eq!(self.received(client), [""; 0]);
        }
        client
    }

    fn client_with(&mut self, node: usize, auth: &str) -> Client {
        let target = "/socket.io?EIO=4&transport=websocket".parse().unwrap();
        let request = ClientHandshake::new([0; 16]).request(&"localhost".parse().unwrap(), &target);
        let now = self.now;
        let Upgrade::Accept(conn, _) = self.server(node).handle_upgrade(EndpointId::new(0), &request, now) else {
            panic!("a good handshake")
        };
        self.says_on(node, conn, &format!("40{auth}"));
        let connected = self.nodes[node].hooks.events.iter().find_map(|event| match event {
            Event::Connected(connect) => Some((connect.socket, connect.sid)),
            _ => None,
        });
        let (socket, sid) = connected.unwrap();
        self.nodes[node].hooks.events.clear();
        let client = Client { node, conn, socket, sid };
        if self.confirms {
            let mut received = self.received(client);
            self.answer = received.remove(0);
            assert!(self.answer.starts_with("40{"), "{}", self.answer);
            self.unread = received;
        }
        client
    }

    fn client_in(&mut self, node: usize, room: &str) -> Client {
        let client = self.client(node);
        self.command(node, Command::Join { target: Target::Socket(client.socket), room: room.to_owned().into() });
        client
    }

    fn says(&mut self, client: Client, packet: &str) {
        self.says_on(client.node, client.conn, packet);
    }

    fn says_on(&mut self, node: usize, conn: ConnId, packet: &str) {
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, Fin::Final, Opcode::Text, packet.as_bytes(), Some([1, 2, 3, 4]));
        self.nodes[node].input(Input::WsBytes { conn, bytes: &bytes });
        self.settle();
    }

    fn command(&mut self, node: usize, command: Command) {
        self.nodes[node].command(command);
        self.settle();
    }

    fn input(&mut self, node: usize, input: ClusterInput) {
        self.nodes[node].input(Input::Cluster(input));
        self.settle();
    }

    /// A node that sends no heartbeats says something.
    fn stranger_says(&mut self, node: usize, body: ClusterBody) {
        let from = NodeId::parse("stranger").unwrap();
        self.input(node, ClusterInput::Message(Box::new(ClusterMessage { from, seq: None, body })));
    }

    fn emit(&mut self, node: usize, target: Target, name: &str) {
        let (name, args) = (name.to_owned().into(), Args::from_serialize(&1).unwrap());
        self.command(node, Command::Emit(Emit { target, name, args, delivery: Delivery::Reliable, ack: None }));
    }

    fn ask(&mut self, node: usize, target: Target, emit: u64) {
        let ack = Some(AckRequest { emit: EmitId(emit), timeout: Duration::from_secs(10) });
        let (name, args) = ("ask".into(), Args::empty());
        self.command(node, Command::Emit(Emit { target, name, args, delivery: Delivery::Reliable, ack }));
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.nodes.iter().filter_map(Kit::next_deadline).map(|(at, _)| at).min()
            && due <= end
        {
            self.now = self.now.max(due);
            let now = self.now;
            self.nodes.iter_mut().for_each(|node| node.time(now));
            self.settle();
        }
        self.now = end;
        self.nodes.iter_mut().for_each(|node| node.set_time(end));
    }

    /// Carries out everything that is said until all are quiet.
    fn settle(&mut self) {
        loop {
            let mut is_quiet = true;
            for index in 0..self.nodes.len() {
                while self.nodes[index].drain_one() {
                    is_quiet = false;
                    self.carry(index);
                }
            }
            if is_quiet {
                return;
            }
        }
    }

    /// The bus carries what a node has just said.
    fn carry(&mut self, index: usize) {
        let Node { posted, asked, .. } = &mut self.nodes[index].hooks;
        let (posted, asked) = (posted.take(), asked.take());
        if let Some(message) = posted {
            for (other, node) in self.nodes.iter_mut().enumerate() {
                if self.cut.is_none_or(|cut| cut == index && cut == other || cut != index && cut != other) {
                    node.input(Input::Cluster(ClusterInput::Message(Box::new(message.clone()))));
                }
            }
        }
        if let Some(channel) = asked.filter(|_| self.confirms) {
            self.nodes[index].input(Input::Cluster(ClusterInput::Subscribed(channel)));
        }
    }

    fn server(&mut self, node: usize) -> &mut Server {
        self.nodes[node].server()
    }

    /// The text packets that a client got since the last call.
    fn received(&mut self, client: Client) -> Vec<String> {
        let bytes = self.nodes[client.node].hooks.received.remove(&client.conn).unwrap_or_default();
        let (mut rest, mut packets) = (&bytes[..], std::mem::take(&mut self.unread));
        while let [0x81, len @ 0..126, tail @ ..] = rest {
            let (text, tail) = tail.split_at(usize::from(*len));
            packets.push(String::from_utf8(text.to_vec()).unwrap());
            rest = tail;
        }
        packets.retain(|packet| !packet.starts_with('0') && packet != "2");
        packets
    }

    fn ended(&mut self, node: usize) -> Vec<(u64, u32, u32, AckEnd)> {
        let events = &mut self.nodes[node].hooks.events;
        let ended = events.iter().filter_map(|event| match event {
            Event::AcksEnded { emit, asked, answered, end } => Some((emit.0, *asked, *answered, *end)),
            _ => None,
        });
        let ended = ended.collect();
        events.retain(|event| !matches!(event, Event::AcksEnded { .. }));
        ended
    }

    /// The acks that a node's application got, of local and of remote sockets.
    fn acked(&mut self, node: usize) -> Vec<String> {
        let acked = self.nodes[node].hooks.events.drain(..).filter_map(|event| match event {
            Event::Acked { args, .. } => Some(args.json().to_owned()),
            Event::Cluster(event) => match *event {
                ClusterEvent::Acked { args, .. } => Some(args.json().to_owned()),
                _ => None,
            },
            _ => None,
        });
        acked.collect()
    }

    fn events(&mut self, node: usize) -> impl Iterator<Item = ClusterEvent> + use<> {
        let events: Vec<_> = self.nodes[node].hooks.events.drain(..).collect();
        events.into_iter().filter_map(|event| match event {
            Event::Cluster(event) => Some(*event),
            _ => None,
        })
    }

    fn published(&mut self, node: usize) -> Vec<ClusterMessage> {
        std::mem::take(&mut self.nodes[node].hooks.published)
    }

    fn subscribed(&self, node: usize) -> Vec<RoomChannel> {
        self.nodes[node].hooks.subscribed.clone()
    }

    fn subscriptions(&self, node: usize) -> usize {
        self.nodes[node].hooks.subscribed.len()
    }

    /// What is left of requests on each node.
    fn audits(&self) -> Vec<usize> {
        self.nodes
            .iter()
            .map(|node| node.stack.server.audit())
            .map(|Audit { cluster, acks, .. }| cluster + acks)
            .collect()
    }
}

fn settings() -> ClusterSettings {
    let mut settings = ClusterSettings::default();
    settings.strangers = Strangers::Ignore;
    settings
}

fn scope() -> Scope {
    Scope { endpoint: EndpointId::new(0), namespace: "/".into() }
}

fn room(room: &'static str) -> Target {
    Target::Room { namespace: scope(), room: room.into() }
}

fn sid_room(client: Client) -> Target {
    Target::Room { namespace: scope(), room: client.sid.as_str().into() }
}

fn channel(room: &str) -> RoomChannel {
    RoomChannel { namespace: "/".into(), room: room.into() }
}
