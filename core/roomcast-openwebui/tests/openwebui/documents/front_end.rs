//! What was observed with the real front end about documents, and the exact form of the events.
use roomcast_testkit::yjs_update::text_update;

use super::super::store::{Manner, PUBLIC};
use super::super::world::World;
use super::browser::{Browser, NOTE, settle, token_for};
use roomcast_openwebui::Release;
use roomcast_openwebui::query::Question;
use roomcast_yjs::int_array;

#[test]
fn events_are_as_recorded() {
    let mut world = World::new();
    let (one, two) = (world.join("alice"), world.join("alice"));
    let sids = [world.clients[one].sid.clone(), world.clients[two].sid.clone()];
    let join =
        r##"2["ydoc:document:join",{"document_id":"note:plan","user_id":"x","user_name":"X","user_color":"#4ECDC4"}]"##;
    world.send(one, join);
    let state =
        format!(r#"2["ydoc:document:state",{{"document_id":"note:plan","state":[0,0],"sessions":["{}"]}}]"#, sids[0]);
    assert_eq!(world.read(one), [state]);
    world.send(two, join);
    let joined = r##"2["ydoc:user:joined",{"document_id":"note:plan","user_id":"alice","user_name":"Alice Admin","user_color":"#4ECDC4"}]"##;
    assert_eq!(world.read(one), [joined]);
    let state = |sids: [&String; 2], state: &str| {
        let [own, other] = sids;
        format!(
            r#"2["ydoc:document:state",{{"document_id":"note:plan","state":{state},"sessions":["{own}","{other}"]}}]"#
        )
    };
    assert_eq!(world.read(two), [state([&sids[1], &sids[0]], "[0,0]")]);
    // A client's own bytes go on, blanks and all.
    let update = "[1,1,1,0, 4,1,1,116,2,104,105,0]";
    world.send(one, &format!(r#"23["ydoc:document:update",{{"document_id":"note:plan","user_id":"x","socket_id":"y","update":{update}}}]"#));
    world.pass_ms(40);
    assert_eq!(world.read(one), ["33[]"]);
    let relayed = format!(
        r#"2["ydoc:document:update",{{"document_id":"note:plan","user_id":"alice","update":{update},"socket_id":"{}"}}]"#,
        sids[0]
    );
    assert_eq!(world.read(two), [relayed]);
    world.send(two, r#"2["ydoc:document:state",{"document_id":"note_plan"}]"#);
    assert_eq!(world.read(two), [state([&sids[1], &sids[0]], "[1,1,1,0,4,1,1,116,2,104,105,0]")]);
    // An attachment stays one.
    world
        .feed(two, r#"51-["ydoc:document:update",{"document_id":"note:plan","update":{"_placeholder":true,"num":0}}]"#);
    world.send_binary(two, &text_update(2, 0, "yo"));
    let relayed = format!(
        r#"51-["ydoc:document:update",{{"document_id":"note:plan","user_id":"alice","update":{{"_placeholder":true,"num":0}},"socket_id":"{}"}}]"#,
        sids[1]
    );
    assert_eq!((world.read(one), world.read_binary(one)), (vec![relayed], Some(text_update(2, 0, "yo"))));
    // Leaving is told, by event or by going away.
    world.leave(two);
    assert_eq!(world.read(one), [r#"2["ydoc:user:left",{"document_id":"note:plan","user_id":"alice"}]"#]);
}

#[test]
fn a_join_before_user_join_waits_for_it() {
    let mut world = World::new();
    let client = world.connect("{}");
    world.send(client, r#"21["ydoc:document:join",{"document_id":"note:plan"}]"#);
    world.send(client, r#"22["heartbeat",{}]"#);
    assert_eq!((world.read(client), world.stack.app.audit().documents.parked_joins), (vec!["32[]".to_owned()], 1));
    world.pass_ms(9000);
    world.send(client, &format!(r#"23["user-join",{{"auth":{{"token":"{}"}}}}]"#, token_for("alice")));
    let said = world.read(client);
    assert!(
        said[0].starts_with("33[{") && said[1].starts_with(r#"2["ydoc:document:state""#) && said[2] == "31[]",
        "{said:?}"
    );
    assert_eq!(world.stack.app.audit().documents.parked_joins, 0);
    // After ten seconds it is refused; and there may be twenty, not more.
    let client = world.connect("{}");
    for _ in 0..20 {
        world.send(client, r#"2["ydoc:document:join",{"document_id":"note:plan"}]"#);
    }
    assert_eq!(world.read(client), Vec::<String>::new());
    world.send(client, r#"2["ydoc:document:join",{"document_id":"note:plan"}]"#);
    assert_eq!(world.read(client).len(), 1);
    world.pass_ms(10_000);
    assert_eq!(world.read(client), vec![r#"2["error",{"message":"Failed to join document"}]"#; 20]);
    // A socket that disconnects leaves no parked join behind.
    world.send(client, r#"2["ydoc:document:join",{"document_id":"note:plan"}]"#);
    world.leave(client);
    assert_eq!(world.stack.app.audit().documents.parked_joins, 0);
}

#[test]
fn offline_edits_reach_the_others() {
    let mut world = World::new();
    let (mut alice, mut tab) = (Browser::open(&mut world, "alice"), Browser::open(&mut world, "alice"));
    settle(&mut world, &mut [&mut alice, &mut tab]);
    alice.type_text(&mut world, "before ");
    settle(&mut world, &mut [&mut alice, &mut tab]);
    for are_alone in [false, true] {
        world.leave(alice.client);
        if are_alone {
            world.leave(tab.client);
            world.pass_ms(5000);
        } else {
            tab.type_text(&mut world, "meanwhile ");
        }
        alice.edit("offline ");
        alice.reconnect(&mut world);
        if are_alone {
            tab.reconnect(&mut world);
        }
        settle(&mut world, &mut [&mut alice, &mut tab]);
        assert_eq!(alice.doc.state(), tab.doc.state());
        // And what follows builds on nothing that is missing.
        alice.type_text(&mut world, "after ");
        settle(&mut world, &mut [&mut alice, &mut tab]);
        assert_eq!(alice.doc.state(), tab.doc.state());
    }
    assert_eq!(world.stack.app.document_counters().documents.updates_held, 0);
}

#[test]
fn of_a_whole_document_the_others_are_told_what_is_new() {
    let mut world = World::new();
    let (mut alice, mut tab) = (Browser::open(&mut world, "alice"), Browser::open(&mut world, "alice"));
    settle(&mut world, &mut [&mut alice, &mut tab]);
    alice.type_text(&mut world, &"much ".repeat(20_000));
    settle(&mut world, &mut [&mut alice, &mut tab]);
    world.pass_ms(5000);
    world.leave(alice.client);
    alice.edit("offline");
    alice.reconnect(&mut world);
    let told: Vec<String> =
        world.read(tab.client).into_iter().filter(|packet| packet.contains("ydoc:document:update")).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].len() < 300, "{} bytes", told[0].len());
    world.pass_ms(100);
    let logged: usize = world.store.stored(super::browser::NOTE).updates.iter().map(|entry| entry.len()).sum();
    assert!(logged < 100, "{logged} bytes");
    tab.reconnect(&mut world);
    settle(&mut world, &mut [&mut alice, &mut tab]);
    assert_eq!(tab.doc.state(), alice.doc.state());
    let mut crashed = super::storing::crash(&world);
    let mut other = Browser::look(&mut crashed, "alice");
    other.pump(&mut crashed);
    assert_eq!(other.doc.state(), alice.doc.state());
}

#[test]
fn what_builds_on_missing_edits_is_asked_for_once() {
    let mut world = World::new();
    let (mut alice, mut tab) = (Browser::open(&mut world, "alice"), Browser::open(&mut world, "alice"));
    settle(&mut world, &mut [&mut alice, &mut tab]);
    // The server has had the answer to its first question, and knows nothing of this.
    alice.type_text(&mut world, "known");
    let whole = alice.doc.state();
    world.feed(
        alice.client,
        r#"51-["ydoc:document:update",{"document_id":"note:plan","update":{"_placeholder":true,"num":0}}]"#,
    );
    world.send_binary(alice.client, &whole);
    alice.edit("lost");
    alice.events.clear();
    alice.type_text(&mut world, "late");
    settle(&mut world, &mut [&mut alice, &mut tab]);
    let counters = world.stack.app.document_counters();
    assert_eq!((counters.documents.updates_held, counters.documents.resyncs), (1, 1));
    assert_eq!(alice.events.iter().filter(|event| event.starts_with("ydoc:document:state")).count(), 2);
    assert_eq!(alice.doc.state(), tab.doc.state());
    assert_eq!(world.stack.app.audit().documents.pending_updates, 0);
}

#[test]
fn exactly_one_loads_the_note() {
    let mut world = World::new();
    let (mut first, mut second) = (Browser::new(&mut world, "alice"), Browser::new(&mut world, "alice"));
    first.seeds = false;
    first.join(&mut world);
    second.join(&mut world);
    settle(&mut world, &mut [&mut first, &mut second]);
    assert_eq!(second.doc.state(), [0, 0][..]);
    // The one who was to do it leaves before it has: the other one is asked.
    world.leave(first.client);
    second.pump(&mut world);
    assert_ne!(second.doc.state(), [0, 0][..]);
    let mut third = Browser::open(&mut world, "alice");
    third.pump(&mut world);
    assert_eq!(third.doc.state(), second.doc.state());
    assert_eq!(world.stack.app.document_counters().documents.updates_applied, 1);
}

#[test]
fn a_reader_loads_the_note_for_itself() {
    let mut world = World::new();
    world.store.put_note("plan", "alice", PUBLIC);
    let mut bob = Browser::open(&mut world, "bob");
    bob.pump(&mut world);
    assert_ne!(bob.doc.state(), [0, 0][..], "an open note is not blank");
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    assert_eq!(world.stack.app.document_counters().documents.updates_applied, 1, "the writer's counts");
}

#[test]
fn a_member_that_lost_its_rights_is_not_waited_for() {
    let mut world = World::new();
    let share = |world: &mut World, access: &str| {
        world.store.put_note("plan", "alice", Some(access));
    };
    share(&mut world, r#"{"read":{"user_ids":["bob"]},"write":{"user_ids":["bob"]}}"#);
    let mut bob = Browser::look(&mut world, "bob");
    let mut alice = Browser::open(&mut world, "alice");
    settle(&mut world, &mut [&mut alice, &mut bob]);
    assert_eq!(alice.doc.state(), [0, 0][..], "bob was asked");
    // He joins again before his rights are checked.
    share(&mut world, r#"{"read":{"user_ids":["bob"]}}"#);
    bob.join(&mut world);
    settle(&mut world, &mut [&mut alice, &mut bob]);
    assert_ne!(alice.doc.state(), [0, 0][..]);
    assert_eq!(bob.doc.state(), alice.doc.state());
}

#[test]
fn a_join_without_access_is_answered_by_an_error_event() {
    let mut world = World::new();
    let bob = world.join("bob");
    for ack in ["", "1"] {
        world.send(bob, &format!(r#"2{ack}["ydoc:document:join",{{"document_id":"note:plan"}}]"#));
    }
    let error = r#"2["error",{"message":"Failed to join document"}]"#;
    assert_eq!(world.read(bob), [error, error, "31[]"]);
    for event in ["ydoc:document:update", "ydoc:document:leave", "ydoc:document:state", "ydoc:awareness:update"] {
        for payload in ["", ",7", ",{}", r#",{"document_id":"note:plan"}"#] {
            world.send(bob, &format!(r#"21["{event}"{payload}]"#));
            assert_eq!(world.read(bob), ["31[]"], "{event}{payload}");
        }
    }
}

#[test]
fn the_newer_front_end_gets_the_content_and_the_first_write_wins() {
    let mut world = World::with(|settings| settings.release = Release::V0_12);
    world.store.write_content("plan", Some(r#"{"md":"x"}"#));
    let (one, two) = (world.join("alice"), world.join("alice"));
    for client in [one, two] {
        world.send(client, r#"2["ydoc:document:join",{"document_id":"note_plan"}]"#);
        let said = world.read(client).remove(0);
        assert_eq!(said, r#"2["ydoc:document:state",{"document_id":"note:plan","state":[0,0],"content":{"md":"x"}}]"#);
    }
    world.read(one);
    let initialize = |id: u8| {
        let update = String::from_utf8(int_array::encode(&text_update(id, 0, "x"))).unwrap();
        (
            format!(r#"21["ydoc:document:update",{{"document_id":"{NOTE}","update":{update},"initialize":true}}]"#),
            update,
        )
    };
    let ((first, stored), (second, _)) = (initialize(1), initialize(2));
    world.send(two, &first);
    world.send(one, &second);
    world.pass_ms(40);
    assert_eq!(world.read(two), [format!("31[{stored}]")]);
    assert_eq!(world.read(one).pop(), Some(format!("31[{stored}]")));
    assert_eq!(world.stack.app.document_counters().documents.updates_applied, 1);
    // A content alone is saved.
    world.send(one, r#"2["ydoc:document:update",{"document_id":"note:plan","data":{"content":{"md":"y"}}}]"#);
    world.pass_ms(600);
    assert_eq!(world.store.contents()["plan"], r#"{"md":"y"}"#);
}

/// Contents of notes are long enough to be tried elsewhere, and two tabs are opened at once.
#[test]
fn of_long_contents_that_come_at_once_the_first_wins_as_well() {
    let mut world = World::with(|settings| settings.release = Release::V0_12);
    world.store.write_content("plan", Some(r#"{"md":"x"}"#));
    let tabs = [world.join("alice"), world.join("alice"), world.join("alice")];
    for client in tabs {
        world.send(client, r#"2["ydoc:document:join",{"document_id":"note:plan"}]"#);
        world.read(client);
    }
    world.is_busy = true;
    for (client, id) in tabs.into_iter().zip(1..) {
        let update = int_array::encode(&text_update(id, 0, &"x".repeat(20_000)));
        let update = String::from_utf8(update).unwrap();
        let event =
            format!(r#"["ydoc:document:update",{{"document_id":"{NOTE}","update":{update},"initialize":true}}]"#);
        world.send(client, &format!("21{event}"));
    }
    assert_eq!(world.work.len(), 3, "each is parsed");
    (0..3).for_each(|_| assert!(world.work_one()));
    assert_eq!(world.work.len(), 1, "and one is tried");
    while world.work_one() {}
    assert_eq!(world.stack.app.document_counters().documents.updates_applied, 1);
    world.pass_ms(40);
    let acks = tabs.map(|client| {
        let said = world.read(client);
        said.into_iter().find(|text| text.starts_with("31[")).expect("an ack")
    });
    assert!(acks[0].len() > 40_000 && acks.iter().all(|ack| *ack == acks[0]));
}

/// The ack of a first update that came too late is the state, which takes long to encode.
#[test]
fn a_late_beginner_is_answered_once_the_state_is_encoded() {
    let mut world = World::with(|settings| {
        settings.release = Release::V0_12;
        settings.documents.machine.quick_state_bytes_max = 100;
    });
    let tabs: [usize; 3] = std::array::from_fn(|_| world.join("alice"));
    let initialize = |world: &mut World, client: usize| {
        let update = int_array::encode(&text_update(u8::try_from(client + 1).unwrap(), 0, &"x".repeat(5000)));
        let update = String::from_utf8(update).unwrap();
        let payload = format!(r#"{{"document_id":"{NOTE}","update":{update},"initialize":true}}"#);
        world.send(client, &format!(r#"21["ydoc:document:update",{payload}]"#));
        format!("31[{update}]")
    };
    for client in tabs {
        world.send(client, r#"2["ydoc:document:join",{"document_id":"note:plan"}]"#);
        world.read(client);
    }
    let first = initialize(&mut world, tabs[0]);
    world.pass_ms(40);
    assert!(world.read(tabs[0]).contains(&first));
    // An edit, so that what was encoded is not the state any more.
    let edit = String::from_utf8(int_array::encode(&text_update(99, 0, "y"))).unwrap();
    world.send(tabs[0], &format!(r#"2["ydoc:document:update",{{"document_id":"{NOTE}","update":{edit}}}]"#));
    tabs.into_iter().for_each(|client| drop(world.read(client)));
    world.is_busy = true;
    tabs[1..].iter().for_each(|client| drop(initialize(&mut world, *client)));
    assert_eq!((world.work.len(), world.read(tabs[1]).len()), (1, 0), "nothing is encoded here");
    // One leaves the document meanwhile: its events go on.
    world.send(tabs[2], r#"22["ydoc:document:leave",{"document_id":"note:plan"}]"#);
    world.leave(tabs[2]);
    while world.work_one() {}
    world.pass_ms(40);
    let acks: Vec<String> = world.read(tabs[1]).into_iter().filter(|said| said.starts_with("31[")).collect();
    assert!(acks.len() == 1 && acks[0].len() > first.len(), "{} acks", acks.len());
    world.leave(tabs[0]);
    world.leave(tabs[1]);
    for _ in 0..100 {
        while world.work_one() {}
        world.pass_ms(100);
    }
    assert_eq!(world.stack.app.audit().documents, Default::default());
}

// Section 2.5, item 22.
/// Sockets join one after the other. What each is told of a long state is the same text and the same bytes, which the
/// server encodes once.
#[test]
fn a_long_state_is_told_to_all_in_one_frame() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    alice.type_text(&mut world, &"x".repeat(70_000));
    let mut told = Vec::new();
    for _ in 0..3 {
        let tab = world.join("alice");
        world.send(tab, r#"2["ydoc:document:join",{"document_id":"note:plan"}]"#);
        let said = world.read(tab);
        told.extend(said.into_iter().filter(|text| text.contains("_placeholder")));
    }
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|text| *text == told[0]), "{told:?}");
    // A change makes another one, which names who is there by then.
    alice.type_text(&mut world, "y");
    let tab = world.join("alice");
    world.send(tab, r#"2["ydoc:document:join",{"document_id":"note:plan"}]"#);
    let said = world.read(tab);
    assert!(said.iter().any(|text| text.contains("_placeholder") && text.contains(&world.clients[tab].sid)));
}

#[test]
fn a_large_state_is_an_attachment_and_encoded_once() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    alice.type_text(&mut world, &"x".repeat(70_000));
    let mut tab = Browser::open(&mut world, "alice");
    tab.pump(&mut world);
    assert_eq!(tab.doc.state(), alice.doc.state());
    assert!(tab.doc.state().len() > 64 << 10);
}

#[test]
fn a_join_waits_for_the_document_and_so_does_what_comes_behind_it() {
    let mut world = World::new();
    let (one, two) = (world.join("alice"), world.join("alice"));
    world.questions();
    world.store.manner = Manner::Later;
    for client in [one, two] {
        world.send(client, r#"21["ydoc:document:join",{"document_id":"note:plan"}]"#);
        world.send(client, r#"22["ydoc:document:state",{"document_id":"note:plan"}]"#);
    }
    world.store.manner = Manner::AtOnce;
    // Both notes, then one load for both.
    for _ in 0..2 {
        let query = world.waiting.pop_front().unwrap();
        world.store.manner = Manner::Later;
        world.answer(query);
    }
    let loads = world.questions().into_iter().filter(|question| matches!(question, Question::LoadDocument { .. }));
    assert_eq!(loads.count(), 1);
    assert_eq!((world.read(one), world.read(two)), (vec![], vec![]));
    world.store.manner = Manner::AtOnce;
    world.answer_waiting();
    for client in [one, two] {
        let said = world.read(client);
        let place = |text: &str| said.iter().position(|packet| packet.starts_with(text)).unwrap();
        assert!(place(r#"2["ydoc:document:state""#) < place("31[]") && place("31[]") < place("32[]"), "{said:?}");
    }
}
