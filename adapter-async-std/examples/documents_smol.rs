//! Documents for stock providers of y-websocket, on smol, in memory.
//!
//! `cargo run -p roomcast-async-std --features documents,smol,stores --example documents_smol [ADDRESS]`. `SqliteDocuments`
//! (feature `sqlite`) works here as well: it brings what it needs of tokio along.

use std::error::Error;

use roomcast_async_std::stores::MemoryDocuments;
use roomcast_async_std::{Builder, Rights, Smol, Visitor};
use smol::net::TcpListener;

fn main() -> Result<(), Box<dyn Error>> {
    smol::block_on(async {
        let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:1234".to_owned());
        let listener = TcpListener::bind(address).await?;
        println!("documents at ws://{}/yjs", listener.local_addr()?);

        let builder = Builder::new().documents_with("/yjs", MemoryDocuments::new(), |documents| {
            documents.authorize(async |visitor: Visitor| match visitor.param("token").as_deref() {
                Some("secret") => Rights::Write("a friend".into()),
                Some(_) => Rights::Denied,
                None => Rights::Read("a guest".into()),
            });
        });
        builder.start(Smol)?.serve(listener).await;
        Ok(())
    })
}
