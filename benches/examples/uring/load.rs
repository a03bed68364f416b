//! The application: the events of the load generator, as the conformance server has them with `LOAD=1`.
//!
//! Owns: what an event does. Must never know: sockets and rings.

use bytestring::ByteString;
use roomcast_core::server::{Command, Delivery, Emit, EndpointId, Event, Input, Scope, Server, Target};
use roomcast_core::socket_io::Args;
use roomcast_core::time::Instant;

/// Does what an event asks for.
pub fn handle_event(server: &mut Server, event: Event, now: Instant) {
    let Event::Received { session, socket, name, args, ack } = event else { return };
    let mut command = |command| server.handle_input(Input::Command(command), now);
    let room = |room: ByteString| Target::Room {
        namespace: Scope { endpoint: EndpointId::new(0), namespace: "/".into() },
        room,
    };
    let emit = |target, name: &'static str, args| {
        Command::Emit(Emit { target, name: name.into(), args, delivery: Delivery::Reliable, ack: None })
    };
    let mut answer = Some(args.clone());
    match &*name {
        "join" => {
            if let Ok(room) = args.parse::<String>() {
                command(Command::Join { target: Target::Socket(socket), room: room.into() });
            }
            answer = Args::from_serialize("ok").ok();
        }
        "broadcast" => command(emit(room("r".into()), "msg", args)),
        "room-cast" => {
            if let Ok(name) = args.parse::<String>() {
                command(emit(room(name.into()), "room-event", args));
            }
        }
        _ => {}
    }
    if let Some((ack, args)) = ack.zip(answer) {
        command(Command::Ack { socket, ack, args });
    }
    command(Command::Handled { session });
}
