//! Shared state against a real Redis, beside what Open WebUI's Python writes there.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

#[expect(dead_code, reason = "shared with the tests of the bus, which use all of it")]
#[path = "../../../roomcast-redis/tests/redis/server.rs"]
mod server;

mod abandoned;
mod conversations;
mod documents;

use std::time::Duration;

use bytestring::ByteString;
use roomcast_redis::{RedisConfig, RedisKeys, RedisUrl};
use roomcast_stores::shared::{Lease, PoolChange, RedisRevocations, RedisSessionPool, RedisState, SharedState};
use roomcast_stores::{RevocableToken, Revocations};

use self::server::RedisServer;

/// A Redis, and two nodes.
struct World {
    server: RedisServer,
    keys: RedisKeys,
}

impl World {
    fn new() -> Self {
        let server = RedisServer::start(&[]);
        let keys = RedisKeys::start(RedisConfig::new(RedisUrl::parse(&server.url()).unwrap())).unwrap();
        Self { server, keys }
    }

    fn node(&self, name: &str) -> RedisState {
        RedisState::new(self.keys.clone(), "open-webui", name, LEASE)
    }

    fn revocations(&self) -> RedisRevocations {
        RedisRevocations::new(self.keys.clone(), "open-webui")
    }

    fn raw<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut admin: redis::Connection = self.server.admin();
        redis::Cmd::new().arg(words).query(&mut admin).unwrap()
    }
}

#[test]
fn sessions_lie_where_open_webui_looks_for_them() {
    let world = World::new();
    let (a, b) = (world.node("a"), world.node("b"));
    block_on(async {
        a.put_sessions(vec![("s1".into(), r#"{"id": "u1", "name": "Ä"}"#.into())], 100).await.unwrap();
        let stored: String = world.raw(&["HGET", "open-webui:session_pool", "s1"]);
        assert_eq!(stored, r#"{"id": "u1", "name": "Ä"}"#);
        assert_eq!(session(&b, "s1").await.as_deref(), Some(stored.as_str()));
        // One that a Python process has stored.
        world.raw::<i64>(&["HSET", "open-webui:session_pool", "s2", r#"{"id": "u2"}"#]);
        assert_eq!(session(&a, "s2").await.as_deref(), Some(r#"{"id": "u2"}"#));
        let both = b.sessions(vec!["s2".into(), "nobody".into(), "s1".into()]).await.unwrap();
        assert_eq!(both.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
        a.remove_sessions(vec!["s1".into()]).await.unwrap();
        assert_eq!(session(&b, "s1").await, None);
        assert_eq!(world.raw::<Vec<String>>(&["HKEYS", "open-webui:session_pool"]), ["s2"]);
    });
}

#[test]
fn what_a_crashed_node_leaves_is_removed_and_nothing_else() {
    let world = World::new();
    let (a, b) = (world.node("a"), world.node("b"));
    block_on(async {
        for node in [&a, &b] {
            assert_eq!(node.renew_lease(0).await.unwrap(), Lease::Lost);
            assert_eq!(node.renew_lease(0).await.unwrap(), Lease::Kept);
        }
        // Redis ends it by itself if it is not renewed.
        let left_ms: i64 = world.raw(&["PTTL", "open-webui:roomcast:node:a:lease"]);
        assert!((1..=i64::try_from(LEASE.as_millis()).unwrap()).contains(&left_ms), "{left_ms}");
        let sessions = (0..1_200).map(|number| (format!("a{number}").into(), "{}".into()));
        a.put_sessions(sessions.collect(), 100).await.unwrap();
        a.use_model("m".into(), "a7".into(), 100).await.unwrap();
        b.put_sessions(vec![("b".into(), "{}".into())], 100).await.unwrap();
        b.use_model("m".into(), "b".into(), 100).await.unwrap();
        world.raw::<i64>(&["HSET", "open-webui:session_pool", "python", "{}"]);
        assert_eq!(b.reap().await.unwrap().len(), 0, "both are alive");
        // The lease of the node has ended.
        world.raw::<i64>(&["DEL", "open-webui:roomcast:node:a:lease"]);
        // Another one is at it.
        world.raw::<String>(&["SET", "open-webui:session_cleanup_lock", "python", "EX", "60"]);
        assert_eq!(b.reap().await.unwrap().len(), 0);
        assert_eq!(world.raw::<String>(&["GET", "open-webui:session_cleanup_lock"]), "python");
        world.raw::<i64>(&["DEL", "open-webui:session_cleanup_lock"]);
        assert_eq!(b.reap().await.unwrap().len(), 1_200);
        let mut left: Vec<String> = world.raw(&["HKEYS", "open-webui:session_pool"]);
        left.sort();
        assert_eq!(left, ["b", "python"]);
        assert_eq!(world.raw::<String>(&["HGET", "open-webui:usage_pool", "m"]), r#"{"b":{"updated_at":100}}"#);
        assert_eq!(world.raw::<i64>(&["EXISTS", "open-webui:session_cleanup_lock"]), 0);
        assert_eq!(a.renew_lease(1_200).await.unwrap(), Lease::Lost, "it was not dead: it stores everything again");
        assert_eq!(a.renew_lease(1_200).await.unwrap(), Lease::Lost, "which it has not done");
        a.put_sessions(vec![("a".into(), "{}".into())], 100).await.unwrap();
        assert_eq!(a.renew_lease(1).await.unwrap(), Lease::Kept);
        a.remove_sessions(vec!["a".into()]).await.unwrap();
        b.leave().await.unwrap();
        assert_eq!(world.raw::<Vec<String>>(&["HKEYS", "open-webui:session_pool"]), ["python"]);
        assert_eq!(world.raw::<Vec<String>>(&["SMEMBERS", "open-webui:roomcast:nodes"]), ["a"]);
    });
}

/// As Open WebUI 0.12 has them.
#[test]
fn entries_of_the_pool_keep_what_processes_have_written_of_their_chats() {
    let world = World::new();
    let pool = RedisSessionPool::new(world.keys.clone(), "open-webui");
    let node = world.node("a").with_pool(pool.clone());
    let entry = || world.raw::<Option<String>>(&["HGET", "open-webui:session_pool", "s"]);
    let user = ByteString::from_static(r#"{"id":"u","name":"Ü/","settings":{"list":[],"n":1.50}}"#);
    let head = user.strip_suffix('}').unwrap().to_owned();
    block_on(async {
        let change =
            async |change: PoolChange, at| pool.change(&[("s".into(), user.clone(), change)], at).await.unwrap();
        node.put_sessions(vec![("s".into(), user.clone())], 100).await.unwrap();
        assert_eq!(entry().unwrap(), format!(r#"{head},"last_seen_at":100}}"#));
        change(PoolChange::Seen, 101).await;
        assert_eq!(entry().unwrap(), format!(r#"{head},"last_seen_at":101,"chat_ids":[]}}"#));
        change(PoolChange::Enter("c".into()), 102).await;
        change(PoolChange::Enter("d".into()), 102).await;
        assert_eq!(entry().unwrap(), format!(r#"{head},"last_seen_at":101,"chat_ids":["c","d"]}}"#));
        // A process takes one away.
        world.raw::<i64>(&[
            "HSET",
            "open-webui:session_pool",
            "s",
            r#"{"id":"u","last_seen_at":101,"chat_ids":["d"]}"#,
        ]);
        node.put_sessions(vec![("s".into(), user.clone())], 103).await.unwrap();
        change(PoolChange::Seen, 104).await;
        assert_eq!(entry().unwrap(), format!(r#"{head},"last_seen_at":104,"chat_ids":["d"]}}"#));
        change(PoolChange::Leave("d".into()), 105).await;
        assert_eq!(entry().unwrap(), format!(r#"{head},"last_seen_at":104,"chat_ids":[]}}"#));
        // One that a process has removed does not come back by leaving.
        world.raw::<i64>(&["HDEL", "open-webui:session_pool", "s"]);
        change(PoolChange::Leave("d".into()), 106).await;
        assert_eq!(entry(), None);
        change(PoolChange::Seen, 107).await;
        assert_eq!(entry().unwrap(), format!(r#"{head},"last_seen_at":107,"chat_ids":[]}}"#));
    });
}

#[test]
fn who_is_in_a_chat_and_what_was_left_behind_is_found_in_the_whole_pool() {
    let world = World::new();
    let pool = RedisSessionPool::new(world.keys.clone(), "open-webui");
    let put = |sid: &str, entry: &str| world.raw::<i64>(&["HSET", "open-webui:session_pool", sid, entry]);
    for number in 0..500 {
        put(&format!("x{number}"), r#"{"id":"x","name":"X","last_seen_at":100,"chat_ids":[]}"#);
    }
    put("a", r#"{"id":"b","name":"Bo","last_seen_at":100,"chat_ids":["c","d"]}"#);
    put("b", r#"{"id": "a", "name": "Al", "chat_ids": ["c"], "last_seen_at": 101}"#);
    put("d", r#"{"id":"a","name":"Al","last_seen_at":100,"chat_ids":["c"]}"#);
    put("old", r#"{"id":"z","name":"Z","last_seen_at":99,"chat_ids":["c"]}"#);
    put("odd", r#"{"id":7,"chat_ids":["c"]}"#);
    block_on(async {
        let chats = ["c", "d", "e"].map(ByteString::from).into_iter().collect();
        let found = pool.present(&chats, 100).await.unwrap();
        let ids = |chat: &str| found[chat].iter().map(|user| format!("{} {}", user.id, user.name)).collect::<Vec<_>>();
        assert_eq!(
            (ids("c"), ids("d"), ids("e")),
            (vec!["a Al".into(), "b Bo".into()], vec!["b Bo".to_owned()], vec![])
        );
        let lock = pool.lock_presence("c").await.unwrap().unwrap();
        assert!(pool.lock_presence("c").await.unwrap().is_none());
        assert_eq!(world.raw::<i64>(&["EXISTS", "open-webui:chat:c:presence:lock"]), 1);
        assert!(lock.release().await.unwrap());
        // A process is at it.
        world.raw::<String>(&["SET", "open-webui:session_cleanup_lock", "python", "EX", "60"]);
        assert_eq!(pool.reap(100).await.unwrap(), []);
        world.raw::<i64>(&["DEL", "open-webui:session_cleanup_lock"]);
        let reaped = pool.reap(100).await.unwrap();
        assert_eq!(
            reaped.iter().map(|session| (&*session.sid, &*session.chats[0])).collect::<Vec<_>>(),
            [("old", "c")]
        );
        assert_eq!(world.raw::<i64>(&["HLEN", "open-webui:session_pool"]), 504);
    });
}

/// Python reads an object, changes it and writes it back; of two writers one loses. A script does not.
// docs/openwebui-protocol.md, section 2.5, item 17.
#[test]
fn models_in_use_are_counted_by_many_nodes_at_once_and_end() {
    let world = World::new();
    block_on(async {
        let nodes: Vec<RedisState> = (0..8).map(|number| world.node(&number.to_string())).collect();
        let mut tasks = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            let node = node.clone();
            tasks.push(tokio::spawn(async move {
                for round in 0..20 {
                    node.use_model("m/1".into(), format!("s{number}-{round}").into(), 1_700_000_000).await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let stored: String = world.raw(&["HGET", "open-webui:usage_pool", "m/1"]);
        let stored: serde_json::Value = serde_json::from_str(&stored).unwrap();
        assert_eq!(stored.as_object().unwrap().len(), 160);
        assert_eq!(stored["s3-19"]["updated_at"], serde_json::json!(1_700_000_000));
        world.raw::<i64>(&["HSET", "open-webui:usage_pool", "python", r#"{"p": {"updated_at": 1700000009}}"#]);
        world.raw::<i64>(&["HSET", "open-webui:usage_pool", "junk", "[broken"]);
        assert_eq!(nodes[0].models_in_use(1_700_000_000).await.unwrap(), ["m/1", "python"]);
        assert_eq!(nodes[0].models_in_use(1_700_000_005).await.unwrap(), ["python"]);
        assert_eq!(world.raw::<Vec<String>>(&["HKEYS", "open-webui:usage_pool"]), ["python"]);
        assert_eq!(nodes[0].models_in_use(1_700_000_010).await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn revocations_are_those_of_open_webui() {
    let world = World::new();
    let revocations = world.revocations();
    let token = |jti: &'static str, issued: Option<u64>, ends: Option<u64>| RevocableToken {
        user: "u".into(),
        jti: Some(jti.into()),
        issued_at_secs: issued,
        ends_at_secs: ends,
    };
    block_on(async {
        let is_revoked = async |token: RevocableToken| revocations.is_revoked(token).await.unwrap();
        assert!(!is_revoked(token("a", Some(5), None)).await);
        // As Open WebUI writes it at a sign-out.
        world.raw::<String>(&["SET", "open-webui:auth:token:a:revoked", "1", "EX", "60"]);
        assert!(is_revoked(token("a", Some(5), None)).await);
        revocations.revoke_token("b".into(), Some(1_000), 900).await.unwrap();
        let ttl: i64 = world.raw(&["TTL", "open-webui:auth:token:b:revoked"]);
        assert!(is_revoked(token("b", None, None)).await && (90..=101).contains(&ttl), "{ttl}");
        revocations.restore_token("b".into()).await.unwrap();
        assert!(!is_revoked(token("b", None, None)).await);
        // Up to when a user's tokens were issued; those that do not say so, by when they end.
        revocations.revoke_user("u".into(), 100, Some(200)).await.unwrap();
        revocations.revoke_user("u".into(), 90, Some(150)).await.unwrap();
        assert_eq!(world.raw::<String>(&["GET", "open-webui:auth:user:u:revoked_at"]), "100");
        assert!(is_revoked(token("c", Some(100), None)).await && !is_revoked(token("c", Some(101), None)).await);
        assert!(is_revoked(token("c", None, Some(200))).await && !is_revoked(token("c", None, Some(201))).await);
        assert!(is_revoked(token("c", None, None)).await);
        revocations.revoke_user("u".into(), 100, None).await.unwrap();
        revocations.revoke_user("u".into(), 100, Some(300)).await.unwrap();
        assert!(is_revoked(token("c", None, Some(9_999))).await, "without a bound, all of them");
        revocations.restore_user("u".into()).await.unwrap();
        assert!(!is_revoked(token("c", None, None)).await);
        // Open WebUI 0.12 writes nothing but this.
        world.raw::<String>(&["SET", "open-webui:auth:user:u:revoked_at", "100"]);
        assert!(is_revoked(token("c", None, Some(9_999))).await && !is_revoked(token("c", Some(101), None)).await);
    });
}

#[test]
fn nothing_is_accepted_while_redis_is_away() {
    let mut world = World::new();
    world.server.kill();
    let token = RevocableToken { user: "u".into(), jti: None, issued_at_secs: None, ends_at_secs: None };
    block_on(async {
        assert!(world.revocations().is_revoked(token).await.is_err());
        assert!(world.node("a").sessions(vec!["s".into()]).await.is_err());
    });
}

async fn session(node: &RedisState, sid: &'static str) -> Option<String> {
    node.sessions(vec![sid.into()]).await.unwrap().remove(0).map(|user| user.to_string())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Longer than a test takes.
const LEASE: Duration = Duration::from_secs(3600);
