//! Which faults end a connection and which do not, and that other clients do not notice.

use roomcast_conformance::pair::{Conformance, Over, Pair, Peer, Via};
use roomcast_core::websocket::{Fin, Opcode};

#[test]
fn malformed_socket_io_packets_close_that_connection_only() {
    let deep = format!(r#"42["x",{}1{}]"#, "[".repeat(5000), "]".repeat(5000));
    for packet in [
        "4abc",
        "4",
        "47",
        "42{}",
        "42",
        "42[]",
        "42[1]",
        "42[",
        r#"42["x""#,
        r#"42["x"]]"#,
        r#"42["x",]"#,
        "42[\"x\",tru]",
        "4042",
        "40[]",
        "40\"x\"",
        "43",
        "43[]",
        "431",
        "431{}",
        r#"42abc["message-with-ack",1]"#,
        "44{}",
        r#"45-["x"]"#,
        r#"450-["x"]"#,
        r#"45["x"]"#,
        r#"4511-["x"]"#,
        r#"4599999999999999999999-["x"]"#,
        r#"45-1-["x"]"#,
        r#"451-["x",{"_placeholder":true,"num":1}]"#,
        r#"451-["x",{"_placeholder":true,"num":-1}]"#,
        r#"451-["x",{"_placeholder":true,"num":0.5}]"#,
        r#"451-["x",{"_placeholder":true,"num":"0"}]"#,
        r#"451-["x",{"_placeholder":true}]"#,
        "41{}",
        "461-[1]",
        &deep,
    ] {
        for via in Via::ALL {
            let mut pair = Pair::suite();
            let (witness, _) = pair.join_namespace(Via::WebSocket, "/");
            let (peer, _) = pair.join_namespace(via, "/");
            pair.take(witness);
            pair.send(peer, packet);
            let over = if via == Via::Polling { Over::ClosePacket } else { Over::Closed("close 1002".into()) };
            assert_eq!(pair.over(peer), Some(over), "{packet:.60} by {via:?}");
            assert_eq!(pair.ask(witness, r#"420["echo",1]"#), ["430[1]"], "another client is served");
        }
    }
}

#[test]
fn malformed_packets_before_connect_close_too() {
    for packet in ["4abc", "42{}", "bAQID", "43[]"] {
        let mut pair = Pair::suite();
        let peer = pair.open("/socket.io/", Via::WebSocket);
        pair.send(peer, packet);
        assert_eq!(pair.over(peer), Some(Over::Closed("close 1002".into())), "{packet}");
    }
}

#[test]
fn binary_out_of_turn_closes() {
    for packets in [
        &["bAQID"][..],
        &[r#"451-["x",{"_placeholder":true,"num":0}]"#, "bAQID", "bAQID"],
        &[r#"451-["x",{"_placeholder":true,"num":0}]"#, r#"42["x"]"#],
        &[r#"451-["x",{"_placeholder":true,"num":0}]"#, "40/custom,"],
    ] {
        let (mut pair, peer) = joined(Via::WebSocket);
        pair.send_all(peer, packets);
        assert_eq!(pair.over(peer), Some(Over::Closed("close 1002".into())), "{packets:?}");
    }
}

#[test]
fn what_only_looks_strange_stays() {
    for via in Via::ALL {
        let (mut pair, peer) = joined(via);
        for packet in [
            "43999[]",
            r#"4318446744073709551615["x"]"#,
            r#"42["unknown-event",1]"#,
            r#"42["__proto__",1]"#,
            r#"42["constructor"]"#,
            r#"42["hasOwnProperty"]"#,
            r#"42["*"]"#,
            r#"42[""]"#,
            r#"420["unknown-event"]"#,
            r#"42/custom,["message",1]"#,
            "41/custom,",
            "43/custom,1[]",
            r#"42 ["unknown-event"]"#,
        ] {
            pair.send(peer, packet);
            assert_eq!(pair.over(peer), None, "{packet} by {via:?}");
        }
        assert_eq!(pair.take(peer), [""; 0], "and nothing comes of it");
        assert_eq!(pair.ask(peer, r#"420["echo",1]"#), ["430[1]"]);
    }
}

#[test]
fn what_may_go_either_way_neither_hangs_nor_crashes() {
    let attachments = format!(
        r#"4511-["x"{}]"#,
        (0..11).map(|n| format!(r#",{{"_placeholder":true,"num":{n}}}"#)).collect::<String>()
    );
    let nested = format!(r#"42["echo",{}1{}]"#, "[".repeat(100), "]".repeat(100));
    for packet in [
        "40",
        "40{}",
        r#"42["connect"]"#,
        r#"42["disconnect"]"#,
        r#"42["newListener",1]"#,
        r#"42["connect_error"]"#,
        r#"42[5,1]"#,
        r#"4299999999999999999999999["echo"]"#,
        r#"42["echo",1e999999]"#,
        r#"42["echo","\ud800"]"#,
        r#"4299999999999999999["echo"]"#,
        &attachments,
        &nested,
    ] {
        for via in Via::ALL {
            let (mut pair, peer) = joined(via);
            pair.send(peer, packet);
            if pair.over(peer).is_none() {
                let got = pair.ask(peer, r#"427["echo",1]"#);
                assert_eq!(got.last().map(String::as_str), Some("437[1]"), "{packet:.60} by {via:?}: {got:?}");
            }
        }
    }
}

#[test]
fn connect_twice_leaves_the_first_in_place() {
    let (mut pair, peer) = joined(Via::WebSocket);
    assert_eq!(pair.ask(peer, "40"), [""; 0]);
    assert_eq!(pair.host.audit().sockets, 1);
}

#[test]
fn web_socket_faults_close_with_their_code() {
    let long = [0u8; 126];
    for (bytes, code) in [
        // Unmasked; a reserved bit; a reserved opcode; a continuation of nothing; a fragmented ping.
        (&b"\x81\x01x"[..], 1002),
        (b"\xc1\x80\0\0\0\0", 1002),
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\x80\x80\0\0\0\0", 1002),
        (b"\x09\x80\0\0\0\0", 1002),
        // A ping of 126 bytes; a close of one byte; the code 1005.
        (b"\x89\xfe\0\x7e\0\0\0\0", 1002),
        (b"\x88\x81\0\0\0\0\x03", 1002),
        (b"\x88\x82\0\0\0\0\x03\xed", 1002),
        // Not UTF-8, in a text and in a reason.
        (b"\x81\x82\0\0\0\0\xc3\x28", 1007),
        (b"\x88\x83\0\0\0\0\x03\xe8\xff", 1007),
        // Over the limit, by the announcement alone.
        (b"\x82\xff\0\0\0\0\x7f\xff\xff\xff\0\0\0\0", 1009),
    ] {
        for path in ["/socket.io/", "/engine.io/"] {
            let mut pair = Pair::suite();
            let peer = pair.open(path, Via::WebSocket);
            let ws = pair.ws(peer);
            pair.raw(ws, bytes);
            pair.raw(ws, &long);
            assert_eq!(pair.over(peer), Some(Over::Closed(format!("close {code}"))), "{}", bytes.escape_ascii());
        }
    }
}

#[test]
fn control_frames_between_fragments_and_split_characters_are_fine() {
    let mut pair = Pair::suite();
    let ws = pair.web_socket("/websocket");
    pair.frame(ws, Fin::More, Opcode::Text, b"a\xe2");
    pair.frame(ws, Fin::Final, Opcode::Ping, b"in between");
    pair.frame(ws, Fin::More, Opcode::Continuation, b"\x82");
    pair.frame(ws, Fin::More, Opcode::Continuation, b"");
    pair.frame(ws, Fin::Final, Opcode::Continuation, b"\xacz");
    assert_eq!(pair.ws_take(ws), ["pong in between", "a€z"]);
}

#[test]
fn a_bare_web_socket_echoes_and_answers_the_close() {
    let mut pair = Pair::suite();
    let ws = pair.web_socket("/websocket");
    for text in ["hello", "", "bAQID", "b"] {
        pair.ws_send(ws, text);
        assert_eq!(pair.ws_take(ws), [text]);
    }
    pair.frame(ws, Fin::Final, Opcode::Close, b"\x0f\xa0bye");
    assert_eq!(pair.ws_take(ws), ["close 4000", "end"]);
}

#[test]
fn a_bare_web_socket_takes_a_message_in_100_000_fragments() {
    let mut pair = Pair::suite();
    let ws = pair.web_socket("/websocket");
    pair.frame(ws, Fin::More, Opcode::Text, b"x");
    for _ in 0..99_998 {
        pair.frame(ws, Fin::More, Opcode::Continuation, b"x");
    }
    pair.frame(ws, Fin::Final, Opcode::Continuation, b"x");
    let got = pair.ws_take(ws);
    assert_eq!((got.len(), got[0].len()), (1, 100_000));
}

#[test]
fn a_bare_web_socket_is_pinged_and_closed_without_a_pong() {
    let mut pair = Pair::suite();
    let ws = pair.web_socket("/websocket");
    pair.pass(std::time::Duration::from_millis(300));
    assert_eq!(pair.ws_take(ws), ["ping "]);
    pair.frame(ws, Fin::Final, Opcode::Pong, b"");
    pair.pass(std::time::Duration::from_millis(300));
    assert_eq!(pair.ws_take(ws), ["ping "]);
    pair.pass(std::time::Duration::from_millis(200));
    assert_eq!(pair.ws_take(ws), ["close 1000", "end"]);
}

#[test]
fn a_bare_web_socket_has_no_polling() {
    let mut pair = Pair::suite();
    let get = pair.get("/websocket?EIO=4&transport=polling");
    let answer = pair.answered(get);
    assert_eq!((answer.status.as_u16(), answer.header("upgrade")), (426, "websocket"));
}

#[test]
fn a_web_socket_that_ends_without_a_word_is_gone_at_once() {
    for path in ["/socket.io/", "/engine.io/"] {
        let mut pair = Pair::suite();
        let peer = pair.open(path, Via::WebSocket);
        let ws = pair.ws(peer);
        pair.raw(ws, b"\x81\x85\0");
        pair.hang_up(ws);
        let audit = pair.host.audit();
        assert_eq!((audit.sessions, audit.conns, audit.timers), (0, 0, 0));
    }
}

fn joined(via: Via) -> (Pair<Conformance>, Peer) {
    let mut pair = Pair::suite();
    let (peer, _) = pair.join_namespace(via, "/");
    pair.take(peer);
    (pair, peer)
}
