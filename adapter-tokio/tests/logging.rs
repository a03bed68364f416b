//! What an operator finds in the log at DEBUG.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::{Client, Running};
use roomcast_tokio::core::server::{App, AppRequestId, Command, Cx, Event, Target};
use roomcast_tokio::{Builder, Data, Extent, Refusal, Socket};

#[test]
fn clients_are_told_apart_by_endpoint_namespace_and_sid() {
    let log = Log::of_this_process();
    let (left, leaving) = std::sync::mpsc::channel();
    let server = Running::start(Builder::new().socket_io("/socket.io", |io| {
        io.namespace("/", |ns| {
            ns.on("say", async |socket: Socket, Data((text,)): Data<(String,)>| {
                tracing::info!("from the handler");
                socket.join("hall");
                socket.leave("hall");
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
    assert!(has(&["joined a room room=hall", r#"event="join""#, socket, &sid]), "{log}");
    assert!(has(&["left a room room=hall", r#"event="leave""#, socket, &sid]), "{log}");
    assert!(has(&["not admitted", "members only", r#"namespace="/closed""#]), "{log}");
    assert!(has(&["disconnected", "reason=TransportClose", socket, &sid]), "{log}");
    assert!(has(&["request refused", "status=400", "Unsupported protocol version"]), "{log}");
    assert!(!log.contains("secret words"), "{log}");
}

/// What an application keeps to itself is logged like what handlers see.
#[test]
fn sockets_that_an_application_keeps_have_their_lines_and_spans() {
    let log = Log::of_this_process();
    let builder = Builder::with_app(Keeping, async |question: std::convert::Infallible| match question {});
    let server = Running::start(builder.socket_io("/kept.io", |io| io.namespace("/", |ns| ns.admit(async || {}))));
    let mut client = Client::open(server.address, "/kept.io/");
    let packet = client.ask("40");
    let sid = packet.split('"').nth(3).unwrap().to_owned();
    assert_eq!(client.ask(r#"42["say","secret of a kept socket"]"#), "41");
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let socket = format!(r#"endpoint="/kept.io" namespace="/" event="{{}}" sid={sid}"#);
    for (line, event) in [
        ("asks the application to come in", "admit"),
        ("connected", "connect"),
        ("heard by the application", "say"),
        ("joined a room room=kept", "join"),
        ("left a room room=kept", "leave"),
        ("disconnected reason=ServerDisconnect", "disconnect"),
    ] {
        let socket = socket.replace("{}", event);
        assert!(log.lines().any(|found| found.contains(line) && found.contains(&socket)), "{line}: {log}");
    }
    assert!(!log.contains("secret of a kept socket"), "{log}");
}

/// Admits every client, keeps all sockets to itself, and ends one that sends an event.
struct Keeping;

impl App for Keeping {
    type Query = std::convert::Infallible;
    type Reply = std::convert::Infallible;
    type Request = ();
    type Response = ();
    type Notice = ();

    fn handle_event(&mut self, event: Event, cx: &mut Cx<'_>) -> Option<Event> {
        match event {
            Event::Connecting(connect) => cx.command(Command::Accept { socket: connect.socket }),
            Event::Received { session, socket, .. } => {
                tracing::debug!("heard by the application");
                cx.command(Command::Handled { session });
                cx.command(Command::Join { target: Target::Socket(socket), room: "kept".into() });
                cx.command(Command::Leave { target: Target::Socket(socket), room: "kept".into() });
                cx.command(Command::Disconnect { target: Target::Socket(socket), extent: Extent::Namespace });
            }
            Event::Connected(_)
            | Event::Disconnected { .. }
            | Event::Acked { .. }
            | Event::AcksEnded { .. }
            | Event::Opened { .. }
            | Event::Message { .. }
            | Event::Closed { .. }
            | Event::Relieved { .. }
            | _ => {}
        }
        None
    }

    fn handle_reply(&mut self, reply: Self::Reply, _cx: &mut Cx<'_>) {
        match reply {}
    }

    fn handle_request(&mut self, _ticket: AppRequestId, (): (), _cx: &mut Cx<'_>) {}

    fn handle_timeout(&mut self, _cx: &mut Cx<'_>) {}

    fn poll_event(&mut self) -> Option<Event> {
        None
    }

    fn poll_query(&mut self) -> Option<Self::Query> {
        None
    }

    fn poll_response(&mut self) -> Option<(AppRequestId, ())> {
        None
    }

    fn poll_notice(&mut self) -> Option<()> {
        None
    }

    fn poll_timeout(&self) -> Option<roomcast_tokio::core::time::Instant> {
        None
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The one log that all tests of this file write to.
    fn of_this_process() -> Self {
        static LOG: std::sync::OnceLock<Log> = std::sync::OnceLock::new();
        let start = || {
            let log = Self::default();
            let writer = log.clone();
            tracing_subscriber::fmt()
                .with_max_level(tracing::Level::DEBUG)
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .init();
            log
        };
        LOG.get_or_init(start).clone()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
