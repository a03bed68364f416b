//! A client that sends an event without pause.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// Sends an event again and again until its connection ends.
pub struct Attacker {
    stream: TcpStream,
    /// Tells when the buffers of both sockets are full, or have been emptied.
    pub is_at_it: Receiver<()>,
}

impl Attacker {
    /// Over a WebSocket whose handshake is done; `reads` what it is answered, or nothing.
    pub fn start(mut stream: TcpStream, event: &str, reads: bool) -> Self {
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
