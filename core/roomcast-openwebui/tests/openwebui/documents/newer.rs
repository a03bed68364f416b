//! Documents with Open WebUI 0.12: each line of section 2.3 about `ydoc:*`, as a conversation.

use roomcast_core::cluster::{ClusterBody, Recipients};
use roomcast_openwebui::query::{Permission, Question};
use roomcast_openwebui::{DocumentSettings, Release, Settings};
use roomcast_testkit::yjs_update::text_update;
use roomcast_yjs::int_array;

use super::super::store::{Manner, PUBLIC};
use super::super::world::{START_MILLIS, World, token};
use super::browser::NOTE;

const BOTH: Option<&str> = Some(r#"{"read":{"user_ids":["bob"]},"write":{"user_ids":["bob"]}}"#);
const JOIN_REFUSED: &str = r#"2["error",{"message":"Failed to join document"}]"#;

#[test]
fn a_join_behind_connect_waits_for_the_login_alone() {
    let mut world = world();
    world.store.put_note("plan", "bob", None);
    world.store.manner = Manner::Later;
    let client = world.connect(&auth("bob"));
    world.send(client, &join("21", NOTE));
    assert_eq!(world.waiting.len(), 1, "{:?}", world.waiting);
    assert_eq!(world.stack.app.audit().documents.parked_joins, 0);
    world.store.manner = Manner::AtOnce;
    world.answer_waiting();
    assert_eq!(world.read(client), [state(NOTE, "[0,0]", "null"), "31[]".to_owned()]);
}

#[test]
fn a_document_of_any_id_is_open_to_all_who_have_a_login() {
    let mut world = world();
    let (bob, carol) = (connect(&mut world, "bob"), connect(&mut world, "carol"));
    for client in [bob, carol] {
        world.send(client, &join("2", "board"));
        assert_eq!(world.read(client), [state("board", "[0,0]", "null")]);
    }
    let joined = r##"2["ydoc:user:joined",{"document_id":"board","user_id":"carol","user_name":"Carol User","user_color":"#FF6B6B"}]"##;
    assert_eq!(world.read(bob), [joined]);
    // It has no content: none is saved, and no file is looked at.
    let (update, data) = (array(&text_update(1, 0, "hi")), r#"{"content":{"md":"hi"},"files":7}"#);
    world.send(bob, &format!(r#"21["ydoc:document:update",{{"document_id":"board","user_id":"x","socket_id":"y","update":{update},"data":{data}}}]"#));
    world.pass_ms(600);
    assert_eq!(world.read(bob), ["31[]"]);
    let sid = &world.clients[bob].sid;
    let told = format!(
        r#"2["ydoc:document:update",{{"document_id":"board","user_id":"bob","update":{update},"socket_id":"{sid}"}}]"#
    );
    assert_eq!(world.read(carol), [told]);
    assert!(
        world
            .questions()
            .iter()
            .all(|question| !matches!(question, Question::SaveNoteData { .. } | Question::NoteContent { .. }))
    );
    // It is stored as a note's is, and there when all have left.
    [bob, carol].into_iter().for_each(|client| world.leave(client));
    world.pass_ms(10_000);
    assert_eq!(world.stack.app.audit().documents, Default::default());
    let mut again = self::world();
    again.store = world.store.reopened();
    let pete = connect(&mut again, "carol");
    again.send(pete, &join("2", "board"));
    assert_eq!(again.read(pete)[1], state("board", &update, "null"));
}

#[test]
fn what_cannot_be_an_id_is_refused_and_an_alias_is_the_note() {
    let mut world = world();
    world.store.write_content("plan", Some(r#"{"md":"x"}"#));
    let (alice, bob) = (connect(&mut world, "alice"), connect(&mut world, "bob"));
    for id in ["", "note:", "note_", "a\\u0000b", "note:plan:x", "note:nothing", &"x".repeat(300)] {
        world.send(alice, &join("2", id));
        assert_eq!(world.read(alice), [JOIN_REFUSED], "{id}");
    }
    for id in [NOTE, "note_plan"] {
        world.send(alice, &join("2", id));
        assert_eq!(world.read(alice), [state(NOTE, "[0,0]", r#"{"md":"x"}"#)]);
        world.send(bob, &join("2", id));
        assert_eq!(world.read(bob), [JOIN_REFUSED], "a note by its grants");
    }
    assert_eq!(world.stack.app.audit().documents.open, 1);
    // 0.6 has notes alone.
    let mut older = World::new();
    let alice = older.join("alice");
    older.send(alice, &join("2", "board"));
    assert_eq!(older.read(alice), [JOIN_REFUSED]);
}

#[test]
fn all_documents_of_a_session_share_one_limit() {
    let mut world = world();
    let alice = connect(&mut world, "alice");
    world.send(alice, &join("2", NOTE));
    for n in 0..21 {
        world.send(alice, &join("2", &format!("board {n}")));
    }
    let said = world.read(alice);
    let states = said.iter().filter(|packet| packet.contains("ydoc:document:state")).count();
    assert_eq!((states, said.iter().filter(|packet| **packet == JOIN_REFUSED).count()), (20, 2));
}

#[test]
fn a_note_needs_the_permission_for_notes_and_a_right_to_read() {
    let mut world = world();
    world.store.put_note("plan", "alice", BOTH);
    world.store.put_note("odd", "alice", Some(r#"{"write":{"user_ids":["bob"]}}"#));
    world.store.set_notes("bob", Permission::Denied);
    world.store.set_notes("alice", Permission::Denied);
    let (alice, bob) = (connect(&mut world, "alice"), connect(&mut world, "bob"));
    world.send(bob, &join("2", NOTE));
    assert_eq!(world.read(bob), [JOIN_REFUSED]);
    world.send(bob, &join("2", "board"));
    assert_eq!(world.read(bob), [state("board", "[0,0]", "null")], "which is about notes");
    world.send(alice, &join("2", NOTE));
    assert_eq!(world.read(alice).len(), 1, "and not about admins");
    world.store.set_notes("bob", Permission::Granted);
    let bob = connect(&mut world, "bob");
    for (id, is_in) in [("note:odd", false), (NOTE, true)] {
        world.send(bob, &join("2", id));
        assert_eq!(world.read(bob)[0] != JOIN_REFUSED, is_in, "{id}");
    }
}

#[test]
fn of_all_who_load_a_content_the_first_wins() {
    let mut world = world();
    world.store.put_note("plan", "alice", BOTH);
    let [one, two, bob] = ["alice", "alice", "bob"].map(|user| opened(&mut world, user));
    let first = "[1, 1,1,0,4,1,1,116,1,120,0]";
    [one, two].into_iter().for_each(|client| drop(world.read(client)));
    world.send(one, &update("21", &format!(r#""update":{first},"initialize":true"#)));
    assert_eq!(said(&mut world, one), [format!("31[{first}]")], "its own words");
    let sid = world.clients[one].sid.clone();
    let told = format!(
        r#"2["ydoc:document:update",{{"document_id":"{NOTE}","user_id":"{sid}","update":{first},"socket_id":"{sid}"}}]"#
    );
    assert_eq!((world.read(two), world.read(bob)), (vec![told.clone()], vec![told]));
    let stored = array(&text_update(1, 0, "x"));
    for (ack, client) in [one, two, bob].into_iter().enumerate() {
        let second = array(&text_update(9, 0, "second"));
        world.send(client, &update(&format!("2{ack}"), &format!(r#""update":{second},"initialize":true"#)));
        assert_eq!(world.read(client), [format!("3{ack}[{stored}]")]);
    }
    assert_eq!((world.read(one), world.stack.app.document_counters().documents.updates_applied), (vec![], 1));
    world.pass_ms(1000);
    assert_eq!(world.store.stored(NOTE).updates.len(), 1);
}

#[test]
fn a_first_update_that_cannot_be_taken_is_acknowledged_with_nothing() {
    let mut world = world();
    world.store.put_note("plan", "alice", PUBLIC);
    let (alice, reader) = (opened(&mut world, "alice"), opened(&mut world, "bob"));
    for (client, bytes) in [(reader, array(&text_update(1, 0, "x"))), (alice, "[255,255,255]".to_owned())] {
        world.send(client, &update("21", &format!(r#""update":{bytes},"initialize":true"#)));
        let said = world.read(client);
        assert_eq!(said.last().map(String::as_str), Some("31[]"), "{said:?}");
    }
    assert_eq!(world.stack.app.document_counters().documents.updates_applied, 0);
}

#[test]
fn who_joins_what_is_written_is_asked_for_offline_edits_first() {
    let mut world = world();
    world.store.write_content("plan", Some(r#"{"md":"x"}"#));
    let one = opened(&mut world, "alice");
    // Of a document that has never been written to, nothing is told.
    world.send(one, &request("21"));
    assert_eq!(world.read(one), ["31[]"]);
    let text = array(&text_update(1, 0, "x"));
    world.send(
        one,
        &update("2", &format!(r#""user_id":"alice","socket_id":"","update":{text},"data":{{"content":{{"md":"y"}}}}"#)),
    );
    let two = connect(&mut world, "alice");
    world.send(two, &request("21"));
    assert_eq!(world.read(two), ["31[]"], "nor to who is not in it");
    world.send(two, &join("2", NOTE));
    assert_eq!(world.read(two), [state(NOTE, "[0,0]", "null"), state(NOTE, &text, r#"{"md":"y"}"#)]);
    world.send(two, &request("22"));
    let sids = format!(r#"["{}","{}"]"#, world.clients[two].sid, world.clients[one].sid);
    let told = format!(r#"2["ydoc:document:state",{{"document_id":"{NOTE}","state":{text},"sessions":{sids}}}]"#);
    assert_eq!(world.read(two), [told, "32[]".to_owned()]);
}

#[test]
fn only_who_says_so_is_told_to_have_left() {
    let mut world = world();
    let [one, two, three] = ["alice", "alice", "alice"].map(|user| opened(&mut world, user));
    world.read(one);
    let cursor = array(br#"{"7":{"user":{"name":"A"}}}"#);
    let awareness = |client_id: &str| {
        format!(r#"2["ydoc:awareness:update",{{"document_id":"{NOTE}","user_id":"{client_id}","update":{cursor}}}]"#)
    };
    world.send(two, &awareness("spoofed"));
    assert_eq!(world.read(one), [awareness("alice")]);
    world.send(two, &format!(r#"21["ydoc:document:leave",{{"document_id":"{NOTE}","user_id":"x"}}]"#));
    assert_eq!(world.read(two).pop().as_deref(), Some("31[]"));
    let left = format!(r#"2["ydoc:user:left",{{"document_id":"{NOTE}","user_id":"alice"}}]"#);
    // The cursor goes in either case: browsers of 0.12 do not listen to the other event.
    let withdrawn = format!(
        r#"2["ydoc:awareness:update",{{"document_id":"{NOTE}","user_id":"alice","update":{}}}]"#,
        array(br#"{"7":{}}"#)
    );
    assert_eq!(world.read(one), [withdrawn.clone(), left]);
    world.send(three, &awareness("x"));
    world.read(one);
    world.leave(three);
    assert_eq!(world.read(one), [withdrawn]);
}

#[test]
fn attachments_are_understood_and_told_as_arrays() {
    let mut world = world();
    let (one, two) = (opened(&mut world, "alice"), opened(&mut world, "alice"));
    for name in ["ydoc:document:update", "ydoc:awareness:update"] {
        world.feed(
            one,
            &format!(r#"51-["{name}",{{"document_id":"{NOTE}","update":{{"_placeholder":true,"num":0}}}}]"#),
        );
        world.send_binary(one, &text_update(1, 0, "hi"));
        let said = world.read(two).pop().unwrap();
        assert!(said.contains(&format!(r#""update":{}"#, array(&text_update(1, 0, "hi")))), "{said}");
    }
    // A long state, too.
    let long = array(&text_update(2, 0, &"x".repeat(70_000)));
    world.send(one, &update("2", &format!(r#""update":{long},"data":{{}}"#)));
    let three = opened(&mut world, "alice");
    world.send(three, &request("2"));
    assert!(world.read(three).iter().all(|packet| packet.starts_with("2[") && packet.len() > 140_000));
    assert_eq!(world.read_binary(three), None);
}

#[test]
fn a_file_can_be_attached_by_who_may_read_it() {
    let mut world = world();
    world.store.put_note("plan", "alice", BOTH);
    world.store.write_data("plan", r#"{"files":[{"type":"file","id":"hers"}]}"#);
    world.store.unreadable.extend(["hers".to_owned(), "secret".to_owned()]);
    let (alice, bob) = (opened(&mut world, "alice"), opened(&mut world, "bob"));
    world.read(alice);
    let entry = |id: &str| format!(r#"{{"type":"file","id":"{id}"}}"#);
    let refused = r#"2["error",{"message":"Cannot attach files you cannot access"}]"#;
    let mut sequence = 0;
    let mut send = |world: &mut World, client: usize, files: &str| {
        sequence += 1;
        let text = array(&text_update(sequence, 0, "x"));
        world.send(
            client,
            &update("21", &format!(r#""update":{text},"data":{{"content":{{"md":"{sequence}"}},"files":{files}}}"#)),
        );
        said(world, client)
    };
    for files in [
        format!("[{}]", entry("secret")),
        format!("[{},{}]", entry("own"), entry("secret")),
        "7".to_owned(),
        "{}".to_owned(),
    ] {
        assert_eq!(send(&mut world, bob, &files), [refused, "31[]"], "{files}");
    }
    assert_eq!((world.read(alice), world.stack.app.document_counters().documents.updates_applied), (vec![], 0));
    world.questions();
    // What is attached already, or is no file, or may be read.
    for files in [
        "null".to_owned(),
        "[]".to_owned(),
        format!("[{}]", entry("hers")),
        r#"[{"type":"note","id":"secret"},7]"#.to_owned(),
        format!("[{},{}]", entry("own"), entry("hers")),
    ] {
        assert_eq!(send(&mut world, bob, &files), ["31[]"], "{files}");
    }
    let asked: Vec<_> =
        world.questions().into_iter().filter(|question| matches!(question, Question::Files { .. })).collect();
    assert_eq!(asked, [Question::Files { user: "bob".into(), files: vec!["own".into()] }]);
    // An admin may.
    assert_eq!(send(&mut world, alice, &format!("[{}]", entry("secret"))).last().map(String::as_str), Some("31[]"));
    world.pass_ms(600);
    let data = world.store.data("plan").unwrap();
    assert!(data.contains(r#""files":[{"type":"file","id":"secret"}]"#) && data.contains(r#"{"md":"10"}"#), "{data}");
}

#[test]
fn data_are_merged_into_the_note_and_nothing_is_written_twice() {
    let mut world = world();
    world.store.write_data("plan", r#"{"versions":[1],"content":{"md":"old"}}"#);
    let alice = opened(&mut world, "alice");
    for data in [r#"{"files":[],"content":{"md":"a"}}"#, r#"{"meta":{"x":1}}"#, r#"{"content":{"md":"b"}}"#] {
        world.send(alice, &update("2", &format!(r#""data":{data}"#)));
    }
    assert_eq!(world.store.data("plan").unwrap(), r#"{"versions":[1],"content":{"md":"old"}}"#);
    world.pass_ms(600);
    let (data, saved_at) = (world.store.data("plan").unwrap(), world.store.saved_at()["plan"]);
    assert_eq!(data, r#"{"versions":[1],"content":{"md":"b"},"files":[],"meta":{"x":1}}"#);
    assert!(saved_at >= (START_MILLIS + 500) * 1_000_000);
    world.pass_ms(5000);
    world.send(alice, &update("2", r#""data":{"files":[ ],"meta":{"x":1},"content":{"md":"b"}}"#));
    world.pass_ms(5000);
    assert_eq!((world.store.data("plan").unwrap(), world.store.saved_at()["plan"]), (data, saved_at));
    assert_eq!(world.stack.app.audit().documents.open, 1);
}

#[test]
fn a_save_that_failed_is_made_up_for_in_the_same_order() {
    let mut world = world();
    let alice = opened(&mut world, "alice");
    world.store.mutes = Some(|question| matches!(question, Question::SaveNoteData { .. }));
    world.send(alice, &update("2", r#""data":{"files":[1],"content":{"md":"a"}}"#));
    world.pass_ms(600);
    world.send(alice, &update("2", r#""data":{"files":[2],"content":{"md":"b"}}"#));
    world.store.mutes = None;
    world.pass_ms(30_000);
    assert_eq!(value(&world.store.data("plan").unwrap()), value(r#"{"content":{"md":"b"},"files":[2]}"#));
    world.leave(alice);
    world.pass_ms(10_000);
    assert_eq!(world.stack.app.audit().documents, Default::default());
}

#[test]
fn a_save_needs_the_right_to_write_at_that_time() {
    for data in [r#"{"content":{"md":"bob's"}}"#, r#"{"meta":"bob's"}"#] {
        let mut world = world();
        world.store.put_note("plan", "alice", BOTH);
        let bob = opened(&mut world, "bob");
        world.send(bob, &update("2", &format!(r#""data":{data}"#)));
        // Shared to read alone by now.
        world.store.put_note("plan", "alice", PUBLIC);
        world.pass_ms(600);
        assert_eq!(world.store.data("plan"), None);
        assert_eq!(world.stack.app.document_counters().contents_lost, 1);
        // Which ends the right to change the document as well.
        let text = array(&text_update(1, 0, "x"));
        world.send(bob, &update("21", &format!(r#""update":{text}"#)));
        assert_eq!(world.stack.app.document_counters().documents.updates_applied, 0);
        // The next in line is not held up by it.
        let alice = opened(&mut world, "alice");
        world.send(alice, &update("2", r#""data":{"content":{"md":"alice's"},"meta":1}"#));
        world.pass_ms(600);
        assert_eq!(value(&world.store.data("plan").unwrap()), value(r#"{"content":{"md":"alice's"},"meta":1}"#));
    }
}

#[test]
fn a_save_outlives_the_socket_with_the_user_of_the_edit() {
    for (data, saved) in
        [(r#"{"content":{"md":"x"}}"#, r#"{"content":{"md":"x"}}"#), (r#"{"meta":1}"#, r#"{"meta":1}"#)]
    {
        let mut world = world();
        world.store.put_note("plan", "alice", BOTH);
        let bob = opened(&mut world, "bob");
        world.send(bob, &update("2", &format!(r#""data":{data}"#)));
        world.leave(bob);
        world.pass_ms(600);
        assert_eq!(world.store.data("plan").unwrap(), saved);
        world.pass_ms(10_000);
        assert_eq!(world.stack.app.audit(), Default::default());
    }
}

#[test]
fn a_deleted_note_takes_nothing_more() {
    let mut world = World::on_bus(newer);
    let alice = opened(&mut world, "alice");
    let text = array(&text_update(1, 0, "x"));
    world.send(alice, &update("2", &format!(r#""update":{text},"data":{{"content":{{"md":"x"}},"meta":1}}"#)));
    world.store.edit(|rows| rows.notes.clear());
    for room in ["note:plan", "doc_note:plan"] {
        world.hear(ClusterBody::CloseRoom { namespace: "/".into(), room: room.into() });
    }
    assert_eq!(world.stack.app.audit().documents.members, 0);
    world.pass_ms(10_000);
    assert_eq!(world.stack.app.audit().documents, Default::default());
    world.send(alice, &join("2", NOTE));
    assert_eq!(world.read(alice).last().map(String::as_str), Some(JOIN_REFUSED));
}

#[test]
fn who_is_taken_out_of_the_room_writes_no_more() {
    let mut world = World::on_bus(newer);
    world.store.put_note("plan", "alice", BOTH);
    let bob = opened(&mut world, "bob");
    world.store.put_note("plan", "alice", Some("{}"));
    let recipients = Recipients::room("/".into(), world.clients[bob].sid.clone().into());
    world.hear(ClusterBody::Leave { recipients, room: "doc_note:plan".into() });
    let text = array(&text_update(1, 0, "x"));
    world.send(bob, &update("21", &format!(r#""update":{text},"data":{{"content":{{"md":"x"}}}}"#)));
    world.pass_ms(600);
    assert_eq!((world.read(bob), world.store.data("plan")), (vec!["31[]".to_owned()], None));
}

// The limits are 2 MiB by default, for an update and for a state. Here they are smaller.
#[test]
fn a_document_grows_to_its_limit_and_is_loaded_at_any_length() {
    let limits = DocumentSettings::of(Release::V0_12);
    assert_eq!((limits.state_bytes_max, limits.machine.limits.update_bytes_max), (2 << 20, 2 << 20));
    let small = |bytes_max| {
        move |settings: &mut Settings| {
            newer(settings);
            settings.documents.state_bytes_max = bytes_max;
            settings.documents.machine.limits.update_bytes_max = bytes_max;
            settings.documents.machine.limits.resync_bytes_max = bytes_max;
        }
    };
    let mut world = World::with(small(10_000));
    let (alice, tab) = (opened(&mut world, "alice"), opened(&mut world, "alice"));
    world.read(alice);
    let refused = r#"2["error",{"message":"Failed to update document"}]"#;
    let typed = |clock: u32, length: usize| array(&text_update(1, clock, &"x".repeat(length)));
    let send = |world: &mut World, text: &str| {
        world.send(alice, &update("2", &format!(r#""update":{text},"data":{{}}"#)));
        world.read(alice)
    };
    let mut clock = 0;
    while send(&mut world, &typed(clock, 100)).is_empty() {
        clock += 100;
    }
    assert!((9_700..=9_900).contains(&clock), "{clock}");
    let applied = world.stack.app.document_counters().documents.updates_applied;
    assert_eq!(send(&mut world, &typed(clock, 300)), [refused]);
    assert_eq!(send(&mut world, &array(&text_update(2, 0, &"x".repeat(9_999)))), [refused], "as a whole, too");
    // A whole document of the limit's length brings what is new in it.
    let rest = 9_999 - text_update(1, 0, &"x".repeat(9_500)).len();
    let whole = typed(0, 9_500 + rest);
    world.send(tab, &update("2", &format!(r#""update":{whole}"#)));
    assert_eq!(world.stack.app.document_counters().documents.updates_applied, applied + 1);
    [alice, tab].into_iter().for_each(|client| world.leave(client));
    world.pass_ms(10_000);
    // With smaller limits still.
    let mut again = World::with(small(100));
    again.store = world.store.reopened();
    let alice = opened(&mut again, "alice");
    assert!(
        again.read(alice).iter().any(|packet| packet.len() > 20_000) || again.stack.app.audit().documents.bytes > 9_000
    );
}

/// What a client is told until what it has sent is stored.
fn said(world: &mut World, client: usize) -> Vec<String> {
    world.pass_ms(100);
    world.read(client)
}

/// JSON by its value.
fn value(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap()
}

/// A world with Open WebUI 0.12.
fn world() -> World {
    World::with(newer)
}

fn newer(settings: &mut Settings) {
    (settings.release, settings.documents) = (Release::V0_12, DocumentSettings::of(Release::V0_12));
}

fn auth(user: &str) -> String {
    format!(r#"{{"token":"{}"}}"#, token(user))
}

fn connect(world: &mut World, user: &str) -> usize {
    world.connect(&auth(user))
}

/// A user in the note's document, who has read what it was told.
fn opened(world: &mut World, user: &str) -> usize {
    let client = connect(world, user);
    world.send(client, &join("2", NOTE));
    let said = world.read(client);
    assert!(said[0].starts_with(r#"2["ydoc:document:state""#), "{said:?}");
    client
}

fn join(packet: &str, id: &str) -> String {
    format!(
        r##"{packet}["ydoc:document:join",{{"document_id":"{id}","user_id":"x","user_name":"X","user_color":"#FF6B6B"}}]"##
    )
}

fn update(packet: &str, more: &str) -> String {
    format!(r#"{packet}["ydoc:document:update",{{"document_id":"{NOTE}",{more}}}]"#)
}

fn request(packet: &str) -> String {
    format!(r#"{packet}["ydoc:document:state",{{"document_id":"{NOTE}"}}]"#)
}

fn state(id: &str, state: &str, content: &str) -> String {
    format!(r#"2["ydoc:document:state",{{"document_id":"{id}","state":{state},"content":{content}}}]"#)
}

fn array(bytes: &[u8]) -> String {
    String::from_utf8(int_array::encode(bytes)).unwrap()
}

/// Section 2.5, item 33: an edit asks, beside itself, whether its author may still write.
#[test]
fn who_may_only_read_by_now_writes_for_5_seconds_at_most() {
    let mut world = world();
    world.store.put_note("plan", "alice", BOTH);
    let bob = connect(&mut world, "bob");
    world.send(bob, &join("2", NOTE));
    world.read(bob);
    world.store.put_note("plan", "alice", Some(r#"{"read":{"user_ids":["bob"]},"write":{}}"#));
    let update = |world: &mut World, clock: u32, text: &str| {
        let update = array(&text_update(1, clock, text));
        world.send(bob, &format!(r#"21["ydoc:document:update",{{"document_id":"{NOTE}","update":{update}}}]"#));
        world.read(bob).iter().any(|text| text.contains(r#""error""#))
    };
    assert!(!update(&mut world, 0, "a"), "not asked again yet");
    world.pass_ms(5_000);
    assert!(!update(&mut world, 1, "b"), "it asks");
    assert!(update(&mut world, 2, "c"), "and the next one finds that it may not");
}
