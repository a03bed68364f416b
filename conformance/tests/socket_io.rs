//! The Socket.IO facts that suites check, the namespaces and the events of the conformance server, without a port.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::time::Duration;

use roomcast_conformance::pair::{Conformance, Over, Pair, Peer, Via, WALL_MS};

#[test]
fn connect_is_answered_with_the_sid_alone_and_auth_is_emitted() {
    for via in Via::ALL {
        let mut pair = Pair::suite();
        let peer = pair.open(SOCKET, via);
        let got = pair.ask(peer, "40");
        let sid = connected_sid(&got[0], "40");
        assert_eq!(got, [format!(r#"40{{"sid":"{sid}"}}"#), r#"42["auth",{}]"#.to_owned()], "{via:?}");
        assert_ne!(sid, pair.sid(peer), "not the Engine.IO sid");
        assert_eq!(sid.len(), 20);
    }
}

#[test]
fn connect_with_a_payload_to_a_namespace() {
    let mut pair = Pair::suite();
    let peer = pair.open(SOCKET, Via::WebSocket);
    let got = pair.ask(peer, r#"40/custom,{"token":"abc"}"#);
    let sid = connected_sid(&got[0], "40/custom,");
    assert_eq!(got, [format!(r#"40/custom,{{"sid":"{sid}"}}"#), r#"42/custom,["auth",{"token":"abc"}]"#.to_owned()]);
}

#[test]
fn a_namespace_without_a_comma_is_a_connect_too() {
    let mut pair = Pair::suite();
    let peer = pair.open(SOCKET, Via::WebSocket);
    assert!(pair.ask(peer, "40/custom")[0].starts_with(r#"40/custom,{"sid":""#));
}

#[test]
fn sids_differ_by_namespace() {
    let mut pair = Pair::suite();
    let (peer, root) = pair.join_namespace(Via::WebSocket, "/");
    let custom = pair.connect(peer, "/custom", "");
    assert_ne!(root, custom);
    assert_ne!(custom, pair.sid(peer));
}

#[test]
fn an_unknown_namespace_is_refused_by_name() {
    let mut pair = Pair::suite();
    let peer = pair.open(SOCKET, Via::WebSocket);
    assert_eq!(pair.ask(peer, "40/random"), [r#"44/random,{"message":"Invalid namespace"}"#]);
    for name in ["/jwt/", "/JWT", "//jwt", "/jwt%2f", "/dyn-", "/dyn-1x", "/dyn-x", "/dyn-1/", "/customx", "/Custom"] {
        let refused = format!(r#"44{name},{{"message":"Invalid namespace"}}"#);
        assert_eq!(pair.ask(peer, &format!("40{name},")), [refused]);
    }
    assert!(pair.ask(peer, "40")[0].starts_with(r#"40{"sid":"#), "the connection stays");
}

#[test]
fn namespaces_by_pattern_are_open() {
    let mut pair = Pair::suite();
    let peer = pair.open(SOCKET, Via::Polling);
    let first = pair.connect(peer, "/dyn-1", "");
    let second = pair.connect(peer, "/dyn-12345678901234567890", "");
    assert_ne!(first, second);
}

#[test]
fn a_namespace_can_refuse_with_data() {
    let mut pair = Pair::suite();
    let peer = pair.open(SOCKET, Via::WebSocket);
    let refused = r#"44/deny,{"message":"not authorized","data":{"code":"E_AUTH"}}"#;
    assert_eq!(pair.ask(peer, "40/deny,"), [refused]);
    assert_eq!(pair.ask(peer, r#"40/deny,{"token":"x"}"#), [refused], "again, if one asks again");
}

#[test]
fn a_token_lets_in_until_it_ends() {
    let mut pair = Pair::suite();
    let peer = pair.open(SOCKET, Via::WebSocket);
    let unauthorized = r#"44/jwt,{"message":"unauthorized"}"#;
    let exp = WALL_MS / 1000 + 10;
    let good = Conformance::token(&format!(r#"{{"sub":"ada","exp":{exp}}}"#));
    for bad in [
        String::new(),
        r#"{"token":""}"#.into(),
        r#"{"token":1}"#.into(),
        format!(r#"{{"token":"{good}x"}}"#),
        format!(r#"{{"token":"{}"}}"#, Conformance::token(r#"{"sub":"ada"}"#)),
        format!(r#"{{"token":"{}"}}"#, Conformance::token(&format!(r#"{{"exp":{exp}}}"#))),
        format!(r#"{{"token":"{}"}}"#, Conformance::token(&format!(r#"{{"sub":"ada","exp":{}}}"#, WALL_MS / 1000))),
        format!(r#"{{"token":"{}"}}"#, Conformance::token(&format!(r#"{{"sub":"ada","exp":{exp},"nbf":{exp}}}"#))),
    ] {
        assert_eq!(pair.ask(peer, &format!("40/jwt,{bad}")), [unauthorized], "{bad}");
    }
    pair.connect(peer, "/", "");
    pair.take(peer);
    pair.connect(peer, "/jwt", &format!(r#"{{"token":"{good}"}}"#));
    assert_eq!(pair.take(peer), [r#"42/jwt,["auth",{"sub":"ada"}]"#]);
    pair.pass_with(Duration::from_secs(10), |pair| assert_eq!(pair.take(peer), [""; 0]));
    assert_eq!(pair.take(peer), ["41/jwt,"]);
    assert_eq!(pair.ask(peer, r#"420["echo",1]"#), ["430[1]"], "the root namespace stays");
}

#[test]
fn messages_come_back_with_their_arguments() {
    for via in Via::ALL {
        let (mut pair, peer) = joined(via);
        for (sent, got) in [
            (r#"42["message",1,"2",{"3":[true]}]"#, r#"42["message-back",1,"2",{"3":[true]}]"#),
            (r#"42["message"]"#, r#"42["message-back"]"#),
            (r#"42["message",{"b":1,"a":2,"10":3,"2":4}]"#, r#"42["message-back",{"b":1,"a":2,"10":3,"2":4}]"#),
            (r#"42["message",1e400,1.0,-0]"#, r#"42["message-back",1e400,1.0,-0]"#),
            (r#"42["message","\ud800 é €"]"#, r#"42["message-back","\ud800 é €"]"#),
        ] {
            assert_eq!(pair.ask(peer, sent), [got], "{via:?}");
        }
    }
}

#[test]
fn acks_have_the_exact_text() {
    for via in Via::ALL {
        let (mut pair, peer) = joined(via);
        assert_eq!(
            pair.ask(peer, r#"42456["message-with-ack",1,"2",{"3":[false]}]"#),
            [r#"43456[1,"2",{"3":[false]}]"#]
        );
        assert_eq!(pair.ask(peer, r#"420["echo","x"]"#), [r#"430["x"]"#]);
        assert_eq!(pair.ask(peer, r#"42["echo","x"]"#), [""; 0], "no id, no ack");
    }
}

#[test]
fn binary_goes_both_ways_and_into_acks() {
    for via in Via::ALL {
        let (mut pair, peer) = joined(via);
        let two = r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
        let named = |name: &str| two.replacen('[', &format!(r#"["{name}","#), 1);
        pair.send_all(peer, &[&format!("452-{}", named("message")), "bAQID", "bBAUG"]);
        assert_eq!(pair.take(peer), [format!("452-{}", named("message-back")), "bAQID".into(), "bBAUG".into()]);
        pair.send_all(peer, &[&format!("452-789{}", named("message-with-ack")), "bAQID", "bBAUG"]);
        assert_eq!(pair.take(peer), [format!("462-789{two}"), "bAQID".into(), "bBAUG".into()], "{via:?}");
    }
}

#[test]
fn the_server_asks_and_the_client_answers() {
    for via in Via::ALL {
        let (mut pair, peer) = joined(via);
        assert_eq!(pair.ask(peer, r#"42["ask","x",1]"#), [r#"420["ask","x",1]"#]);
        assert_eq!(pair.ask(peer, r#"430["y",2]"#), [r#"42["ask-result","y",2]"#]);
        assert_eq!(pair.ask(peer, r#"430["again"]"#), [""; 0], "an ack counts once");
        pair.ask(peer, r#"42["ask"]"#);
        pair.send_all(peer, &[r#"461-1[{"_placeholder":true,"num":0}]"#, "bAQID"]);
        assert_eq!(pair.take(peer), [r#"451-["ask-result",{"_placeholder":true,"num":0}]"#, "bAQID"], "{via:?}");
    }
}

#[test]
fn an_ask_in_a_namespace_of_its_own() {
    let (mut pair, peer) = joined(Via::WebSocket);
    pair.connect(peer, "/custom", "");
    pair.take(peer);
    assert_eq!(pair.ask(peer, r#"42/custom,["ask",1]"#), [r#"42/custom,0["ask",1]"#]);
    assert_eq!(pair.ask(peer, r#"430["of another"]"#), [""; 0], "the answer of another namespace is none");
    assert_eq!(pair.ask(peer, r#"43/custom,0[2]"#), [r#"42/custom,["ask-result",2]"#]);
}

#[test]
fn disconnecting_from_the_root_leaves_the_transport_open() {
    for via in Via::ALL {
        let (mut pair, peer) = joined(via);
        assert_eq!(pair.ask(peer, "41"), [""; 0]);
        assert_eq!(pair.ask(peer, r#"420["echo",1]"#), [""; 0], "no such socket");
        pair.pass(Duration::from_secs(10));
        assert_eq!(pair.over(peer), None, "{via:?}");
        assert!(pair.ask(peer, "40")[0].starts_with(r#"40{"sid":"#), "and back");
    }
}

#[test]
fn disconnecting_from_a_namespace_leaves_the_root_working() {
    for via in Via::ALL {
        let (mut pair, peer) = joined(via);
        pair.connect(peer, "/custom", "");
        pair.take(peer);
        assert_eq!(pair.ask(peer, "41/custom"), [""; 0]);
        assert_eq!(pair.ask(peer, r#"42/custom,0["echo",1]"#), [""; 0]);
        assert_eq!(pair.ask(peer, r#"420["echo",1]"#), ["430[1]"], "{via:?}");
    }
}

#[test]
fn no_connect_within_the_connect_timeout_closes() {
    for via in Via::ALL {
        let mut pair = Pair::suite();
        let peer = pair.open(SOCKET, via);
        // Refused is not connected.
        pair.ask(peer, "40/deny,");
        pair.pass_with(Duration::from_secs(1), |pair| assert_eq!(pair.over(peer), None));
        let over = if via == Via::Polling { Over::ClosePacket } else { Over::Closed("close 1000".into()) };
        assert_eq!(pair.over(peer), Some(over), "{via:?}");
    }
}

#[test]
fn rooms_are_joined_and_left() {
    let mut pair = Pair::suite();
    let (ada, _) = pair.join_namespace(Via::WebSocket, "/");
    let (bob, _) = pair.join_namespace(Via::Polling, "/");
    let (eve, _) = pair.join_namespace(Via::Upgrade, "/");
    let all = [ada, bob, eve];
    all.iter().for_each(|peer| drop(pair.take(*peer)));
    assert_eq!(pair.ask(ada, r#"420["room-cast","r",0]"#), [r#"430["denied"]"#]);
    assert_eq!(pair.ask(ada, r#"421["join","r"]"#), [r#"431["joined","r"]"#]);
    assert_eq!(pair.ask(bob, r#"421["join","r"]"#), [r#"431["joined","r"]"#]);
    assert_eq!(pair.ask(bob, r#"422["join","r"]"#), [r#"432["joined","r"]"#], "twice is once");
    assert_eq!(pair.ask(eve, r#"421["join",1]"#), [r#"431["error"]"#]);
    assert_eq!(pair.ask(ada, r#"422["room-cast","r",{"a":1}]"#), [r#"42["room-event","r",{"a":1}]"#, r#"432["sent"]"#]);
    assert_eq!(pair.take(bob), [r#"42["room-event","r",{"a":1}]"#]);
    assert_eq!(pair.take(eve), [""; 0]);
    assert_eq!(pair.ask(ada, r#"423["leave","r"]"#), [r#"433["left","r"]"#]);
    assert_eq!(pair.ask(bob, r#"423["room-cast","r"]"#), [r#"42["room-event","r"]"#, r#"433["sent"]"#]);
    assert_eq!(pair.take(ada), [""; 0]);
}

#[test]
fn typing_reaches_everyone_in_the_room_but_the_sender() {
    let mut pair = Pair::suite();
    let (ada, _) = pair.join_namespace(Via::WebSocket, "/");
    let (bob, _) = pair.join_namespace(Via::Polling, "/");
    let (eve, _) = pair.join_namespace(Via::WebSocket, "/");
    for peer in [ada, bob] {
        pair.send(peer, r#"42["join","r"]"#);
    }
    for peer in [ada, bob, eve] {
        pair.take(peer);
    }
    assert_eq!(pair.ask(ada, r#"420["typing","r",true]"#), [""; 0]);
    assert_eq!((pair.take(bob), pair.take(eve)), (vec![r#"42["typing",true]"#.to_owned()], vec![]));
}

#[test]
fn a_broadcast_reaches_the_whole_namespace_and_no_other() {
    let mut pair = Pair::suite();
    let (ada, _) = pair.join_namespace(Via::WebSocket, "/");
    let (bob, _) = pair.join_namespace(Via::Polling, "/");
    let (eve, _) = pair.join_namespace(Via::WebSocket, "/custom");
    for peer in [ada, bob, eve] {
        pair.take(peer);
    }
    pair.send_all(ada, &[r#"451-["broadcast",{"_placeholder":true,"num":0}]"#, "bAQID"]);
    for peer in [ada, bob] {
        assert_eq!(pair.take(peer), [r#"451-["broadcast",{"_placeholder":true,"num":0}]"#, "bAQID"]);
    }
    assert_eq!(pair.take(eve), [""; 0]);
}

#[test]
fn a_burst_comes_whole_and_in_order() {
    for via in Via::ALL {
        let (mut pair, peer) = joined(via);
        let expected: Vec<_> = (0..2000).map(|n| format!(r#"42["seq",{n}]"#)).collect();
        assert_eq!(pair.ask(peer, r#"42["burst",2000]"#), expected, "{via:?}");
    }
}

#[test]
fn volatile_events_come_at_most_once_and_in_order() {
    for via in Via::ALL {
        let (mut pair, peer) = joined(via);
        let mut got = pair.ask(peer, r#"42["volatile",100]"#);
        assert_eq!(got.pop().unwrap(), r#"42["vol-done",100]"#, "{via:?}");
        let numbers: Vec<u32> = got.iter().map(|text| text[9..text.len() - 1].parse().unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        if via != Via::Polling {
            assert_eq!(numbers.len(), 100, "a client that reads loses nothing: {via:?}");
        }
    }
}

#[test]
fn a_flood_is_not_held_up_by_a_member_that_does_not_read() {
    let mut pair = Pair::suite();
    let (ada, _) = pair.join_namespace(Via::WebSocket, "/");
    let (bob, _) = pair.join_namespace(Via::WebSocket, "/");
    for peer in [ada, bob] {
        pair.send(peer, r#"42["join","r"]"#);
        pair.take(peer);
    }
    let silent = pair.ws(bob);
    pair.block(silent);
    let got = pair.ask(ada, r#"420["flood","r",50,1000]"#);
    assert_eq!(got.len(), 51);
    assert_eq!(got[49], format!(r#"42["flood",49,"{}"]"#, "x".repeat(1000)));
    assert_eq!(got[50], "430[50]");
}

#[test]
fn a_kick_ends_the_namespace_or_the_connection() {
    for via in Via::ALL {
        let (mut pair, peer) = joined(via);
        pair.connect(peer, "/custom", "");
        pair.take(peer);
        assert_eq!(pair.ask(peer, r#"42/custom,["kick",false]"#), ["41/custom,"]);
        assert_eq!(pair.ask(peer, r#"420["echo",1]"#), ["430[1]"]);
        pair.connect(peer, "/custom", "");
        pair.take(peer);
        let mut got = pair.ask(peer, r#"42["kick",true]"#);
        got.sort();
        assert_eq!(got, ["41", "41/custom,"], "{via:?}");
        let over = if via == Via::Polling { Over::ClosePacket } else { Over::Closed("close 1000".into()) };
        assert_eq!(pair.over(peer), Some(over));
    }
}

#[test]
fn whoami_knows_sid_rooms_and_namespace() {
    let mut pair = Pair::suite();
    let (peer, sid) = pair.join_namespace(Via::WebSocket, "/custom");
    pair.send_all(peer, &[r#"42/custom,["join","a"]"#, r#"42/custom,["join","b"]"#]);
    pair.take(peer);
    let who: serde_json::Value =
        serde_json::from_str(pair.ask(peer, r#"42/custom,7["whoami"]"#)[0].strip_prefix("43/custom,7").unwrap())
            .unwrap();
    assert_eq!(who, serde_json::json!([{ "sid": sid, "rooms": 2, "nsp": "/custom" }]));
}

#[test]
fn a_socket_that_leaves_is_in_no_room() {
    let mut pair = Pair::suite();
    let (ada, _) = pair.join_namespace(Via::WebSocket, "/");
    let (bob, _) = pair.join_namespace(Via::WebSocket, "/");
    for peer in [ada, bob] {
        pair.send(peer, r#"42["join","r"]"#);
    }
    pair.send(bob, "41");
    pair.connect(bob, "/", "");
    pair.take(ada);
    pair.take(bob);
    pair.send(ada, r#"42["room-cast","r",1]"#);
    assert_eq!((pair.take(ada).len(), pair.take(bob).len()), (1, 0));
    assert_eq!(pair.host.audit().rooms, 1);
}

fn joined(via: Via) -> (Pair<Conformance>, Peer) {
    let mut pair = Pair::suite();
    let (peer, _) = pair.join_namespace(via, "/");
    assert_eq!(pair.take(peer), [r#"42["auth",{}]"#]);
    (pair, peer)
}

fn connected_sid(packet: &str, header: &str) -> String {
    let rest = packet.strip_prefix(&format!(r#"{header}{{"sid":""#)).unwrap();
    rest.strip_suffix(r#""}"#).unwrap().to_owned()
}

const SOCKET: &str = "/socket.io/";
