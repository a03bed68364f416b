//! A conversation with every pure crate, for `wasm32-unknown-unknown`: a target without clock, network, files, threads
//! and randomness. `./test.sh wasm` looks at the import section of the module, which must be empty, and runs it.
//!
//! Owns: calls into each pure crate, so that the linker keeps what lies behind them. Must never know: an operating
//! system.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a failure ends the program, which is the verdict")]

use std::time::Duration;

use roomcast_auth::{Key, Policy, Verifier, sign_hs256};
use roomcast_core::server::{Config, EndpointId, Server, Stack, Start};
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::websocket::{ClientHandshake, Fin, Opcode, encode_frame};
use roomcast_openwebui::{OpenWebUi, Settings};
use roomcast_testkit::{Kit, Network};
use roomcast_yjs::{Document, Source, Verdict};

fn main() {
    token();
    document();
    server();
}

fn token() {
    let verifier = Verifier::new(Policy::default(), vec![Key::hmac(SECRET).unwrap()]).unwrap();
    let claims = verifier.verify(&sign_hs256(SECRET, r#"{"exp":2000,"sub":"ada"}"#), WALL).unwrap();
    assert_eq!(claims.subject(), Some("ada"));
}

fn document() {
    // Client 1 writes "hi" into the root type "t".
    let update = [1, 1, 1, 0, 4, 1, 1, b't', 2, b'h', b'i', 0];
    let mut document = Document::new(Default::default());
    assert_eq!(document.apply(&update, Source::Live), Verdict::Applied);
    assert_eq!(document.state(), update[..]);
}

/// A browser that is let in, says who it is to a store that never answers, and is gone a minute later.
fn server() {
    let settings = Settings::new(EndpointId::new(0), SECRET).unwrap();
    let config = Config::new([settings.endpoint("/ws/socket.io")]);
    let now = Instant::from_millis(1000);
    let server = Server::new(config, Start { node: 0, now, wall: WALL, seed: [1; 32] }).unwrap();
    let mut kit = Kit::new(Stack::new(server, OpenWebUi::new(settings, [2; 32])), Network::default(), now);

    let target = "/ws/socket.io/?EIO=4&transport=websocket".parse().unwrap();
    let request = ClientHandshake::new([7; 16]).request(&"a.example".parse().unwrap(), &target);
    let (conn, _) = kit.upgrade(EndpointId::new(0), &request).unwrap();
    kit.run();
    let token = sign_hs256(SECRET, r#"{"id":"ada"}"#);
    for packet in ["40{}".to_owned(), format!(r#"42["user-join",{{"auth":{{"token":"{token}"}}}}]"#)] {
        let mut frame = Vec::new();
        encode_frame(&mut frame, Fin::Final, Opcode::Text, packet.as_bytes(), Some([7; 4]));
        kit.ws_bytes(conn, &frame);
        kit.run();
    }
    let connected = kit.stream(conn).sent.windows(8).any(|bytes| bytes == br#"40{"sid""#);
    assert!(connected, "the CONNECT is answered");
    kit.pass(Duration::from_secs(60));
    assert!(kit.stream(conn).end.is_some(), "without a pong the connection ends");
}

const SECRET: &[u8] = b"a secret of this conversation alone";
const WALL: WallTime = WallTime::from_unix_millis(1_000_000);
