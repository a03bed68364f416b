//! What the program serves until the application layer stands: rooms, echo and broadcast.
//!
//! Owns: its events. Must never know: flags, sockets.

use roomcast_tokio::{Args, Builder, Data, NoAck, Socket};

use crate::settings::Settings;

/// | event | what happens |
/// |---|---|
/// | `echo`, anything | acks the same |
/// | `join`, room; `leave`, room | joins or leaves, acks the room |
/// | `cast`, room, anything | sends `cast` with the same to the others in the room |
/// | `broadcast`, anything | sends `broadcast` with the same to everybody else |
pub fn builder(settings: &Settings) -> Builder {
    Builder::new().socket_io(settings.path.as_str(), |io| {
        io.namespace("/", |ns| {
            ns.on("echo", async |args: Args| args);
            ns.on("join", async |socket: Socket, Data((room,)): Data<(String,)>| {
                socket.join(room.as_str());
                room
            });
            ns.on("leave", async |socket: Socket, Data((room,)): Data<(String,)>| {
                socket.leave(room.as_str());
                room
            });
            ns.on("cast", async |socket: Socket, Data((room,)): Data<(String,)>, args: Args| {
                socket.to(room).emit("cast", args).await;
                NoAck
            });
            ns.on("broadcast", async |socket: Socket, args: Args| {
                socket.broadcast().emit("broadcast", args).await;
                NoAck
            });
        });
    })
}
