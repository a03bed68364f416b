//! Handlers of sockets that come back.

mod common;

use common::{Client, Running};
use roomcast_tokio::{Builder, ConnectionRecovery, Socket};
use tokio::sync::mpsc;

#[test]
fn a_handler_sees_that_a_client_is_back_and_an_earlier_one_still_reaches_it() {
    let (gone, mut lost) = mpsc::unbounded_channel();
    let server = Running::start(Builder::new().socket_io("/socket.io", |io| {
        io.recovery = Some(ConnectionRecovery::default());
        io.namespace("/", |ns| {
            ns.on_connect(async |socket: Socket| match socket.recovered_data() {
                Some(data) => {
                    let data = String::from_utf8_lossy(data).into_owned();
                    socket.emit("back", (socket.recovered(), data, socket.rooms().await)).await;
                }
                None => {
                    socket.join("room");
                    socket.keep_data("kept");
                    socket.emit("new", socket.recovered()).await;
                }
            });
            ns.on_disconnect(move |socket: Socket| {
                let gone = gone.clone();
                async move { drop(gone.send(socket)) }
            });
        });
    }));
    let mut client = Client::open(server.address, "/socket.io/");
    let answer = client.ask("40");
    let (_, pid) = answer.strip_suffix(r#""}"#).unwrap().split_once(r#"","pid":""#).unwrap();
    let new = client.next();
    let offset = new.strip_prefix(r#"42["new",false,"#).unwrap().strip_suffix(']').unwrap();
    drop(client);
    let socket: Socket = lost.blocking_recv().unwrap();
    assert!(!socket.is_connected());
    server.runtime.block_on(async {
        socket.emit("by the earlier handler", ()).await;
        server.handle.of("/").to("room").emit("to the room", ()).await;
    });

    let mut client = Client::open(server.address, "/socket.io/");
    assert_eq!(client.ask(&format!(r#"40{{"pid":"{pid}","offset":{offset}}}"#)), answer, "the same ids");
    for expected in [r#"42["by the earlier handler","#, r#"42["to the room","#, r#"42["back",true,"kept",["room"],"#] {
        let packet = client.next();
        assert!(packet.starts_with(expected), "{packet}");
    }
    server.runtime.block_on(async { socket.emit("again", ()).await });
    let packet = client.next();
    assert!(packet.starts_with(r#"42["again","#), "{packet}");
}
