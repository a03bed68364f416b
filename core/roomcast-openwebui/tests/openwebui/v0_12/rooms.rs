//! Rooms of channels and notes. Sections 2.3 and 2.4.

use std::time::Duration;

use roomcast_core::cluster::{BusPayload, ClusterBody, ClusterEmit, Recipients};
use roomcast_core::server::{Delivery, Extent};
use roomcast_openwebui::query::{Permission, Question};

use super::super::store::PUBLIC;
use super::super::world::{World, token};
use super::{connect, world, world_on_bus};

#[test]
fn user_join_adds_the_rooms_of_channels_for_those_who_may_use_them() {
    let mut world = world();
    world.store.set_permission("bob", Permission::Denied);
    world.store.set_permission("alice", Permission::Denied);
    for (user, rooms) in [("bob", &["user:bob"][..]), ("alice", &["channel:general", "user:alice"])] {
        let client = connect(&mut world, user);
        assert_eq!(world.rooms(client).len(), 1, "not by CONNECT");
        world.send(client, &format!(r#"21["user-join",{{"auth":{{"token":"{}"}}}}]"#, token(user)));
        assert_eq!(world.rooms(client), rooms);
    }
}

#[test]
fn who_types_in_a_channel_is_named_with_the_role() {
    let mut world = world();
    let bob = connect(&mut world, "bob");
    world.send(bob, &format!(r#"2["join-channels",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
    world.send(
        bob,
        r#"21["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"typing","data":{"typing":true}}}]"#,
    );
    let told = r#"2["events:channel",{"channel_id":"general","message_id":null,"data":{"type":"typing","data":{"typing":true}},"user":{"id":"bob","name":"Bob User","role":"user"}}]"#;
    assert_eq!(world.read(bob), [told, "31[]"]);
}

#[test]
fn a_note_is_joined_and_kept_with_the_feature_of_notes() {
    let mut world = world();
    world.store.put_note("open", "alice", PUBLIC);
    for user in ["alice", "bob"] {
        world.store.put_account(user, |account| account.features.notes = Permission::Denied);
    }
    let (alice, bob, carol) = (connect(&mut world, "alice"), connect(&mut world, "bob"), connect(&mut world, "carol"));
    for (client, user) in [(alice, "alice"), (bob, "bob"), (carol, "carol")] {
        let join = format!(r#"21["join-note",{{"note_id":"open","auth":{{"token":"{}"}}}}]"#, token(user));
        world.send(client, &join);
        assert_eq!(world.read(client), ["31[]"]);
    }
    let in_note = |world: &World, client| world.rooms(client).contains(&"note:open".to_owned());
    assert_eq!([alice, bob, carol].map(|client| in_note(&world, client)), [true, false, true]);
    world.store.put_account("carol", |account| account.features.notes = Permission::Denied);
    world.pass(Duration::from_secs(31));
    assert_eq!([alice, bob, carol].map(|client| in_note(&world, client)), [true, false, false]);
}

#[test]
fn a_channel_that_a_process_has_created_is_read_by_its_event() {
    let mut world = world_on_bus();
    let bob = connect(&mut world, "bob");
    world.send(bob, &format!(r#"2["join-channels",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
    world.store.enter_channel("bob", "dm");
    world.questions();
    for (room, data, reads) in [
        ("channel:general", r#"{"data":{"type":"channel:created"}}"#, 0),
        ("user:bob", r#"{"data":{"type":"message"}}"#, 0),
        ("user:alice", r#"{"data":{"type":"channel:created"}}"#, 0),
        ("user:bob", r#"{"data":{"type":"channel:created"}}"#, 1),
    ] {
        let body = ClusterBody::Emit(ClusterEmit {
            recipients: Recipients::room("/".into(), room.into()),
            name: "events:channel".into(),
            args: BusPayload::from_unchecked(data.into(), Vec::new()),
            delivery: Delivery::Reliable,
            ack: None,
        });
        world.hear(body);
        let asked = world.questions().iter().filter(|asked| matches!(asked, Question::Channels { .. })).count();
        assert_eq!(asked, reads, "{room} {data}");
    }
    assert_eq!(world.rooms(bob), ["channel:dm", "channel:general", "user:bob"]);
    assert_eq!(world.read(bob).len(), 3);
}

/// A process tells a page that its rights have changed, and cuts it: the page reads them again because it was told before.
#[test]
fn what_a_process_tells_before_it_cuts_a_socket_comes_before_the_cut() {
    let mut world = world_on_bus();
    let bob = connect(&mut world, "bob");
    let sid = world.clients[bob].sid.clone();
    let recipients = || Recipients::room("/".into(), sid.clone().into());
    world.hear(ClusterBody::Emit(ClusterEmit {
        recipients: recipients(),
        name: "access:updated".into(),
        args: BusPayload::from_unchecked("{}".into(), Vec::new()),
        delivery: Delivery::Reliable,
        ack: None,
    }));
    world.hear(ClusterBody::Disconnect { recipients: recipients(), extent: Extent::Namespace });
    assert_eq!(world.read(bob), [r#"2["access:updated",{}]"#, "1"]);
}
