//! What the core owns of HTTP: CORS, preflight, transports, origins.

use http::Method;
use roomcast_conformance::pair::{Conformance, Pair, Profile, Via};
use roomcast_core::server::config::{Config, ConfigError, EndpointKind, Origins, SessionCookie, Transports};

#[test]
fn any_origin_may_read_every_answer() {
    let mut pair = Pair::suite();
    let open = pair.request(Method::GET, OPEN, &[("origin", "https://a.example")], "");
    let open = pair.answered(open);
    assert_eq!((open.header("access-control-allow-origin"), open.header("cache-control")), ("*", "no-store"));
    assert_eq!(open.header("access-control-allow-credentials"), "");
    let refused = pair.request(Method::POST, OPEN, &[("origin", "https://a.example")], "");
    let refused = pair.answered(refused);
    assert_eq!((refused.status.as_u16(), refused.header("access-control-allow-origin")), (400, "*"));
    assert_eq!(refused.header("content-type"), "application/json");
}

#[test]
fn a_preflight_is_answered_with_what_was_asked_for() {
    let mut pair = Pair::suite();
    for (wanted, allowed) in [(Some("x-one, x-two"), "x-one, x-two"), (None, "Content-Type")] {
        let mut headers = vec![("origin", "https://a.example"), ("access-control-request-method", "POST")];
        headers.extend(wanted.map(|wanted| ("access-control-request-headers", wanted)));
        let preflight = pair.request(Method::OPTIONS, OPEN, &headers, "");
        let answer = pair.answered(preflight);
        assert_eq!(answer.brief(), (204, ""));
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-allow-methods"), "GET, POST, OPTIONS");
        assert_eq!(answer.header("access-control-allow-headers"), allowed);
        assert_eq!(answer.header("access-control-max-age"), "86400");
    }
}

#[test]
fn listed_origins_are_let_in_with_credentials() {
    let mut pair = Pair::new(listed(), Conformance::new());
    let open = pair.request(Method::GET, OPEN, &[("origin", "https://good.example")], "");
    let answer = pair.answered(open);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "https://good.example");
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.header("vary"), "Origin");
    let no_browser = pair.get(OPEN);
    let answer = pair.answered(no_browser);
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, ""));
    assert!(pair.try_web_socket(STREAM, Some("https://good.example")).is_ok());
    assert!(pair.try_web_socket(STREAM, None).is_ok());
}

#[test]
fn other_origins_are_forbidden() {
    let mut pair = Pair::new(listed(), Conformance::new());
    for origin in
        ["https://bad.example", "http://good.example", "https://good.example:1", "https://GOOD.example", "null"]
    {
        let open = pair.request(Method::GET, OPEN, &[("origin", origin)], "");
        let answer = pair.answered(open);
        assert_eq!(answer.brief(), (403, r#"{"code":4,"message":"Forbidden"}"#), "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), "");
        assert_eq!(pair.try_web_socket(STREAM, Some(origin)).unwrap_err().status, 403, "{origin}");
        let preflight = pair.request(Method::OPTIONS, OPEN, &[("origin", origin)], "");
        assert_eq!(pair.answered(preflight).header("access-control-allow-origin"), "", "{origin}");
    }
    assert_eq!(pair.host.audit().sessions, 0);
}

#[test]
fn polling_alone() {
    let mut pair = Pair::new(with_transports(Transports::Polling), Conformance::new());
    let open = pair.get(OPEN);
    let open = pair.answered(open);
    assert!(open.body.contains(r#""upgrades":[]"#), "{}", open.body);
    let refused = pair.try_web_socket(STREAM, None).unwrap_err();
    assert_eq!(refused.brief(), (400, r#"{"code":0,"message":"Transport unknown"}"#));
    let peer = pair.open("/engine.io/", Via::Polling);
    let target = pair.upgrade_target(peer);
    assert_eq!(pair.try_web_socket(&target, None).unwrap_err().status, 400);
    assert_eq!(pair.ask(peer, "4x"), ["4x"]);
}

/// As with engine.io's `allowUpgrades: false`: nothing is offered. A client that tries all the same stays where it is.
#[test]
fn both_transports_without_upgrades() {
    let mut pair = Pair::new(with_transports(Transports::BothWithoutUpgrades), Conformance::new());
    let open = pair.get(OPEN);
    let open = pair.answered(open);
    assert!(open.body.contains(r#""upgrades":[]"#), "{}", open.body);
    let polling = pair.open("/engine.io/", Via::Polling);
    let target = pair.upgrade_target(polling);
    assert_eq!(pair.try_web_socket(&target, None).unwrap_err().status, 400);
    let stream = pair.open("/engine.io/", Via::WebSocket);
    for peer in [polling, stream] {
        assert_eq!(pair.ask(peer, "4x"), ["4x"]);
    }
}

/// engine.io's option `cookie`: on the response that opens a session, and on no other.
#[test]
fn a_cookie_has_the_id_of_the_session() {
    let mut config = with_transports(Transports::Both);
    for endpoint in &mut config.endpoints {
        if let EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine) = &mut endpoint.kind {
            engine.cookie = Some(SessionCookie::default());
        }
    }
    let mut pair = Pair::new(config.clone(), Conformance::new());
    let open = pair.get(OPEN);
    let open = pair.answered(open);
    let sid = open.body.split('"').nth(3).unwrap();
    assert_eq!(open.header("set-cookie"), format!("io={sid}; Path=/; HttpOnly; SameSite=Lax"));
    let sent = pair.post(&format!("{OPEN}&sid={sid}"), "4x");
    let sent = pair.answered(sent);
    let got = pair.get(&format!("{OPEN}&sid={sid}"));
    let got = pair.answered(got);
    assert_eq!((sent.brief(), got.brief()), ((200, "ok"), (200, "4x")));
    assert_eq!((sent.header("set-cookie"), got.header("set-cookie")), ("", ""));
    let refused = pair.get("/engine.io/?EIO=3&transport=polling");
    assert_eq!(pair.answered(refused).header("set-cookie"), "");

    if let EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine) = &mut config.endpoints[0].kind {
        engine.cookie = Some(SessionCookie { name: "a b".into(), ..SessionCookie::default() });
    }
    assert_eq!(config.check(), Err(ConfigError::CookieMalformed));
}

#[test]
fn web_socket_alone() {
    let mut pair = Pair::new(with_transports(Transports::WebSocket), Conformance::new());
    let open = pair.get(OPEN);
    assert_eq!(pair.answered(open).brief(), (400, r#"{"code":0,"message":"Transport unknown"}"#));
    let peer = pair.open("/engine.io/", Via::WebSocket);
    assert_eq!(pair.ask(peer, "4x"), ["4x"]);
}

#[test]
fn a_web_socket_handshake_without_its_headers_is_400() {
    let mut pair = Pair::suite();
    let get = pair.get(STREAM);
    assert_eq!(pair.answered(get).status, 400);
}

#[test]
fn a_path_is_the_same_with_and_without_its_slash() {
    let mut pair = Pair::suite();
    for (path, there) in [
        ("/engine.io", true),
        ("/engine.io/", true),
        ("/socket.io", true),
        ("/engine.iox", false),
        ("/engine.io/x", false),
        ("/", false),
        ("/ENGINE.IO/", false),
    ] {
        assert_eq!(pair.server().route(path).is_some(), there, "{path}");
    }
}

#[test]
fn a_poll_that_the_server_does_not_know_how_to_answer_is_400() {
    let mut pair = Pair::suite();
    let peer = pair.open("/engine.io/", Via::Polling);
    let target = pair.target(peer);
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD] {
        let request = pair.request(method.clone(), &target, &[], "");
        assert_eq!(pair.answered(request).status, 400, "{method}");
    }
    assert_eq!(pair.ask(peer, "4x"), ["4x"], "and ends nothing");
}

#[test]
fn of_a_name_that_comes_twice_the_first_counts() {
    let mut pair = Pair::suite();
    let get = pair.get("/engine.io/?EIO=4&transport=polling&EIO=3&transport=websocket&t=abc");
    assert_eq!(pair.answered(get).status, 200);
}

fn listed() -> Config {
    let mut config = Conformance::config(Profile::SUITE);
    for endpoint in &mut config.endpoints {
        endpoint.origins = Origins::List(vec!["https://good.example".into(), "https://other.example".into()]);
    }
    config
}

fn with_transports(transports: Transports) -> Config {
    let mut config = Conformance::config(Profile::SUITE);
    for endpoint in &mut config.endpoints {
        match &mut endpoint.kind {
            EndpointKind::SocketIo(engine, _) | EndpointKind::EngineIo(engine) => engine.transports = transports,
            EndpointKind::WebSocket(_) => {}
            _ => {}
        }
    }
    config
}

const OPEN: &str = "/engine.io/?EIO=4&transport=polling";
const STREAM: &str = "/engine.io/?EIO=4&transport=websocket";
