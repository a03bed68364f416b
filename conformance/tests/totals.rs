//! What a server counts, and what it does with handles and requests that mean nothing.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use roomcast_conformance::pair::{Conformance, Pair, Profile, Via, handshake};
use roomcast_core::server::{
    AckRequest, Command, Counters, Delivery, Emit, EmitId, Event, Input, Reason, Scope, Target, Transmit,
};
use roomcast_core::socket_io::Args;
use roomcast_core::websocket::CloseCode;

#[test]
fn whatever_happens_is_counted_once() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    for n in 1..=3 {
        let (peer, _) = pair.join_namespace(Via::Polling, "/");
        pair.upgrade(peer);
        let bare = pair.web_socket("/websocket");
        pair.ws_send(bare, "a message");
        let Counters { sessions_opened, sockets_connected, upgrades, packets_received, peer_faults, .. } =
            pair.server().counters();
        assert_eq!((sessions_opened, sockets_connected, upgrades), (2 * n, n, n));
        assert_eq!((packets_received, peer_faults), (2 * n, 0), "a CONNECT and a message");
    }
}

#[test]
fn faults_of_peers_and_packets_for_each_recipient_are_counted() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let peer = pair.open(ENGINE, Via::WebSocket);
    pair.send(peer, "no packet");
    assert_eq!(pair.server().counters().peer_faults, 1);
    let ws = pair.web_socket("/websocket");
    pair.raw(ws, &[0xff; 8]);
    assert_eq!(pair.server().counters().peer_faults, 2, "a frame that is none");

    let members = [Via::WebSocket, Via::Polling].map(|via| pair.join_namespace(via, "/").0);
    let endpoint = pair.server().route("/socket.io/").unwrap();
    let everyone = Target::everyone(Scope { endpoint, namespace: "/".into() });
    let ack = AckRequest { emit: EmitId(1), timeout: Duration::from_secs(1) };
    for ack in [None, Some(ack)] {
        let before = pair.server().counters().packets_queued;
        let (target, delivery) = (everyone.clone(), Delivery::Reliable);
        pair.command(Command::Emit(Emit { target, name: "n".into(), args: Args::empty(), delivery, ack }));
        assert_eq!(pair.server().counters().packets_queued - before, 2);
    }
    assert!(members.into_iter().all(|peer| pair.over(peer).is_none()));
}

/// Each limit of Socket.IO packets, at its edge and above.
#[test]
fn packets_have_the_limits_of_the_settings() {
    for (packet, is_taken) in [
        (r#"42["a",[1]]"#, true),
        (r#"42["a",[[1]]]"#, false),
        (r#"451-["a",{"_placeholder":true,"num":0}]"#, true),
        (r#"452-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#, false),
        ("41/abcd,", true),
        ("41/abcde,", false),
    ] {
        let mut config = Conformance::config(Profile::APP);
        let limits = &mut config.limits;
        (limits.json_depth_max, limits.attachments_max, limits.namespace_bytes_max) = (2, 1, 5);
        let mut pair = Pair::manual(config);
        let (peer, _) = pair.join_namespace(Via::WebSocket, "/");
        pair.send(peer, packet);
        assert_eq!(pair.over(peer).is_none(), is_taken, "{packet}");
    }
}

#[test]
fn what_a_stream_that_is_gone_refuses_is_dropped() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let ws = pair.web_socket("/websocket");
    let (conn, now) = (pair.conn(ws), pair.now());
    pair.hang_up(ws);
    let stale = pair.server().counters().stale_handles;
    let mut rest = Transmit::new();
    pair.server().handle_refused(conn, &mut rest, now);
    assert!(rest.is_empty());
    assert_eq!(pair.server().counters().stale_handles, stale + 1);
}

// RFC 6455 section 4.4; Engine.IO protocol, "HTTP long-polling".

#[test]
fn each_request_that_is_refused_is_a_fault_and_says_why() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let (polling, streaming) = pair.open_raw(ENGINE);
    let endpoint = pair.server().route(ENGINE).unwrap();
    for n in 1..=3 {
        let mut request = handshake(&streaming, None);
        request.headers_mut().insert("sec-websocket-version", "8".parse().unwrap());
        let refused = pair.host.upgrade(endpoint, &request).unwrap_err();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["sec-websocket-version"]),
            (426, &"13".parse().unwrap())
        );
        let unknown = streaming.replace("sid=", "sid=x");
        assert_eq!(pair.host.upgrade(endpoint, &handshake(&unknown, None)).unwrap_err().status(), 400);
        let get = pair.get(&polling.replace("sid=", "sid=x"));
        assert_eq!(pair.answered(get).status, 400);
        let body = "x".repeat(pair.server().body_bytes_max(endpoint) + 1);
        let post = pair.post(&polling, &body);
        assert_eq!(pair.answered(post).status, 413);
        assert_eq!(pair.server().counters().peer_faults, 4 * n);
    }
    assert_eq!(pair.host.audit().sessions, 1, "none of them ends a session");
}

#[test]
fn a_request_that_is_over_cannot_be_aborted() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let endpoint = pair.server().route(ENGINE).unwrap();
    let now = pair.now();
    for n in 1..=3 {
        let get = Request::get(format!("{ENGINE}?EIO=4&transport=polling")).body(()).unwrap();
        let request = pair.host.head(endpoint, get).unwrap();
        pair.host.body(request, Bytes::new());
        pair.settle();
        assert!(pair.host.take_answer(request).is_some());
        pair.server().handle_input(Input::HttpAborted { request }, now);
        assert_eq!(pair.server().counters().stale_handles, n);
    }
}

#[test]
fn a_socket_that_is_in_can_be_neither_let_in_nor_refused() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let (peer, _) = pair.join_namespace(Via::WebSocket, "/");
    let socket = pair.connected()[0];
    pair.take(peer);
    pair.command(Command::Accept { socket });
    pair.command(Command::Refuse { socket, data: r#"{"message":"no"}"#.into() });
    assert_eq!((pair.take(peer), pair.events().len()), (vec![], 0));
    assert_eq!(pair.server().counters().stale_handles, 0, "the handle is a good one");
    assert_eq!(pair.host.audit().sockets, 1);
}

#[test]
fn the_application_may_close_with_a_code_of_its_own() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let code = CloseCode::new(4001).unwrap();
    let ws = pair.web_socket("/websocket");
    let session = pair.opened();
    pair.command(Command::CloseWith { session, code });
    assert_eq!(pair.ws_take(ws)[0], "close 4001");
    let closed = |pair: &mut Pair<_>| {
        let events: Vec<Event> = Pair::events(pair);
        let [Event::Closed { reason, .. }] = events[..] else { panic!("{events:?}") };
        reason
    };
    assert_eq!(closed(&mut pair), Reason::ClosedWith(code));
    let (polling, _) = pair.open_raw(ENGINE);
    let session = pair.opened();
    let get = pair.get(&polling);
    pair.command(Command::CloseWith { session, code });
    assert_eq!(pair.answered(get).brief(), (200, "1"));
    assert_eq!(closed(&mut pair), Reason::ClosedWith(code));
    pair.command(Command::CloseWith { session, code });
    assert_eq!(pair.server().counters().stale_handles, 1);
}

#[test]
fn a_websocket_that_names_long_polling_is_a_bad_request_of_a_known_transport() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    for (transport, body) in
        [("polling", r#"{"code":3,"message":"Bad request"}"#), ("smoke", r#"{"code":0,"message":"Transport unknown"}"#)]
    {
        let refused = pair.try_web_socket(&format!("{ENGINE}?EIO=4&transport={transport}"), None).unwrap_err();
        assert_eq!(refused.brief(), (400, body));
    }
}

const ENGINE: &str = "/engine.io/";
