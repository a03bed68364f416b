//! The HTTP API of one program, over the sockets of another on the same Redis.

mod common;
mod fleet;

use std::thread;

use common::{Client, api};
use fleet::{Fleet, KEY};

struct TwoNodes {
    fleet: Fleet,
    ada: Client,
    ben: Client,
}

impl TwoNodes {
    /// Ada on the first node and Ben on the second, and each node knows the other.
    fn start() -> Self {
        let fleet = Fleet::start(2, &[]);
        let (ada, ben) = (fleet.join(0, "ada"), fleet.join(1, "ben"));
        let pair = Self { fleet, ada, ben };
        for (node, sid) in [(0, &pair.ben.sid), (1, &pair.ada.sid)] {
            while pair.fleet.api(node, "/api/session", &format!(r#"{{"session":"{sid}"}}"#)).status != 200 {}
        }
        pair
    }

    fn api(&self, node: usize, route: &str, body: &str) -> (u16, String) {
        let answer = self.fleet.api(node, route, body);
        (answer.status, answer.body)
    }
}

#[test]
fn sessions_and_members_of_another_node_are_found_with_their_users() {
    let pair = TwoNodes::start();
    let (status, session) = pair.api(0, "/api/session", &format!(r#"{{"session":"{}"}}"#, pair.ben.sid));
    assert_eq!(status, 200);
    let here = pair.api(1, "/api/session", &format!(r#"{{"session":"{}"}}"#, pair.ben.sid)).1;
    let sorted = |text: &str| {
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        value["rooms"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
        value
    };
    assert_eq!(sorted(&session), sorted(&here), "as its own node tells it");
    let anonymous = pair.fleet.client(1);
    for (to, expected) in [
        (r#"{"room":"channel:lobby"}"#, vec![&pair.ada.sid, &pair.ben.sid]),
        (r#"{"user":"ben"}"#, vec![&pair.ben.sid]),
        (r#"{"rooms":["user:ada","user:ben"]}"#, vec![&pair.ada.sid, &pair.ben.sid]),
        (r#"{"all":true}"#, vec![&pair.ada.sid, &pair.ben.sid, &anonymous.sid]),
        (r#"{"room":"channel:nowhere"}"#, vec![]),
    ] {
        for node in 0..2 {
            let (status, said) = pair.api(node, "/api/members", &format!(r#"{{"to":{to}}}"#));
            assert_eq!(status, 200, "{said}");
            let said: serde_json::Value = serde_json::from_str(&said).unwrap();
            let members = said["members"].as_array().unwrap();
            assert_eq!(members.len(), expected.len(), "{to} {said}");
            for sid in &expected {
                let member = members.iter().find(|member| member["session"] == sid.as_str()).unwrap();
                let user = [(&pair.ada.sid, "ada"), (&pair.ben.sid, "ben")].into_iter().find(|(known, _)| known == sid);
                match user {
                    Some((_, user)) => {
                        assert_eq!(member["user"]["id"], user);
                        assert!(member["user"]["name"].is_string() && member["user"]["role"].is_string());
                    }
                    None => assert_eq!(member["user"], serde_json::Value::Null),
                }
            }
        }
    }
}

#[test]
fn the_active_users_of_all_nodes_are_told_by_each() {
    let pair = TwoNodes::start();
    for node in 0..2 {
        let (status, said) = pair.api(node, "/api/usage", "{}");
        assert_eq!((status, said.as_str()), (200, r#"{"models":[],"users":["ada","ben"]}"#), "{node}");
    }
}

#[test]
fn sockets_of_another_node_enter_leave_and_end() {
    let mut pair = TwoNodes::start();
    let (ada, ben) = (pair.ada.sid.clone(), pair.ben.sid.clone());
    let one = (200, r#"{"sockets":1}"#.to_owned());
    for (route, room) in [("/api/enter_room", "den"), ("/api/enter_room", "attic")] {
        assert_eq!(pair.api(0, route, &format!(r#"{{"to":{{"session":"{ben}"}},"room":"{room}"}}"#)), one);
    }
    pair.fleet.emit(0, "den", "a");
    assert_eq!(pair.ben.next(), r#"42["a",1]"#);
    // In order: what is said in one batch to a room that it enters, and after it has left.
    let batch = |steps: &[String]| format!(r#"{{"requests":[{}]}}"#, steps.join(","));
    let step = |route: &str, body: String| format!(r#"{{"route":"{route}","body":{body}}}"#);
    let emit = |event: &str| step("emit", format!(r#"{{"to":{{"room":"hall"}},"event":"{event}","data":1}}"#));
    let (status, said) = pair.api(
        0,
        "/api/batch",
        &batch(&[
            emit("early"),
            step("enter_room", format!(r#"{{"to":{{"session":"{ben}"}},"room":"hall"}}"#)),
            emit("b"),
            step("leave_room", format!(r#"{{"to":{{"session":"{ben}"}},"room":"hall"}}"#)),
            emit("late"),
        ]),
    );
    assert!(status == 200 && said.matches(r#""status":200"#).count() == 5, "{said}");
    assert_eq!(pair.ben.next(), r#"42["b",1]"#);
    // A room with members on both nodes.
    assert_eq!(pair.api(1, "/api/enter_room", &format!(r#"{{"to":{{"session":"{ada}"}},"room":"den"}}"#)), one);
    assert_eq!(pair.api(0, "/api/close_room", r#"{"room":"den"}"#), (200, r#"{"sockets":2}"#.to_owned()));
    pair.fleet.emit(0, "den", "nobody");
    pair.fleet.emit(1, "attic", "c");
    assert_eq!(pair.ben.next(), r#"42["c",1]"#);
    // A session that is nowhere, and a name that is none.
    for nobody in ["AAAAAAAAAAAAAAAAAAAA", "user:ben"] {
        for (route, more) in
            [("enter_room", r#","room":"den""#), ("leave_room", r#","room":"den""#), ("disconnect", "")]
        {
            let body = format!(r#"{{"to":{{"session":"{nobody}"}}{more}}}"#);
            assert_eq!(pair.api(0, &format!("/api/{route}"), &body).0, 404, "{route} {nobody}");
        }
        assert_eq!(pair.api(0, "/api/session", &format!(r#"{{"session":"{nobody}"}}"#)).0, 404);
    }
    let disconnect = format!(r#"{{"to":{{"session":"{ben}"}},"extent":"namespace"}}"#);
    assert_eq!(pair.api(0, "/api/disconnect", &disconnect), one);
    assert_eq!(pair.ben.next(), "41");
    assert_eq!(pair.api(0, "/api/disconnect", &disconnect).0, 404);
    assert_eq!(pair.api(1, "/api/disconnect", r#"{"to":{"user":"ada"}}"#), one);
    assert_eq!((pair.ada.next(), pair.ada.next()), ("41".to_owned(), "1".to_owned()));
}

#[test]
fn a_session_of_another_node_is_called_by_its_owner_alone() {
    let mut pair = TwoNodes::start();
    let sid = pair.ben.sid.clone();
    let call = |pair: &TwoNodes, to: &str, timeout_ms: u32| {
        let body = format!(r#"{{"to":{{{to}}},"event":"events","data":{{}},"timeout_ms":{timeout_ms}}}"#);
        pair.api(0, "/api/call", &body)
    };
    let answer = {
        let (address, ben) = (pair.fleet.nodes[0].1, &mut pair.ben);
        thread::scope(|scope| {
            let body = format!(r#"{{"to":{{"session":"{sid}","user":"ben"}},"event":"events","data":{{}}}}"#);
            let asking = scope.spawn(move || api(address, "/api/call", KEY, &body));
            let asked = ben.next();
            let id = asked.strip_prefix("42").unwrap().strip_suffix(r#"["events",{}]"#).unwrap();
            ben.send(&format!(r#"43{id}["yes",2]"#));
            asking.join().unwrap()
        })
    };
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"data":["yes",2]}"#));
    assert_eq!(call(&pair, &format!(r#""session":"{sid}","user":"ada""#), 1).0, 403);
    assert_eq!(call(&pair, &format!(r#""session":"{sid}""#), 1).0, 504);
    assert_eq!(call(&pair, r#""session":"AAAAAAAAAAAAAAAAAAAA""#, 1).0, 404);
}

/// Nothing is waited for that does not answer; what is known is told.
#[test]
fn a_node_that_is_killed_is_missing_and_holds_up_nothing_for_long() {
    let pair = TwoNodes::start();
    pair.fleet.nodes[1].0.signal("STOP");
    let (status, said) = pair.api(0, "/api/members", r#"{"to":{"all":true}}"#);
    assert!(status == 200 && said.contains(&pair.ada.sid) && !said.contains(&pair.ben.sid), "{said}");
    pair.fleet.nodes[1].0.signal("KILL");
    let sid = &pair.ben.sid;
    assert_eq!(pair.api(0, "/api/session", &format!(r#"{{"session":"{sid}"}}"#)).0, 404);
}
