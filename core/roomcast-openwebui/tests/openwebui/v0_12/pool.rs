//! Presence, heartbeats and direct connections over the session pool that Open WebUI's processes share. Section 2.3.

use std::time::Duration;

use roomcast_openwebui::SessionSharing;
use roomcast_openwebui::query::{PoolQuestion, Question, ReapedSession};

use super::super::store::Manner;
use super::super::world::{World, token};
use super::{connect, world_with};

fn world() -> World {
    world_with(|settings| settings.sharing = SessionSharing::WithPool)
}

#[test]
fn presence_is_of_all_sessions_in_the_pool_and_told_once_it_knows() {
    let mut world = world();
    // On another node.
    world.store.sessions.insert("far".into(), r#"{"id":"alice","name":"Alice Admin"}"#.into());
    world.store.pool_chats.insert(("talk".into(), "far".into()));
    let bob = connect(&mut world, "bob");
    world.send(bob, &chat("1", "join"));
    let both = presence(r#"{"id":"alice","name":"Alice Admin"},{"id":"bob","name":"Bob User"}"#);
    assert_eq!(sorted(world.read(bob)), sorted(vec![both, "31[true]".into()]));
    let sid = world.clients[bob].sid.clone();
    assert!(world.store.pool_chats.contains(&("talk".to_owned(), sid.clone())));
    let tab = connect(&mut world, "alice");
    world.send(tab, &chat("1", "join"));
    world.read(bob);
    world.questions();
    world.leave(tab);
    let order: Vec<_> = world
        .questions()
        .into_iter()
        .filter_map(|asked| if let Question::SessionPool(question) = asked { Some(question) } else { None })
        .collect();
    assert!(
        matches!(&order[..], [PoolQuestion::LeaveChat { .. }, PoolQuestion::Present { .. }, PoolQuestion::Told { .. }]),
        "{order:?}"
    );
    world.store.pool_chats.remove(&("talk".to_owned(), "far".to_owned()));
    world.send(bob, &chat("2", "leave"));
    assert!(world.store.pool_chats.is_empty());
    assert_eq!(world.read(bob).last().unwrap(), "32[true]");
    world.leave(bob);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.stack.app.audit(), Default::default());
}

#[test]
fn many_changes_of_one_chat_are_told_by_two_questions() {
    let mut world = world();
    let clients: Vec<_> = (0..5).map(|_| connect(&mut world, "bob")).collect();
    world.store.manner = Manner::Later;
    for client in &clients {
        world.send(*client, &chat("1", "join"));
    }
    world.questions();
    world.answer_waiting();
    let asked = world.questions();
    let presences = asked.iter().filter(|asked| matches!(asked, Question::SessionPool(PoolQuestion::Present { .. })));
    assert_eq!(presences.count(), 2, "{asked:?}");
    for client in clients {
        assert!(world.read(client).contains(&"31[true]".to_owned()));
    }
}

#[test]
fn without_the_pool_those_are_told_that_are_here() {
    let mut world = world();
    let bob = connect(&mut world, "bob");
    world.store.refuses = Some(|question| matches!(question, Question::SessionPool(_)));
    world.send(bob, &chat("1", "join"));
    let told = presence(r#"{"id":"bob","name":"Bob User"}"#);
    assert_eq!(sorted(world.read(bob)), sorted(vec![told, "31[true]".into()]));
}

#[test]
fn a_heartbeat_and_a_user_join_say_that_a_session_is_there() {
    let mut world = world();
    let bob = connect(&mut world, "bob");
    assert_eq!(world.store.seen.len(), 0);
    world.send(bob, &format!(r#"21["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
    world.send(bob, r#"22["heartbeat",{}]"#);
    let sid = world.clients[bob].sid.clone();
    assert_eq!(world.store.seen, [sid.clone(), sid]);
}

#[test]
fn sessions_that_were_left_behind_are_looked_for_and_their_chats_are_told() {
    let mut world = world();
    let (bob, tab) = (connect(&mut world, "bob"), connect(&mut world, "bob"));
    for client in [bob, tab] {
        world.send(client, &chat("1", "join"));
    }
    let sid = world.clients[tab].sid.clone();
    world.store.pool_chats.remove(&("talk".to_owned(), sid.clone()));
    world.store.left_behind.push(ReapedSession { sid: sid.into(), chats: vec!["talk".into()] });
    world.read(bob);
    world.pass(Duration::from_secs(30));
    assert_eq!(world.read(bob), [presence(r#"{"id":"bob","name":"Bob User"}"#)]);
    assert_eq!((world.rooms(tab), world.rooms(bob).len()), (vec!["user:bob".to_owned()], 2));
}

#[test]
fn lines_of_a_direct_connection_go_to_the_processes_in_order() {
    let mut world = world();
    let bob = connect(&mut world, "bob");
    for line in 0..3 {
        world.send(bob, &format!(r#"21["bob:sid:request",{{"n":{line}}},7]"#));
    }
    world.send(bob, r#"21["bob:sid:request","text"]"#);
    assert_eq!(world.read(bob), ["31[]"; 4]);
    let line = |data: &str| ("bob:sid:request".to_owned(), data.to_owned());
    assert_eq!(world.store.lines, [line(r#"{"n":0}"#), line(r#"{"n":1}"#), line(r#"{"n":2}"#), line(r#""text""#)]);
    // Of another user, of no user, without an argument: none of these.
    for event in [r#""alice:sid:request",1"#, r#""bob:request",1"#, r#""bob:sid:request""#] {
        world.send(bob, &format!("21[{event}]"));
    }
    assert_eq!((world.store.lines.len(), world.given_back.len()), (4, 3));
}

fn chat(ack: &str, kind: &str) -> String {
    format!(r#"2{ack}["events:chat",{{"chat_id":"talk","data":{{"type":"{kind}"}}}}]"#)
}

fn presence(users: &str) -> String {
    format!(
        r#"2["events",{{"chat_id":"talk","shared":true,"data":{{"type":"chat:presence","data":{{"users":[{users}]}}}}}}]"#
    )
}

fn sorted(mut said: Vec<String>) -> Vec<String> {
    said.sort();
    said
}
