//! Documents for stock providers of y-websocket, on tokio, in an SQLite file.
//!
//! `cargo run -p roomcast-tokio --features documents,sqlite --example documents [ADDRESS [FILE]]`, and in a page or in Node:
//!
//! ```js
//! new WebsocketProvider("ws://127.0.0.1:1234/yjs", "plan", new Y.Doc(), { params: { token: "secret" } });
//! ```
//!
//! Those who have the token may write, those without one may read, and a wrong one keeps out.

use std::error::Error;

use roomcast_tokio::stores::SqliteDocuments;
use roomcast_tokio::{Builder, Rights, Tokio, Visitor};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:1234".to_owned());
    let store = SqliteDocuments::open(args.next().unwrap_or_else(|| "documents.db".to_owned())).await?;
    let listener = TcpListener::bind(address).await?;
    println!("documents at ws://{}/yjs", listener.local_addr()?);

    let builder = Builder::new().documents_with("/yjs", store, |documents| {
        documents.authorize(async |visitor: Visitor| match visitor.param("token").as_deref() {
            Some("secret") => Rights::Write("a friend".into()),
            Some(_) => Rights::Denied,
            None => Rights::Read("a guest".into()),
        });
    });
    let server = builder.start(Tokio)?;
    let handle = server.handle();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            // Everything is stored before this ends.
            handle.shutdown(std::time::Duration::from_secs(1)).await;
        }
    });
    server.serve(listener).await;
    Ok(())
}
