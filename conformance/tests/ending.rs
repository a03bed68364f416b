//! Closing in every state, by either side, by the server's end, and by deadlines; stale handles.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails at the first event that it does not expect")]

use std::time::Duration;

use bytestring::ByteString;
use http::Method;
use roomcast_conformance::pair::{Conformance, Manual, Over, Pair, Peer, Profile, TestResponse, Via};
use roomcast_core::server::config::Endpoint;
use roomcast_core::server::{
    AckId, Command, Connect, Event, Extent, Input, Message, Reason, SessionId, SocketId, Target,
};
use roomcast_core::socket_io::Args;

#[test]
fn shutdown_sends_browsers_away_so_that_they_come_back() {
    for via in Via::ALL {
        let mut pair = Pair::suite();
        let (peer, _) = pair.join_namespace(via, "/");
        pair.take(peer);
        let bare = pair.web_socket("/websocket");
        pair.command(Command::Shutdown);
        assert_eq!(pair.take(peer), [""; 0], "no DISCONNECT");
        let over = if via == Via::Polling { Over::ClosePacket } else { Over::Closed("close 1001".into()) };
        assert_eq!(pair.over(peer), Some(over), "{via:?}");
        assert_eq!(pair.ws_take(bare), ["close 1001", "end"]);
        let open = pair.get("/socket.io/?EIO=4&transport=polling");
        assert_eq!(pair.answered(open).brief(), (503, UNAVAILABLE));
        for target in ["/socket.io/?EIO=4&transport=websocket", "/websocket"] {
            assert_eq!(pair.try_web_socket(target, None).unwrap_err().brief(), (503, UNAVAILABLE));
        }
    }
}

#[test]
fn shutdown_waits_a_while_for_the_next_poll() {
    let mut pair = Pair::suite();
    let (polling, _) = pair.open_raw("/socket.io/");
    pair.post(&polling, "40");
    pair.command(Command::Shutdown);
    pair.pass_with(Duration::from_secs(5), |_| {});
    let gone = pair.get(&polling);
    assert_eq!(pair.answered(gone).brief(), (400, r#"{"code":1,"message":"Session ID unknown"}"#));

    let mut pair = Pair::suite();
    let (polling, _) = pair.open_raw("/socket.io/");
    pair.post(&polling, "40");
    pair.command(Command::Shutdown);
    pair.pass(Duration::from_secs(4));
    let get = pair.get(&polling);
    let body = pair.answered(get).body;
    assert!(body.starts_with("40{") && body.ends_with("\u{1e}1"), "what was queued, and the 1: {body}");
}

#[test]
fn a_session_that_is_opening_when_the_server_ends_is_503() {
    let mut pair = Pair::suite();
    let open = pair.begin(Method::GET, "/socket.io/?EIO=4&transport=polling", &[]);
    pair.command(Command::Shutdown);
    pair.finish(open, "");
    assert_eq!(pair.answered(open).brief(), (503, UNAVAILABLE));
}

#[test]
fn no_more_sessions_than_allowed_whatever_the_order_of_heads_and_bodies() {
    let mut config = Conformance::config(Profile::SUITE);
    config.limits.sessions_max = 2;
    let mut pair = Pair::new(config, Conformance::new());
    let opening: Vec<_> = (0..4).map(|_| pair.begin(Method::GET, "/socket.io/?EIO=4&transport=polling", &[])).collect();
    opening.iter().for_each(|request| pair.finish(*request, ""));
    let statuses: Vec<_> = opening.iter().map(|request| pair.answered(*request).status.as_u16()).collect();
    assert_eq!(statuses, [200, 200, 503, 503]);
    assert_eq!(pair.try_web_socket("/websocket", None).unwrap_err().brief(), (503, UNAVAILABLE));
    pair.pass(Duration::from_secs(1));
    assert!(pair.try_web_socket("/websocket", None).is_ok(), "places that are free again");
}

#[test]
fn an_upgrade_under_way_ends_with_the_server() {
    for probed in [&[][..], &["2probe"]] {
        let mut pair = Pair::suite();
        let (polling, streaming) = pair.open_raw("/socket.io/");
        let get = pair.get(&polling);
        let ws = pair.web_socket(&streaming);
        probed.iter().for_each(|text| pair.ws_send(ws, text));
        pair.command(Command::Shutdown);
        let got = pair.ws_take(ws);
        assert_eq!(got[got.len() - 2..], ["close 1001", "end"]);
        if probed.is_empty() {
            assert_eq!(pair.answered(get).brief(), (200, "1"));
        } else {
            assert_eq!(pair.answered(get).brief(), (200, "6"));
            let next = pair.get(&polling);
            assert_eq!(pair.answered(next).brief(), (200, "1"));
        }
    }
}

/// The application closes a bare session in each state.
#[test]
fn a_close_command_in_every_state() {
    for (state, over) in [
        (At::PollingIdle, None),
        (At::PollWaits, Some((200, "1"))),
        (At::Probing, Some((200, "1"))),
        (At::Upgrading, Some((200, "6"))),
        (At::WebSocket, None),
        (At::Closing, None),
    ] {
        let mut there = There::at(state);
        there.close();
        if let Some(over) = over {
            assert_eq!(there.get_answer().brief(), over, "{state:?}");
        }
        assert!(there.is_over(), "{state:?}");
        assert_eq!(there.reasons(), [Reason::ForcedClose], "{state:?}: told once");
    }
}

#[test]
fn a_close_packet_in_every_state() {
    for state in [At::PollingIdle, At::PollWaits, At::Probing, At::Upgrading] {
        let mut there = There::at(state);
        let target = there.polling.clone();
        let post = there.pair.post(&target, "1");
        assert_eq!(there.pair.answered(post).brief(), (200, "ok"), "{state:?}");
        assert!(there.is_over(), "{state:?}");
        assert_eq!(there.reasons(), [Reason::TransportClose], "{state:?}");
    }
    let mut there = There::at(At::WebSocket);
    let ws = there.ws.unwrap();
    there.pair.ws_send(ws, "1");
    assert_eq!(there.pair.ws_take(ws), ["close 1000", "end"]);
    assert_eq!(there.reasons(), [Reason::TransportClose]);
}

#[test]
fn silence_in_every_state() {
    for state in [At::PollingIdle, At::PollWaits, At::Probing, At::Upgrading, At::WebSocket, At::Closing] {
        let mut there = There::at(state);
        there.pair.pass(Duration::from_secs(60));
        let reason = if state == At::Closing { Reason::ForcedClose } else { Reason::PingTimeout };
        assert_eq!(there.reasons(), [reason], "{state:?}");
        let audit = there.pair.host.audit();
        assert_eq!((audit.sessions, audit.conns, audit.timers), (0, 0, 0), "{state:?}");
    }
}

#[test]
fn a_post_in_a_closing_session_changes_nothing() {
    for body in ["40", "42[\"x\"]", "1", "3", "abc", "40/custom,"] {
        let mut pair = Pair::manual(Conformance::config(Profile::APP));
        let (polling, _) = pair.open_raw("/socket.io/");
        pair.post(&polling, "40");
        let session = connects(&mut pair)[0].session;
        // The head comes before the close, the body after it.
        let post = pair.begin(Method::POST, &polling, &[]);
        pair.command(Command::Close { session });
        pair.events();
        pair.finish(post, body);
        assert_eq!(pair.events().len(), 0, "{body}: the application has been told that it is over");
        assert!(pair.answer(post).is_some(), "{body}");
        let get = pair.get(&polling);
        let body_of_get = pair.answered(get);
        if body_of_get.status == 200 {
            assert!(body_of_get.body.ends_with('1'), "{body}: {body_of_get:?}");
        }
        assert_eq!(pair.host.audit().sockets, 0, "{body}");
    }
}

#[test]
fn a_post_whose_body_never_came_is_not_answered_ok() {
    let mut pair = Pair::suite();
    let (polling, _) = pair.open_raw("/engine.io/");
    let post = pair.begin(Method::POST, &polling, &[]);
    pair.pass(Duration::from_secs(1));
    assert_eq!(pair.answer(post), None, "no answer before the body is there");
    pair.finish(post, "4x");
    assert_eq!(pair.answered(post).status, 400);
}

#[test]
fn the_client_answers_the_close_frame_or_is_closed_after_a_while() {
    let mut there = There::at(At::WebSocket);
    let ws = there.ws.unwrap();
    let conn = there.pair.conn(ws);
    there.pair.block(ws);
    there.close();
    assert!(!there.pair.ws_ended(ws), "the close frame is still queued");
    there.pair.pass(Duration::from_secs(5));
    assert!(there.pair.ws_ended(ws));
    assert_eq!(there.pair.host.stream(conn).sent.len(), 0);
}

#[test]
fn what_is_queued_goes_out_before_the_close_frame() {
    let mut there = There::at(At::WebSocket);
    let (session, ws) = (there.session, there.ws.unwrap());
    there.pair.block(ws);
    for n in 0..3 {
        there.send(session, &n.to_string());
    }
    there.close();
    there.pair.unblock(ws, usize::MAX);
    assert_eq!(there.pair.ws_take(ws), ["40", "41", "42", "close 1000", "end"]);
}

#[test]
fn what_is_queued_goes_out_before_the_1_however_many_polls_it_takes() {
    let mut there = There::at(At::PollingIdle);
    let session = there.session;
    for n in 0..40 {
        there.send(session, &n.to_string());
    }
    there.close();
    let target = there.polling.clone();
    let mut got = Vec::new();
    for _ in 0..3 {
        let get = there.pair.get(&target);
        let body = there.pair.answered(get).body;
        assert!(body.split('\x1e').count() <= 16);
        got.extend(body.split('\x1e').map(str::to_owned));
    }
    let mut expected: Vec<_> = (0..40).map(|n| format!("4{n}")).collect();
    expected.push("1".into());
    assert_eq!(got, expected);
    assert!(there.is_over());
}

#[test]
fn stale_handles_are_counted_and_harmless() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let (old, _) = pair.join_namespace(Via::WebSocket, "/");
    let (left, _) = pair.join_namespace(Via::Polling, "/");
    let stale: Vec<(SessionId, SocketId)> =
        connects(&mut pair).iter().map(|connect| (connect.session, connect.socket)).collect();
    let conn = pair.ws(old);
    let conn = pair.conn(conn);
    pair.vanish(old);
    pair.send(left, "1");
    pair.events();
    // Others take their places in the slabs.
    let (ada, _) = pair.join_namespace(Via::WebSocket, "/");
    let (bob, _) = pair.join_namespace(Via::Polling, "/");
    pair.events();
    let before = pair.server().counters().stale_handles;
    let mut count = 0;
    for (session, socket) in stale {
        let target = || Target::Socket(socket);
        for command in [
            Command::Accept { socket },
            Command::Refuse { socket, data: ByteString::from_static("{}") },
            roomcast_conformance::pair::emit(target(), "x", Args::empty()),
            Command::Ack { socket, ack: AckId(1), args: Args::empty() },
            Command::Send { session, message: Message::Text("x".into()) },
            Command::Join { target: target(), room: "r".into() },
            Command::Leave { target: target(), room: "r".into() },
            Command::Disconnect { target: target(), extent: Extent::Namespace },
            Command::Disconnect { target: target(), extent: Extent::Connection },
            Command::Close { session },
        ] {
            pair.command(command);
            count += 1;
        }
        pair.command(Command::Handled { session });
        assert!(!pair.server().is_congested(session));
    }
    let now = pair.now();
    pair.server().handle_input(Input::WsBytes { conn, bytes: b"\x81" }, now);
    pair.server().handle_input(Input::WsEnded { conn }, now);
    assert_eq!(pair.server().counters().stale_handles - before, count + 2);
    for peer in [ada, bob] {
        assert_eq!((pair.take(peer), pair.over(peer)), (vec![], None));
    }
    assert_eq!(pair.events().len(), 0);
}

#[test]
fn an_answer_in_time_and_none_in_time_to_who_asks_to_come_in() {
    let mut pair = Pair::manual(Conformance::config(Profile::SUITE));
    let peer = pair.open("/socket.io/", Via::WebSocket);
    pair.connect_unanswered(peer, "40/jwt,");
    let asked = connects(&mut pair);
    let socket = asked[0].socket;
    assert_eq!(&*asked[0].namespace, "/jwt");
    pair.command(roomcast_conformance::pair::emit(Target::Socket(socket), "early", Args::empty()));
    assert_eq!(pair.take(peer), [""; 0], "no packet before the socket is admitted");
    pair.command(Command::Accept { socket });
    pair.command(Command::Accept { socket });
    assert_eq!(pair.take(peer).len(), 1);
    pair.events();
    pair.connect_unanswered(peer, "40/deny,");
    let socket = connects(&mut pair)[0].socket;
    pair.pass_with(Duration::from_secs(1), |pair| assert_eq!(pair.take(peer), [""; 0]));
    assert_eq!(pair.take(peer), [r#"44/deny,{"message":"Connect timeout"}"#]);
    let ends: Vec<_> = pair.events();
    assert!(
        matches!(&ends[..], [Event::Disconnected { socket: gone, reason: Reason::ConnectTimeout, .. }] if *gone == socket),
        "{ends:?}"
    );
    assert_eq!(pair.over(peer), None);
}

#[test]
fn endpoints_have_connect_timeouts_of_their_own() {
    let mut config = Conformance::config(Profile::SUITE);
    let slow = Conformance::config(Profile::APP).endpoints.remove(1);
    config.endpoints.push(Endpoint { path: "/slow".into(), ..slow });
    let mut pair = Pair::manual(config);
    let patient = pair.open("/slow/", Via::WebSocket);
    pair.connect_unanswered(patient, "40/jwt,");
    let peer = pair.open("/socket.io/", Via::WebSocket);
    pair.connect(peer, "/", "");
    pair.connect_unanswered(peer, "40/jwt,");
    pair.pass(Duration::from_secs(1));
    assert_eq!(pair.take(peer), [r#"44/jwt,{"message":"Connect timeout"}"#]);
    assert_eq!(pair.take(patient), [""; 0]);
}

#[test]
fn a_client_that_leaves_while_it_waits_is_gone() {
    let mut pair = Pair::manual(Conformance::config(Profile::SUITE));
    for how in ["41/jwt,", "1"] {
        let peer = pair.open("/socket.io/", Via::WebSocket);
        pair.connect_unanswered(peer, "40/jwt,");
        let socket = connects(&mut pair)[0].socket;
        pair.send(peer, how);
        let ends = pair.events();
        assert!(matches!(&ends[..], [Event::Disconnected { socket: gone, .. }] if *gone == socket), "{ends:?}");
        pair.command(Command::Accept { socket });
        assert_eq!(pair.take(peer), [""; 0]);
    }
}

#[test]
fn the_application_is_told_why_each_socket_ended() {
    let mut pair = Pair::manual(Conformance::config(Profile::SUITE));
    let mut expected = Vec::new();
    for (how, reason) in [
        ("41", Reason::ClientDisconnect),
        ("1", Reason::TransportClose),
        ("vanish", Reason::TransportClose),
        ("silence", Reason::PingTimeout),
        ("namespace", Reason::ServerDisconnect),
        ("connection", Reason::ForcedClose),
        ("shutdown", Reason::ShuttingDown),
    ] {
        let (peer, _) = pair.join_namespace(Via::WebSocket, "/");
        let socket = connects(&mut pair)[0].socket;
        let target = Target::Socket(socket);
        match how {
            "vanish" => pair.vanish(peer),
            "silence" => {
                pair.keep_pongs(peer);
                pair.pass(Duration::from_secs(1));
            }
            "namespace" => pair.command(Command::Disconnect { target, extent: Extent::Namespace }),
            "connection" => pair.command(Command::Disconnect { target, extent: Extent::Connection }),
            "shutdown" => pair.command(Command::Shutdown),
            packet => pair.send(peer, packet),
        }
        expected.push(reason);
        let ends = pair.events();
        assert!(
            matches!(&ends[..], [Event::Disconnected { socket: gone, reason: why, .. }] if *gone == socket && *why == reason),
            "{how}: {ends:?}"
        );
    }
    assert_eq!(expected.len(), 7);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    PollingIdle,
    PollWaits,
    Probing,
    Upgrading,
    WebSocket,
    Closing,
}

/// A bare Engine.IO session in some state.
struct There {
    pair: Pair<Manual>,
    session: SessionId,
    polling: String,
    get: Option<roomcast_conformance::pair::TestRequest>,
    ws: Option<roomcast_conformance::pair::Ws>,
    ended: Vec<Reason>,
}

impl There {
    fn at(state: At) -> Self {
        let mut pair = Pair::manual(Conformance::config(Profile::APP));
        let (polling, streaming) = pair.open_raw("/engine.io/");
        let events = pair.events();
        let [Event::Opened { session, .. }] = events.as_slice() else { panic!("{events:?}") };
        let mut there = Self { session: *session, pair, polling, get: None, ws: None, ended: Vec::new() };
        if state == At::PollingIdle {
            return there;
        }
        if state == At::Closing {
            there.close();
            return there;
        }
        let target = there.polling.clone();
        there.get = Some(there.pair.get(&target));
        if state == At::PollWaits {
            return there;
        }
        let ws = there.pair.web_socket(&streaming);
        there.ws = Some(ws);
        if state != At::Probing {
            there.pair.ws_send(ws, "2probe");
        }
        if state == At::WebSocket {
            there.pair.ws_send(ws, "5");
        }
        there.pair.ws_take(ws);
        there
    }

    fn close(&mut self) {
        let session = self.session;
        self.pair.command(Command::Close { session });
    }

    fn send(&mut self, session: SessionId, text: &str) {
        self.pair.command(Command::Send { session, message: Message::Text(text.into()) });
    }

    fn get_answer(&mut self) -> TestResponse {
        self.pair.answered(self.get.unwrap())
    }

    /// Whether its client finds it over: with the next poll, or by the WebSocket.
    fn is_over(&mut self) -> bool {
        let target = self.polling.clone();
        let get = self.pair.get(&target);
        let answer = self.pair.answered(get);
        if let Some(ws) = self.ws {
            return self.pair.ws_ended(ws);
        }
        (answer.status == 200 && answer.body == "1") || answer.status == 400
    }

    fn reasons(&mut self) -> Vec<Reason> {
        for event in self.pair.events() {
            if let Event::Closed { reason, .. } = event {
                self.ended.push(reason);
            }
        }
        self.ended.clone()
    }
}

trait Unanswered {
    fn connect_unanswered(&mut self, peer: Peer, packet: &str);
}

impl Unanswered for Pair<Manual> {
    fn connect_unanswered(&mut self, peer: Peer, packet: &str) {
        assert_eq!(self.ask(peer, packet), [""; 0]);
    }
}

fn connects(pair: &mut Pair<Manual>) -> Vec<Connect> {
    let is_connect = |event| match event {
        Event::Connected(connect) | Event::Connecting(connect) => Some(*connect),
        other => panic!("{other:?}"),
    };
    pair.events().into_iter().filter_map(is_connect).collect()
}

const UNAVAILABLE: &str = r#"{"code":3,"message":"Service unavailable"}"#;
