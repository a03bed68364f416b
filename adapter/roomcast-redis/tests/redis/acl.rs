//! Users, passwords and what they may do.

use roomcast_redis::{BusEvent, Channel, RedisFault};

use crate::ear::Ear;
use crate::server::RedisServer;

/// The rights that python-socketio needs: nothing but these commands and channels.
const USER: &[&str] = &[
    "ACL",
    "SETUSER",
    "node",
    "on",
    ">secret",
    "resetchannels",
    "&socketio",
    "&socketio#*",
    "nocommands",
    "+publish",
    "+subscribe",
    "+unsubscribe",
    "+ping",
];

fn server() -> RedisServer {
    let server = RedisServer::start(&[]);
    let mut command = redis::cmd(USER[0]);
    for arg in &USER[1..] {
        command.arg(*arg);
    }
    command.query::<()>(&mut server.admin()).unwrap();
    server
}

fn url(server: &RedisServer, login: &str) -> String {
    server.url().replace("redis://", &format!("redis://{login}@"))
}

#[test]
fn a_user_with_few_rights_can_do_what_the_bus_needs() {
    let server = server();
    let ear = Ear::on(&url(&server, "node:secret"), "socketio#/#room");
    ear.bus.publish("socketio#/#room", "allowed").unwrap();
    assert_eq!(ear.message(), "allowed");
}

#[test]
fn a_denied_channel_is_told_and_the_others_go_on() {
    let server = server();
    let ear = Ear::on(&url(&server, "node:secret"), "socketio");
    let (denied, allowed) = (Channel::exact("secrets"), Channel::exact("socketio#"));
    ear.bus.subscribe(denied.clone());
    ear.bus.subscribe(allowed.clone());
    let refused = ear.until(|event| matches!(event, BusEvent::SubscriptionRefused(..)));
    let BusEvent::SubscriptionRefused(channel, fault) = refused else { unreachable!() };
    assert_eq!(channel, denied);
    assert!(matches!(&fault, RedisFault::Denied(_)) && fault.is_setting(), "{fault}");
    assert!(fault.to_string().contains("ACL"), "{fault}");
    ear.until(|event| matches!(event, BusEvent::Subscribed(channel) if *channel == allowed));
    ear.bus.publish("secrets", "denied").unwrap();
    ear.bus.publish("socketio", "allowed").unwrap();
    assert_eq!(ear.message(), "allowed");
    let stats = ear.stats_when(|stats| stats.denied == 2);
    assert_eq!((stats.published, stats.lost_in_flight, stats.connections_lost), (1, 1, 0));
}

#[test]
fn a_wrong_password_is_told_as_such_and_mended_without_a_restart() {
    let server = server();
    let ear = Ear::new(&url(&server, "node:wrong"));
    let fault = ear.until_down();
    assert!(matches!(&fault, RedisFault::Unauthorised(_)) && fault.is_setting(), "{fault}");
    redis::cmd("ACL").arg(&["SETUSER", "node", ">wrong"]).query::<()>(&mut server.admin()).unwrap();
    assert_eq!(ear.until_up(), None);
}
