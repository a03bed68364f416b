//! Members that other parts of Open WebUI take out of a document's room. Section 2.4.

use super::super::world::World;
use super::browser::{Browser, settle};
use roomcast_core::cluster::{ClusterBody, Recipients};
use roomcast_openwebui::{Request, Response, To};

const ROOM: &str = "doc_note:plan";

/// A note is deleted, or not shared any more: a process takes sockets out of the room, and tells them nothing.
#[test]
fn who_is_taken_out_of_the_room_is_out_of_the_document() {
    let leave = |_: &World, sid: &str| ClusterBody::Leave {
        recipients: Recipients::room("/".into(), sid.to_owned().into()),
        room: ROOM.into(),
    };
    let close = |_: &World, _: &str| ClusterBody::CloseRoom { namespace: "/".into(), room: ROOM.into() };
    let by_bus: [fn(&World, &str) -> ClusterBody; 2] = [leave, close];
    for (how, stay) in by_bus.into_iter().zip([1, 0]) {
        let mut world = World::on_bus(|_| {});
        let (mut alice, mut tab) = both(&mut world);
        let body = how(&world, &world.clients[tab.client].sid);
        world.hear(body);
        assert_eq!(world.stack.app.audit().documents.members, stay);
        out(&mut world, &mut alice, &mut tab);
    }
}

#[test]
fn the_same_by_the_interface_of_the_program() {
    for (by, stay) in [("sid", 1), ("room", 0)] {
        let mut world = World::new();
        let (mut alice, mut tab) = both(&mut world);
        let to = match by {
            "sid" => To::Socket(world.clients[tab.client].sid.clone().into()),
            _ => To::Room(ROOM.into()),
        };
        let left = world.ask(Request::Leave { to, room: ROOM.into() });
        assert!(matches!(left, Response::Done { sockets } if sockets == 2 - stay));
        assert_eq!(world.stack.app.audit().documents.members, stay);
        out(&mut world, &mut alice, &mut tab);
    }
}

fn both(world: &mut World) -> (Browser, Browser) {
    let (mut alice, mut tab) = (Browser::open(world, "alice"), Browser::open(world, "alice"));
    settle(world, &mut [&mut alice, &mut tab]);
    alice.type_text(world, "before ");
    settle(world, &mut [&mut alice, &mut tab]);
    assert_eq!(world.stack.app.audit().documents.members, 2);
    (alice, tab)
}

/// What it sends counts no more, and it may come back.
fn out(world: &mut World, alice: &mut Browser, tab: &mut Browser) {
    let applied = world.stack.app.document_counters().documents.updates_applied;
    tab.type_text(world, "unheard ");
    assert_eq!(world.stack.app.document_counters().documents.updates_applied, applied);
    alice.join(world);
    tab.join(world);
    settle(world, &mut [alice, tab]);
    assert_eq!(alice.doc.state(), tab.doc.state());
    assert_eq!(world.stack.app.audit().documents.members, 2);
}
