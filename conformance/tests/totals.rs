//! What a server counts, and what it does with handles and requests that mean nothing.

use bytes::Bytes;
use http::Request;
use roomcast_conformance::pair::{Conformance, Pair, Profile, Via, handshake};
use roomcast_core::server::{Command, Counters, Event, Input, Reason};
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
