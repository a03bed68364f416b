//! Defects of Open WebUI 0.6.41 about documents that are not built again.
use roomcast_testkit::yjs_update::text_update;

use super::super::store::{Manner, PRIVATE, PUBLIC};
use super::super::world::World;
use super::browser::{Browser, NOTE, settle};
use roomcast_openwebui::{Request, Response};
use roomcast_yjs::int_array;

#[test]
fn updates_are_taken_from_members_alone() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    let (anonymous, mut bob) = (world.connect("{}"), Browser::new(&mut world, "bob"));
    let update = String::from_utf8(int_array::encode(&text_update(99, 0, "x"))).unwrap();
    let event = format!(
        r#"21["ydoc:document:update",{{"document_id":"{NOTE}","user_id":"alice","update":{update},"data":{{"content":{{"md":"x"}}}}}}]"#
    );
    for client in [anonymous, bob.client] {
        world.send(client, &event);
        assert_eq!(world.read(client), ["31[]"]);
    }
    // Nor does a join without access make one a member.
    bob.join(&mut world);
    assert!(bob.has_event(r#"error {"message":"Failed to join document"}"#));
    world.send(bob.client, &event);
    world.pass_ms(8000);
    alice.pump(&mut world);
    assert_eq!((alice.updates, world.stack.app.document_counters().documents.updates_applied), (0, 1));
    assert_ne!(world.store.contents().get("plan").map(String::as_str), Some(r#"{"md":"x"}"#));
}

#[test]
fn an_alias_is_the_same_document() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    let (anonymous, bob) = (world.connect("{}"), world.join("bob"));
    let join = r#"2["ydoc:document:join",{"document_id":"note_plan"}]"#;
    for client in [anonymous, bob] {
        world.send(client, join);
        world.pass_ms(10_000);
        assert_eq!(world.read(client), [r#"2["error",{"message":"Failed to join document"}]"#]);
    }
    // With access it is the one document, under its one name.
    let admin = world.join("alice");
    world.send(admin, join);
    let said = world.read(admin).concat();
    assert!(said.contains(r#""document_id":"note:plan""#) && !said.contains("note_plan"), "{said}");
    alice.pump(&mut world);
    alice.type_text(&mut world, "both");
    assert!(world.read(admin).concat().contains(r#"["ydoc:document:update",{"document_id":"note:plan""#));
    assert_eq!(world.stack.app.audit().documents.open, 1);
    // What is no note is no document.
    for id in ["plan", "note:", "note_", "doc:plan", "", "note"] {
        world.send(admin, &format!(r#"2["ydoc:document:join",{{"document_id":"{id}"}}]"#));
        assert_eq!(world.read(admin), [r#"2["error",{"message":"Failed to join document"}]"#], "{id}");
    }
}

#[test]
fn a_reader_writes_nothing() {
    let mut world = World::new();
    world.store.put_note("plan", "alice", PUBLIC);
    let (mut alice, mut bob) = (Browser::open(&mut world, "alice"), Browser::open(&mut world, "bob"));
    settle(&mut world, &mut [&mut alice, &mut bob]);
    alice.type_text(&mut world, "by alice");
    settle(&mut world, &mut [&mut alice, &mut bob]);
    world.pass_ms(6000);
    // He got it, and his echo of it is no offence; what he adds is.
    assert_eq!((bob.doc.state(), bob.has_event("error")), (alice.doc.state(), false));
    let (saved, updates) = (world.store.contents(), alice.updates);
    bob.type_text(&mut world, "by bob");
    settle(&mut world, &mut [&mut alice, &mut bob]);
    world.pass_ms(6000);
    assert!(bob.has_event(r#"error {"message":"Failed to update document"}"#));
    assert_eq!((world.store.contents(), alice.updates), (saved, updates));
    // With the right he may, from when the store says so.
    let access = r#"{"read":{"user_ids":["bob"]},"write":{"user_ids":["bob"]}}"#;
    world.store.put_note("plan", "alice", Some(access));
    assert!(matches!(world.ask(Request::Refresh { user: "bob".into() }), Response::Done { sockets: 1 }));
    let whole = bob.doc.state();
    bob.send_update(&mut world, &whole);
    settle(&mut world, &mut [&mut alice, &mut bob]);
    assert_eq!(bob.doc.state(), alice.doc.state());
    // And without any he is put out.
    world.store.put_note("plan", "alice", PRIVATE);
    world.ask(Request::Refresh { user: "bob".into() });
    assert!(!world.rooms(bob.client).contains(&"doc_note:plan".to_owned()));
    alice.type_text(&mut world, "unheard");
    let before = bob.updates;
    bob.pump(&mut world);
    assert_eq!(bob.updates, before);
}

#[test]
fn cursors_and_leaving_are_of_members_under_their_own_name() {
    let mut world = World::new();
    let (mut alice, mut tab) = (Browser::open(&mut world, "alice"), Browser::open(&mut world, "alice"));
    let mut carol = Browser::new(&mut world, "carol");
    settle(&mut world, &mut [&mut alice, &mut tab]);
    alice.events.clear();
    for name in ["ydoc:awareness:update", "ydoc:document:leave", "ydoc:document:state"] {
        carol.emit(&mut world, name, r#","user_id":"alice","update":[123,125]"#);
    }
    settle(&mut world, &mut [&mut alice, &mut carol]);
    assert_eq!((alice.events.len(), carol.events.len()), (0, 0));
    tab.emit(&mut world, "ydoc:awareness:update", r#","user_id":"carol","update":[ 123,125 ]"#);
    // Opaque, but bytes.
    tab.emit(&mut world, "ydoc:awareness:update", r#","update":"no bytes""#);
    tab.emit(&mut world, "ydoc:document:leave", r#","user_id":"carol""#);
    alice.pump(&mut world);
    assert_eq!(
        alice.events,
        [
            r#"ydoc:awareness:update {"document_id":"note:plan","update":[123,125],"user_id":"alice"}"#,
            r#"ydoc:user:left {"document_id":"note:plan","user_id":"alice"}"#,
        ]
    );
    assert!(tab.events.iter().all(|event| !event.starts_with("ydoc:awareness")), "not to its sender");
}

#[test]
fn what_is_no_update_poisons_nothing() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    for (count, update) in ["[255,255,255]", "[256]", "\"x\"", "[1,1]", "[]", "7"].into_iter().enumerate() {
        alice.emit(&mut world, "ydoc:document:update", &format!(r#","update":{update}"#));
        alice.pump(&mut world);
        assert_eq!(alice.events.iter().filter(|event| event.starts_with("error")).count(), count + 1, "{update}");
    }
    let mut tab = Browser::open(&mut world, "alice");
    tab.pump(&mut world);
    assert_eq!(tab.doc.state(), alice.doc.state());
    // A client that keeps sending malformed updates is disconnected.
    for _ in 0..4 {
        assert!(!world.clients[alice.client].is_closed);
        alice.emit(&mut world, "ydoc:document:update", r#","update":[255,255,255]"#);
    }
    assert!(world.clients[alice.client].is_closed);
}

#[test]
fn documents_of_a_session_and_bad_updates_are_bounded() {
    let mut world = World::with(|settings| {
        settings.documents.machine.limits.update_bytes_max = 40;
        settings.documents.machine.limits.document_bytes_max = 4000;
    });
    for number in 0..21 {
        world.store.put_note(&format!("n{number}"), "alice", PUBLIC);
    }
    let client = world.join("alice");
    for number in 0..21 {
        world.send(client, &format!(r#"2["ydoc:document:join",{{"document_id":"note:n{number}"}}]"#));
        let said = world.read(client);
        assert_eq!(said.concat().contains("Failed to join"), number == 20, "{said:?}");
    }
    assert_eq!(world.stack.app.audit().documents.members, 20);
    world.leave(client);
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    // The first may be long, as it may be the whole note; live ones may not, and the document may not be full.
    let mut clock = 0;
    for (text, is_taken) in [("x".repeat(100), true), ("x".repeat(100), false), ("y".repeat(20), true)] {
        let before = world.stack.app.document_counters().documents.updates_applied;
        let update = text_update(77, clock, &text);
        alice.send_update(&mut world, &update);
        assert_eq!(world.stack.app.document_counters().documents.updates_applied > before, is_taken);
        clock += if is_taken { u32::try_from(text.len()).unwrap() } else { 0 };
    }
}

#[test]
fn the_last_edit_is_saved_when_its_author_leaves() {
    for others in [false, true] {
        let mut world = World::new();
        let mut other = others.then(|| Browser::open(&mut world, "alice"));
        let mut alice = Browser::open(&mut world, "alice");
        if let Some(other) = &mut other {
            other.echoes = false;
            settle(&mut world, &mut [&mut alice, other]);
        }
        alice.pump(&mut world);
        world.pass_ms(6000);
        alice.type_text(&mut world, "the last words");
        let content = alice.content();
        assert_ne!(world.store.contents().get("plan"), Some(&content));
        world.leave(alice.client);
        world.pass_ms(100);
        assert_eq!(world.store.contents().get("plan"), Some(&content), "with others: {others}");
    }
}

#[test]
fn an_update_without_content_cancels_no_save() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    alice.type_text(&mut world, "words");
    let content = alice.content();
    let bare = alice.edit("more");
    let array = String::from_utf8(int_array::encode(&bare)).unwrap();
    alice.emit(&mut world, "ydoc:document:update", &format!(r#","update":{array}"#));
    // Nothing is no content, in any form.
    for empty in
        ["null", "{}", r#"{"content":null}"#, r#"{"content":{}}"#, r#"{"content":{"md":"","html":"","json":null}}"#]
    {
        alice.emit(&mut world, "ydoc:document:update", &format!(r#","data":{empty}"#));
    }
    world.pass_ms(700);
    assert_eq!(world.store.contents().get("plan"), Some(&content));
}

#[test]
fn nothing_is_dropped_before_it_is_stored() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    world.store.manner = Manner::Failing;
    alice.type_text(&mut world, "not stored yet");
    let (state, content) = (alice.doc.state(), alice.content());
    world.leave(alice.client);
    world.pass_ms(120_000);
    assert_eq!(world.stack.app.audit().documents.open, 1);
    world.store.manner = Manner::AtOnce;
    // A member that joins meanwhile gets the document from memory.
    let mut tab = Browser::open(&mut world, "alice");
    tab.pump(&mut world);
    assert_eq!(tab.doc.state(), state);
    world.leave(tab.client);
    world.pass_ms(120_000);
    assert_eq!(world.stack.app.audit().documents, Default::default());
    assert_eq!(world.store.contents().get("plan"), Some(&content));
    let mut later = Browser::open(&mut world, "alice");
    later.pump(&mut world);
    assert_eq!(later.doc.state(), state);
}

#[test]
fn an_echo_costs_nothing() {
    let mut world = World::new();
    let mut browsers: Vec<Browser> = (0..5).map(|_| Browser::open(&mut world, "alice")).collect();
    for browser in &mut browsers {
        browser.pump(&mut world);
    }
    let mut all: Vec<&mut Browser> = browsers.iter_mut().collect();
    settle(&mut world, &mut all);
    let (counters, queued) = (world.stack.app.document_counters(), world.stack.server.counters().packets_queued);
    all.iter_mut().for_each(|browser| browser.updates = 0);
    all[0].type_text(&mut world, "k");
    settle(&mut world, &mut all);
    assert_eq!(all.iter().map(|browser| browser.updates).collect::<Vec<_>>(), [0, 1, 1, 1, 1]);
    let now = world.stack.app.document_counters();
    assert_eq!(
        (
            now.documents.updates_applied - counters.documents.updates_applied,
            now.documents.updates_known - counters.documents.updates_known
        ),
        (1, 4)
    );
    assert_eq!(world.stack.server.counters().packets_queued - queued, 4);
}

#[test]
fn fan_out_to_fifty_makes_one_frame_of_each_form() {
    let mut world = World::new();
    let mut writer = Browser::open(&mut world, "alice");
    writer.pump(&mut world);
    let mut others: Vec<Browser> = (0..49).map(|_| Browser::open(&mut world, "alice")).collect();
    let providers: Vec<usize> =
        (0..5).map(|_| world.open_provider(NOTE, &super::browser::token_for("alice"))).collect();
    let (counters, queued) = (world.stack.app.document_counters(), world.stack.server.counters().packets_queued);
    writer.type_text(&mut world, "to all");
    assert_eq!(world.stack.app.document_counters().documents.frames_encoded - counters.documents.frames_encoded, 2);
    assert_eq!(world.stack.server.counters().packets_queued - queued, 54);
    for other in &mut others {
        other.pump(&mut world);
        assert_eq!(other.doc.state(), writer.doc.state());
    }
    assert!(providers.into_iter().all(|provider| world.read_binary(provider).is_some()));
}
