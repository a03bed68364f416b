//! `events:chat`. Section 2.3.

use std::time::Duration;

use roomcast_core::cluster::{ClusterBody, Recipients};
use roomcast_openwebui::query::ChatShare;
use roomcast_openwebui::{AdminChats, Request, Response, To};

use super::super::world::{START_SECS, World};
use super::{connect, world, world_on_bus, world_with};

#[test]
fn joining_and_leaving_are_answered_with_yes_or_no() {
    let mut world = world();
    let bob = connect(&mut world, "bob");
    for (payload, ack) in [
        (r#"{"chat_id":"no-such","data":{"type":"join"}}"#, "[false]"),
        (r#"{"chat_id":"no-such","data":{"type":"leave"}}"#, "[true]"),
        (r#"{"chat_id":"temporary:1","data":{"type":"join"}}"#, "[false]"),
        (r#"{"chat_id":"local:1","data":{"type":"leave"}}"#, "[false]"),
        (r#"{"chat_id":"channel:1","data":{"type":"leave"}}"#, "[false]"),
        (r#"{"chat_id":"","data":{"type":"leave"}}"#, "[false]"),
        (r#"{"chat_id":7,"data":{"type":"leave"}}"#, "[false]"),
        (r#"{"data":{"type":"join"}}"#, "[false]"),
        (r#"{"chat_id":"talk","data":{"type":"typing","data":{"typing":true}}}"#, "[false]"),
        (r#"{"chat_id":7,"data":{"type":"typing"}}"#, "[false]"),
        (r#"{"chat_id":"talk","data":{"type":"no-such"}}"#, "[]"),
        (r#"{"chat_id":"talk","data":{}}"#, "[]"),
        (r#"{"chat_id":"talk"}"#, "[]"),
    ] {
        world.send(bob, &format!(r#"21["events:chat",{payload}]"#));
        assert_eq!(world.read(bob), [format!("31{ack}")], "{payload}");
    }
    world.send(bob, r#"21["events:chat",{"chat_id":"talk","data":7}]"#);
    assert_eq!(world.read(bob), Vec::<String>::new(), "the original's handler fails");
}

#[test]
fn a_chat_is_joined_by_those_that_it_is_shared_with() {
    let mut world = world();
    let (bob, carol) = (connect(&mut world, "bob"), connect(&mut world, "carol"));
    assert!(!join(&mut world, carol));
    for (share, may_type) in [(ChatShare::Read, "31[false]"), (ChatShare::Write, "31[true]")] {
        world.store.shares.insert(("carol".into(), "talk".into()), share);
        assert!(join(&mut world, carol) && join(&mut world, bob));
        world.read(bob);
        world.send(carol, &chat("1", "talk", r#"{"type":"typing","data":{"typing":true}}"#));
        assert_eq!(world.read(carol).last().unwrap(), may_type);
        assert_eq!(world.read(bob).len(), usize::from(share == ChatShare::Write));
        // Reading marks are the owner's.
        world.send(carol, &chat("2", "talk", r#"{"type":"last_read_at"}"#));
        assert_eq!((world.read(carol), world.store.read_at().len()), (vec!["32[]".to_owned()], 0));
    }
    // The share ends without a word, and the next check finds it.
    world.store.shares.clear();
    world.pass(Duration::from_secs(31));
    assert_eq!(world.rooms(carol), ["user:carol"]);
    assert_eq!(world.read(bob).last().unwrap(), &presence(&[("bob", "Bob User")]));
}

#[test]
fn an_admin_reads_what_the_settings_or_the_chat_allow() {
    for (admins, is_internal, expected) in
        [(AdminChats::Readable, false, true), (AdminChats::Closed, false, false), (AdminChats::Closed, true, true)]
    {
        let mut world = world_with(|settings| settings.admin_chats = admins);
        if is_internal {
            world.store.internal_chats.insert("talk".into());
        }
        let (alice, carol) = (connect(&mut world, "alice"), connect(&mut world, "carol"));
        assert_eq!(join(&mut world, alice), expected, "{admins:?} {is_internal}");
        assert!(!join(&mut world, carol));
        world.send(alice, &chat("1", "talk", r#"{"type":"typing","data":{"typing":true}}"#));
        assert_eq!(world.read(alice).last().unwrap(), "31[false]");
    }
}

#[test]
fn a_chat_that_was_unread_is_told_with_the_counts_of_folders() {
    let mut world = world();
    world.store.unread = Some([("talk".to_owned(), r#"{"f":2,"g":0}"#.to_owned())].into());
    let (bob, tab) = (connect(&mut world, "bob"), connect(&mut world, "bob"));
    for counts in [r#","folder_unread_counts":{"f":2,"g":0}"#, ""] {
        world.send(bob, &chat("1", "talk", r#"{"type":"last_read_at"}"#));
        let at = START_SECS + if counts.is_empty() { 2 } else { 0 };
        let told = format!(
            r#"2["events",{{"chat_id":"talk","data":{{"type":"chat:list","data":{{"chat_id":"talk","last_read_at":{at}{counts}}}}}}}]"#
        );
        assert_eq!(world.read(tab), [told]);
        assert!(world.read(bob).contains(&"31[]".to_owned()));
        world.pass(Duration::from_secs(2));
    }
}

#[test]
fn a_socket_that_a_process_takes_out_of_a_chat_types_there_no_more() {
    let leave = |_: &str, sid: &str| ClusterBody::Leave {
        recipients: Recipients::room("/".into(), sid.to_owned().into()),
        room: "chat:talk".into(),
    };
    let close = |_: &str, _: &str| ClusterBody::CloseRoom { namespace: "/".into(), room: "chat:talk".into() };
    let by: [fn(&str, &str) -> ClusterBody; 2] = [leave, close];
    for body in by {
        let mut world = world_on_bus();
        let bob = connect(&mut world, "bob");
        assert!(join(&mut world, bob));
        let body = body("talk", &world.clients[bob].sid);
        world.hear(body);
        assert_eq!(world.rooms(bob), ["user:bob"]);
        world.send(bob, &chat("1", "talk", r#"{"type":"typing","data":{"typing":true}}"#));
        assert_eq!(world.read(bob), ["31[false]"]);
        assert!(join(&mut world, bob), "it may come back");
        world.leave(bob);
        world.pass(Duration::from_secs(31));
        assert_eq!(world.stack.app.audit(), Default::default());
    }
}

#[test]
fn who_leaves_a_chat_by_the_interface_of_the_program_is_missed_by_the_others() {
    let mut world = world();
    let (bob, alice) = (connect(&mut world, "bob"), connect(&mut world, "alice"));
    assert!(join(&mut world, bob) && join(&mut world, alice));
    world.read(bob);
    let to = To::Socket(world.clients[alice].sid.clone().into());
    assert!(matches!(world.ask(Request::Leave { to, room: "chat:talk".into() }), Response::Done { sockets: 1 }));
    assert_eq!(world.read(bob), [presence(&[("bob", "Bob User")])]);
}

/// Whether the client may. What it was told of that is read.
fn join(world: &mut World, client: usize) -> bool {
    world.send(client, &chat("9", "talk", r#"{"type":"join"}"#));
    world.read(client).contains(&"39[true]".to_owned())
}

fn chat(ack: &str, id: &str, data: &str) -> String {
    format!(r#"2{ack}["events:chat",{{"chat_id":"{id}","data":{data}}}]"#)
}

fn presence(users: &[(&str, &str)]) -> String {
    let users: Vec<_> = users.iter().map(|(id, name)| format!(r#"{{"id":"{id}","name":"{name}"}}"#)).collect();
    format!(
        r#"2["events",{{"chat_id":"talk","shared":true,"data":{{"type":"chat:presence","data":{{"users":[{}]}}}}}}]"#,
        users.join(",")
    )
}
