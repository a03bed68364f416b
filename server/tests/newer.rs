//! The program beside Open WebUI 0.12. docs/openwebui-protocol.md, 2.3.

mod common;
mod fleet;

use common::{Client, Program};
use fleet::{Fleet, SECRET, token};

const RELEASE: (&str, &str) = ("ROOMCAST_RELEASE", "0.12");

#[test]
fn every_event_is_acknowledged_also_one_without_a_handler() {
    for (release, is_acknowledged) in [("0.12", true), ("0.6", false)] {
        let variables = [("ROOMCAST_RELEASE", release), ("WEBUI_SECRET_KEY", SECRET)];
        let (_program, address) = Program::serve(&["--store", "own"], &variables);
        let mut client = Client::connect(address);
        client.send(r#"421["no-such",{"a":1}]"#);
        client.send(r#"422["user-join",{"auth":{"token":"none"}}]"#);
        let expected: &[&str] = if is_acknowledged { &["431[]", "432[]"] } else { &["432[]"] };
        for ack in expected {
            assert_eq!(client.next(), *ack, "{release}");
        }
    }
}

#[test]
fn a_socket_that_speaks_without_a_login_is_told_to_go() {
    let variables = [RELEASE, ("WEBUI_SECRET_KEY", SECRET)];
    let (_program, address) = Program::serve(&["--store", "own"], &variables);
    let mut client = Client::connect(address);
    client.send(&format!(r#"421["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("ghost", "t")));
    client.send(r#"422["heartbeat",{}]"#);
    assert_eq!(client.next(), "41");
}

#[test]
fn documents_that_a_killed_process_of_open_webui_left_are_removed_at_the_start() {
    let mut fleet = Fleet::start(0, &[RELEASE]);
    let key = |name: &str, part: &str| format!("open-webui:ydoc:documents:note:{name}:{part}");
    fleet.raw::<i64>(&["HSET", "open-webui:session_pool", "live", "{}"]);
    for (name, sid) in [("old", "dead"), ("new", "live")] {
        fleet.raw::<i64>(&["SADD", &key(name, "users"), sid]);
        fleet.raw::<i64>(&["RPUSH", &key(name, "updates"), "[0,0]"]);
    }
    fleet.add();
    while fleet.raw::<bool>(&["EXISTS", &key("old", "updates")]) {}
    assert_eq!(fleet.raw::<Vec<String>>(&["SMEMBERS", &key("new", "users")]), ["live"]);
}

/// The layout and channels of Open WebUI 0.12.
#[test]
fn processes_find_sessions_chats_and_lines_in_redis() {
    let mut fleet = Fleet::start(2, &[RELEASE]);
    let pool = "open-webui:session_pool";
    let entry = |fleet: &Fleet, sid: &str| fleet.raw::<Option<String>>(&["HGET", pool, sid]);
    let ada = fleet.join(0, "ada");
    while !entry(&fleet, &ada.sid).is_some_and(|entry| entry.ends_with(r#","chat_ids":[]}"#)) {}
    assert!(entry(&fleet, &ada.sid).unwrap().contains(r#""last_seen_at":"#));
    // A process waits for lines.
    let mut waiting = fleet.redis.admin();
    waiting.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let mut channel = waiting.as_pubsub();
    channel.subscribe("open-webui:direct_completion").unwrap();
    for line in 0..20 {
        ada.send(&format!(r#"42["ada:sid:request",{{"n":{line}}}]"#));
    }
    for line in 0..20 {
        let said: String = channel.get_message().unwrap().get_payload().unwrap();
        assert_eq!(said, format!(r#"{{"channel":"ada:sid:request","data":{{"n":{line}}}}}"#));
    }
    ada.send("41");
    while entry(&fleet, &ada.sid).is_some() {}
    fleet.nodes[0].0.signal("TERM");
    fleet.nodes[0].0.end();
}

/// Section 2.3, presence: a node that is killed says nothing.
#[test]
fn who_was_on_a_killed_node_is_in_no_chat_any_more() {
    let mut fleet = Fleet::start(0, &[RELEASE, ("ROOMCAST_LEASE_SECONDS", "1")]);
    // Ada is an admin, who may look at chats of others.
    fleet.edit(|rows| rows.chats[0].owner = "ben".into());
    fleet.add();
    fleet.add();
    let (mut ada, mut ben) = (fleet.join(0, "ada"), fleet.join(1, "ben"));
    for client in [&ada, &ben] {
        client.send(r#"42["events:chat",{"chat_id":"first","data":{"type":"join"}}]"#);
    }
    let both = r#""users":[{"id":"ada","name":"Ada"},{"id":"ben","name":"Ben"}]"#;
    while !ben.next().contains(both) {}
    while !ada.next().contains(both) {}
    // One of a process of Open WebUI that was killed as well, long ago: its entry is old, and its lock is free.
    let pool = "open-webui:session_pool";
    let old = r#"{"id":"gone","name":"Gone","last_seen_at":1000,"chat_ids":["first"]}"#;
    fleet.raw::<i64>(&["HSET", pool, "python", old]);
    fleet.nodes[0].0.signal("KILL");
    while !ben.next().contains(r#""users":[{"id":"ben","name":"Ben"}]"#) {}
    while fleet.raw::<Vec<String>>(&["HKEYS", pool]) != [ben.sid.clone()] {}
    assert!(!fleet.raw::<bool>(&["EXISTS", "open-webui:session_cleanup_lock"]), "given back");
}
