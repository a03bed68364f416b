//! What an account says of a token. Section 3.1.

use std::time::Duration;

use roomcast_openwebui::query::Mfa;

use super::super::world::token_of;
use super::{connect, world};

#[test]
fn a_new_stamp_of_the_account_ends_all_logins_of_the_user() {
    let mut world = world();
    world.store.put_account("bob", |account| account.session_stamp = Some("one".into()));
    let stamped = |stamp: &str| format!(r#"{{"token":"{}"}}"#, token_of(&stamp_of(stamp)));
    let (one, two, unstamped) =
        (world.connect(&stamped("one")), world.connect(&stamped("two")), connect(&mut world, "bob"));
    assert_eq!(world.stack.app.active_users(), ["bob"]);
    assert_eq!([one, two, unstamped].map(|client| world.rooms(client).len()), [1, 0, 0]);
    // The password was changed.
    world.store.put_account("bob", |account| account.session_stamp = Some("two".into()));
    world.pass(Duration::from_secs(5));
    world.send(one, r#"21["heartbeat",{}]"#);
    assert_eq!(world.read(one), ["1"]);
    let user_join = format!(r#"22["user-join",{{"auth":{{"token":"{}"}}}}]"#, token_of(&stamp_of("two")));
    world.send(two, &user_join);
    assert_eq!(world.read(two), [r#"32[{"id":"bob","name":"Bob User"}]"#]);
    assert_eq!(world.stack.app.token_refusals().revoked, 3);
}

#[test]
fn a_second_factor_is_asked_for_from_sessions_alone() {
    let mut world = world();
    let required = Mfa { is_required: true, is_set_up: true, ..Mfa::default() };
    world.store.put_account("bob", |account| account.mfa = required);
    let mut rooms = |claims: &str| {
        let client = world.connect(&format!(r#"{{"token":"{}"}}"#, token_of(claims)));
        world.rooms(client).len()
    };
    assert_eq!(rooms(r#"{"id":"bob"}"#), 0);
    assert_eq!(rooms(r#"{"id":"bob","mfa_verified":true}"#), 1);
    assert_eq!(rooms(r#"{"id":"bob","typ":"automation"}"#), 1);
    assert_eq!(rooms(r#"{"id":"bob","typ":"api","mfa_verified":true}"#), 0);
    let refused = world.stack.app.token_refusals();
    assert_eq!((refused.second_factor, refused.wrong_kind), (1, 1));
}

#[test]
fn an_account_that_is_not_active_has_no_login() {
    let mut world = world();
    world.store.put_account("alice", |account| account.is_active = false);
    let alice = connect(&mut world, "alice");
    assert_eq!(world.rooms(alice), Vec::<String>::new());
}

fn stamp_of(stamp: &str) -> String {
    format!(r#"{{"id":"bob","typ":"session","session_stamp":"{stamp}"}}"#)
}
