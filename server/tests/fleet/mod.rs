//! Several programs on one Redis, with the people of the demonstration in the store of each.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses a part of this, and what fails there fails the test"
)]

#[path = "../../../adapter/roomcast-redis/tests/redis/server.rs"]
mod server;

use std::net::SocketAddr;

use roomcast_auth::sign_hs256;
use roomcast_stores::{DatabaseOptions, Embedded, Rows};

use self::server::RedisServer;
use crate::common::{Client, Folder, HttpAnswer, Program, api, get};

pub const KEY: &str = "the-key-of-the-http-api";
pub const SECRET: &str = "the-secret-of-a-test";

pub struct Fleet {
    pub redis: RedisServer,
    pub nodes: Vec<(Program, SocketAddr)>,
    variables: Vec<(&'static str, String)>,
    /// What is in the store of each node.
    rows: Rows,
    folders: Vec<Folder>,
}

impl Fleet {
    pub fn start(nodes: usize, more: &[(&'static str, &str)]) -> Self {
        Self::start_with(nodes, |_| more.iter().map(|(name, value)| (*name, (*value).to_owned())).collect())
    }

    /// With variables that name the Redis.
    pub fn start_with(nodes: usize, more: impl FnOnce(&str) -> Vec<(&'static str, String)>) -> Self {
        let redis = RedisServer::start(&[]);
        let url = redis.url();
        let own = [
            ("WEBUI_SECRET_KEY", SECRET),
            ("ROOMCAST_API_KEY", KEY),
            ("WEBSOCKET_MANAGER", "redis"),
            ("WEBSOCKET_REDIS_URL", url.as_str()),
        ];
        let variables = own.map(|(name, value)| (name, value.to_owned())).into_iter().chain(more(&url)).collect();
        let mut fleet = Self { redis, nodes: Vec::new(), variables, rows: Rows::demo(), folders: Vec::new() };
        (0..nodes).for_each(|_| fleet.add());
        fleet
    }

    /// What the stores of nodes have that are added from now on.
    pub fn edit(&mut self, edit: impl FnOnce(&mut Rows)) {
        edit(&mut self.rows);
    }

    /// Starts one more node.
    pub fn add(&mut self) {
        let folder = Folder::new();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let store = Embedded::open(&folder.path().join("roomcast.db"), DatabaseOptions::default()).await.unwrap();
            store.seed(&self.rows).await.unwrap();
            roomcast_stores::Store::close(&store).await;
        });
        let folder_name = folder.path().display().to_string();
        let variables = self.variables.iter().map(|(name, value)| (*name, value.as_str()));
        let variables: Vec<_> = variables.chain([("DATA_DIR", folder_name.as_str())]).collect();
        self.nodes.push(Program::serve(&["--store", "own"], &variables));
        self.folders.push(folder);
        self.until(self.nodes.len() - 1, "roomcast_redis_receiving 1");
    }

    /// Without a user.
    pub fn client(&self, node: usize) -> Client {
        Client::connect(self.nodes[node].1)
    }

    /// One of the people of the demonstration.
    pub fn join(&self, node: usize, user: &str) -> Client {
        Client::join(self.nodes[node].1, &token(user, "token"))
    }

    pub fn emit(&self, node: usize, room: &str, event: &str) {
        let body = format!(r#"{{"to":{{"room":"{room}"}},"event":"{event}","data":1}}"#);
        assert_eq!(self.api(node, "/api/emit", &body).status, 200);
    }

    pub fn api(&self, node: usize, route: &str, body: &str) -> HttpAnswer {
        api(self.nodes[node].1, route, KEY, body)
    }

    /// As Open WebUI 0.6.41 publishes it.
    pub fn publish(&self, channel: &str, room: &str, event: &str) -> i64 {
        let message = format!(
            r#"{{"method": "emit", "event": "{event}", "data": {{"n": 1}}, "binary": false, "namespace": "/", "room": "{room}", "skip_sid": null, "callback": null, "host_id": "e3d0"}}"#
        );
        redis::cmd("PUBLISH").arg(channel).arg(message).query(&mut self.redis.admin()).unwrap()
    }

    /// A command to Redis, word by word.
    pub fn raw<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        redis::Cmd::new().arg(words).query(&mut self.redis.admin()).unwrap()
    }

    /// Until a line stands among the metrics of a node.
    pub fn until(&self, node: usize, line: &str) {
        while !get(self.nodes[node].1, "/metrics").body.lines().any(|found| found == line) {}
    }
}

/// A token of the demonstration's people.
pub fn token(user: &str, jti: &str) -> String {
    sign_hs256(SECRET.as_bytes(), &format!(r#"{{"id":"{user}","jti":"{jti}"}}"#))
}
