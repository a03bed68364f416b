//! The application: an echo, and rooms. It knows events and commands, and nothing of sockets.

use roomcast_core::server::{Command, Delivery, Emit, EndpointId, Event, Input, Scope, Server, Target};
use roomcast_core::time::Instant;

/// `join` is for a room, `room-cast` goes to its members, everything else comes back; acks repeat the arguments.
pub fn handle_event(server: &mut Server, event: Event, now: Instant) {
    let Event::Received { session, socket, name, args, ack } = event else { return };
    let namespace = Scope { endpoint: EndpointId::new(0), namespace: "/".into() };
    let room = args.parse::<String>().unwrap_or_default().into();
    let emit = |target, args| {
        let (name, delivery) = (name.clone(), Delivery::Reliable);
        Command::Emit(Emit { target, name, args, delivery, ack: None })
    };
    let command = match &*name {
        "join" => Command::Join { target: Target::Socket(socket), room },
        "room-cast" => emit(Target::Room { namespace, room }, args.clone()),
        _ => emit(Target::Socket(socket), args.clone()),
    };
    let ack = ack.map(|ack| Command::Ack { socket, ack, args });
    for command in [command].into_iter().chain(ack).chain([Command::Handled { session }]) {
        server.handle_input(Input::Command(command), now);
    }
}
