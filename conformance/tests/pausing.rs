//! When reading is paused, when it goes on, and what a pong is worth meanwhile.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails at the first event that it does not expect")]

use std::time::Duration;

use roomcast_conformance::pair::{Conformance, Handling, Manual, Pair, Peer, Profile, Via};
use roomcast_core::server::config::Config;
use roomcast_core::server::{Command, Event, Message, Reason, SessionId};

#[test]
fn unanswered_work_pauses_reading_and_its_half_resumes_it() {
    let mut config = Conformance::config(Profile::APP);
    config.limits.unanswered_max = 10;
    let mut pair = Pair::manual(config);
    pair.app().handling = Handling::ByHand;
    let peer = pair.open("/engine.io/", Via::WebSocket);
    let session = pair.opened();
    let ws = pair.ws(peer);
    let conn = pair.conn(ws);
    for n in 0..30 {
        pair.send(peer, &format!("4{n}"));
    }
    assert!(pair.host.stream(conn).is_paused());
    let mut texts = messages(pair.events());
    assert_eq!(texts.len(), 11, "one over the limit, then no more is read");
    let mut handled = 0;
    while texts.len() < 30 {
        let paused = pair.host.stream(conn).is_paused();
        pair.command(Command::Handled { session });
        handled += 1;
        let more = messages(pair.events());
        assert!(more.is_empty() || paused, "what is read is not behind");
        if more.is_empty() {
            assert!(texts.len() - handled > 5 || !paused, "paused longer than needed");
        }
        texts.extend(more);
    }
    let expected: Vec<_> = (0..30).map(|n| n.to_string()).collect();
    assert_eq!(texts, expected, "in order, each once");
    for _ in handled..30 {
        pair.command(Command::Handled { session });
    }
    assert!(!pair.host.stream(conn).is_paused());
}

#[test]
fn unanswered_work_holds_the_answer_of_a_post() {
    let mut config = Conformance::config(Profile::APP);
    config.limits.unanswered_max = 10;
    let mut pair = Pair::manual(config);
    pair.app().handling = Handling::ByHand;
    let polling = pair.open_raw("/engine.io/").0;
    let session = pair.opened();
    let body: Vec<_> = (0..20).map(|n| format!("4{n}")).collect();
    let post = pair.post(&polling, &body.join("\x1e"));
    let mut texts = messages(pair.events());
    assert_eq!(texts.len(), 11, "one over the limit, then no more of the body is taken");
    let mut handled = 0;
    while texts.len() < 20 {
        assert_eq!(pair.answer(post), None, "{handled} done");
        pair.command(Command::Handled { session });
        handled += 1;
        texts.extend(messages(pair.events()));
        assert!(texts.len() - handled <= 11, "never more at once");
    }
    assert_eq!((texts, handled), ((0..20).map(|n| n.to_string()).collect(), 12), "in order, each once");
    assert_eq!(pair.answered(post).brief(), (200, "ok"), "all of it is taken, and less than the limit is to do");
}

#[test]
fn a_post_is_answered_for_its_own_body_and_not_for_anothers_work() {
    let mut config = Conformance::config(Profile::APP);
    config.limits.unanswered_max = 2;
    let mut pair = Pair::manual(config);
    pair.app().handling = Handling::ByHand;
    let polling = pair.open_raw("/engine.io/").0;
    let session = pair.opened();
    let held = pair.post(&polling, "4a\x1e4b\x1e4c");
    assert_eq!(pair.answer(held), None);
    pair.abort(held);
    let next = pair.begin(http::Method::POST, &polling, &[]);
    for _ in 0..3 {
        pair.command(Command::Handled { session });
    }
    assert_eq!(pair.answer(next), None, "its body is not there");
    pair.finish(next, "4d");
    assert_eq!(pair.answered(next).brief(), (200, "ok"));
    assert_eq!(messages(pair.events()), ["a", "b", "c", "d"]);
}

#[test]
fn unread_output_pauses_reading() {
    let mut pair = Pair::new(small_limits(), Conformance::new());
    let peer = pair.open("/engine.io/", Via::WebSocket);
    let ws = pair.ws(peer);
    let conn = pair.conn(ws);
    pair.block(ws);
    // An echo that is not read: without the pause it would be closed as too slow.
    for _ in 0..100 {
        pair.send(peer, &format!("4{}", "x".repeat(1000)));
    }
    assert!(pair.host.stream(conn).is_paused());
    assert!(pair.host.audit().queued_bytes < 10_000, "{:?}", pair.host.audit());
    let mut got = 0;
    for _ in 0..200 {
        pair.unblock(ws, 1000);
        got += pair.take(peer).len();
    }
    assert_eq!((got, pair.over(peer)), (100, None), "all of it, once it reads");
    assert!(!pair.host.stream(conn).is_paused());
}

#[test]
fn a_paused_peer_that_takes_bytes_is_not_closed_by_the_pong_timeout() {
    let (mut pair, session, peer) = paused_by_work(Via::WebSocket);
    let ws = pair.ws(peer);
    for _ in 0..10 {
        pair.send(peer, "3");
        pair.pass(Duration::from_secs(10));
        // Its socket takes what it is sent; its pongs are behind what is not read.
        pair.command(Command::Send { session, message: Message::Text("news".into()) });
    }
    assert_eq!(pair.over(peer), None);
    assert!(pair.ws_take(ws).is_empty() && pair.take(peer).iter().filter(|text| *text == "4news").count() == 10);
    resume(&mut pair, session);
    assert_eq!(pair.over(peer), None);
}

#[test]
fn a_paused_peer_that_is_sent_nothing_is_not_closed_by_the_pong_timeout() {
    for via in Via::ALL {
        let (mut pair, session, peer) = paused_by_work(via);
        pair.pass(Duration::from_secs(300));
        assert_eq!(pair.over(peer), None, "{via:?}: it has taken the ping, and cannot answer it");
        let pings = pair.take(peer).iter().filter(|text| *text == "2").count();
        assert!((10..20).contains(&pings), "{via:?}: a client that is not pinged for 45 s leaves: {pings}");
        resume(&mut pair, session);
        if via == Via::Polling {
            pair.send(peer, "3");
        } else {
            pair.ws_send(pair.ws(peer), "3");
        }
        pair.pass(Duration::from_secs(20));
        assert_eq!(pair.over(peer), None, "{via:?}");
    }
}

#[test]
fn a_paused_polling_client_that_polls_is_not_closed_by_the_pong_timeout() {
    let (mut pair, session, peer) = paused_by_work(Via::Polling);
    for _ in 0..10 {
        pair.pass(Duration::from_secs(10));
        pair.command(Command::Send { session, message: Message::Text("news".into()) });
    }
    assert_eq!(pair.over(peer), None, "its pong would be in the POST that is not answered");
    resume(&mut pair, session);
    assert_eq!(pair.over(peer), None);
}

#[test]
fn a_paused_peer_that_takes_nothing_is_closed_by_the_pong_timeout() {
    let (mut pair, session, peer) = paused_by_work(Via::WebSocket);
    let ws = pair.ws(peer);
    pair.block(ws);
    pair.command(Command::Send { session, message: Message::Text("news".into()) });
    pair.pass(Duration::from_secs(120));
    assert!(pair.ws_ended(ws));
    assert!(pair.events().iter().any(|event| matches!(event, Event::Closed { reason: Reason::PingTimeout, .. })));
}

/// A session whose application is behind, so that its reading is paused.
fn paused_by_work(via: Via) -> (Pair<Manual>, SessionId, Peer) {
    let mut config = Conformance::config(Profile::APP);
    config.limits.unanswered_max = 4;
    let mut pair = Pair::manual(config);
    pair.app().handling = Handling::ByHand;
    let peer = pair.open("/engine.io/", via);
    let session = pair.opened();
    pair.send_all(peer, &["4a", "4b", "4c", "4d", "4e"]);
    assert_eq!(messages(pair.events()).len(), 5);
    pair.keep_pongs(peer);
    (pair, session, peer)
}

fn resume(pair: &mut Pair<Manual>, session: SessionId) {
    for _ in 0..5 {
        pair.command(Command::Handled { session });
    }
    pair.app().handling = Handling::AtOnce;
    let audit = pair.host.audit();
    assert_eq!(audit.sessions, 1);
}

fn messages(events: Vec<Event>) -> Vec<String> {
    let text = |event| match event {
        Event::Message { message: Message::Text(text), .. } => text.to_string(),
        other => panic!("{other:?}"),
    };
    events.into_iter().map(text).collect()
}

/// Soft 4,000, hard 20,000 bytes.
fn small_limits() -> Config {
    let mut config = Conformance::config(Profile::APP);
    config.limits.queue_soft_bytes = 4_000;
    config.limits.queue_bytes_max = 20_000;
    config
}
