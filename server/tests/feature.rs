//! The example of an extension, with clients.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../examples/feature.rs"]
#[allow(dead_code, reason = "an example is also a program")]
mod feature;
#[path = "../../adapter-tokio/tests/common/mod.rs"]
mod sockets;

use std::sync::Arc;

use roomcast_auth::sign_hs256;
use roomcast_stores::{Memory, Rows};
use roomcast_tokio::Tokio;
use sockets::Client;

#[test]
fn who_subscribes_is_told_of_updates() {
    let world = World::start();
    let (mut stranger, mut ada, mut ben) = (world.client(), world.client(), world.client());
    let about = r#"{"feature_id":"dark"}"#;
    assert_eq!(stranger.ask(&format!(r#"420["feature:subscribe",{about}]"#)), r#"430[{"error":"Not authenticated"}]"#);
    world.join(&mut ada, "ada");
    world.join(&mut ben, "ben");
    for client in [&mut ada, &mut ben] {
        let ack = r#"431[{"status":"subscribed","feature_id":"dark"}]"#;
        assert_eq!(client.ask(&format!(r#"421["feature:subscribe",{about}]"#)), ack);
    }
    let ack = r#"432[{"status":"unsubscribed","feature_id":"dark"}]"#;
    assert_eq!(ben.ask(&format!(r#"422["feature:unsubscribe",{about}]"#)), ack);
    assert_eq!(ada.ask(r#"423["feature:subscribe",{"feature_id":""}]"#), r#"433[{"error":"No such feature"}]"#);

    assert_eq!(world.post("/features/dark", r#"{"state":"on"}"#), 200);
    assert_eq!(ada.next(), r#"42["feature:updated",{"data":{"state":"on"},"feature_id":"dark"}]"#);
    // Had it come to them, it would have come before this.
    assert_eq!(ben.ask(&format!(r#"424["feature:unsubscribe",{about}]"#)), ack.replace("432", "434"));
    assert!(stranger.ask(&format!(r#"421["feature:subscribe",{about}]"#)).starts_with("431"));
}

#[test]
fn a_subscription_right_behind_user_join_finds_the_session() {
    let world = World::start();
    let mut ada = world.client();
    let token = token("ada");
    ada.send(&format!(r#"420["user-join",{{"auth":{{"token":"{token}"}}}}]"#));
    ada.send(r#"421["feature:subscribe",{"feature_id":"dark"}]"#);
    assert_eq!(ada.next(), r#"430[{"id":"ada","name":"Ada"}]"#);
    assert_eq!(ada.next(), r#"431[{"status":"subscribed","feature_id":"dark"}]"#);
}

#[test]
fn a_user_is_notified_on_every_device() {
    let world = World::start();
    let (mut first, mut second) = (world.client(), world.client());
    world.join(&mut first, "ada");
    world.join(&mut second, "ada");
    assert_eq!(world.post("/users/ada/notifications", "dinner"), 200);
    let told = r#"42["events",{"data":{"data":{"content":"dinner","type":"info"},"type":"notification"}}]"#;
    assert_eq!((first.next(), second.next()), (told.to_owned(), told.to_owned()));
}

struct World {
    address: std::net::SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = runtime.block_on(async {
            let builder = feature::builder(SECRET, Arc::new(Memory::new(Rows::demo()))).unwrap();
            let (server, app) = builder.start_with_app(Tokio).unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let pages = feature::routes(app).fallback_service(server.service());
            tokio::spawn(async { axum::serve(listener, pages).await });
            address
        });
        Self { address, _runtime: runtime }
    }

    fn client(&self) -> Client {
        Client::open(self.address, "/ws/socket.io/").joined("40", "40{")
    }

    fn join(&self, client: &mut Client, user: &str) {
        let ack = client.ask(&format!(r#"420["user-join",{{"auth":{{"token":"{}"}}}}]"#, token(user)));
        assert!(ack.starts_with("430[{"), "{ack}");
    }

    fn post(&self, path: &str, body: &str) -> u16 {
        let mut raw = sockets::RawTcp(std::net::TcpStream::connect(self.address).unwrap());
        let length = body.len();
        raw.send(format!("POST {path} HTTP/1.1\r\nhost: here\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes());
        raw.status()
    }
}

fn token(user: &str) -> String {
    sign_hs256(SECRET, &format!(r#"{{"id":"{user}"}}"#))
}

const SECRET: &[u8] = b"a secret of this test";
