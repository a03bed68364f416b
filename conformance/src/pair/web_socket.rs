//! The client's end of a WebSocket.
//!
//! Owns: frames in both directions, and the closing handshake's answer. Must never know: Engine.IO.

use roomcast_core::engine_io::Packet;
use roomcast_core::server::{App, ConnId};
use roomcast_core::websocket::{Decoder, Fin, FrameLimits, Opcode, Role, WsMessage, encode_close, encode_frame};
use roomcast_testkit::StreamEnd;

use super::state::{Pair, TestResponse, Ws, WsClient, handshake};

impl<A: App> Pair<A> {
    /// Opens a WebSocket.
    ///
    /// # Panics
    ///
    /// If the server refuses it.
    pub fn web_socket(&mut self, target: &str) -> Ws {
        match self.try_web_socket(target, None) {
            Ok(ws) => ws,
            Err(answer) => panic!("{target} is refused: {answer:?}"),
        }
    }

    /// Opens a WebSocket.
    ///
    /// # Errors
    ///
    /// The response of a server that refuses.
    pub fn try_web_socket(&mut self, target: &str, origin: Option<&str>) -> Result<Ws, Box<TestResponse>> {
        let ws = self.web_socket_unsettled(target, origin)?;
        self.settle();
        Ok(ws)
    }

    /// Opens a WebSocket without running the server.
    ///
    /// # Errors
    ///
    /// The response of a server that refuses.
    pub fn web_socket_unsettled(&mut self, target: &str, origin: Option<&str>) -> Result<Ws, Box<TestResponse>> {
        let request = handshake(target, origin);
        let Some(endpoint) = self.host.server().route(request.uri().path()) else { panic!("no such path: {target}") };
        let (conn, response) =
            self.host.upgrade(endpoint, &request).map_err(|response| Box::new(TestResponse::of(&response)))?;
        assert_eq!(response.status(), 101, "an accepted WebSocket");
        let decoder = Decoder::new(Role::Client);
        self.sockets.push(WsClient { conn, decoder, inbox: Vec::new(), close: String::new(), left: false });
        Ok(Ws(self.sockets.len() - 1))
    }

    /// Sends an Engine.IO packet in its text form, where `b` and base64 is a binary message; or any other text.
    pub fn ws_send(&mut self, ws: Ws, text: &str) {
        self.ws_send_unsettled(ws, text);
        self.settle();
    }

    /// Sends a message without running the server.
    pub fn ws_send_unsettled(&mut self, ws: Ws, text: &str) {
        match text.strip_prefix('b').map(|_| roomcast_core::engine_io::decode_payload(text.to_owned().into()).next()) {
            Some(Some(Ok(Packet::Binary(bytes)))) => self.frame(ws, Fin::Final, Opcode::Binary, &bytes),
            Some(_) | None => self.frame(ws, Fin::Final, Opcode::Text, text.as_bytes()),
        }
    }

    /// Sends one masked WebSocket frame.
    pub fn frame(&mut self, ws: Ws, fin: Fin, opcode: Opcode, payload: &[u8]) {
        let mask = self.mask();
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, fin, opcode, payload, Some(mask));
        self.raw(ws, &bytes);
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, ws: Ws, bytes: &[u8]) {
        if let Some(client) = self.sockets.get(ws.0).filter(|client| !client.left) {
            self.host.ws_bytes(client.conn, bytes);
        }
    }

    /// Takes what was received: texts as they are, binary messages as `b` and base64, control frames by name (`close 1000`), the
    /// end of the stream as `end`.
    pub fn ws_take(&mut self, ws: Ws) -> Vec<String> {
        self.settle();
        self.sockets.get_mut(ws.0).map(|client| std::mem::take(&mut client.inbox)).unwrap_or_default()
    }

    /// Ends the stream without a close frame.
    pub fn hang_up(&mut self, ws: Ws) {
        if let Some(client) = self.sockets.get_mut(ws.0)
            && !std::mem::replace(&mut client.left, true)
        {
            self.host.ws_ended(client.conn);
        }
        self.settle();
    }

    /// Whether the stream has ended, by the server.
    pub fn ws_ended(&mut self, ws: Ws) -> bool {
        self.settle();
        let conn = self.conn(ws);
        self.host.stream(conn).end.is_some()
    }

    /// The connection at the server.
    pub fn conn(&self, ws: Ws) -> ConnId {
        match self.sockets.get(ws.0) {
            Some(client) => client.conn,
            None => panic!("no such WebSocket"),
        }
    }

    /// The socket refuses bytes from now on.
    pub fn block(&mut self, ws: Ws) {
        let conn = self.conn(ws);
        self.host.stream(conn).room = 0;
    }

    /// The socket takes this many more bytes.
    pub fn unblock(&mut self, ws: Ws, bytes: usize) {
        let conn = self.conn(ws);
        self.host.give_room(conn, bytes);
        self.settle();
    }

    /// Decodes what was received; whether there was anything.
    pub(super) fn pump_web_sockets(&mut self) -> bool {
        let mut any = false;
        for index in 0..self.sockets.len() {
            any |= self.pump_web_socket(index);
        }
        any
    }

    fn pump_web_socket(&mut self, index: usize) -> bool {
        let mask = self.mask();
        let Some(client) = self.sockets.get_mut(index).filter(|client| !client.left) else { return false };
        let stream = self.host.stream(client.conn);
        let bytes = std::mem::take(&mut stream.sent);
        let end = stream.end;
        let mut input = bytes.as_slice();
        let mut answer = Vec::new();
        loop {
            match client.decoder.decode(&LIMITS, &mut input) {
                Ok(Some(WsMessage::Close(frame))) => {
                    let code = frame.map(|frame| frame.code);
                    let number = code.map_or_else(String::new, |code| format!(" {code}"));
                    client.close = format!("close{number}");
                    client.inbox.push(client.close.clone());
                    encode_close(&mut answer, code.map(|code| (code, "")), Some(mask));
                }
                Ok(Some(message)) => client.inbox.push(text_of(message)),
                Ok(None) => break,
                Err(error) => panic!("the server's frames are broken: {error:?}"),
            }
        }
        let mut any = !bytes.is_empty();
        if end.is_some() {
            client.inbox.push("end".to_owned());
            client.left = true;
            any = true;
        }
        let (conn, half) = (client.conn, end == Some(StreamEnd::HalfClosed));
        if !answer.is_empty() {
            self.host.ws_bytes(conn, &answer);
        }
        if half {
            self.host.ws_ended(conn);
        }
        any
    }

    fn mask(&mut self) -> [u8; 4] {
        let mut mask = [0; 4];
        self.masks.fill(&mut mask);
        mask
    }
}

fn text_of(message: WsMessage) -> String {
    match message {
        WsMessage::Text(text) => text.to_string(),
        WsMessage::Binary(bytes) => {
            let mut form = Vec::new();
            Packet::Binary(bytes).encode_text(&mut form);
            String::from_utf8(form).unwrap_or_default()
        }
        WsMessage::Ping(payload) => format!("ping {}", payload.escape_ascii()),
        WsMessage::Pong(payload) => format!("pong {}", payload.escape_ascii()),
        WsMessage::Close(_) => String::new(),
    }
}

const LIMITS: FrameLimits = FrameLimits { message_bytes_max: 1 << 30, fragments_max: u32::MAX };
