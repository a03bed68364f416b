//! What went wrong with real front ends, slow readers and late writes.

use std::time::Duration;

use super::super::live_bytes::live_bytes;
use super::super::store::PUBLIC;
use super::super::world::World;
use super::browser::{Browser, NOTE, settle, token_for};
use roomcast_core::server::App;
use roomcast_documents::{DocumentNotice, NotLoaded};
use roomcast_openwebui::query::Question;
use roomcast_openwebui::{Notice, Notices};
use roomcast_yjs::{ProtocolMessage, StateVector};

/// A front end posts the title together with the content that it read earlier, behind the last save.
#[test]
fn a_late_write_of_an_earlier_content_does_not_win() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.type_text(&mut world, "first ");
    world.pass_ms(1000);
    let earlier = world.store.contents()["plan"].clone();
    alice.type_text(&mut world, "second");
    let content = alice.content();
    world.leave(alice.client);
    world.pass_ms(1000);
    assert_eq!(world.store.contents()["plan"], content);
    world.store.write_content("plan", Some(&earlier));
    world.pass(Duration::from_secs(10));
    assert_eq!(world.store.contents()["plan"], content, "it is saved again");
    assert_eq!(world.stack.app.audit().documents, Default::default());
    assert_eq!(world.stack.app.document_counters().contents_saved_again, 1);
    // And the document is not taken for a foreign one.
    let later = Browser::open(&mut world, "alice");
    assert_eq!((later.doc.store().is_empty(), world.stack.app.document_counters().resets), (false, 0));
}

/// The server has crashed or was started again, perhaps more than once, and the log was cut since.
#[test]
fn a_late_write_of_an_earlier_content_resets_nothing_behind_a_restart() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    let mut earlier = Vec::new();
    for restarts in 1..=3 {
        for _ in 0..3 {
            alice.type_text(&mut world, "more ");
            world.pass_ms(20_000);
            earlier.push(world.store.contents()["plan"].clone());
        }
        assert!(world.store.stored(NOTE).updates.is_empty(), "what a snapshot does not carry is gone");
        let state = alice.doc.state();
        for late in earlier.clone() {
            let mut after = super::storing::crash(&world);
            after.store.write_content("plan", Some(&late));
            let mut later = Browser::look(&mut after, "alice");
            later.pump(&mut after);
            assert_eq!(later.doc.state(), state);
            assert_eq!(after.stack.app.document_counters().resets, 0, "{restarts} restarts");
        }
        let mut after = super::storing::crash(&world);
        after.store.write_content("plan", Some(r#"{"md":"by an import"}"#));
        Browser::look(&mut after, "alice");
        assert_eq!(after.stack.app.document_counters().resets, 1, "another content is another's");
        // One of them is what the note has from here on.
        world = super::storing::crash(&world);
        world.store.write_content("plan", Some(&earlier[0]));
        alice.client = world.join("alice");
        alice.join(&mut world);
    }
}

/// Between two states each member is told who is in, or where the cursors are.
#[test]
fn members_that_read_nothing_share_one_state() {
    let mut world = World::with(|settings| settings.documents.peers_per_user_max = 1000);
    let mut alice = Browser::open(&mut world, "alice");
    for _ in 0..20 {
        alice.type_text(&mut world, &"x".repeat(60_000));
    }
    alice.pump(&mut world);
    world.leave(alice.client);
    let state_bytes = alice.doc.state().len();
    let provider = world.open_provider(NOTE, &token_for("alice"));
    let cursors = [&[1, 9, 1, 0xd2, 0x0f, b'"'][..], &[b'x'; 2000], b"\""].concat();
    world.send_binary(provider, &ProtocolMessage::Awareness(&cursors).encode());
    let step_1 = ProtocolMessage::SyncStep1(&StateVector::default().encode()).encode();
    let join = format!(r#"2["ydoc:document:join",{{"document_id":"{NOTE}"}}]"#);
    for is_provider in [false, true] {
        let members: Vec<usize> =
            (0..100).map(|_| if is_provider { world.open() } else { world.join("alice") }).collect();
        let before = live_bytes();
        for member in members {
            if is_provider {
                let provider = world.open_provider(NOTE, &token_for("alice"));
                world.stop_listening(provider);
                world.send_binary(provider, &step_1);
            } else {
                world.stop_listening(member);
                world.send(member, &join);
            }
        }
        let grown = live_bytes() - before;
        assert!(world.stack.server.audit().queued_bytes > 100 * state_bytes, "all of them wait for it");
        assert!(grown < 3 * state_bytes + 100 * MEMBER_BYTES_MAX, "{grown} bytes for states of {state_bytes}");
    }
}

/// A browser sends the whole content of a note with each key. It is parsed elsewhere; the others go on meanwhile, and what
/// the same browser sends behind it waits.
#[test]
fn what_is_long_is_parsed_elsewhere() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    let mut bob = Browser::open(&mut world, "alice");
    settle(&mut world, &mut [&mut alice, &mut bob]);
    world.is_busy = true;
    let content = |text: &str| format!(r#"{{"md":"{text}{}","html":"","json":null}}"#, "x".repeat(200_000));
    let update = alice.edit("typed ");
    let array = String::from_utf8(roomcast_yjs::int_array::encode(&update)).unwrap();
    alice.emit(
        &mut world,
        "ydoc:document:update",
        &format!(r#","update":{array},"data":{{"content":{}}}"#, content("1")),
    );
    alice.emit(&mut world, "ydoc:document:state", "");
    bob.type_text(&mut world, "meanwhile ");
    assert_eq!(world.work.len(), 1, "not parsed yet");
    alice.pump(&mut world);
    assert_eq!((alice.updates, alice.has_event("ydoc:document:state")), (1, true));
    alice.events.clear();
    assert!(world.work_one() && world.work.is_empty());
    settle(&mut world, &mut [&mut alice, &mut bob]);
    assert!(alice.has_event("ydoc:document:state"), "in its turn");
    assert_eq!(alice.doc.state(), bob.doc.state());
    // Its mark is made elsewhere too, and what is typed meanwhile is saved behind it.
    alice.render(&mut world, &content("1"));
    assert!(world.work_one());
    world.pass_ms(500);
    assert_eq!((world.work.len(), world.store.contents().get("plan").map(String::len)), (1, None));
    assert!(!world.stack.app.is_settled(), "it is still to be saved");
    alice.render(&mut world, &content("2"));
    world.work.swap(0, 1);
    assert!(world.work_one() && world.work_one());
    world.pass_ms(100);
    assert!(world.store.contents().is_empty(), "one that is newer waits");
    while world.work_one() {}
    world.pass_ms(1000);
    while world.work_one() {}
    world.pass_ms(1000);
    assert!(world.store.contents()["plan"] == content("2"));
    // One that ends right behind what it has sent loses nothing.
    alice.render(&mut world, &content("3"));
    world.leave(alice.client);
    world.leave(bob.client);
    while world.work_one() {}
    world.pass_ms(100);
    while world.work_one() {}
    world.pass_ms(100);
    assert!(world.store.contents()["plan"] == content("3"));
    for _ in 0..100 {
        world.pass_ms(100);
        while world.work_one() {}
    }
    assert_eq!(world.stack.app.audit().documents, Default::default());
}

/// A browser goes right behind a long edit, or its token is revoked meanwhile. Nothing of the edit is parsed on the spot, and
/// nothing is lost: it leaves when it is read.
#[test]
fn who_goes_while_its_long_update_is_read_leaves_behind_it() {
    for is_revoked in [false, true] {
        let mut world = World::new();
        world.store.put_note("plan", "alice", PUBLIC);
        let mut alice = Browser::open(&mut world, "alice");
        let mut bob = Browser::open(&mut world, "bob");
        settle(&mut world, &mut [&mut alice, &mut bob]);
        bob.events.clear();
        world.is_busy = true;
        let content = format!(r#"{{"md":"{}","html":"","json":null}}"#, "x".repeat(200_000));
        let update = alice.edit("the last words");
        let array = String::from_utf8(roomcast_yjs::int_array::encode(&update)).unwrap();
        let update = format!(r#","update":{array},"data":{{"content":{content}}}"#);
        alice.emit(&mut world, "ydoc:document:update", &update);
        if is_revoked {
            world.store.revoke("of-alice");
            world.pass(Duration::from_secs(61));
            assert!(world.rooms(alice.client).iter().all(|room| !room.starts_with("doc_")), "it hears nothing more");
        }
        world.leave(alice.client);
        bob.pump(&mut world);
        assert_eq!((world.work.len(), bob.updates, bob.has_event("ydoc:user:left")), (1, 0, false), "{is_revoked}");
        assert!(!world.stack.app.is_settled(), "a program that ends waits for it");
        while world.work_one() {}
        bob.pump(&mut world);
        let order = |event: &str| bob.events.iter().position(|heard| heard.starts_with(event)).unwrap();
        assert!(order("ydoc:document:update") < order("ydoc:user:left"));
        assert!(
            !bob.events[order("ydoc:document:update")].contains(r#""socket_id":"""#),
            "its own sid, though it is gone"
        );
        assert_eq!(bob.doc.state(), alice.doc.state());
        world.leave(bob.client);
        for _ in 0..100 {
            world.pass_ms(100);
            while world.work_one() {}
        }
        assert!(world.store.contents()["plan"] == content);
        assert!(world.stack.app.is_settled());
        assert_eq!(world.stack.app.audit().documents, Default::default());
    }
}

/// However often a newer one comes while its mark is being made.
#[test]
fn a_long_content_that_changes_all_the_time_is_saved_all_the_same() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    world.is_busy = true;
    let content = |n: usize| format!(r#"{{"md":"{n} {}"}}"#, "x".repeat(200_000));
    let mut saved = Vec::new();
    for n in 0..300 {
        alice.render(&mut world, &content(n));
        world.pass_ms(100);
        alice.render(&mut world, &content(n));
        // The parsing of both, or the mark of an earlier one.
        for _ in 0..2 {
            world.work_one();
        }
        saved.extend(world.store.contents().get("plan").cloned());
        saved.dedup();
    }
    assert!((2..10).contains(&saved.len()), "{} saves in half a minute", saved.len());
    world.is_busy = false;
    while world.work_one() {}
    world.pass_ms(10_000);
    assert!(world.store.contents()["plan"] == content(299));
}

/// The server ends before the document would have been looked at.
#[test]
fn a_late_write_before_the_end_does_not_win_either() {
    for is_readable in [true, false] {
        let mut world = World::new();
        let mut alice = Browser::open(&mut world, "alice");
        alice.type_text(&mut world, "first ");
        world.pass_ms(1000);
        let earlier = world.store.contents()["plan"].clone();
        alice.type_text(&mut world, "second");
        let content = alice.content();
        world.pass_ms(1000);
        world.leave(alice.client);
        assert_eq!(world.store.contents()["plan"], content);
        world.store.write_content("plan", Some(&earlier));
        if !is_readable {
            world.store.refuses = Some(|question| matches!(question, Question::NoteContent { .. }));
        }
        world.stack.handle_end(world.now);
        world.run();
        let expected = if is_readable { &content } else { &earlier };
        assert_eq!(&world.store.contents()["plan"], expected);
        assert!(world.stack.app.is_settled(), "whatever the store says");
    }
}

/// Megabytes are parsed only of those whose edits may have them.
#[test]
fn what_is_long_is_looked_at_only_of_members_that_may_write() {
    let mut world = World::new();
    world.store.put_note("plan", "alice", PUBLIC);
    let (mut alice, mut bob) = (Browser::open(&mut world, "alice"), Browser::open(&mut world, "bob"));
    settle(&mut world, &mut [&mut alice, &mut bob]);
    let junk = "7,".repeat(600_000);
    let outsider = world.join("bob");
    for (client, is_heard) in [(outsider, false), (bob.client, false), (alice.client, true)] {
        let refused = |world: &World| world.stack.app.document_counters().documents.updates_refused;
        let before = refused(&world);
        world.send(client, &format!(r#"2["ydoc:document:update",{{"document_id":"{NOTE}","update":[{junk}7]}}]"#));
        assert_eq!(refused(&world) > before, is_heard);
    }
    // No other event of documents has that length.
    for name in ["ydoc:document:join", "ydoc:document:state", "ydoc:document:leave", "ydoc:awareness:update"] {
        let before = world.stack.app.document_counters();
        world
            .send(alice.client, &format!(r#"2["{name}",{{"document_id":"{NOTE}","update":[123,125],"x":[{junk}7]}}]"#));
        assert_eq!(world.stack.app.document_counters(), before, "{name}");
    }
    bob.events.clear();
    bob.pump(&mut world);
    assert!(!bob.has_event("ydoc:awareness") && !bob.has_event("ydoc:user:left"), "{:?}", bob.events);
}

/// What another program makes of a note is its own.
#[test]
fn a_late_write_of_another_content_wins() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.type_text(&mut world, "first");
    world.leave(alice.client);
    world.pass_ms(1000);
    let foreign = r#"{"md":"by an import","html":"<p>by an import</p>","json":null}"#;
    world.store.write_content("plan", Some(foreign));
    world.pass(Duration::from_secs(10));
    assert_eq!(world.store.contents()["plan"], foreign);
    assert_eq!(world.stack.app.audit().documents, Default::default());
    let mut later = Browser::open(&mut world, "alice");
    later.pump(&mut world);
    assert_eq!(world.stack.app.document_counters().resets, 1);
}

/// The note is looked at only where something was saved.
#[test]
fn a_document_that_was_only_read_is_not_looked_at_again() {
    let mut world = World::new();
    world.store.write_content("plan", Some(r#"{"md":"as it is"}"#));
    let reader = Browser::look(&mut world, "alice");
    world.leave(reader.client);
    world.pass(Duration::from_secs(10));
    let looked = world.questions().into_iter().filter(|question| matches!(question, Question::NoteContent { .. }));
    assert_eq!(looked.count(), 1);
}

/// In the form that the front end takes: a state without a cursor. `null` makes its cursor plugin throw.
#[test]
fn the_cursors_of_those_who_leave_are_withdrawn() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    let (mut bob, mut tab) = (Browser::open(&mut world, "alice"), Browser::open(&mut world, "alice"));
    let announce = |world: &mut World, browser: &mut Browser, state: &str| {
        let bytes: Vec<String> = state.bytes().map(|byte| byte.to_string()).collect();
        browser.emit(world, "ydoc:awareness:update", &format!(r#","update":[{}]"#, bytes.join(",")));
    };
    announce(&mut world, &mut bob, r#"{"7":{"cursor":1},"9":{"cursor":2}}"#);
    // A tab whose connection is new says what the old one said.
    announce(&mut world, &mut tab, r#"{"9":{"cursor":3}}"#);
    announce(&mut world, &mut tab, "no JSON");
    alice.pump(&mut world);
    alice.events.clear();
    world.leave(bob.client);
    let said = world.read(alice.client).concat();
    let withdrawn: Vec<String> = r#"{"7":{}}"#.bytes().map(|byte| byte.to_string()).collect();
    let expected = format!(
        r#"["ydoc:awareness:update",{{"document_id":"{NOTE}","user_id":"alice","update":[{}]}}]"#,
        withdrawn.join(",")
    );
    assert!(said.contains(&expected), "{said}");
    // One that has announced nothing leaves nothing.
    let mute = Browser::open(&mut world, "alice");
    world.read(alice.client);
    world.leave(mute.client);
    assert!(!world.read(alice.client).concat().contains("ydoc:awareness:update"));
}

/// A node that is lost has withdrawn nothing: the others tell their own sockets, less what has moved to another node.
#[test]
fn the_cursors_of_a_lost_node_are_withdrawn_by_the_others() {
    let mut nodes = [1, 2, 3].map(|number| World::node(number, |_| {}));
    nodes.iter_mut().for_each(|node| node.pass_ms(1));
    exchange(&mut nodes);
    let mut tabs: Vec<Browser> = nodes.iter_mut().take(2).map(|node| Browser::open(node, "alice")).collect();
    let announce = |node: &mut World, tab: &mut Browser, state: &str| {
        let bytes: Vec<String> = state.bytes().map(|byte| byte.to_string()).collect();
        tab.emit(node, "ydoc:awareness:update", &format!(r#","update":[{}]"#, bytes.join(",")));
    };
    exchange(&mut nodes);
    announce(&mut nodes[1], &mut tabs[1], r#"{"7":{"cursor":1},"9":{"cursor":2}}"#);
    exchange(&mut nodes);
    assert!(nodes[0].read(tabs[0].client).concat().contains("ydoc:awareness:update"), "it is seen on another node");
    // The document is opened at the third node when the cursors are there already.
    let mut third = Browser::open(&mut nodes[2], "alice");
    exchange(&mut nodes);
    // The browser comes to the first node, before the second is known to be lost.
    let mut moved = Browser::open(&mut nodes[0], "alice");
    announce(&mut nodes[0], &mut moved, r#"{"9":{"cursor":3}}"#);
    for _ in 0..30 {
        nodes.iter_mut().for_each(|node| node.pass_ms(1000));
        // It says nothing any more.
        nodes[1].published.clear();
        exchange(&mut nodes);
    }
    let withdrawn: Vec<String> = r#"{"7":{}}"#.bytes().map(|byte| byte.to_string()).collect();
    let expected = format!(
        r#"["ydoc:awareness:update",{{"document_id":"{NOTE}","user_id":"alice","update":[{}]}}]"#,
        withdrawn.join(",")
    );
    for (node, client) in [(0, tabs[0].client), (0, moved.client), (2, third.client)] {
        let said = nodes[node].read(client);
        assert_eq!(said.iter().filter(|said| said.ends_with(&expected)).count(), 1, "{node}: {said:?}");
    }
    third.pump(&mut nodes[2]);
}

/// Each node hears what the others have published, until there is no more.
fn exchange(nodes: &mut [World; 3]) {
    loop {
        let mut is_quiet = true;
        for from in 0..3 {
            let published = std::mem::take(&mut nodes[from].published);
            is_quiet &= published.is_empty();
            for to in (0..3).filter(|to| *to != from) {
                nodes[to].hear_all(&published);
            }
        }
        if is_quiet {
            return;
        }
    }
}

/// A browser of 0.6.41 answers with its whole document, of which almost all is known.
#[test]
fn a_long_note_takes_what_was_typed_offline() {
    let mut world = World::with(|settings| settings.documents.machine.limits.resync_bytes_max = 2000);
    let mut alice = Browser::open(&mut world, "alice");
    for _ in 0..4 {
        alice.type_text(&mut world, &"x".repeat(1000));
    }
    alice.pump(&mut world);
    let mut other = Browser::open(&mut world, "alice");
    world.leave(alice.client);
    alice.edit("typed offline");
    alice.client = world.join("alice");
    alice.join(&mut world);
    settle(&mut world, &mut [&mut alice, &mut other]);
    assert_eq!(other.doc.state(), alice.doc.state());
    alice.type_text(&mut world, " and online");
    settle(&mut world, &mut [&mut alice, &mut other]);
    assert_eq!(other.doc.state(), alice.doc.state());
    assert_eq!(world.stack.app.document_counters().documents.updates_refused, 0);
}

#[test]
fn a_socket_that_asks_again_and_again_is_told_one_state_at_a_time() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    for _ in 0..20 {
        alice.type_text(&mut world, &"x".repeat(60_000));
    }
    alice.pump(&mut world);
    let event = format!(r#"2["ydoc:document:state",{{"document_id":"{NOTE}"}}]"#);
    world.stop_listening(alice.client);
    for _ in 0..100 {
        world.feed(alice.client, &event);
    }
    world.run();
    let queued = world.stack.server.audit().queued_bytes;
    assert!((1 << 20..3 << 20).contains(&queued), "{queued} bytes queued, of states of a megabyte each");
    world.listen(alice.client);
    assert!(world.read(alice.client).into_iter().any(|said| said.contains("ydoc:document:state")));
    assert_eq!(world.stack.server.audit().queued_bytes, 0);
    assert_eq!(world.stack.app.audit().documents.waiting, 0, "nothing is owed any more");
}

#[test]
fn a_user_has_so_many_providers_and_no_more() {
    let mut world = World::with(|settings| settings.documents.peers_per_user_max = 3);
    let providers: Vec<usize> = (0..4).map(|_| world.open_provider(NOTE, &token_for("alice"))).collect();
    let closed: Vec<bool> = providers.iter().map(|provider| world.clients[*provider].is_closed).collect();
    assert_eq!(closed, [false, false, false, true]);
    // It is told to come back: one that has left makes room.
    assert_ne!(world.clients[providers[3]].close_code, Some(4403));
    world.leave(providers[0]);
    let next = world.open_provider(NOTE, &token_for("alice"));
    assert!(!world.clients[next].is_closed);
}

#[test]
fn leaving_and_joining_a_note_asks_the_stores_once() {
    let mut world = World::new();
    for _ in 0..5 {
        let browser = Browser::open(&mut world, "alice");
        world.leave(browser.client);
        world.pass_ms(500);
    }
    let loads = world.questions().into_iter().filter(|question| matches!(question, Question::LoadDocument { .. }));
    assert_eq!(loads.count(), 1);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.stack.app.audit().documents, Default::default());
}

/// An operator hears of it although other notices are off.
#[test]
fn a_document_that_cannot_be_loaded_is_told() {
    let mut world = World::with(|settings| settings.notices = Notices::Off);
    world.store.refuses = Some(|question| matches!(question, Question::LoadDocument { .. }));
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    assert!(alice.has_event("error"));
    let name = NOTE.into();
    let told = Notice::Document(DocumentNotice::NotLoaded { name, why: NotLoaded::Unavailable });
    assert_eq!(world.notices, [told]);
    assert_eq!(world.stack.app.document_counters().documents.loads_failed, 1);
}

#[test]
fn a_join_for_which_there_is_no_memory_is_refused_and_what_follows_is_handled() {
    let mut world = World::with(|settings| settings.documents.machine.documents_bytes_max = 1000);
    world.store.put_note("other", "alice", PUBLIC);
    let mut alice = Browser::open(&mut world, "alice");
    alice.type_text(&mut world, &"x".repeat(2000));
    alice.pump(&mut world);
    world.send(alice.client, r#"2["ydoc:document:join",{"document_id":"note:other"}]"#);
    assert!(world.read(alice.client).concat().contains("Failed to join document"));
    alice.emit(&mut world, "ydoc:document:state", "");
    assert!(world.read(alice.client).concat().contains("ydoc:document:state"));
    assert_eq!(world.stack.app.document_counters().documents.refused_full, 1);
    world.leave(alice.client);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.stack.app.audit().documents, Default::default());
}

/// What a member costs beside the state: its queue, who else is in, and what the test keeps of it.
const MEMBER_BYTES_MAX: usize = 20_000;
