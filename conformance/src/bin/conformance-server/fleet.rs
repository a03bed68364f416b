//! What clients may ask of the whole fleet, and what its applications say to each other.
//!
//! Owns: the events `fetch` and `server-emit`, and the answers to other applications. Must never know: the bus.

use std::time::Duration;

use roomcast_core::server::AckEnd;
use roomcast_tokio::{Args, Data, Handle, Namespace, NoAck, Socket};

pub fn of_fleet(ns: &mut Namespace) {
    // The sockets of the room, with their rooms, and how many nodes have not answered.
    ns.on("fetch", async |socket: Socket, Data((room,)): Data<(String,)>| {
        let fetched = socket.everyone().to(room).fetch_sockets(TIMEOUT).await?;
        let sockets: Vec<(&str, Vec<&str>)> = fetched
            .sockets
            .iter()
            .map(|found| (&*found.sid, found.rooms.iter().map(|room| &**room).collect()))
            .collect();
        Args::from_serialize(&(sockets, fetched.nodes_missing)).ok()
    });
    // An event `ask` for the other applications; what they reply, and whether all did.
    ns.on("server-emit", async |socket: Socket, args: Args| {
        let answer = socket.everyone().server_side_emit_with_ack("ask", args, TIMEOUT).await.ok()?;
        let replies: Vec<Args> = answer.replies.into_iter().map(|(_, args)| args).collect();
        Some(listed(&replies, answer.end == AckEnd::Complete))
    });
    // The same where one may not answer.
    ns.on("server-ask-briefly", async |socket: Socket, args: Args| {
        let answer = socket.everyone().server_side_emit_with_ack("ask", args, BRIEFLY).await.ok()?;
        let replies: Vec<Args> = answer.replies.into_iter().map(|(_, args)| args).collect();
        Some(listed(&replies, answer.end == AckEnd::Complete))
    });
    ns.on("server-tell", async |socket: Socket, args: Args| {
        socket.everyone().server_side_emit("tell", args).await;
        NoAck
    });
    ns.on_server_side("ask", async |heard: Args| {
        let text = format!("{{\"roomcast\":[{}]}}", heard.json());
        Args::from_received(text.into(), heard.attachments().to_vec()).unwrap_or_default()
    });
    // The clients of this node are told.
    ns.on_server_side("tell", async |handle: Handle, args: Args| {
        handle.of("/").local().emit("server-event", args).await;
        NoAck
    });
}

/// The lists of several answers, and something behind them. One of the answers may have bytes.
pub fn listed(answers: &[Args], last: impl std::fmt::Display) -> Args {
    let lists: Vec<String> = answers.iter().map(|args| format!("[{}]", args.json())).collect();
    let attachments = answers.iter().flat_map(Args::attachments).cloned().collect();
    Args::from_received(format!("[{}],{last}", lists.join(",")).into(), attachments).unwrap_or_default()
}

/// Longer than the clients of the tests wait: an answer that comes must not be due to it.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Long enough for those that do answer.
const BRIEFLY: Duration = Duration::from_secs(2);
