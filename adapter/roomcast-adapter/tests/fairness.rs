//! Clients that send tiny events without pause, on each runtime: the others are answered, connections are accepted, and
//! the server ends when it is told to.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "helpers of tests; an ack's wait is measured")]
#![allow(clippy::wildcard_enum_match_arm, reason = "any message but a text is a failure")]

mod nodes;

use std::thread;
use std::time::{Duration, Instant};

use roomcast_adapter::Builder;

use self::nodes::attacker::Attacker;
use self::nodes::{Client, Node, connect};

#[test]
fn on_tokio() {
    FLOODS.into_iter().for_each(|flood| withstands(Node::on_tokio(builder()), flood));
}

#[test]
fn on_smol() {
    FLOODS.into_iter().for_each(|flood| withstands(Node::on_smol(builder()), flood));
}

#[test]
fn on_async_std() {
    FLOODS.into_iter().for_each(|flood| withstands(Node::on_async_std(builder()), flood));
}

fn builder() -> Builder {
    Builder::new().socket_io("/socket.io", |io| {
        io.namespace("/", |ns| {
            ns.on("usage", async || {});
            ns.on("ask", async || "answer");
        });
    })
}

/// What attackers send, again and again, and whether they read what they are answered.
#[derive(Clone, Copy, Debug)]
struct Flood {
    event: &'static str,
    reads: bool,
}

const FLOODS: [Flood; 3] = [
    Flood { event: r#"42["usage"]"#, reads: true },
    Flood { event: r#"421["usage"]"#, reads: true },
    Flood { event: r#"421["usage"]"#, reads: false },
];

fn withstands(node: Node, flood: Flood) {
    let attackers: Vec<_> = (0..4).map(|_| Attacker::start(connect(node.address), flood.event, flood.reads)).collect();
    for attacker in &attackers {
        attacker.is_at_it.recv_timeout(Duration::from_secs(20)).unwrap();
    }
    // A machine that has other things to do may be slow once; a server that starves its clients always is.
    let mut slowest = Vec::new();
    let is_quick = (0..10).any(|_| {
        let mut victim = node.client();
        let waits = (0..20).map(|_| ask(&mut victim));
        slowest.extend(waits.max());
        slowest.last().is_some_and(|wait| *wait < Duration::from_millis(250))
    });
    println!("{flood:?}: {slowest:?}");
    assert!(is_quick, "{flood:?}: {slowest:?}");
    let handle = node.handle.clone();
    let shutdown = thread::spawn(move || smol::block_on(handle.shutdown(Duration::from_millis(500))));
    assert_eq!(node.ended.recv_timeout(Duration::from_secs(20)), Ok(()), "{flood:?}: the server ends");
    shutdown.join().unwrap();
    drop(attackers);
}

/// How long the answer takes.
fn ask(victim: &mut Client) -> Duration {
    let asked = Instant::now();
    assert_eq!(victim.ask(r#"421["ask"]"#), r#"431["answer"]"#);
    asked.elapsed()
}
