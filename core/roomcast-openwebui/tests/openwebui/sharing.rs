//! Sessions and uses of models where other processes look for them. Sections 2.4 and 2.5, item 15.

use std::time::Duration;

use roomcast_openwebui::query::Question;
use roomcast_openwebui::{AuthRequirement, Request, Response, SessionSharing};

use super::store::Manner;
use super::world::{START_SECS, World, token};

fn sharing() -> World {
    World::with(|settings| settings.sharing = SessionSharing::On)
}

fn holds(question: &Question) -> bool {
    matches!(question, Question::ShareSession { .. })
}

#[test]
fn a_session_is_stored_before_its_socket_has_a_room() {
    let user_join = |user: &str| format!(r#"21["user-join",{{"auth":{{"token":"{}"}}}}]"#, token(user));
    for event in [user_join("bob"), user_join("bob").replace("user-join", "join-channels")] {
        let mut world = sharing();
        let client = world.connect("{}");
        world.store.manner = Manner::Later;
        world.send(client, &event);
        // Who it is.
        answer_one(&mut world);
        assert!(world.waiting.iter().any(|query| holds(&query.question)), "{:?}", world.waiting);
        assert_eq!(world.rooms(client), Vec::<String>::new());
        assert_eq!(world.stack.app.active_users(), Vec::<String>::new());
        world.store.manner = Manner::AtOnce;
        world.answer_waiting();
        assert_eq!(world.rooms(client), ["channel:general", "user:bob"]);
        assert_eq!(world.store.sessions[&world.clients[client].sid], profile(&world, "bob"));
    }
}

#[test]
fn a_session_is_stored_once_for_a_user_and_again_when_the_user_has_changed() {
    let mut world = sharing();
    let client = world.connect(&format!(r#"{{"token":"{}"}}"#, token("bob")));
    world.send(client, &format!(r#"21["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("bob")));
    world.pass(Duration::from_secs(200));
    assert_eq!(world.questions().iter().filter(|question| holds(question)).count(), 1, "checks bring nothing new");
    let sid = world.clients[client].sid.clone();
    // Of another user: nothing removes it when the first one's login ends.
    world.send(client, &format!(r#"22["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("alice")));
    assert_eq!((world.store.sessions[&sid].clone(), world.rooms(client).len()), (profile(&world, "alice"), 2));
    world.store.put_user("alice", "Al", "admin");
    world.pass(Duration::from_secs(60));
    assert!(world.store.sessions[&sid].contains(r#""Al""#), "{:?}", world.store.sessions);
    world.leave(client);
    assert!(world.store.sessions.is_empty());
    world.pass(Duration::from_secs(200));
    assert_eq!(world.stack.app.audit(), Default::default());
}

#[test]
fn a_session_is_removed_with_the_login_or_the_socket_whatever_is_under_way() {
    let mut world = sharing();
    let client = world.connect(&format!(r#"{{"token":"{}"}}"#, token("bob")));
    world.store.remove_user("bob");
    assert!(matches!(world.ask(Request::Refresh { user: "bob".into() }), Response::Done { sockets: 1 }));
    assert!(world.store.sessions.is_empty(), "the user is gone");
    // A socket that leaves while its session is being stored: both are asked, in this order.
    let client_two = world.connect("{}");
    world.store.manner = Manner::Later;
    world.send(client_two, &format!(r#"21["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("alice")));
    answer_one(&mut world);
    world.leave(client_two);
    let asked: Vec<_> = world.waiting.iter().map(|query| holds(&query.question)).collect();
    assert!(asked.len() >= 2 && matches!(world.waiting.back().unwrap().question, Question::UnshareSession { .. }));
    world.store.manner = Manner::AtOnce;
    world.answer_waiting();
    assert!(world.store.sessions.is_empty());
    world.leave(client);
    world.pass(Duration::from_secs(200));
    assert_eq!(world.stack.app.audit(), Default::default());
}

/// Redis is away: the login goes on without it.
#[test]
fn a_session_that_cannot_be_stored_keeps_nobody_out() {
    for auth in [AuthRequirement::Optional, AuthRequirement::Required] {
        let mut world = World::with(|settings| (settings.sharing, settings.auth) = (SessionSharing::On, auth));
        world.store.refuses = Some(holds);
        let client = world.connect(&format!(r#"{{"token":"{}"}}"#, token("bob")));
        assert_eq!(world.rooms(client), ["user:bob"], "{auth:?}");
    }
    let mut world = sharing();
    world.store.manner = Manner::Later;
    let client = world.connect(&format!(r#"{{"token":"{}"}}"#, token("bob")));
    answer_one(&mut world);
    assert_eq!(world.rooms(client), Vec::<String>::new());
    world.pass(Duration::from_secs(5));
    assert_eq!(world.rooms(client), ["user:bob"], "it has not answered in time");
}

// Section 2.1, `usage`.
#[test]
fn a_use_of_a_model_is_stored_each_time() {
    let mut world = sharing();
    let client = world.join("bob");
    let sid = world.clients[client].sid.clone();
    for second in 0..3 {
        world.send(client, r#"2["usage",{"action":"chat","model":"m","chat_id":"c"}]"#);
        assert_eq!(world.store.uses[&(sid.clone(), "m".into())], START_SECS + second);
        world.pass(Duration::from_secs(1));
        world.tell_wall();
    }
}

fn profile(world: &World, user: &str) -> String {
    world.store.user(user).unwrap().profile.to_string()
}

/// The store answers the question that has waited for the longest time.
fn answer_one(world: &mut World) {
    let query = world.waiting.pop_front().unwrap();
    world.answer(query);
}
