//! An application below the handlers.

#![allow(clippy::wildcard_enum_match_arm, reason = "events of other kinds are given back")]

mod common;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{Client, RawTcp};
use roomcast_tokio::core::server::{App, AppRequestId, Command, Cx, Event, Message, SessionId};
use roomcast_tokio::{AppHandle, Builder, Peer, Tokio};

#[test]
fn an_application_asks_its_store_and_leaves_the_rest_to_handlers() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (notices, noticed) = std::sync::mpsc::channel();
    let (address, app) = runtime.block_on(async move {
        let builder = Builder::with_app(Shouting::default(), async |(session, text): (SessionId, String)| {
            tokio::task::yield_now().await;
            (session, text.to_uppercase())
        })
        .app_page("/shouted", async |_request: http::Request<Bytes>, app: AppHandle<Shouting>| {
            http::Response::new(Bytes::from(format!("{:?}", app.ask("how many?").await)))
        })
        .on_notice(move |notice| notices.send(notice).unwrap())
        .engine_io("/engine.io", |eio| {
            eio.peers.on_message(async |peer: Peer, message: Message| {
                peer.send(message).await;
            });
        });
        let (server, app) = builder.start_with_app(Tokio).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(server.serve(listener));
        (address, app)
    });
    let mut client = Client::open(address, "/engine.io/");
    assert_eq!(client.ask("4shout me"), "4SHOUT ME");
    assert_eq!(client.ask("4whisper"), "4whisper");
    assert_eq!(runtime.block_on(app.ask("how many?")), Some(1));
    assert_eq!(noticed.recv(), Ok("SHOUT ME".to_owned()));
    let mut raw = RawTcp(std::net::TcpStream::connect(address).unwrap());
    raw.send(b"GET /shouted HTTP/1.1\r\nhost: here\r\n\r\n");
    assert!(raw.until(b"Some(1)").starts_with("HTTP/1.1 200"));
}

#[test]
fn at_the_end_an_application_writes_what_is_left() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let written = Arc::new(Mutex::new(Vec::new()));
    runtime.block_on(async {
        let store = {
            let written = written.clone();
            move |(session, text): (SessionId, String)| {
                let written = written.clone();
                async move {
                    // Anything but at once.
                    tokio::task::yield_now().await;
                    written.lock().unwrap().push(text.clone());
                    (session, text)
                }
            }
        };
        let builder = Builder::with_app(Shouting::default(), store).engine_io("/engine.io", |_| {});
        let (server, app) = builder.start_with_app(Tokio).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(server.serve(listener));
        let left = tokio::task::spawn_blocking(move || {
            let mut client = Client::open(address, "/engine.io/");
            assert_eq!(client.ask("4shout later"), "4SHOUT LATER?");
            client
        });
        let client = left.await.unwrap();
        assert!(written.lock().unwrap().is_empty());
        // The client never closes its side: it is cut off at once.
        app.handle().shutdown(std::time::Duration::ZERO).await;
        assert_eq!(*written.lock().unwrap(), ["shout later"]);
        drop(client);
        serving.await.unwrap();
    });
}

/// Answers messages that begin with `shout` with what its store makes of them.
#[derive(Default)]
struct Shouting {
    queries: Vec<(SessionId, String)>,
    answers: Vec<(AppRequestId, usize)>,
    notices: Vec<String>,
    shouted: usize,
    /// Asked of the store when the server ends.
    left: Vec<(SessionId, String)>,
    open: usize,
}

impl App for Shouting {
    type Query = (SessionId, String);
    type Reply = (SessionId, String);
    type Request = &'static str;
    type Response = usize;
    type Notice = String;

    fn handle_event(&mut self, event: Event, cx: &mut Cx<'_>) -> Option<Event> {
        match event {
            Event::Message { session, message: Message::Text(text) } if text == "shout later" => {
                self.left.push((session, text.to_string()));
                cx.command(Command::Send { session, message: Message::Text("SHOUT LATER?".into()) });
                cx.command(Command::Handled { session });
                None
            }
            Event::Message { session, message: Message::Text(text) } if text.starts_with("shout") => {
                self.queries.push((session, text.to_string()));
                cx.command(Command::Handled { session });
                None
            }
            other => Some(other),
        }
    }

    fn handle_reply(&mut self, (session, text): (SessionId, String), cx: &mut Cx<'_>) {
        self.shouted += 1;
        self.open -= 1;
        self.notices.push(text.clone());
        cx.command(Command::Send { session, message: Message::Text(text.into()) });
    }

    fn handle_request(&mut self, ticket: AppRequestId, _request: &'static str, _cx: &mut Cx<'_>) {
        self.answers.push((ticket, self.shouted));
    }

    fn handle_timeout(&mut self, _cx: &mut Cx<'_>) {}

    fn poll_event(&mut self) -> Option<Event> {
        None
    }

    fn poll_query(&mut self) -> Option<Self::Query> {
        let query = self.queries.pop()?;
        self.open += 1;
        Some(query)
    }

    fn poll_response(&mut self) -> Option<(AppRequestId, usize)> {
        self.answers.pop()
    }

    fn poll_notice(&mut self) -> Option<String> {
        self.notices.pop()
    }

    fn poll_timeout(&self) -> Option<roomcast_tokio::core::time::Instant> {
        None
    }

    fn handle_end(&mut self, _cx: &mut Cx<'_>) {
        self.queries.append(&mut self.left);
    }

    fn is_settled(&self) -> bool {
        self.queries.is_empty() && self.open == 0
    }
}
