//! What several programs and Open WebUI's processes know of each other by Redis: sessions, models in use, revoked tokens.
//! Section 2.4 of the contract is the layout; docs/openwebui-protocol.md, 2.5, items 15, 17 and 21.
mod common;
mod fleet;

use common::{Client, string_field};
use fleet::{Fleet, token};

const POOL: &str = "open-webui:session_pool";
const USAGE: &str = "open-webui:usage_pool";

/// As Python's `SESSION_POOL.get(sid)["id"]`.
fn user_of(fleet: &Fleet, sid: &str) -> Option<String> {
    fleet.raw::<Option<String>>(&["HGET", POOL, sid]).map(|user| string_field(&user, "id"))
}

fn sids(fleet: &Fleet) -> Vec<String> {
    let mut sids: Vec<String> = fleet.raw(&["HKEYS", POOL]);
    sids.sort();
    sids
}

#[test]
fn a_session_is_in_the_pool_from_before_its_first_event_until_it_leaves() {
    let fleet = Fleet::start(2, &[]);
    let anonymous = fleet.client(0);
    for round in 0..20 {
        let node = round % 2;
        let client = fleet.join(node, "ada");
        assert_eq!(user_of(&fleet, &client.sid).as_deref(), Some("ada"), "when the login is acknowledged");
        let user: String = fleet.raw(&["HGET", POOL, &client.sid]);
        assert!(user.contains(r#""name":"#) && user.contains(r#""role":"#) && user.contains(r#""email":"#), "{user}");
        client.send("41");
        while user_of(&fleet, &client.sid).is_some() {}
    }
    assert_eq!(user_of(&fleet, &anonymous.sid), None);
    // Item 21: nothing is searched for.
    let commands: String = fleet.raw(&["INFO", "commandstats"]);
    assert!(
        commands.contains("cmdstat_hdel")
            && !["keys", "scan", "hscan"].iter().any(|name| commands.contains(&format!("cmdstat_{name}:")))
    );
}

#[test]
fn what_a_killed_node_leaves_is_removed_by_another_and_what_is_lost_is_stored_again() {
    let mut fleet = Fleet::start(2, &[("ROOMCAST_LEASE_SECONDS", "1")]);
    let (mut gone, stays) = (fleet.join(0, "ada"), fleet.join(1, "ben"));
    gone.send(r#"420["usage",{"action":"chat","model":"m","chat_id":"c"}]"#);
    assert_eq!(gone.next(), "430[]");
    fleet.raw::<i64>(&["HSET", POOL, "python", r#"{"id": "p"}"#]);
    assert!(fleet.raw::<Vec<String>>(&["HKEYS", USAGE]).iter().all(|model| model == "m"));
    fleet.nodes[0].0.signal("KILL");
    let left = {
        let mut left = [stays.sid.clone(), "python".to_owned()];
        left.sort();
        left
    };
    while sids(&fleet) != left {}
    while fleet.raw::<Vec<String>>(&["SMEMBERS", "open-webui:roomcast:nodes"]).len() != 1 {}
    // Redis forgets everything, and starts anew.
    fleet.raw::<String>(&["FLUSHALL"]);
    while user_of(&fleet, &stays.sid).as_deref() != Some("ben") {}
    fleet.redis.kill();
    // Meanwhile clients come and go.
    let late = fleet.join(1, "cleo");
    fleet.redis.run();
    while user_of(&fleet, &late.sid).as_deref() != Some("cleo") {}
    while user_of(&fleet, &stays.sid).as_deref() != Some("ben") {}
    fleet.nodes[1].0.signal("TERM");
    fleet.nodes[1].0.end();
    assert_eq!(sids(&fleet), Vec::<String>::new(), "a node that ends leaves nothing");
    let keys: Vec<String> = fleet.raw(&["KEYS", "*"]);
    assert_eq!(keys, Vec::<String>::new());
}

#[test]
fn models_in_use_are_those_of_all_nodes_and_of_python() {
    let fleet = Fleet::start(2, &[]);
    let mut clients = [fleet.join(0, "ada"), fleet.join(1, "ben")];
    for (client, model) in clients.iter_mut().zip(["m/one", "m/two"]) {
        client.send(&format!(r#"420["usage",{{"action":"chat","model":"{model}","chat_id":"c"}}]"#));
        assert_eq!(client.next(), "430[]");
    }
    let seconds: u64 = fleet.raw::<Vec<String>>(&["TIME"])[0].parse().unwrap();
    let seconds = seconds + 60;
    fleet.raw::<i64>(&["HSET", USAGE, "python", &format!(r#"{{"s": {{"updated_at": {seconds}}}}}"#)]);
    for node in 0..2 {
        let mut said = String::new();
        // They are brought to Redis a moment later; again each second, as a front end does.
        while !["m/one", "m/two", "python"].iter().all(|model| said.contains(model)) {
            for (client, model) in clients.iter_mut().zip(["m/one", "m/two"]) {
                client.send(&format!(r#"420["usage",{{"action":"chat","model":"{model}","chat_id":"c"}}]"#));
                client.next();
            }
            said = fleet.api(node, "/api/usage", "{}").body;
        }
        let stored: String = fleet.raw(&["HGET", USAGE, "m/one"]);
        assert!(stored.contains(&format!(r#""{}""#, clients[0].sid)) && stored.contains("updated_at"), "{stored}");
    }
    // They end by themselves.
    while fleet.raw::<Vec<String>>(&["HKEYS", USAGE]) != ["python"] {}
    assert!(fleet.api(0, "/api/usage", "{}").body.starts_with(r#"{"models":["python"],"#));
}

#[test]
fn tokens_that_open_webui_has_revoked_are_refused_on_all_nodes_and_the_reverse() {
    let fleet = Fleet::start_with(2, |url| vec![("REDIS_URL", url.to_owned())]);
    let join = |node: usize, jti: &str| {
        let mut client = fleet.client(node);
        client.send(&format!(r#"420["user-join",{{"auth":{{"token":"{}"}}}}]"#, token("ada", jti)));
        client.next()
    };
    assert!(join(0, "one").starts_with("430[{"));
    // As Open WebUI signs a user out.
    fleet.raw::<String>(&["SET", "open-webui:auth:token:one:revoked", "1", "EX", "60"]);
    for node in 0..2 {
        assert_eq!(join(node, "one"), "430[]");
        assert!(join(node, "two").starts_with("430[{"));
    }
    assert_eq!(fleet.api(1, "/api/revoke", r#"{"jti":"two"}"#).status, 200);
    assert_eq!(fleet.raw::<String>(&["GET", "open-webui:auth:token:two:revoked"]), "1");
    assert_eq!((join(0, "two"), join(1, "two")), ("430[]".to_owned(), "430[]".to_owned()));
    // All of a user's.
    assert_eq!(fleet.api(0, "/api/revoke", r#"{"user":"ada"}"#).status, 200);
    let is_there = fleet.raw::<i64>(&["EXISTS", "open-webui:auth:user:ada:revoked_at"]);
    assert_eq!((is_there, join(0, "three"), join(1, "three")), (1, "430[]".to_owned(), "430[]".to_owned()));
    assert_eq!(fleet.api(1, "/api/unrevoke", r#"{"user":"ada"}"#).status, 200);
    assert!(join(1, "three").starts_with("430[{"));
}

#[test]
fn while_redis_is_away_logins_do_not_wait_for_it() {
    let mut fleet = Fleet::start(1, &[]);
    fleet.redis.kill();
    let clients: Vec<Client> = (0..50).map(|_| fleet.join(0, "ada")).collect();
    let said = fleet.nodes[0].0.stderr.until("Redis does not store sessions");
    assert!(said.contains("WARN"), "{said}");
    fleet.redis.run();
    while sids(&fleet).len() != clients.len() {}
}
