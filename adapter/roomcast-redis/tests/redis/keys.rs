//! Commands for shared state, and locks.

use std::time::Duration;

use roomcast_redis::{RedisConfig, RedisFault, RedisKeys, RedisLock, RedisUrl};

use crate::cluster::cluster;
use crate::ear::{block_on, limits};
use crate::server::RedisServer;

fn keys(url: RedisUrl) -> RedisKeys {
    let mut config = RedisConfig::new(url);
    config.limits = limits();
    RedisKeys::start(config).unwrap()
}

fn command(words: &[&str]) -> redis::Cmd {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command
}

#[test]
fn a_lock_is_renewed_and_released_by_its_owner_alone() {
    let server = RedisServer::start(&[]);
    let keys = keys(RedisUrl::parse(&server.url()).unwrap());
    block_on(async {
        let span = Duration::from_secs(60);
        let lock = RedisLock::take(&keys, "lock", span).await.unwrap().unwrap();
        assert!(RedisLock::take(&keys, "lock", span).await.unwrap().is_none());
        assert!(keys.ask::<i64>(command(&["PTTL", "lock"])).await.unwrap() > 50_000);
        keys.ask::<i64>(command(&["PEXPIRE", "lock", "1000"])).await.unwrap();
        assert!(lock.renew().await.unwrap());
        assert!(keys.ask::<i64>(command(&["PTTL", "lock"])).await.unwrap() > 50_000);
        // It has ended, and another has it: the old owner can do nothing about it.
        keys.ask::<String>(command(&["SET", "lock", "another"])).await.unwrap();
        assert!(!lock.renew().await.unwrap());
        assert!(!lock.release().await.unwrap());
        assert_eq!(keys.ask::<String>(command(&["GET", "lock"])).await.unwrap(), "another");
        keys.ask::<i64>(command(&["DEL", "lock"])).await.unwrap();
        let lock = RedisLock::take(&keys, "lock", span).await.unwrap().unwrap();
        assert!(lock.release().await.unwrap());
        assert!(RedisLock::take(&keys, "lock", span).await.unwrap().is_some());
    });
}

#[test]
fn commands_fail_at_once_while_redis_is_away_and_work_when_it_is_back() {
    let mut server = RedisServer::start(&[]);
    let keys = keys(RedisUrl::parse(&server.url()).unwrap());
    block_on(async {
        keys.ask::<String>(command(&["SET", "a", "1"])).await.unwrap();
        let wrong = keys.ask::<i64>(command(&["LPUSH", "a", "1"])).await.unwrap_err();
        assert!(matches!(wrong, RedisFault::Other(_)), "{wrong}");
        server.kill();
        let away = keys.ask::<Option<String>>(command(&["GET", "a"])).await.unwrap_err();
        assert!(matches!(away, RedisFault::Unreachable(_)), "{away}");
        server.run();
        // Each try waits for the answer of Redis, or for that of the system that no process listens.
        while keys.ask::<Option<String>>(command(&["GET", "a"])).await.is_err() {}
    });
}

/// The keys lie on different nodes, most of them not on the one that the setting names.
#[test]
fn a_cluster_is_asked_at_the_node_of_each_key() {
    let mut nodes = cluster();
    let keys = keys(RedisUrl::parse(&nodes[0].url()).unwrap().as_cluster().unwrap());
    block_on(async {
        for number in 0..50 {
            let (key, value) = (format!("key {number}"), number.to_string());
            keys.ask::<String>(command(&["SET", &key, &value])).await.unwrap();
        }
        let lock = RedisLock::take(&keys, "lock", Duration::from_secs(60)).await.unwrap().unwrap();
        assert!(lock.release().await.unwrap());
        nodes[0].kill();
        let mut found = 0;
        for number in 0..50 {
            let answer = keys.ask::<Option<String>>(command(&["GET", &format!("key {number}")])).await;
            found += usize::from(answer.is_ok_and(|value| value == Some(number.to_string())));
        }
        assert!((20..50).contains(&found), "{found} of 50 keys lie on the two nodes that are left");
    });
}
