//! A whole client: it opens a session, polls, answers pings, and can move to a WebSocket.
//!
//! Owns: what an Engine.IO client does by itself. Must never know: what a test sends.

use http::Method;
use roomcast_core::engine_io::{OpenData, Packet, decode_payload};
use roomcast_core::server::App;

use super::state::{Over, Pair, Peer, PeerState, Pongs, TestRequest, Via, Ws, WsLink};

impl<A: App> Pair<A> {
    /// A client of the endpoint at `path`.
    pub fn open(&mut self, path: &str, via: Via) -> Peer {
        let peer = match via {
            Via::WebSocket => self.open_web_socket(path),
            Via::Polling | Via::Upgrade => self.open_polling(path),
        };
        if via == Via::Upgrade {
            self.upgrade(peer);
        }
        peer
    }

    /// A client of `/socket.io/` that is in a namespace; its Socket.IO id.
    ///
    /// # Panics
    ///
    /// If it is not let in.
    pub fn join_namespace(&mut self, via: Via, namespace: &str) -> (Peer, String) {
        let peer = self.open("/socket.io/", via);
        let sid = self.connect(peer, namespace, "");
        (peer, sid)
    }

    /// Sends CONNECT; the Socket.IO id.
    ///
    /// # Panics
    ///
    /// If it is not let in.
    pub fn connect(&mut self, peer: Peer, namespace: &str, auth: &str) -> String {
        let name = if namespace == "/" { String::new() } else { format!("{namespace},") };
        self.send(peer, &format!("40{name}{auth}"));
        let mut got = self.take(peer);
        let at = got.iter().position(|packet| packet.starts_with(&format!("40{name}{{")));
        let answer = at.map(|at| got.remove(at)).unwrap_or_default();
        self.peer_mut(peer).inbox.splice(0..0, got);
        let sid = answer.strip_prefix(&format!("40{name}{{\"sid\":\"")).and_then(|rest| rest.strip_suffix("\"}"));
        match sid {
            Some(sid) => sid.to_owned(),
            None => panic!("not let into {namespace}: {answer:?}"),
        }
    }

    /// Sends Engine.IO packets in their text form, each in a frame or all in one POST.
    pub fn send_all(&mut self, peer: Peer, packets: &[&str]) {
        match self.peer(peer).link {
            WsLink::WebSocket(ws) => packets.iter().for_each(|packet| self.ws_send_unsettled(ws, packet)),
            WsLink::Polling { .. } => {
                let target = self.target(peer);
                let post = self.request(Method::POST, &target, &[], &packets.join("\x1e"));
                if let Some(answer) = self.answer(post)
                    && answer.brief() != (200, "ok")
                {
                    self.end(peer, Over::Status(answer.status.as_u16()));
                }
            }
        }
        self.settle();
    }

    /// Sends an Engine.IO packet.
    pub fn send(&mut self, peer: Peer, packet: &str) {
        self.send_all(peer, &[packet]);
    }

    /// Takes the packets received, in their text form, without noops and the pings that were answered.
    pub fn take(&mut self, peer: Peer) -> Vec<String> {
        self.settle();
        std::mem::take(&mut self.peer_mut(peer).inbox)
    }

    /// Sends an Engine.IO packet and takes what is received after it.
    pub fn ask(&mut self, peer: Peer, packet: &str) -> Vec<String> {
        self.send(peer, packet);
        self.take(peer)
    }

    /// How it ended, if it has.
    pub fn over(&mut self, peer: Peer) -> Option<Over> {
        self.settle();
        self.peer(peer).over.clone()
    }

    /// It answers no more pings.
    pub fn keep_pongs(&mut self, peer: Peer) {
        self.peer_mut(peer).pongs = Pongs::Kept;
    }

    /// The Engine.IO session id.
    pub fn sid(&self, peer: Peer) -> String {
        self.peer(peer).handshake.sid.clone()
    }

    /// Path and query of its polling requests.
    pub fn target(&self, peer: Peer) -> String {
        let peer = self.peer(peer);
        format!("{}?EIO=4&transport=polling&sid={}", peer.target, peer.handshake.sid)
    }

    /// Path and query of its upgrade.
    pub fn upgrade_target(&self, peer: Peer) -> String {
        let peer = self.peer(peer);
        format!("{}?EIO=4&transport=websocket&sid={}", peer.target, peer.handshake.sid)
    }

    /// The WebSocket that carries the session of this client.
    ///
    /// # Panics
    ///
    /// If the client uses long polling.
    pub fn ws(&self, peer: Peer) -> Ws {
        match self.peer(peer).link {
            WsLink::WebSocket(ws) => ws,
            WsLink::Polling { .. } => panic!("this client polls"),
        }
    }

    /// Moves from polling to a WebSocket.
    ///
    /// # Panics
    ///
    /// If the server does not do its part.
    pub fn upgrade(&mut self, peer: Peer) {
        let target = self.upgrade_target(peer);
        let ws = self.web_socket(&target);
        // Its polls stop with the one that the answered probe releases.
        let WsLink::Polling { get } = self.peer(peer).link else { panic!("upgraded already") };
        self.peer_mut(peer).link = WsLink::WebSocket(ws);
        self.ws_send(ws, "2probe");
        assert_eq!(self.ws_take(ws), ["3probe"]);
        if let Some(get) = get {
            assert_eq!(self.answered(get).brief(), (200, "6"), "a probe that is answered releases the poll");
        }
        self.ws_send(ws, "5");
    }

    /// Ends the client without closing its session.
    pub fn vanish(&mut self, peer: Peer) {
        if self.peer(peer).over.is_none() {
            self.end(peer, Over::Left);
            match self.peer(peer).link {
                WsLink::WebSocket(ws) => self.hang_up(ws),
                WsLink::Polling { get: Some(get) } => self.abort(get),
                WsLink::Polling { get: None } => {}
            }
        }
    }

    /// Takes what was received; whether there was anything.
    pub(super) fn pump_peers(&mut self) -> bool {
        let mut any = false;
        for index in 0..self.peers.len() {
            let peer = Peer(index);
            if self.peer(peer).over.is_none() {
                any |= match self.peer(peer).link {
                    WsLink::WebSocket(ws) => self.pump_streaming(peer, ws),
                    WsLink::Polling { get } => self.pump_polling(peer, get),
                };
            }
        }
        any
    }

    fn pump_streaming(&mut self, peer: Peer, ws: Ws) -> bool {
        let Some(client) = self.sockets.get_mut(ws.0) else { return false };
        // The texts of an upgrade are the upgrade's.
        if client.inbox.first().is_some_and(|first| first == "3probe") {
            return false;
        }
        let (got, close) = (std::mem::take(&mut client.inbox), client.close.clone());
        for text in &got {
            if text == "end" {
                self.end(peer, Over::Closed(close.clone()));
            } else if !text.starts_with("close") {
                self.packet(peer, text);
            }
        }
        !got.is_empty()
    }

    fn pump_polling(&mut self, peer: Peer, get: Option<TestRequest>) -> bool {
        if let Some(get) = get {
            let Some(answer) = self.answer(get) else { return false };
            if answer.status != 200 {
                self.end(peer, Over::Status(answer.status.as_u16()));
                return true;
            }
            assert!(!answer.body.is_empty(), "an answer has at least one packet");
            assert!(answer.body.split('\x1e').count() <= 16, "an answer has at most 16 packets");
            for text in answer.body.split('\x1e') {
                self.packet(peer, text);
            }
            if self.peer(peer).over.is_some() {
                return true;
            }
        }
        let target = self.target(peer);
        let next = self.begin_get(&target);
        if let WsLink::Polling { get } = &mut self.peer_mut(peer).link {
            *get = Some(next);
        }
        true
    }

    /// A GET; the caller settles.
    fn begin_get(&mut self, target: &str) -> TestRequest {
        let request = self.begin_unsettled(Method::GET, target, &[]);
        self.finish_unsettled(request, "");
        request
    }

    fn packet(&mut self, peer: Peer, text: &str) {
        match text {
            "6" => {}
            "2" if self.peer(peer).pongs == Pongs::Sent => match self.peer(peer).link {
                WsLink::WebSocket(ws) => self.ws_send_unsettled(ws, "3"),
                WsLink::Polling { .. } => {
                    let target = self.target(peer);
                    let post = self.begin_unsettled(Method::POST, &target, &[]);
                    self.finish_unsettled(post, "3");
                }
            },
            "1" => self.end(peer, Over::ClosePacket),
            _ => self.peer_mut(peer).inbox.push(text.to_owned()),
        }
    }

    fn open_web_socket(&mut self, path: &str) -> Peer {
        let ws = self.web_socket(&format!("{path}?EIO=4&transport=websocket"));
        let got = self.ws_take(ws);
        let [open] = got.as_slice() else { panic!("one packet: {got:?}") };
        self.new_peer(path, open, WsLink::WebSocket(ws))
    }

    fn open_polling(&mut self, path: &str) -> Peer {
        let get = self.get(&format!("{path}?EIO=4&transport=polling"));
        let answer = self.answered(get);
        assert_eq!(answer.status, 200, "{answer:?}");
        self.new_peer(path, &answer.body, WsLink::Polling { get: None })
    }

    fn new_peer(&mut self, path: &str, open: &str, link: WsLink) -> Peer {
        let packet = decode_payload(open.to_owned().into()).next();
        let Some(Ok(Packet::Open(json))) = packet else { panic!("not an open packet: {open}") };
        let Ok(handshake) = OpenData::decode(&json) else { panic!("not a handshake: {json}") };
        self.peers.push(PeerState {
            target: path.to_owned(),
            handshake,
            link,
            inbox: Vec::new(),
            pongs: Pongs::Sent,
            over: None,
        });
        self.settle();
        Peer(self.peers.len() - 1)
    }

    fn end(&mut self, peer: Peer, over: Over) {
        self.peer_mut(peer).over.get_or_insert(over);
    }

    fn peer(&self, peer: Peer) -> &PeerState {
        match self.peers.get(peer.0) {
            Some(state) => state,
            None => panic!("no such client"),
        }
    }

    fn peer_mut(&mut self, peer: Peer) -> &mut PeerState {
        match self.peers.get_mut(peer.0) {
            Some(state) => state,
            None => panic!("no such client"),
        }
    }
}
