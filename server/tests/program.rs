//! The program from its start to its end: settings, demonstration, pages and signals.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread;

use common::{Client, POLLING, Program, connect, get, http};

#[test]
fn a_setting_that_cannot_be_used_ends_it_with_2_and_is_named() {
    for (flags, variables, named) in [
        (vec![], vec![("ENABLE_WEBSOCKET_SUPPORT", "perhaps")], "ENABLE_WEBSOCKET_SUPPORT"),
        (vec![], vec![("WEBSOCKET_SERVER_PING_INTERVAL", "soon")], "WEBSOCKET_SERVER_PING_INTERVAL"),
        (vec![], vec![("ROOMCAST_PORT", "65536")], "ROOMCAST_PORT"),
        (vec![], vec![("ROOMCAST_PATH", "ws")], "ROOMCAST_PATH"),
        (vec!["--port", "x"], vec![], "--port"),
        (vec![], vec![("WEBUI_SECRET_KEY", "t0p-s3cr3t")], "WEBUI_SECRET_KEY"),
        (vec![], vec![("WEBUI_SECRET_KEY", "a")], "WEBUI_SECRET_KEY is shorter"),
        (vec![], vec![("ROOMCAST_API_KEY", "a")], "ROOMCAST_API_KEY is shorter"),
        (vec![], vec![("WEBUI_SECRET_KEY", SECRET)], "DATABASE_URL is not set"),
        (vec![], vec![("WEBUI_SECRET_KEY", SECRET), ("DATABASE_URL", "mysql://a:hunter2@b/c")], "DATABASE_URL"),
        (vec!["--sessions-max", "0"], vec![], "--sessions-max"),
        (vec!["--path", "/metrics"], vec![], "--path"),
        (vec!["--path", "/ws\r\nset-cookie: a=b"], vec![], "--path"),
        (vec!["--host", "0.0.0.0"], vec![], "WEBUI_SECRET_KEY is not set"),
        (vec![], vec![("REDIS_URL", "redis://:hunter2@b")], "WEBUI_SECRET_KEY is not set"),
    ] {
        let (status, said) = Program::spawn(&flags, &variables).end();
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains(named), "{named}: {said}");
        assert!(!said.contains("hunter2") && !said.contains("t0p-s3cr3t"), "{said}");
    }
}

#[test]
fn a_port_in_use_ends_it_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (status, said) = Program::spawn(&["--port", &port], &[]).end();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains(&format!("port {port} of 127.0.0.1 is in use")), "{said}");
}

#[test]
fn a_file_that_is_no_database_ends_it_with_1() {
    let variables =
        [("WEBUI_SECRET_KEY", SECRET), ("DATABASE_URL", concat!("sqlite:///", env!("CARGO_BIN_EXE_roomcast")))];
    let (status, said) = Program::spawn(&["--port", "0"], &variables).end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("DATABASE_URL"), "{said}");
}

/// What tokens of 0.12 are judged by came after access rules had a table of their own, in 0.8; before 0.6.41, channels have
/// no archive.
#[test]
fn a_database_of_another_version_ends_it_with_1_and_the_supported_ones_are_named() {
    let between = include_str!("webui-0.12.4.sql").replace(", session_stamp TEXT", "");
    let earlier = include_str!("golden/webui.sql").replace("archived_at BIGINT,", "");
    for (what, tables, missing) in [("between", between, "session_stamp"), ("earlier", earlier, "archived_at")] {
        ends_with_these_tables(what, tables, missing);
    }
}

fn ends_with_these_tables(what: &str, tables: String, missing: &str) {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{what}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
        let file = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.join("webui.db")).create_if_missing(true);
        let mut conn = file.connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(tables)).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    });
    let variables = [("WEBUI_SECRET_KEY", SECRET), ("DATA_DIR", folder.to_str().unwrap())];
    let (status, said) = Program::spawn(&["--port", "0"], &variables).end();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("Open WebUI 0.6.41 to 0.7.x and 0.12.4") && said.contains(missing), "{said}");
}

#[test]
fn the_demonstration_prints_tokens_that_work() {
    let (mut program, address) = Program::serve(&["--page", "off"], &[]);
    for (user, name) in [("ada", "Ada"), ("ben", "Ben"), ("cleo", "Cleo")] {
        let line = program.stdout.until(&format!("token of {user}"));
        let token = line.rsplit(' ').next().unwrap();
        let mut client = Client::connect(address);
        client.send(&format!(r#"420["user-join",{{"auth":{{"token":"{token}"}}}}]"#));
        assert_eq!(client.next(), format!(r#"430[{{"id":"{user}","name":"{name}"}}]"#));
    }
    program.stdout.until("/api/emit");
    assert!(program.has_file("roomcast-demo.db"));
}

/// The commands are run as a user would run them, in two terminals.
#[test]
fn the_demonstration_prints_commands_that_work() {
    let (mut program, _) = Program::serve(&["--page", "off"], &[]);
    let join = program.stdout.until("U='http://");
    let emit = program.stdout.until("/api/emit");
    let mut terminal = Command::new("sh");
    // A group of its own, so that `curl` ends along with it.
    let terminal = terminal.args(["-c", &join]).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut terminal = terminal.spawn().unwrap();
    let mut lines = common::Lines::of(terminal.stdout.take().unwrap());
    lines.until(r#"430[{"id":"ada","name":"Ada"}]"#);
    let sent = Command::new("sh").args(["-c", &emit]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&sent.stdout), r#"{"status":"sent"}"#);
    lines.until(r#"42["events",{"hello":"ada"}]"#);
    let kill = format!("kill -KILL -{}", terminal.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    terminal.wait().unwrap();
}

#[test]
fn a_probe_tells_a_program_that_is_well_from_one_that_is_not() {
    let (mut program, address) = Program::serve(&["--drain-seconds", "60"], &[]);
    let probe = |page: &str, port: u16| {
        // As in a container, where it listens on all addresses; the rest of the environment is of no concern.
        let (port, secret) = (port.to_string(), ("WEBUI_SECRET_KEY", "a"));
        Program::spawn(&["--probe", page, "--host", "0.0.0.0", "--port", &port], &[secret]).end()
    };
    for page in ["health", "ready"] {
        assert_eq!(probe(page, address.port()).0.code(), Some(0), "{page}");
    }
    program.signal("TERM");
    program.stderr.until("SIGTERM");
    assert_eq!(probe("health", address.port()).0.code(), Some(0));
    let (status, said) = probe("ready", address.port());
    assert!(status.code() == Some(1) && said.contains("draining"), "{said}");
    program.signal("TERM");
    program.end();
    let (status, said) = probe("health", address.port());
    assert!(status.code() == Some(1) && said.contains("cannot be reached"), "{said}");
}

/// The page is told the tokens that were printed, and the key.
#[test]
fn the_demonstration_has_a_page_for_this_machine_alone() {
    let (mut program, address) = Program::serve(&[], &[]);
    // One link, and no token or key.
    program.stdout.until("--help");
    assert!(
        program.stdout.seen.starts_with(&format!("roomcast listens on http://{address}/\n")),
        "{}",
        program.stdout.seen
    );
    assert_eq!(program.stdout.seen.matches("http://").count(), 1, "{}", program.stdout.seen);
    assert!(
        program.stdout.seen.lines().count() == 3 && !program.stdout.seen.contains("eyJ"),
        "{}",
        program.stdout.seen
    );
    for (path, content_type) in [("/", "text/html"), ("/page/app.js", "text/javascript"), ("/page/app.css", "text/css")]
    {
        let page = get(address, path);
        assert!(page.status == 200 && page.head.contains(content_type), "{}", page.head);
        let policy = page.head.lines().find(|line| line.starts_with("content-security-policy: ")).unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
    let setup: serde_json::Value = serde_json::from_str(&get(address, "/page/setup").body).unwrap();
    let told = &setup["demonstration"];
    let mut client = Client::connect(address);
    client.send(&format!(r#"420["user-join",{{"auth":{{"token":{}}}}}]"#, told["users"][1]["token"]));
    assert_eq!(client.next(), r#"430[{"id":"ben","name":"Ben"}]"#);
    let key = told["api_key"].as_str().unwrap();
    assert_eq!(common::api(address, "/api/usage", key, "{}").status, 200);
    assert_eq!(http(address, "POST /", &[], "").status, 405);
    // A site elsewhere whose name points here since a moment ago.
    let mut stream = connect(address);
    stream.write_all(b"GET /page/setup HTTP/1.0\r\nhost: rebound.example.org\r\n\r\n").unwrap();
    let mut refused = String::new();
    stream.read_to_string(&mut refused).unwrap();
    assert!(refused.contains(" 403 ") && !refused.contains("token"), "{refused}");
    let (_program, address) = Program::serve(&[], &[("ROOMCAST_API_KEY", "a-key-of-the-environment")]);
    let setup = get(address, "/page/setup").body;
    assert!(setup.contains(r#""api_key":null"#) && !setup.contains("a-key-of"), "{setup}");
}

#[test]
fn in_production_the_page_is_off_or_wants_the_key() {
    let variables = [("WEBUI_SECRET_KEY", SECRET), ("ROOMCAST_API_KEY", "the-key-of-the-callers")];
    let (_program, address) = Program::serve(&["--store", "own"], &variables);
    for path in ["/", "/page/app.js", "/page/setup"] {
        assert_eq!(get(address, path).status, 404, "{path}");
    }
    let (_program, address) = Program::serve(&["--store", "own", "--page", "on"], &variables);
    assert_eq!(get(address, "/").status, 200);
    assert_eq!(get(address, "/page/setup").status, 401);
    let bearer = [("authorization", "Bearer the-key-of-the-callers")];
    let setup = http(address, "GET /page/setup", &bearer, "");
    assert_eq!(setup.status, 200);
    assert!(setup.body.contains("/ws/socket.io") && !setup.body.contains("demonstration"), "{}", setup.body);
}

#[test]
fn another_secret_than_the_tokens_lets_nobody_be_anybody() {
    let (mut first, _) = Program::serve(&["--page", "off"], &[]);
    let token = first.stdout.until("token of ada").rsplit(' ').next().unwrap().to_owned();
    let (_second, address) = Program::serve(&["--entry", "authenticated"], &[]);
    let open = get(address, POLLING);
    let target = format!("{POLLING}&sid={}", common::string_field(&open.body, "sid"));
    http(address, &format!("POST {target}"), &[], &format!(r#"40{{"token":"{token}"}}"#));
    assert_eq!(get(address, &target).body, r#"44{"message":"Not authenticated"}"#);
}

#[test]
fn transports_are_as_open_webui_is_told() {
    let web_socket = POLLING.replace("polling", "websocket");
    let upgrade = |address| {
        tungstenite::client(format!("ws://{address}{web_socket}"), connect(address)).map(drop).map_err(|error| {
            let tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response)) = error else {
                panic!("no answer")
            };
            response.status().as_u16()
        })
    };
    let (_program, address) = Program::serve(&[], &[]);
    assert!(get(address, POLLING).body.contains(r#""upgrades":["websocket"]"#));
    assert_eq!(upgrade(address), Ok(()));
    let (_program, address) = Program::serve(&[], &[("ENABLE_WEBSOCKET_SUPPORT", "True")]);
    let refused = get(address, POLLING);
    assert_eq!((refused.status, refused.body.as_str()), (400, r#""Invalid transport""#));
    assert_eq!(upgrade(address), Ok(()));
    let (_program, address) = Program::serve(&[], &[("ENABLE_WEBSOCKET_SUPPORT", "False")]);
    assert!(get(address, POLLING).body.contains(r#""upgrades":[]"#));
    assert_eq!(upgrade(address), Err(400));
}

#[test]
fn origins_and_heartbeat_are_as_open_webui_is_told() {
    let variables = [
        ("CORS_ALLOW_ORIGIN", "https://a.example;https://b.example"),
        ("WEBSOCKET_SERVER_PING_INTERVAL", "7"),
        ("WEBSOCKET_SERVER_PING_TIMEOUT", "8"),
    ];
    let (_program, address) = Program::serve(&[], &variables);
    let from = |origin| http(address, &format!("GET {POLLING}"), &[("origin", origin)], "");
    let open = from("https://b.example");
    assert!(open.head.to_lowercase().contains("access-control-allow-origin: https://b.example"), "{open:?}");
    assert!(open.body.contains(r#""pingInterval":7000,"pingTimeout":8000"#), "{open:?}");
    assert_eq!(from("https://c.example").status, 403);
}

/// By the address that the proxy adds at the end: what a client writes itself proves nothing.
#[test]
fn an_address_behind_a_trusted_proxy_has_no_more_connections_than_it_may() {
    let web_socket = POLLING.replace("polling", "websocket");
    let open = |address, header: &str, value: &str| {
        let mut request =
            tungstenite::client::IntoClientRequest::into_client_request(format!("ws://{address}{web_socket}"));
        let headers = request.as_mut().unwrap().headers_mut();
        headers.insert(http::HeaderName::from_bytes(header.as_bytes()).unwrap(), value.parse().unwrap());
        tungstenite::client(request.unwrap(), connect(address)).map(|(socket, _)| socket).map_err(|error| {
            let tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response)) = error else {
                panic!("no answer")
            };
            response.status().as_u16()
        })
    };
    let flags = ["--connections-per-address-max", "2", "--trusted-proxies", "10.0.0.0/8,127.0.0.1"];
    let (_program, address) = Program::serve(&flags, &[]);
    let forwarded = "x-forwarded-for";
    let first = open(address, forwarded, "203.0.113.9").unwrap();
    let _second = open(address, forwarded, "198.51.100.1, 203.0.113.9").unwrap();
    assert_eq!(open(address, forwarded, "198.51.100.2, 203.0.113.9").err(), Some(429));
    let _other = open(address, forwarded, "203.0.113.10").unwrap();
    assert_eq!(get(address, "/health").status, 200, "the proxy itself is not limited");
    drop(first);
    while open(address, forwarded, "203.0.113.9").err() == Some(429) {}

    let variables = [
        ("ROOMCAST_CONNECTIONS_PER_ADDRESS_MAX", "1"),
        ("ROOMCAST_TRUSTED_PROXIES", "127.0.0.1"),
        ("ROOMCAST_CLIENT_ADDRESS_HEADER", "X-Real-IP"),
    ];
    let (_program, address) = Program::serve(&[], &variables);
    let _first = open(address, "x-real-ip", "203.0.113.9").unwrap();
    assert_eq!(open(address, "x-real-ip", "203.0.113.9").err(), Some(429));
    let _other = open(address, "x-real-ip", "203.0.113.10").unwrap();
}

#[test]
fn a_limit_per_address_without_a_known_proxy_is_warned_of_and_counts_peers() {
    let (mut program, address) = Program::serve(&["--connections-per-address-max", "1"], &[]);
    program.stderr.until("ROOMCAST_TRUSTED_PROXIES is not");
    let url = format!("ws://{address}{}", POLLING.replace("polling", "websocket"));
    let (_socket, _) = tungstenite::client(url, connect(address)).unwrap();
    let mut refused = connect(address);
    // Closed at once, perhaps with a reset.
    assert!(!matches!(std::io::Read::read(&mut refused, &mut [0]), Ok(1..)));
}

#[test]
fn health_readiness_and_metrics_have_pages() {
    let (mut program, address) = Program::serve(&["--page", "off"], &[]);
    let token = program.stdout.until("token of ada").rsplit(' ').next().unwrap().to_owned();
    let _client = Client::join(address, &token);
    for (path, body) in [("/health", r#"{"status":"up"}"#), ("/ready", r#"{"status":"ready"}"#)] {
        let answer = get(address, path);
        assert_eq!((answer.status, answer.body.as_str()), (200, body));
    }
    let metrics = get(address, "/metrics");
    assert_eq!(metrics.status, 200);
    for line in [
        "roomcast_sessions_opened_total 1",
        "roomcast_server_sessions 1",
        "roomcast_app_logins 1",
        "roomcast_store_question_seconds_count{question=\"authenticate\"} 1",
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line} is not in\n{}", metrics.body);
    }
}

#[test]
fn a_signal_closes_everybody_and_ends_it_with_0() {
    let (mut program, address) = Program::serve(&[], &[]);
    let url = format!("ws://{address}{}", POLLING.replace("polling", "websocket"));
    let (mut socket, _) = tungstenite::client(url, connect(address)).unwrap();
    assert!(socket.read().unwrap().into_text().unwrap().starts_with("0{"));
    let mut polling = Client::connect(address);
    thread::scope(|scope| {
        let last = scope.spawn(|| polling.next());
        while !get(address, "/metrics").body.contains("roomcast_server_requests 1\n") {}
        program.signal("TERM");
        assert!(matches!(socket.read().unwrap(), tungstenite::Message::Close(_)));
        assert_eq!(last.join().unwrap(), "1");
    });
    let (status, said) = program.end();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("shutdown complete"), "{said}");
}

/// Two programs on one file would each write documents that the other does not know.
#[test]
fn a_second_program_on_the_same_files_is_refused_or_waits_for_the_first() {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("shared-{}", std::process::id()));
    let variables = [("WEBUI_SECRET_KEY", SECRET), ("ROOMCAST_STORE", "own"), ("DATA_DIR", folder.to_str().unwrap())];
    let (mut first, address) = Program::serve(&["--drain-seconds", "3600"], &variables);
    let (status, said) = Program::spawn(&["--port", "0", "--handover-seconds", "0"], &variables).end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("roomcast.db") && said.contains("another program has the file open"), "{said}");
    // A rolling restart: the next one is started before the last one has ended.
    let mut next = Program::spawn(&["--port", "0", "--handover-seconds", "3600"], &variables);
    next.stderr.until("waiting for its end");
    first.signal("TERM");
    first.stderr.until("shutdown requested");
    assert_eq!(get(address, "/health").status, 200);
    first.signal("TERM");
    assert_eq!(first.end().0.code(), Some(0));
    let line = next.stdout.until("roomcast listens on http://");
    let address = line.split('/').nth(2).unwrap().parse().unwrap();
    assert_eq!(get(address, "/ready").status, 200);
    drop(next);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A terminal that is closed, or a service manager that sends SIGHUP first.
#[test]
fn hangup_drains_like_the_signal_to_terminate() {
    // These tests may themselves run below `nohup`.
    let by = ["env", "--default-signal=HUP"];
    let (mut program, address) = Program::serve_by(&by, &["--drain-seconds", "3600"], &[]);
    program.signal("HUP");
    program.stderr.until("shutdown requested");
    assert_eq!(get(address, "/ready").status, 503);
    Client::connect(address);
    program.signal("TERM");
    let (status, said) = program.end();
    assert_eq!(status.code(), Some(0), "{said}");
}

/// As `nohup` starts it.
#[test]
fn hangup_stays_ignored_where_it_was() {
    let (mut program, address) = Program::serve_by(&["nohup"], &["--drain-seconds", "3600"], &[]);
    program.signal("HUP");
    assert_eq!(get(address, "/ready").status, 200);
    program.signal("TERM");
    let line = program.stderr.until("shutdown requested");
    assert!(line.contains("SIGTERM"), "{line}");
    program.signal("TERM");
    assert_eq!(program.end().0.code(), Some(0));
}

#[test]
fn while_it_drains_it_works_and_is_not_ready() {
    let (mut program, address) = Program::serve(&["--drain-seconds", "3600"], &[]);
    assert_eq!(get(address, "/ready").status, 200);
    program.signal("TERM");
    program.stderr.until("shutdown requested");
    let answer = get(address, "/ready");
    assert_eq!((answer.status, answer.body.as_str()), (503, r#"{"status":"draining"}"#));
    assert_eq!(get(address, "/health").status, 200);
    Client::connect(address);
    program.signal("TERM");
    assert_eq!(program.end().0.code(), Some(0));
}

/// At DEBUG each client can be followed; a wrong secret is told at any level that production has.
#[test]
fn logins_and_refusals_are_logged() {
    let (mut program, address) = Program::serve(&["--page", "off"], &[("ROOMCAST_LOG", "debug")]);
    let token = program.stdout.until("token of ada").rsplit(' ').next().unwrap().to_owned();
    let mut client = Client::connect(address);
    let sid = format!("sid={}", client.sid);
    let line = program.stderr.until("connected");
    assert!(line.contains("DEBUG") && line.contains(&sid) && line.contains(r#"endpoint="/ws/socket.io""#), "{line}");
    client.send(r#"421["user-join",{"auth":{"token":"nonsense"}}]"#);
    assert_eq!(client.next(), "431[]");
    let line = program.stderr.until("token refused");
    assert!(line.contains("DEBUG") && line.contains(&client.sid) && line.contains("malformed"), "{line}");
    client.send(&format!(r#"422["user-join",{{"auth":{{"token":"{token}"}}}}]"#));
    assert!(client.next().starts_with("432[{"));
    let line = program.stderr.until("logged in");
    assert!(line.contains("DEBUG") && line.contains(&sid) && line.contains("user=ada"), "{line}");
    client.send("1");
    program.stderr.until("disconnected");
    let line = program.stderr.until("logged out");
    assert!(line.contains("user=ada") && line.contains("Disconnected"), "{line}");
    assert!(!program.stderr.seen.contains(&token));

    let (mut program, address) = Program::serve(&[], &[("ROOMCAST_LOG", "warn")]);
    let mut client = Client::connect(address);
    let wrong = roomcast_auth::sign_hs256(b"another secret", r#"{"id":"ada"}"#);
    for id in [1, 2] {
        client.send(&format!(r#"42{id}["user-join",{{"auth":{{"token":"{wrong}"}}}}]"#));
        assert_eq!(client.next(), format!("43{id}[]"));
    }
    program.signal("TERM");
    let (_, said) = program.end();
    let lines: Vec<_> = said.lines().filter(|line| line.contains("another secret than WEBUI_SECRET_KEY")).collect();
    assert!(lines.len() == 1 && lines[0].contains("WARN") && lines[0].contains("refused=1"), "{said}");
}

#[test]
fn nothing_secret_is_said_at_any_level() {
    let variables = [
        ("WEBUI_SECRET_KEY", "s3cret-of-tokens"),
        ("ROOMCAST_API_KEY", "s3cret-of-callers"),
        ("ROOMCAST_LOG", "trace"),
    ];
    let (mut program, address) = Program::serve(&["--store", "own"], &variables);
    let claims = r#"{"id":"nobody"}"#;
    let token = roomcast_auth::sign_hs256(b"s3cret-of-tokens", claims);
    let client = Client::connect(address);
    client.send(&format!(r#"42["user-join",{{"auth":{{"token":"{token}"}}}}]"#));
    let emit = r#"{"to":{"user":"nobody"},"event":"events","data":"s3cret-of-users"}"#;
    assert_eq!(common::api(address, "/api/emit", "s3cret-of-callers", emit).status, 200);
    assert!(program.has_file("roomcast.db"));
    program.signal("INT");
    program.end();
    let said = format!("{}{}", program.stdout.seen, program.stderr.seen);
    assert!(said.contains("shutdown complete"), "{said}");
    let signature = token.rsplit('.').next().unwrap();
    for secret in ["s3cret-of", signature] {
        assert!(!said.contains(secret), "{said}");
    }
}

const SECRET: &str = "the-secret-of-a-test";
