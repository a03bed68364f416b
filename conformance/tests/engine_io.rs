//! The Engine.IO facts that suites check, without a port.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::time::Duration;

use http::Method;
use roomcast_conformance::pair::{Conformance, Over, Pair, Via};
use roomcast_core::server::TimerKind;

#[test]
fn polling_opens_with_exactly_these_keys() {
    let mut pair = Pair::suite();
    let get = pair.get(&format!("{ENGINE}?EIO=4&transport=polling"));
    let answer = pair.answered(get);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/plain; charset=UTF-8");
    let sid = sid_of(&answer.body);
    assert_eq!(
        answer.body,
        format!(
            r#"0{{"sid":"{sid}","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}}"#
        )
    );
}

#[test]
fn a_web_socket_opens_without_upgrades() {
    let mut pair = Pair::suite();
    let ws = pair.web_socket(&format!("{ENGINE}?EIO=4&transport=websocket"));
    let got = pair.ws_take(ws);
    let sid = sid_of(&got[0]);
    let open = format!(r#"0{{"sid":"{sid}","upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}}"#);
    assert_eq!(got, [open]);
}

#[test]
fn the_announced_numbers_are_the_configured_ones() {
    let mut pair = Pair::defaults();
    let get = pair.get(&format!("{ENGINE}?EIO=4&transport=polling"));
    let body = pair.answered(get).body;
    assert!(body.ends_with(r#""pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#), "{body}");
}

#[test]
fn sids_have_twenty_characters_begin_with_the_node_and_differ() {
    let mut pair = Pair::suite();
    let peers: Vec<_> = (0..20).map(|_| pair.open(ENGINE, Via::Polling)).collect();
    let mut sids: Vec<_> = peers.into_iter().map(|peer| pair.sid(peer)).collect();
    for sid in &sids {
        assert_eq!(sid.len(), 20);
        assert!(sid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{sid}");
        // Node 7 as two bytes, in base64url: `AAc`, where the last character holds bits of the third byte.
        assert!(sid.starts_with("AA"), "{sid}");
        assert!(("c".."g").contains(&&sid[2..3]), "{sid}");
    }
    sids.sort();
    sids.dedup();
    assert_eq!(sids.len(), 20);
}

#[test]
fn a_request_that_names_no_session_or_version_or_transport_is_400() {
    let mut pair = Pair::suite();
    let unknown = "AAcUnknownUnknownUnk";
    for (method, query, body) in [
        (Method::GET, "transport=polling".to_owned(), r#"{"code":5,"message":"Unsupported protocol version"}"#),
        (Method::GET, "EIO=3&transport=polling".to_owned(), r#"{"code":5,"message":"Unsupported protocol version"}"#),
        (Method::GET, "EIO=abc&transport=polling".to_owned(), r#"{"code":5,"message":"Unsupported protocol version"}"#),
        (Method::GET, "EIO=4".to_owned(), r#"{"code":0,"message":"Transport unknown"}"#),
        (Method::GET, "EIO=4&transport=abc".to_owned(), r#"{"code":0,"message":"Transport unknown"}"#),
        (Method::GET, String::new(), r#"{"code":0,"message":"Transport unknown"}"#),
        (Method::POST, "EIO=4&transport=polling".to_owned(), r#"{"code":2,"message":"Bad handshake method"}"#),
        (Method::PUT, "EIO=4&transport=polling".to_owned(), r#"{"code":2,"message":"Bad handshake method"}"#),
        (Method::GET, format!("EIO=4&transport=polling&sid={unknown}"), r#"{"code":1,"message":"Session ID unknown"}"#),
        (
            Method::POST,
            format!("EIO=4&transport=polling&sid={unknown}"),
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (Method::GET, "EIO=4&transport=polling&sid=abc".to_owned(), r#"{"code":1,"message":"Session ID unknown"}"#),
        (Method::GET, "EIO=4&transport=websocket".to_owned(), r#"{"code":3,"message":"Bad request"}"#),
    ] {
        let request = pair.request(method.clone(), &format!("{ENGINE}?{query}"), &[], "");
        assert_eq!(pair.answered(request).brief(), (400, body), "{method} {query}");
    }
}

#[test]
fn a_web_socket_of_no_session_or_version_or_transport_is_refused() {
    let mut pair = Pair::suite();
    for query in ["", "transport=websocket", "EIO=3&transport=websocket", "EIO=4", "EIO=4&transport=polling"] {
        let refused = pair.try_web_socket(&format!("{ENGINE}?{query}"), None);
        assert_eq!(refused.unwrap_err().status, 400, "{query}");
    }
    let unknown = pair.try_web_socket(&format!("{ENGINE}?EIO=4&transport=websocket&sid=AAcUnknownUnknownUnk"), None);
    assert_eq!(unknown.unwrap_err().brief(), (400, r#"{"code":1,"message":"Session ID unknown"}"#));
}

#[test]
fn a_sid_is_good_on_its_own_path_alone() {
    let mut pair = Pair::suite();
    let peer = pair.open(ENGINE, Via::Polling);
    let elsewhere = pair.target(peer).replace(ENGINE, "/socket.io/");
    let get = pair.get(&elsewhere);
    assert_eq!(pair.answered(get).brief(), (400, r#"{"code":1,"message":"Session ID unknown"}"#));
    assert_eq!(pair.ask(peer, "4still there"), ["4still there"]);
}

#[test]
fn a_post_is_answered_ok_and_its_echoes_come_in_one_get_in_order() {
    let mut pair = Pair::suite();
    let (_, target) = open_raw(&mut pair);
    let post = pair.post(&target, "4test1\x1e4test2\x1ebAQIDBA==\x1e4test3");
    assert_eq!(pair.answered(post).brief(), (200, "ok"));
    let get = pair.get(&target);
    assert_eq!(pair.answered(get).brief(), (200, "4test1\x1e4test2\x1ebAQIDBA==\x1e4test3"));
    let waits = pair.get(&target);
    assert_eq!(pair.answer(waits), None, "nothing else comes with them or after them");
}

#[test]
fn a_waiting_get_is_answered_by_the_echoes_of_a_post_together() {
    let mut pair = Pair::suite();
    let (_, target) = open_raw(&mut pair);
    let get = pair.get(&target);
    assert_eq!(pair.answer(get), None);
    pair.post(&target, "4a\x1e4b\x1e4c");
    assert_eq!(pair.answered(get).brief(), (200, "4a\x1e4b\x1e4c"));
}

#[test]
fn an_answer_has_at_most_sixteen_packets_and_a_post_may_have_more() {
    let mut pair = Pair::suite();
    let (_, target) = open_raw(&mut pair);
    let packets: Vec<String> = (0..40).map(|n| format!("4{n}")).collect();
    let post = pair.post(&target, &packets.join("\x1e"));
    assert_eq!(pair.answered(post).brief(), (200, "ok"));
    for part in packets.chunks(16) {
        let get = pair.get(&target);
        assert_eq!(pair.answered(get).brief(), (200, &*part.join("\x1e")));
    }
    let waits = pair.get(&target);
    assert_eq!(pair.answer(waits), None);
}

#[test]
fn text_and_binary_are_echoed_by_every_transport() {
    let mut pair = Pair::suite();
    for via in Via::ALL {
        let peer = pair.open(ENGINE, via);
        for packet in ["4hello", "4€ 😀", "4", "bAQIDBA==", "b"] {
            assert_eq!(pair.ask(peer, packet), [packet], "{via:?}");
        }
    }
}

#[test]
fn a_body_that_is_no_packet_is_400_and_ends_the_session() {
    for body in ["abc", "", "7", "4a\x1e", "4a\x1ex", "b!!", "0{}", "2", "5", "1x"] {
        let mut pair = Pair::suite();
        let (_, target) = open_raw(&mut pair);
        let get = pair.get(&target);
        let post = pair.post(&target, body);
        assert_eq!(pair.answered(post).brief(), (400, r#"{"code":3,"message":"Bad request"}"#), "{body:?}");
        assert_eq!(pair.answered(get).status, 200, "{body:?}");
        let gone = pair.get(&target);
        assert_eq!(pair.answered(gone).brief(), (400, r#"{"code":1,"message":"Session ID unknown"}"#), "{body:?}");
    }
}

#[test]
fn a_message_that_is_no_packet_closes_a_web_socket() {
    for text in ["abc", "", "7", "2probe", "5", "0{}", "1x"] {
        let mut pair = Pair::suite();
        let peer = pair.open(ENGINE, Via::WebSocket);
        pair.send(peer, text);
        assert_eq!(pair.over(peer), Some(Over::Closed("close 1002".into())), "{text:?}");
    }
}

#[test]
fn a_second_get_ends_the_first_with_1_itself_with_400_and_the_session() {
    let mut pair = Pair::suite();
    let (_, target) = open_raw(&mut pair);
    let first = pair.get(&target);
    let second = pair.get(&target);
    assert_eq!(pair.answered(first).brief(), (200, "1"));
    assert_eq!(pair.answered(second).brief(), (400, r#"{"code":3,"message":"Bad request"}"#));
    let third = pair.get(&target);
    assert_eq!(pair.answered(third).brief(), (400, r#"{"code":1,"message":"Session ID unknown"}"#));
}

#[test]
fn two_posts_at_a_time_end_both_with_400_and_the_session() {
    let mut pair = Pair::suite();
    let (_, target) = open_raw(&mut pair);
    let get = pair.get(&target);
    // The head of the first is there, its body is on the way.
    let first = pair.begin(Method::POST, &target, &[]);
    let second = pair.post(&target, "4second");
    assert_eq!(pair.answered(second).status, 400);
    assert_eq!(pair.answered(get).brief(), (200, "1"));
    pair.finish(first, "4first");
    assert_eq!(pair.answered(first).status, 400);
    let gone = pair.get(&target);
    assert_eq!(pair.answered(gone).status, 400);
}

#[test]
fn a_get_and_a_post_at_a_time_are_what_polling_is() {
    let mut pair = Pair::suite();
    let (_, target) = open_raw(&mut pair);
    let post = pair.begin(Method::POST, &target, &[]);
    let get = pair.get(&target);
    pair.finish(post, "4x");
    assert_eq!((pair.answered(post).brief(), pair.answered(get).brief()), ((200, "ok"), (200, "4x")));
}

#[test]
fn a_post_that_is_given_up_makes_room_for_the_next() {
    let mut pair = Pair::suite();
    let (_, target) = open_raw(&mut pair);
    let post = pair.begin(Method::POST, &target, &[]);
    pair.abort(post);
    let again = pair.post(&target, "4x");
    assert_eq!(pair.answered(again).brief(), (200, "ok"));
}

#[test]
fn a_poll_that_is_given_up_ends_the_session() {
    let mut pair = Pair::suite();
    let (_, target) = open_raw(&mut pair);
    let get = pair.get(&target);
    pair.abort(get);
    let gone = pair.get(&target);
    assert_eq!(pair.answered(gone).brief(), (400, r#"{"code":1,"message":"Session ID unknown"}"#));
}

#[test]
fn a_body_over_the_limit_is_413_and_the_session_goes_on() {
    let mut pair = Pair::suite();
    let (_, target) = open_raw(&mut pair);
    let fits = format!("4{}", "x".repeat(999_999));
    let post = pair.post(&target, &fits);
    assert_eq!(pair.answered(post).brief(), (200, "ok"));
    let get = pair.get(&target);
    assert_eq!(pair.answered(get).body, fits);
    let post = pair.post(&target, &format!("{fits}x"));
    assert_eq!(pair.answered(post).status, 413);
    let post = pair.post(&target, "4x");
    assert_eq!(pair.answered(post).brief(), (200, "ok"));
}

#[test]
fn a_message_over_the_limit_closes_a_web_socket_with_1009() {
    let mut pair = Pair::suite();
    let peer = pair.open(ENGINE, Via::WebSocket);
    let fits = format!("4{}", "x".repeat(999_999));
    assert_eq!(pair.ask(peer, &fits), std::slice::from_ref(&fits));
    pair.send(peer, &format!("{fits}x"));
    assert_eq!(pair.over(peer), Some(Over::Closed("close 1009".into())));
}

#[test]
fn close_by_post_answers_the_waiting_get_with_a_noop() {
    let mut pair = Pair::suite();
    let (_, target) = open_raw(&mut pair);
    let get = pair.get(&target);
    let post = pair.post(&target, "1");
    assert_eq!(pair.answered(post).brief(), (200, "ok"));
    assert_eq!(pair.answered(get).brief(), (200, "6"));
    let gone = pair.get(&target);
    assert_eq!(pair.answered(gone).brief(), (400, r#"{"code":1,"message":"Session ID unknown"}"#));
}

#[test]
fn close_by_message_closes_a_web_socket() {
    let mut pair = Pair::suite();
    let peer = pair.open(ENGINE, Via::WebSocket);
    pair.send(peer, "1");
    assert_eq!(pair.over(peer), Some(Over::Closed("close 1000".into())));
}

#[test]
fn the_first_ping_comes_one_full_interval_after_the_open_packet() {
    for via in [Via::WebSocket, Via::Polling] {
        let mut pair = Pair::defaults();
        let peer = pair.open(ENGINE, via);
        pair.keep_pongs(peer);
        pair.pass_with(Duration::from_secs(25), |pair| {
            assert_eq!(pair.take(peer), [""; 0], "{via:?}");
            assert_eq!(pair.next_deadline().unwrap().1, TimerKind::Ping);
        });
        assert_eq!(pair.take(peer), ["2"], "{via:?}");
    }
}

#[test]
fn pings_come_up_to_a_twentieth_early_once_and_then_keep_their_phase() {
    let interval = Duration::from_secs(25);
    let mut pair = Pair::defaults();
    let peers: Vec<_> = (0..50).map(|_| pair.open(ENGINE, Via::WebSocket)).collect();
    peers.iter().for_each(|peer| pair.keep_pongs(*peer));
    pair.pass(interval);
    for peer in &peers {
        assert_eq!(pair.ask(*peer, "3"), ["2"]);
    }
    let begin = pair.now();
    let mut second = vec![None; peers.len()];
    while second.contains(&None) {
        let (deadline, _) = pair.next_deadline().unwrap();
        let span = deadline.saturating_since(pair.now());
        pair.pass(span);
        for (peer, at) in peers.iter().zip(&mut second) {
            if pair.take(*peer) == ["2"] {
                assert_eq!(*at, None, "one each");
                *at = Some(pair.now());
                pair.send(*peer, "3");
            }
        }
    }
    let early: Vec<_> = second.iter().map(|at| interval - at.unwrap().saturating_since(begin)).collect();
    assert!(early.iter().all(|early| *early <= interval / 20), "{early:?}");
    assert!(
        early.iter().max().unwrap().saturating_sub(*early.iter().min().unwrap()) > interval / 40,
        "spread: {early:?}"
    );
    for (peer, at) in peers.iter().zip(&second) {
        let third = at.unwrap() + interval;
        let span = third.saturating_since(pair.now());
        if span > Duration::ZERO && peer == &peers[0] {
            pair.pass_with(span, |pair| assert_eq!(pair.take(*peer), [""; 0]));
            assert_eq!(pair.ask(*peer, "3"), ["2"], "the phase stays");
        }
    }
}

#[test]
fn a_session_lives_as_long_as_pongs_come() {
    for via in Via::ALL {
        let mut pair = Pair::suite();
        let peer = pair.open(ENGINE, via);
        pair.pass(Duration::from_secs(60));
        assert_eq!(pair.ask(peer, "4still there"), ["4still there"], "{via:?}");
    }
}

#[test]
fn without_a_poll_for_interval_and_timeout_the_session_is_gone() {
    let mut pair = Pair::suite();
    let (_, target) = open_raw(&mut pair);
    pair.pass_with(Duration::from_millis(500), |pair| assert_eq!(pair.host.audit().sessions, 1));
    let get = pair.get(&target);
    assert_eq!(pair.answered(get).brief(), (400, r#"{"code":1,"message":"Session ID unknown"}"#));
    assert_eq!(pair.host.server().counters().pings_unanswered, 1);
}

#[test]
fn without_a_pong_a_polling_session_ends_with_1() {
    let mut pair = Pair::suite();
    let peer = pair.open(ENGINE, Via::Polling);
    pair.keep_pongs(peer);
    pair.pass(Duration::from_millis(500));
    assert_eq!(pair.take(peer), ["2"]);
    assert_eq!(pair.over(peer), Some(Over::ClosePacket));
}

#[test]
fn without_a_pong_a_web_socket_is_closed() {
    for via in [Via::WebSocket, Via::Upgrade] {
        let mut pair = Pair::suite();
        let peer = pair.open(ENGINE, via);
        pair.keep_pongs(peer);
        pair.pass_with(Duration::from_millis(500), |pair| assert_eq!(pair.over(peer), None));
        assert_eq!(pair.over(peer), Some(Over::Closed("close 1000".into())), "{via:?}");
    }
}

#[test]
fn a_pong_of_nothing_is_ignored() {
    let mut pair = Pair::defaults();
    let peer = pair.open(ENGINE, Via::WebSocket);
    pair.keep_pongs(peer);
    assert_eq!(pair.ask(peer, "3"), [""; 0]);
    pair.pass_with(Duration::from_secs(25), |pair| assert_eq!(pair.take(peer), [""; 0]));
    assert_eq!(pair.take(peer), ["2"]);
}

#[test]
fn noops_of_a_client_are_ignored() {
    let mut pair = Pair::suite();
    for via in Via::ALL {
        let peer = pair.open(ENGINE, via);
        pair.send_all(peer, &["6", "4a", "6"]);
        assert_eq!(pair.take(peer), ["4a"], "{via:?}");
    }
}

/// A polling session in the hands of the test: its sid and the target of its requests.
fn open_raw(pair: &mut Pair<Conformance>) -> (String, String) {
    let get = pair.get(&format!("{ENGINE}?EIO=4&transport=polling"));
    let sid = sid_of(&pair.answered(get).body);
    let target = format!("{ENGINE}?EIO=4&transport=polling&sid={sid}");
    (sid, target)
}

fn sid_of(open: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    json["sid"].as_str().unwrap().to_owned()
}

const ENGINE: &str = "/engine.io/";
