//! Conversations of encrypted channels where Open WebUI's processes look for them.

use roomcast_openwebui::query::{ConversationChange, StoreError, TalkCharge, TalkRation};
use roomcast_stores::shared::RedisConversations;

use super::{World, block_on};

/// The SHA-256 of `c`, and of the rations of the user `u`, as Python finds them.
const KEY: &str = "open-webui:encryption:{2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6}";
const TRAFFIC: &str = "open-webui:encryption:{f791bdbe2ebed0250dd053ad73298331abdf4fcb60fc854710cd8f2b779d99b3}";

#[test]
fn a_conversation_lies_where_python_looks_for_it_and_is_stored_under_the_lock_alone() {
    let world = World::new();
    let talks = RedisConversations::new(world.keys.clone(), "open-webui");
    block_on(async {
        let lock = talks.lock("c").await.unwrap().unwrap();
        let lock_key = format!("{KEY}:lock");
        assert_eq!(world.raw::<String>(&["GET", &lock_key]), lock.token());
        let left: i64 = world.raw(&["PTTL", &lock_key]);
        assert!((1..=10_000).contains(&left), "{left}");
        assert!(talks.lock("c").await.unwrap().is_none() && talks.lock("d").await.unwrap().is_some());
        assert_eq!(talks.read("c").await, Ok(None));
        talks.end("c", lock, ConversationChange::Put(r#"{"a":1}"#.into())).await.unwrap();
        assert_eq!(world.raw::<String>(&["GET", KEY]), r#"{"a":1}"#);
        let left: i64 = world.raw(&["TTL", KEY]);
        assert!((80..=90).contains(&left), "{left}");
        assert_eq!(world.raw::<i64>(&["EXISTS", &lock_key]), 0);

        // A slow one finds another in its place, and leaves that as it is.
        let slow = talks.lock("c").await.unwrap().unwrap();
        world.raw::<String>(&["SET", &lock_key, "another"]);
        assert_eq!(talks.end("c", slow, ConversationChange::Remove).await, Err(StoreError::Unavailable));
        assert_eq!(talks.read("c").await.unwrap().as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(world.raw::<String>(&["GET", &lock_key]), "another");
        world.raw::<i64>(&["DEL", &lock_key]);

        let lock = talks.lock("c").await.unwrap().unwrap();
        talks.end("c", lock, ConversationChange::None).await.unwrap();
        assert!(talks.read("c").await.unwrap().is_some());
        let lock = talks.lock("c").await.unwrap().unwrap();
        talks.end("c", lock, ConversationChange::Remove).await.unwrap();
        assert_eq!(world.raw::<i64>(&["EXISTS", KEY, &lock_key]), 0);
    });
}

#[test]
fn calls_are_counted_with_those_of_python() {
    let world = World::new();
    let talks = RedisConversations::new(world.keys.clone(), "open-webui");
    let charge = |ration, bytes| TalkCharge { user: "u".into(), ration, bytes };
    block_on(async {
        // What a process has counted counts.
        for (field, value) in [("count", "98"), ("bytes", "7")] {
            world.raw::<i64>(&["HSET", TRAFFIC, field, value]);
        }
        assert_eq!(talks.charge(&charge(TalkRation::Traffic, 5)).await, Ok(true));
        assert_eq!(talks.charge(&charge(TalkRation::Traffic, 5)).await, Ok(true));
        assert_eq!(talks.charge(&charge(TalkRation::Traffic, 5)).await, Ok(false), "the 101st");
        assert_eq!(world.raw::<Vec<String>>(&["HMGET", TRAFFIC, "count", "bytes"]), ["101", "22"]);
        assert_eq!(talks.charge(&charge(TalkRation::Admission, (4 << 20) + 1)).await, Ok(false), "too much");
        for _ in 0..9 {
            talks.charge(&charge(TalkRation::Admission, 0)).await.unwrap();
        }
        let keys: Vec<String> = world.raw(&["KEYS", "*"]);
        let ends = keys.iter().filter(|key| *key != TRAFFIC).map(|key| world.raw::<i64>(&["TTL", key]));
        assert!(ends.clone().count() == 1 && ends.clone().all(|ttl| (50..=60).contains(&ttl)));
    });
}
