//! The upgrade from long polling to WebSocket, in every order that a network can make of it.

use std::time::Duration;

use http::Method;
use roomcast_conformance::pair::{Conformance, Manual, Pair, Profile, TestRequest, Via, Ws};
use roomcast_core::server::{Command, Event, Message, Reason, SessionId};

#[test]
fn a_probe_releases_the_waiting_get_and_messages_go_on_by_web_socket() {
    let mut pair = Pair::suite();
    let (polling, streaming) = pair.open_raw(ENGINE);
    let get = pair.get(&polling);
    let ws = pair.web_socket(&streaming);
    assert_eq!(pair.answer(get), None, "a WebSocket that says nothing changes nothing");
    pair.ws_send(ws, "2probe");
    assert_eq!(pair.ws_take(ws), ["3probe"]);
    assert_eq!(pair.answered(get).brief(), (200, "6"));
    let late = pair.get(&polling);
    assert_eq!(pair.answered(late).brief(), (200, "6"), "a GET that comes while the upgrade is under way");
    pair.ws_send(ws, "5");
    pair.ws_send(ws, "4hello");
    assert_eq!(pair.ws_take(ws), ["4hello"]);
    assert_eq!(pair.host.server().counters().upgrades, 1);
}

#[test]
fn after_the_upgrade_a_get_is_400_and_a_post_too() {
    let mut pair = Pair::suite();
    let (polling, ws) = upgraded(&mut pair);
    for method in [Method::GET, Method::POST] {
        let request = pair.request(method, &polling, &[], "4x");
        assert_eq!(pair.answered(request).brief(), (400, r#"{"code":3,"message":"Bad request"}"#));
    }
    pair.ws_send(ws, "4still");
    assert_eq!(pair.ws_take(ws), ["4still"]);
}

#[test]
fn after_the_upgrade_a_further_web_socket_is_closed_and_the_first_goes_on() {
    let mut pair = Pair::suite();
    let (polling, ws) = upgraded(&mut pair);
    let second = pair.web_socket(&polling.replace("polling", "websocket"));
    assert_eq!(pair.ws_take(second), ["close 1008", "end"]);
    pair.ws_send(ws, "4still");
    assert_eq!(pair.ws_take(ws), ["4still"]);
}

#[test]
fn a_session_that_came_by_web_socket_takes_no_second_one_and_no_get() {
    let mut pair = Pair::suite();
    let peer = pair.open(ENGINE, Via::WebSocket);
    let target = pair.upgrade_target(peer);
    let second = pair.web_socket(&target);
    assert_eq!(pair.ws_take(second), ["close 1008", "end"]);
    let target = pair.target(peer);
    let get = pair.get(&target);
    assert_eq!(pair.answered(get).status, 400);
    assert_eq!(pair.ask(peer, "4still"), ["4still"]);
}

#[test]
fn two_probes_at_a_time_leave_the_first_in_place() {
    let mut pair = Pair::suite();
    let (_, streaming) = pair.open_raw(ENGINE);
    let first = pair.web_socket(&streaming);
    let second = pair.web_socket(&streaming);
    assert_eq!(pair.ws_take(second), ["close 1008", "end"]);
    pair.ws_send(first, "2probe");
    let third = pair.web_socket(&streaming);
    assert_eq!(pair.ws_take(third), ["close 1008", "end"]);
    pair.ws_send(first, "5");
    pair.ws_send(first, "4x");
    assert_eq!(pair.ws_take(first), ["3probe", "4x"]);
}

#[test]
fn probe_and_upgrade_may_come_back_to_back_before_the_get() {
    let mut pair = Pair::suite();
    let (polling, streaming) = pair.open_raw(ENGINE);
    pair.post(&polling, "4before");
    let ws = pair.web_socket(&streaming);
    pair.ws_send_unsettled(ws, "2probe");
    pair.ws_send_unsettled(ws, "5");
    pair.ws_send(ws, "4after");
    assert_eq!(pair.ws_take(ws), ["3probe", "4before", "4after"]);
    let get = pair.get(&polling);
    assert_eq!(pair.answered(get).status, 400, "the upgrade is done");
}

#[test]
fn probe_upgrade_and_message_in_one_read_while_a_get_waits() {
    let mut pair = Pair::suite();
    let (polling, streaming) = pair.open_raw(ENGINE);
    let get = pair.get(&polling);
    let ws = pair.web_socket_unsettled(&streaming, None).unwrap();
    for text in ["2probe", "5", "4a", "4b"] {
        pair.ws_send_unsettled(ws, text);
    }
    assert_eq!(pair.ws_take(ws), ["3probe", "4a", "4b"]);
    assert_eq!(pair.answered(get).brief(), (200, "6"));
}

/// A message is sent at each step of an upgrade, in each order of GETs around it. All messages arrive exactly once, in
/// the order in which they were sent.
#[test]
fn messages_during_the_upgrade_arrive_once_and_in_order() {
    for gets in 0..64u32 {
        for aborted_at in [None, Some(1), Some(2), Some(3), Some(4)] {
            let mut walk = UpgradeRun::begin();
            let ws = walk.pair.web_socket(&walk.streaming.clone());
            let mut ended = false;
            for (step, text) in ["", "2probe", "5"].into_iter().enumerate() {
                let step = u32::try_from(step).unwrap();
                if gets & (1 << (2 * step)) != 0 {
                    walk.get();
                }
                walk.emit();
                if gets & (1 << (2 * step + 1)) != 0 {
                    walk.get();
                }
                walk.emit();
                if aborted_at == Some(step + 1) {
                    walk.pair.hang_up(ws);
                    ended = true;
                    break;
                }
                if !text.is_empty() {
                    walk.pair.ws_send(ws, text);
                }
                walk.emit();
            }
            walk.emit();
            walk.collect();
            if ended {
                // Without a WebSocket the rest comes by polling, while a GET is out or with the next one.
                walk.get();
                walk.get();
            }
            walk.got.extend(walk.pair.ws_take(ws).into_iter().filter(|text| text != "3probe"));
            let expected: Vec<_> = (0..walk.sent).map(|n| format!("4{n}")).collect();
            assert_eq!(walk.got, expected, "GETs {gets:06b}, WebSocket lost at {aborted_at:?}");
        }
    }
}

#[test]
fn a_probe_that_takes_too_long_is_closed_and_polling_goes_on() {
    for probed in [&[][..], &["2probe"]] {
        let mut pair = Pair::defaults();
        let (polling, streaming) = pair.open_raw(ENGINE);
        let ws = pair.web_socket(&streaming);
        probed.iter().for_each(|text| pair.ws_send(ws, text));
        pair.ws_take(ws);
        pair.post(&polling, "4x");
        pair.pass_with(Duration::from_secs(10), |pair| assert_eq!(pair.ws_take(ws), [""; 0]));
        assert_eq!(pair.ws_take(ws), ["close 1000", "end"]);
        let get = pair.get(&polling);
        assert_eq!(pair.answered(get).brief(), (200, "4x"), "nothing is lost");
        let again = pair.web_socket(&streaming);
        pair.ws_send(again, "2probe");
        pair.ws_send(again, "5");
        pair.ws_send(again, "4y");
        assert_eq!(pair.ws_take(again), ["3probe", "4y"], "and may be tried again");
    }
}

#[test]
fn a_probe_that_misbehaves_is_closed_and_polling_goes_on() {
    for texts in [
        &["5"][..],
        &["2"],
        &["2prob"],
        &["4hello"],
        &["3"],
        &["abc"],
        &["bAQID"],
        &["2probe", "2probe"],
        &["2probe", "4hello"],
        &["2probe", "2"],
        &["1"],
    ] {
        let mut pair = Pair::suite();
        let (polling, streaming) = pair.open_raw(ENGINE);
        let get = pair.get(&polling);
        let ws = pair.web_socket(&streaming);
        texts.iter().for_each(|text| pair.ws_send_unsettled(ws, text));
        let got = pair.ws_take(ws);
        assert_eq!(got[got.len() - 2..], ["close 1000", "end"], "{texts:?}");
        let get = if pair.answer(get).is_some() { pair.get(&polling) } else { get };
        pair.post(&polling, "4x");
        assert_eq!(pair.answered(get).brief(), (200, "4x"), "{texts:?}");
    }
}

#[test]
fn a_probe_that_breaks_rfc_6455_is_failed_and_polling_goes_on() {
    let mut pair = Pair::suite();
    let (polling, streaming) = pair.open_raw(ENGINE);
    let ws = pair.web_socket(&streaming);
    pair.raw(ws, b"\x81\x01x");
    assert_eq!(pair.ws_take(ws), ["close 1002", "end"]);
    pair.post(&polling, "4x");
    let get = pair.get(&polling);
    assert_eq!(pair.answered(get).brief(), (200, "4x"));
}

#[test]
fn a_web_socket_whose_upgrade_is_begun_may_ping_as_rfc_6455_knows_it() {
    let mut pair = Pair::suite();
    let (_, streaming) = pair.open_raw(ENGINE);
    let ws = pair.web_socket(&streaming);
    use roomcast_core::websocket::{Fin, Opcode};
    pair.frame(ws, Fin::Final, Opcode::Ping, b"x");
    pair.ws_send(ws, "2probe");
    assert_eq!(pair.ws_take(ws), ["pong x", "3probe"]);
    pair.ws_send(ws, "5");
    pair.ws_send(ws, "4x");
    assert_eq!(pair.ws_take(ws), ["4x"]);
}

#[test]
fn posts_go_on_while_the_upgrade_is_under_way() {
    let mut pair = Pair::suite();
    let (polling, streaming) = pair.open_raw(ENGINE);
    let ws = pair.web_socket(&streaming);
    pair.ws_send(ws, "2probe");
    let post = pair.begin(Method::POST, &polling, &[]);
    pair.ws_send(ws, "5");
    pair.finish(post, "4x");
    assert_eq!(pair.answered(post).brief(), (200, "ok"), "its head came before the upgrade was done");
    assert_eq!(pair.ws_take(ws), ["3probe", "4x"]);
}

#[test]
fn a_session_that_ends_takes_its_probe_with_it() {
    for probed in [&[][..], &["2probe"]] {
        let mut pair = Pair::suite();
        let (polling, streaming) = pair.open_raw(ENGINE);
        let get = pair.get(&polling);
        let ws = pair.web_socket(&streaming);
        probed.iter().for_each(|text| pair.ws_send(ws, text));
        let was_probed = pair.answer(get).is_some();
        assert_eq!(was_probed, !probed.is_empty());
        pair.post(&polling, "1");
        let got = pair.ws_take(ws);
        assert_eq!(got[got.len() - 2..], ["close 1000", "end"]);
        assert_eq!(pair.answered(get).brief(), (200, "6"));
    }
}

#[test]
fn a_probe_does_not_keep_a_silent_session_alive() {
    let mut pair = Pair::new(Conformance::config(Profile::SUITE), Conformance::new());
    let (_, streaming) = pair.open_raw(ENGINE);
    let ws = pair.web_socket(&streaming);
    pair.ws_send(ws, "2probe");
    pair.pass(Duration::from_millis(500));
    let got = pair.ws_take(ws);
    assert_eq!(got, ["3probe", "close 1000", "end"]);
    assert_eq!(pair.host.audit().sessions, 0);
}

#[test]
fn a_ping_that_is_due_during_the_upgrade_comes_by_web_socket() {
    let mut pair = Pair::suite();
    let (_, streaming) = pair.open_raw(ENGINE);
    let ws = pair.web_socket(&streaming);
    pair.ws_send(ws, "2probe");
    pair.pass(Duration::from_millis(300));
    assert_eq!(pair.ws_take(ws), ["3probe"]);
    pair.ws_send(ws, "5");
    assert_eq!(pair.ws_take(ws), ["2"]);
    pair.ws_send(ws, "3");
    pair.pass(Duration::from_millis(200));
    assert!(!pair.ws_ended(ws));
}

#[test]
fn a_probe_that_is_lost_leaves_no_trace() {
    let mut pair = Pair::suite();
    let (polling, streaming) = pair.open_raw(ENGINE);
    for probed in [&[][..], &["2probe"]] {
        let ws = pair.web_socket(&streaming);
        probed.iter().for_each(|text| pair.ws_send(ws, text));
        pair.hang_up(ws);
        pair.post(&polling, "4x");
        let get = pair.get(&polling);
        assert_eq!(pair.answered(get).brief(), (200, "4x"));
        let audit = pair.host.audit();
        assert_eq!((audit.conns, audit.sessions), (0, 1));
    }
}

/// A session whose server sends numbered messages while its client upgrades.
struct UpgradeRun {
    pair: Pair<Manual>,
    session: SessionId,
    polling: String,
    streaming: String,
    get: Option<TestRequest>,
    sent: u32,
    got: Vec<String>,
}

impl UpgradeRun {
    fn begin() -> Self {
        let mut pair = Pair::manual(Conformance::config(Profile::APP));
        let (polling, streaming) = pair.open_raw(ENGINE);
        let events = pair.events();
        let [Event::Opened { session, .. }] = events.as_slice() else { panic!("{events:?}") };
        Self { session: *session, pair, polling, streaming, get: None, sent: 0, got: Vec::new() }
    }

    fn emit(&mut self) {
        let message = Message::Text(self.sent.to_string().into());
        self.sent += 1;
        self.pair.command(Command::Send { session: self.session, message });
    }

    /// A GET, unless one is out.
    fn get(&mut self) {
        self.collect();
        if self.get.is_none() {
            self.get = Some(self.pair.get(&self.polling));
        }
        self.collect();
    }

    fn collect(&mut self) {
        if let Some(answer) = self.get.and_then(|get| self.pair.answer(get)) {
            self.get = None;
            if answer.status == 200 {
                self.got.extend(answer.body.split('\x1e').filter(|text| *text != "6").map(str::to_owned));
            }
        }
    }
}

impl Drop for UpgradeRun {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let ends = self.pair.events();
            assert!(
                !ends.iter().any(|event| matches!(event, Event::Closed { reason: Reason::Fault(_), .. })),
                "{ends:?}"
            );
        }
    }
}

fn upgraded(pair: &mut Pair<Conformance>) -> (String, Ws) {
    let (polling, streaming) = pair.open_raw(ENGINE);
    let ws = pair.web_socket(&streaming);
    pair.ws_send(ws, "2probe");
    pair.ws_send(ws, "5");
    assert_eq!(pair.ws_take(ws), ["3probe"]);
    (polling, ws)
}

const ENGINE: &str = "/engine.io/";
