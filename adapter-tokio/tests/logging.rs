//! What an operator finds in the log at DEBUG.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::{Client, Running};
use roomcast_tokio::{Builder, Data, Refusal, Socket};

#[test]
fn clients_are_told_apart_by_endpoint_namespace_and_sid() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let (left, leaving) = std::sync::mpsc::channel();
    let server = Running::start(Builder::new().socket_io("/socket.io", |io| {
        io.namespace("/", |ns| {
            ns.on("say", async |Data((text,)): Data<(String,)>| {
                tracing::info!("from the handler");
                text
            });
            ns.on_disconnect(move |socket: Socket| {
                left.send(socket.sid()).unwrap();
                async {}
            });
        });
        io.namespace("/closed", |ns| ns.admit(async || Err::<(), _>(Refusal::new("members only"))));
    }));
    let mut client = server.client();
    assert_eq!(client.ask(r#"421["say","secret words"]"#), r#"431["secret words"]"#);
    assert_eq!(client.ask("40/closed,"), r#"44/closed,{"message":"members only"}"#);
    drop(client);
    let sid = leaving.recv().unwrap();
    let mut raw = server.raw();
    raw.send(b"GET /socket.io/?EIO=3&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(raw.status(), 400);
    drop(Client::open(server.address, "/socket.io/"));

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let has = |parts: &[&str]| log.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    let sid = format!("sid={sid}");
    let socket = r#"endpoint="/socket.io" namespace="/" "#;
    assert!(has(&["WebSocket accepted", r#"endpoint="/socket.io""#]), "{log}");
    assert!(has(&["connected", r#"event="connect""#, socket, &sid]), "{log}");
    assert!(has(&["from the handler", r#"event="say""#, socket, &sid]), "{log}");
    assert!(has(&["not admitted", "members only", r#"namespace="/closed""#]), "{log}");
    assert!(has(&["disconnected", "reason=TransportClose", socket, &sid]), "{log}");
    assert!(has(&["request refused", "status=400", "Unsupported protocol version"]), "{log}");
    assert!(!log.contains("secret words"), "{log}");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
