//! Documents read and changed by the program itself.

use std::time::Duration;

use bytes::Bytes;
use roomcast_openwebui::query::Question;
use roomcast_openwebui::{DocumentChange, DocumentRefusal, DocumentState, Intent, Request, Response};
use roomcast_testkit::yjs_update::text_update;
use roomcast_yjs::{BadUpdate, Source, Verdict};

use super::super::store::Manner;
use super::super::world::World;
use super::browser::{Browser, NOTE, token_for};

#[test]
fn members_see_an_edit_in_their_form_and_it_is_stored() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    let provider = world.open_provider(NOTE, &token_for("alice"));
    while world.read_binary(provider).is_some() {}
    alice.pump(&mut world);
    alice.events.clear();
    let update = text_update(99, 0, "from the server");
    assert_eq!(write(&mut world, Some("alice"), &update), Ok(DocumentChange::Applied));
    alice.pump(&mut world);
    assert_eq!(
        alice.events,
        [r#"ydoc:document:update {"document_id":"note:plan","socket_id":"","user_id":"alice"}"#],
        "no join or leave is announced"
    );
    assert_eq!(alice.doc.apply(&update, Source::Stored), Verdict::NothingNew);
    assert_eq!(world.read_binary(provider).as_deref().map(|message| &message[..2]), Some(&[0, 2][..]));
    // What is known goes nowhere.
    assert_eq!(write(&mut world, None, &update), Ok(DocumentChange::NothingNew));
    assert_eq!((world.read(alice.client).len(), world.read_binary(provider)), (0, None));
    assert_eq!(read(&mut world, None).unwrap().state, alice.doc.state());
    world.pass_ms(100);
    assert!(world.store.stored(NOTE).updates.iter().any(|entry| entry[..] == update[..]));
}

#[test]
fn a_document_that_nobody_is_in_is_loaded_changed_and_stored() {
    let mut world = World::with(|settings| settings.documents.machine.keep_for = Duration::ZERO);
    let update = text_update(99, 0, "alone");
    assert_eq!(write(&mut world, Some("alice"), &update), Ok(DocumentChange::Applied));
    assert_eq!(world.stack.app.audit().documents, Default::default(), "it left memory once it was stored");
    assert_eq!(read(&mut world, Some("alice")).unwrap().state[..], update[..]);
    let kept = world.store.stored(NOTE);
    assert_eq!((kept.snapshot.as_deref(), kept.updates.len()), (Some(&update[..]), 0));
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    assert_eq!(alice.doc.state(), update[..]);
    // Reading alone writes nothing.
    world.leave(alice.client);
    world.pass_ms(20_000);
    world.questions();
    assert!(read(&mut world, None).is_ok());
    let writes =
        |question: &Question| matches!(question, Question::SaveSnapshot { .. } | Question::AppendUpdates { .. });
    assert!(!world.questions().iter().any(writes));
}

#[test]
fn all_who_wait_for_a_document_get_it_whoever_came_first() {
    let mut world = World::new();
    let mut alice = Browser::new(&mut world, "alice");
    let update = text_update(99, 0, "first");
    world.store.manner = Manner::Later;
    let tickets = [world.request(write_request(None, &update)), world.request(read_request(None))];
    alice.emit(&mut world, "ydoc:document:join", "");
    let later = world.request(read_request(Some("alice")));
    world.answer_waiting();
    world.answer_waiting();
    assert!(matches!(world.answer_to(tickets[0]), Some(Response::DocumentUpdated(Ok(DocumentChange::Applied)))));
    for ticket in [tickets[1], later] {
        let Some(Response::Document(Ok(document))) = world.answer_to(ticket) else { panic!("no document") };
        assert_eq!(document.state[..], update[..]);
    }
    alice.pump(&mut world);
    assert_eq!(alice.doc.state(), update[..]);
    assert_eq!(world.stack.app.audit().documents.members, 1);
}

#[test]
fn rights_are_the_users_unless_nobody_is_named() {
    let mut world = World::with(|settings| settings.documents.machine.keep_for = Duration::ZERO);
    let update = text_update(99, 0, "x");
    let may = |world: &mut World, user: &str| {
        (read(world, Some(user)).map(drop).err(), write(world, Some(user), &update).map(drop).err())
    };
    let forbidden = Some(DocumentRefusal::Forbidden);
    for outsider in ["bob", "pete", "who"] {
        assert_eq!(may(&mut world, outsider), (forbidden, forbidden), "{outsider}");
    }
    world.store.put_note("plan", "alice", Some(r#"{"read":{"user_ids":["bob"]}}"#));
    assert_eq!(may(&mut world, "bob"), (None, forbidden));
    assert_eq!(may(&mut world, "alice"), (None, None));
    for document in ["note:gone", "plan", "note:"] {
        let request = Request::DocumentState { document: document.into(), user: None };
        let answer = world.ask(request);
        assert!(matches!(answer, Response::Document(Err(DocumentRefusal::NoSuchDocument))), "{document}: {answer:?}");
    }
    assert_eq!(world.stack.app.audit().documents, Default::default());
}

#[test]
fn what_cannot_be_applied_changes_nothing_and_waits_for_nothing() {
    let mut world = World::new();
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    let before = alice.doc.state();
    let gap = write(&mut world, None, &text_update(99, 7, "behind a gap"));
    assert!(matches!(gap, Err(DocumentRefusal::Missing(missing)) if missing.clock == 6), "{gap:?}");
    assert!(matches!(write(&mut world, None, &[255, 255]), Err(DocumentRefusal::Bad(BadUpdate::Malformed(_)))));
    let long = vec![0; world.stack.app.settings().documents.machine.limits.resync_bytes_max + 1];
    assert_eq!(write(&mut world, None, &long), Err(DocumentRefusal::Bad(BadUpdate::TooLong)));
    assert_eq!(read(&mut world, None).unwrap().state, before);
    assert_eq!(world.stack.app.audit().documents.pending_updates, 0);
    assert!(world.read(alice.client).is_empty());
}

#[test]
fn an_edit_does_not_stand_in_the_way_of_the_notes_content() {
    let mut world = World::new();
    world.store.write_content("plan", Some(r#"{"md":"written before there were documents"}"#));
    let update = text_update(99, 0, "an edit");
    assert_eq!(write(&mut world, None, &update), Err(DocumentRefusal::Unseeded));
    let found = read(&mut world, None).unwrap();
    assert_eq!((&found.state[..], found.content.is_some()), (&[0, 0][..], true));
    assert_eq!(initialize(&mut world, &text_update(98, 0, "the note")), Ok(DocumentChange::Applied));
    assert_eq!(initialize(&mut world, &text_update(97, 0, "again")), Err(DocumentRefusal::Seeded));
    assert_eq!(write(&mut world, None, &update), Ok(DocumentChange::Applied));
    // A front end that comes has nothing to load.
    let mut alice = Browser::open(&mut world, "alice");
    alice.pump(&mut world);
    assert_eq!(world.stack.app.document_counters().documents.updates_applied, 2);
    assert_eq!(read(&mut world, None).unwrap().state, alice.doc.state());
}

#[test]
fn content_that_comes_along_is_saved() {
    let mut world = World::with(|settings| settings.documents.machine.keep_for = Duration::ZERO);
    let content = r#"{"md":"an edit","html":"<p>an edit</p>","json":null}"#;
    for (clock, (sent, kept)) in (0..).zip([(content, content), ("null", content), ("{", content)]) {
        let request = Request::DocumentUpdate {
            document: NOTE.into(),
            user: None,
            update: text_update(99, clock, "x").into(),
            content: Some(sent.into()),
            intent: Intent::Edit,
        };
        assert!(matches!(world.ask(request), Response::DocumentUpdated(Ok(DocumentChange::Applied))));
        world.pass_ms(1000);
        assert_eq!(world.store.contents()["plan"], kept);
    }
    assert_eq!(world.stack.app.audit().documents, Default::default());
    assert_eq!(world.stack.app.document_counters().resets, 0);
}

#[test]
fn a_store_that_fails_refuses_and_too_much_is_too_much() {
    let failures: [fn(&Question) -> bool; 3] = [
        |question| matches!(question, Question::Authenticate { .. }),
        |question| matches!(question, Question::Note { .. }),
        |question| matches!(question, Question::LoadDocument { .. }),
    ];
    let mut world = World::with(|settings| settings.documents.visits_max = 2);
    for failure in failures {
        world.store.refuses = Some(failure);
        assert_eq!(read(&mut world, Some("alice")).err(), Some(DocumentRefusal::Unavailable));
        assert_eq!(world.stack.app.audit().documents, Default::default());
    }
    world.store.refuses = None;
    world.store.manner = Manner::Later;
    let waiting = [world.request(read_request(None)), world.request(read_request(None))];
    assert_eq!(read(&mut world, None).err(), Some(DocumentRefusal::Overloaded));
    world.pass_ms(10_000);
    for ticket in waiting {
        let answer = world.answer_to(ticket);
        assert!(matches!(answer, Some(Response::Document(Err(DocumentRefusal::Unavailable)))), "{answer:?}");
    }
    assert_eq!(world.stack.app.audit().documents, Default::default());
}

fn read(world: &mut World, user: Option<&str>) -> Result<DocumentState, DocumentRefusal> {
    let Response::Document(document) = world.ask(read_request(user)) else { panic!("not a document") };
    document
}

fn write(world: &mut World, user: Option<&str>, update: &[u8]) -> Result<DocumentChange, DocumentRefusal> {
    changed(world.ask(write_request(user, update)))
}

fn initialize(world: &mut World, update: &[u8]) -> Result<DocumentChange, DocumentRefusal> {
    let Request::DocumentUpdate { document, user, update, content, .. } = write_request(None, update) else {
        panic!("an update");
    };
    changed(world.ask(Request::DocumentUpdate { document, user, update, content, intent: Intent::Initialize }))
}

fn changed(answer: Response) -> Result<DocumentChange, DocumentRefusal> {
    let Response::DocumentUpdated(changed) = answer else { panic!("{answer:?}") };
    changed
}

pub fn read_request(user: Option<&str>) -> Request {
    Request::DocumentState { document: NOTE.into(), user: user.map(Into::into) }
}

pub fn write_request(user: Option<&str>, update: &[u8]) -> Request {
    Request::DocumentUpdate {
        document: NOTE.into(),
        user: user.map(Into::into),
        update: Bytes::copy_from_slice(update),
        content: None,
        intent: Intent::Edit,
    }
}
