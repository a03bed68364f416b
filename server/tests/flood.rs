//! The program under clients that send tiny events without pause: it goes on serving, and ends when it is told to.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "helpers of tests; attackers are threads")]

#[path = "../../adapter/roomcast-adapter/tests/nodes/attacker.rs"]
mod attacker;
mod common;

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use attacker::Attacker;
use common::{Client, POLLING, Program, connect, get};

#[test]
fn four_clients_without_pause_keep_it_neither_from_serving_nor_from_ending() {
    for (event, reads) in [(r#"42["usage"]"#, true), (r#"421["usage"]"#, true), (r#"421["usage"]"#, false)] {
        let (mut program, address) = Program::serve(&["--grace-seconds", "1", "--page", "off"], &[]);
        let token = program.stdout.until("token of ada").rsplit(' ').next().unwrap().to_owned();
        let attackers: Vec<_> = (0..4).map(|_| Attacker::start(websocket(address), event, reads)).collect();
        for attacker in &attackers {
            attacker.is_at_it.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        // Each of these fails if it is not answered within the time limit of a read.
        assert_eq!(get(address, "/health").status, 200, "{event}");
        let mut victim = Client::join(address, &token);
        victim.send(r#"421["usage",{"model":"m"}]"#);
        assert_eq!(victim.next(), "431[]", "{event}");
        program.signal("TERM");
        program.stderr.until("shutdown requested");
        let (status, said) = program.end();
        assert_eq!(status.code(), Some(0), "{event}: {said}");
        assert!(said.contains("shutdown complete"), "{event}: {said}");
        drop(attackers);
    }
}

/// A WebSocket whose handshake is done.
fn websocket(address: SocketAddr) -> TcpStream {
    let url = format!("ws://{address}{}", POLLING.replace("polling", "websocket"));
    let (socket, _) = tungstenite::client(url, connect(address)).unwrap();
    socket.get_ref().try_clone().unwrap()
}
