//! What Open WebUI holds back is written when the server ends.

#[path = "../../adapter-tokio/tests/common/mod.rs"]
mod sockets;

use roomcast_auth::sign_hs256;
use roomcast_openwebui::query::{Query, Question, Reply, StoreAnswer};
use roomcast_openwebui::{OpenWebUi, Settings};
use roomcast_stores::{Memory, Rows, Store};
use roomcast_tokio::core::server::EndpointId;
use roomcast_tokio::{Builder, Tokio};
use sockets::Client;

/// The content of a note is written a second after the last edit; the server ends before that.
#[test]
fn shutdown_writes_the_content_of_a_note_that_was_just_edited() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let memory = Memory::new(Rows::demo());
    runtime.block_on(async {
        let secret = b"a secret of this test alone";
        let settings = Settings::new(EndpointId::new(0), secret).unwrap();
        let store = memory.clone();
        let builder = Builder::with_app(OpenWebUi::new(settings, [7; 32]), move |query: Query| {
            let store = store.clone();
            async move { Reply { id: query.id, result: store.ask(query.question).await } }
        });
        let builder = builder.socket_io("/ws/socket.io", |io| io.namespace("/", |_| {}));
        let (server, app) = builder.start_with_app(Tokio).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(server.serve(listener));
        let token = sign_hs256(secret, r#"{"id":"ada"}"#);
        let left = tokio::task::spawn_blocking(move || {
            let mut client = Client::open(address, "/ws/socket.io/").joined("40", "40{");
            client.send(&format!(r#"42["user-join",{{"auth":{{"token":"{token}"}}}}]"#));
            client.send(r#"42["ydoc:document:join",{"document_id":"note:welcome"}]"#);
            let update = r#""update":[1,1,9,0,4,1,1,116,1,97,0],"data":{"content":{"md":"edited"}}"#;
            client.send(&format!(r#"427["ydoc:document:update",{{"document_id":"note:welcome",{update}}}]"#));
            while client.next() != "437[]" {}
            client
        });
        let client = left.await.unwrap();
        app.handle().shutdown(std::time::Duration::ZERO).await;
        drop(client);
        serving.await.unwrap();
    });
    let data = memory.rows().notes[0].data.clone();
    assert_eq!(data.as_deref(), Some(r#"{"content":{"md":"edited"}}"#));
    let Ok(StoreAnswer::Document(document)) = memory.answer(Question::LoadDocument { document: "note:welcome".into() })
    else {
        panic!("no document");
    };
    assert_eq!(document.snapshot.as_deref(), Some(&[1, 1, 9, 0, 4, 1, 1, b't', 1, b'a', 0][..]));
    assert!(document.updates.is_empty());
}
