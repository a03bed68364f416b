//! A chat beside pages of your own, in axum.
//!
//! ```sh
//! cargo run -p roomcast-tokio --example axum
//! curl http://127.0.0.1:3000/
//! curl -X POST -d 'dinner is ready' http://127.0.0.1:3000/announce
//! ```

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use roomcast_tokio::{Builder, Data, Handle, Reason, Refusal, Socket, Tokio};

#[derive(serde::Deserialize)]
struct Auth {
    name: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = chat().start(Tokio)?;
    let handle = server.handle();
    let app = Router::new()
        .route("/", get(async || "a chat is at /socket.io/"))
        .route("/announce", post(announce))
        .with_state(handle.clone())
        .fallback_service(server.service());

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(end(handle)).await?;
    Ok(())
}

fn chat() -> Builder {
    Builder::new().socket_io("/socket.io", |io| {
        io.namespace("/", |ns| {
            ns.admit(async |socket: Socket, Data(auth): Data<Auth>| {
                if auth.name.is_empty() {
                    return Err(Refusal::new("a name, please"));
                }
                // For the handlers to come.
                socket.extend(auth);
                Ok(())
            });
            ns.on_connect(async |socket: Socket| {
                socket.join("hall");
                socket.to("hall").emit("came", name(&socket)).await;
            });
            // What is returned is the ack.
            ns.on("say", async |socket: Socket, Data((text,)): Data<(String,)>| {
                let bytes = text.len();
                socket.to("hall").emit("said", (name(&socket), text)).await;
                bytes
            });
            ns.on_disconnect(async |socket: Socket, reason: Reason| {
                socket.to("hall").emit("left", (name(&socket), reason.to_string())).await;
            });
        });
    })
}

fn name(socket: &Socket) -> String {
    socket.extension::<Auth>().map_or_else(String::new, |auth| auth.name.clone())
}

/// From elsewhere in the program, as from any task.
async fn announce(State(handle): State<Handle>, text: String) -> &'static str {
    handle.of("/").to("hall").emit("announcement", text).await;
    "announced\n"
}

async fn end(handle: Handle) {
    if tokio::signal::ctrl_c().await.is_ok() {
        handle.shutdown(Duration::from_secs(5)).await;
    }
}
