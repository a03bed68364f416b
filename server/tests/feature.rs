//! The example of an extension, with clients. It is the whole program, in a process of its own: this test binary, started
//! once more for one test alone, which is `main` of the example.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;
#[path = "../examples/feature.rs"]
#[allow(dead_code, reason = "an example is also a program")]
mod feature;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use common::{Client, Folder, Lines, api, get};

#[test]
fn who_subscribes_is_told_of_updates() {
    let mut program = ExampleProgram::start(&[]);
    let (mut stranger, mut ada, mut ben) = (program.client(), program.client(), program.client());
    let about = r#"{"feature_id":"dark"}"#;
    stranger.send(&format!(r#"420["feature:subscribe",{about}]"#));
    assert_eq!(stranger.next(), r#"430[{"error":"Not authenticated"}]"#);
    for (client, user) in [(&mut ada, "ada"), (&mut ben, "ben")] {
        // Right behind the login, whose store is asked first: it is waited for.
        client.send(&program.user_join(user));
        client.send(&format!(r#"421["feature:subscribe",{about}]"#));
        assert!(client.next().starts_with("430[{"));
        assert_eq!(client.next(), r#"431[{"feature_id":"dark","status":"subscribed"}]"#);
    }
    ben.send(&format!(r#"422["feature:unsubscribe",{about}]"#));
    assert_eq!(ben.next(), r#"432[{"feature_id":"dark","status":"unsubscribed"}]"#);
    assert_eq!(program.post("/api/feature", KEY, r#"["dark",{"state":"on"}]"#), (200, "null".into()));
    assert_eq!(ada.next(), r#"42["feature:updated",{"data":{"state":"on"},"feature_id":"dark"}]"#);
    // Had it come to them, it would have come before this.
    for client in [&mut ben, &mut stranger] {
        client.send(&format!(r#"423["feature:unsubscribe",{about}]"#));
        assert!(client.next().starts_with("433"));
    }
}

#[test]
fn a_user_is_notified_on_every_device_and_every_thread() {
    for flags in [&[][..], &[("ROOMCAST_SHARDS", "2")]] {
        let mut program = ExampleProgram::start(flags);
        let mut devices: Vec<_> = (0..4).map(|_| program.client()).collect();
        let join = program.user_join("ada");
        for device in &mut devices {
            device.send(&join);
            assert!(device.next().starts_with("430[{"));
        }
        assert_eq!(program.post("/api/notify", KEY, r#"["ada","dinner"]"#), (200, "true".into()));
        let told = r#"42["events",{"data":{"data":{"content":"dinner","type":"info"},"type":"notification"}}]"#;
        for device in &mut devices {
            assert_eq!(device.next(), told);
        }
    }
}

/// Key, errors, metrics and settings are those of the program.
#[test]
fn added_routes_are_of_the_api() {
    let program = ExampleProgram::start(&[]);
    assert_eq!(program.post("/api/feature", "wrong", r#"["dark",1]"#).0, 401);
    let (status, body) = program.post("/api/feature", KEY, r#"{"feature":"dark"}"#);
    assert!(status == 400 && body.starts_with(r#"{"error":"#), "{body}");
    assert_eq!(get(program.address, "/api/notify").status, 401);
    assert_eq!(program.post("/api/usage", KEY, "{}").0, 200);
    let metrics = get(program.address, "/metrics").body;
    for line in [r#"route="/api/feature",status="401"} 1"#, r#"route="/api/feature",status="400"} 1"#] {
        assert!(metrics.contains(line), "{metrics}");
    }
    assert_eq!(get(program.address, "/ready").status, 200);
}

struct ExampleProgram {
    child: Child,
    address: SocketAddr,
    lines: Lines,
    _folder: Folder,
}

impl ExampleProgram {
    fn start(variables: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_example_itself", "--ignored", "--nocapture"])
            .env_clear()
            .envs([("ROOMCAST_PORT", "0"), ("ROOMCAST_PAGE", "off"), ("ROOMCAST_API_KEY", KEY)])
            .envs(variables.iter().copied())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = Lines::of(child.stdout.take().unwrap());
        let line = lines.until("roomcast listens on http://");
        let address = line.split('/').nth(2).unwrap().parse().unwrap();
        Self { child, address, lines, _folder: folder }
    }

    fn client(&self) -> Client {
        Client::connect(self.address)
    }

    fn user_join(&mut self, user: &str) -> String {
        let of = format!("token of {user}");
        let seen = self.lines.seen.lines().find(|line| line.starts_with(&of)).map(str::to_owned);
        let line = seen.unwrap_or_else(|| self.lines.until(&of));
        format!(r#"420["user-join",{{"auth":{{"token":"{}"}}}}]"#, line.rsplit(' ').next().unwrap())
    }

    fn post(&self, path: &str, key: &str, body: &str) -> (u16, String) {
        let answer = api(self.address, path, key, body);
        (answer.status, answer.body)
    }
}

impl Drop for ExampleProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "the other tests start it, in a process of its own"]
fn the_example_itself() {
    // The arguments of this process are those of the test runner.
    assert_eq!(feature::roomcast().arguments(["feature"]).main(), std::process::ExitCode::SUCCESS);
}

const KEY: &str = "the-key-of-the-callers";
