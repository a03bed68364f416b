//! The program under clients that send tiny events without pause: it goes on serving, and ends when it is told to.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "helpers of tests; attackers are threads")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use common::{Client, POLLING, Program, connect, get};

#[test]
fn four_clients_without_pause_keep_it_neither_from_serving_nor_from_ending() {
    for (event, reads) in [(r#"42["usage"]"#, true), (r#"421["usage"]"#, true), (r#"421["usage"]"#, false)] {
        let (mut program, address) = Program::serve(&["--grace-seconds", "1"], &[]);
        let token = program.stdout.until("token of ada").rsplit(' ').next().unwrap().to_owned();
        let attackers: Vec<_> = (0..4).map(|_| Attacker::start(address, event, reads)).collect();
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

/// Sends an event again and again until its connection ends.
struct Attacker {
    stream: TcpStream,
    is_at_it: Receiver<()>,
}

impl Attacker {
    fn start(address: SocketAddr, event: &str, reads: bool) -> Self {
        let url = format!("ws://{address}{}", POLLING.replace("polling", "websocket"));
        let (socket, _) = tungstenite::client(url, connect(address)).unwrap();
        let mut stream = socket.get_ref().try_clone().unwrap();
        let mut reading = stream.try_clone().unwrap();
        let (tell, is_at_it) = channel();
        let attacker = Self { stream: stream.try_clone().unwrap(), is_at_it };
        if reads {
            thread::spawn(move || while reading.read(&mut [0; 64 << 10]).is_ok_and(|read| read > 0) {});
        }
        let events = frame(event).repeat(4000);
        thread::spawn(move || {
            stream.write_all(&frame("40")).unwrap();
            for round in 0.. {
                if stream.write_all(&events).is_err() {
                    break;
                }
                // The buffers of the two sockets are full by now, or have been emptied.
                if round == 0 {
                    let _ = tell.send(());
                }
            }
        });
        attacker
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// A text frame of a client, masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}
