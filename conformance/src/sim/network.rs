//! Streams and requests between clients and the server, with the faults that can hit them.
//!
//! Owns: WebSockets as ordered byte streams that are delayed, re-chunked, cut and full, and polling requests that
//! overtake each other where a browser's would: one GET and one POST at a time. Must never know: Socket.IO.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use roomcast_core::websocket::{Decoder, Fin, FrameLimits, Opcode, Role, WsMessage, encode_close, encode_frame};
use roomcast_testkit::StreamEnd;

use super::client::{PacketEffect, Stage};
use super::weather::Weather;
use super::wires::{CallStage, HttpCall, NetworkEvent, Wire, WsPurpose};
use super::world::World;
use crate::pair::{Via, handshake};

impl World {
    pub(super) fn happen(&mut self, next: NetworkEvent) -> Result<(), String> {
        match next {
            NetworkEvent::Act { client } => {
                self.act(client);
                Ok(())
            }
            NetworkEvent::Dial { client, epoch, purpose } => {
                self.dialled(client, epoch, purpose);
                Ok(())
            }
            NetworkEvent::Up { wire } => {
                self.up(wire);
                Ok(())
            }
            NetworkEvent::Down { wire } => self.down(wire),
            NetworkEvent::Space { wire, bytes } => {
                let wire = &self.wires[wire];
                if !wire.done {
                    self.host.give_room(wire.conn, bytes);
                }
                Ok(())
            }
            NetworkEvent::Ended { wire } => {
                self.end_wire(wire);
                Ok(())
            }
            NetworkEvent::Expelled { wire } => {
                let wire = &self.wires[wire];
                if wire.done || self.host.stream(wire.conn).end.is_some() {
                    return Ok(());
                }
                Err(format!("a second WebSocket of client {} stays open", wire.client))
            }
            NetworkEvent::Head { call } => self.head(call),
            NetworkEvent::Body { call } => {
                self.body(call);
                Ok(())
            }
            NetworkEvent::Answer { call } => self.answer(call),
            NetworkEvent::Abort { call } => {
                let stage = std::mem::replace(&mut self.calls[call].stage, CallStage::Done);
                if let CallStage::Begun(id) | CallStage::Running(id) = stage {
                    self.host.abort(id);
                }
                if matches!(stage, CallStage::Running(_)) && self.calls[call].method == Method::GET {
                    self.gone = std::mem::take(&mut self.calls[call].sids);
                }
                Ok(())
            }
        }
    }

    /// Takes what the server has written and answered.
    pub(super) fn collect(&mut self) {
        let mut live = std::mem::take(&mut self.live_wires);
        live.retain(|index| !self.wires[*index].done);
        for index in live.iter().copied() {
            let wire = &mut self.wires[index];
            let stream = self.host.stream(wire.conn);
            wire.down.append(&mut stream.sent);
            let news = stream.end.is_some() && wire.server_end != stream.end;
            wire.server_end = stream.end;
            if wire.server_end == Some(StreamEnd::Closed) && wire.cut {
                wire.done = true;
            } else if (news || !wire.down.is_empty()) && !std::mem::replace(&mut wire.down_planned, true) {
                let delay = self.delay();
                self.plan(delay, NetworkEvent::Down { wire: index });
            }
        }
        self.live_wires = live;
        let mut live = std::mem::take(&mut self.live_calls);
        live.retain(|index| matches!(self.calls[*index].stage, CallStage::Running(_)));
        for index in live.iter().copied() {
            let call = &mut self.calls[index];
            if let CallStage::Running(id) = call.stage
                && let Some(response) = self.host.take_answer(id)
            {
                let body = String::from_utf8_lossy(response.body()).into_owned();
                call.stage = CallStage::Answered(response.status().as_u16(), body);
                let delay = self.delay();
                self.plan(delay, NetworkEvent::Answer { call: index });
            }
        }
        self.live_calls = live;
    }

    /// A client sends what it has to send, if it can.
    pub(super) fn flush(&mut self, client: usize) {
        let state = &mut self.clients[client];
        if state.outbox.is_empty() || state.provoked.is_some() {
            return;
        }
        match state.stage {
            Stage::Streaming => {
                let packets: Vec<_> = state.outbox.drain(..).collect();
                for packet in packets {
                    self.write(client, &packet);
                }
            }
            Stage::Polling | Stage::Probing if self.ties[client].post.is_none() => {
                let packets: Vec<_> = state.outbox.drain(..).collect();
                let call = self.call(client, Method::POST, packets.join("\x1e"));
                self.ties[client].post = Some(call);
            }
            Stage::Polling | Stage::Probing | Stage::Away | Stage::Opening | Stage::Pausing => {}
        }
    }

    /// A client polls, if it should.
    pub(super) fn poll(&mut self, client: usize) {
        let polls = matches!(self.clients[client].stage, Stage::Polling | Stage::Probing);
        if polls && self.ties[client].get.is_none() {
            let call = self.call(client, Method::GET, String::new());
            self.ties[client].get = Some(call);
        }
    }

    /// A client asks for a session.
    pub(super) fn open(&mut self, client: usize) {
        let via = Via::ALL[self.index_below(3)];
        let now = self.host.now();
        let state = &mut self.clients[client];
        state.via = via;
        state.begun = self.weather;
        state.stage = Stage::Opening;
        state.last_heard = now;
        let epoch = state.epoch;
        if via == Via::WebSocket {
            let delay = self.delay();
            self.plan(delay, NetworkEvent::Dial { client, epoch, purpose: WsPurpose::Session });
        } else {
            let call = self.call(client, Method::GET, String::new());
            self.ties[client].get = Some(call);
        }
    }

    /// A client has been told that the server is full, which it may be of sessions whose end it has not noticed. It tries
    /// again.
    fn turned_away(&mut self, client: usize) {
        self.meet("limit: sessions");
        self.clients[client].begun = Weather::Storm;
    }

    /// A client loses all that it has out, and its session with it.
    pub(super) fn cut(&mut self, client: usize) {
        let state = &self.clients[client];
        if self.weather != Weather::Ending && !matches!(state.begun, Weather::Storm | Weather::Ending) {
            let stage = state.stage;
            let reason = state.joined().iter().find_map(|(_, sid)| self.model().reason(sid).map(str::to_owned));
            let what = format!("client {client} ({stage:?}) has lost a session that nothing befell: {reason:?}");
            self.fault.get_or_insert(what);
        }
        let ties = std::mem::take(&mut self.ties[client]);
        let sids: Vec<_> = self.clients[client].joined().into_iter().map(|(_, sid)| sid).collect();
        if let (Some(get), Stage::Polling) = (ties.get, self.clients[client].stage) {
            self.calls[get].sids.clone_from(&sids);
        }
        if let (Some(wire), Stage::Streaming) = (ties.wire, self.clients[client].stage) {
            self.wires[wire].sids = sids;
        }
        self.clients[client].reset();
        if let Some(wire) = ties.wire {
            self.cut_wire(wire);
        }
        for call in [ties.get, ties.post].into_iter().flatten() {
            self.calls[call].cut = true;
            if self.chance(2) || self.weather != Weather::Storm {
                self.meet("fault: a request is given up");
                let delay = self.delay();
                self.plan(delay, NetworkEvent::Abort { call });
            } else {
                self.meet("fault: a request is given up unnoticed");
            }
        }
    }

    /// A client no longer hears of a stream, and the server will notice, or will not.
    pub(super) fn cut_wire(&mut self, wire: usize) {
        // A lost probe holds a session's packets back until it is noticed: in fair weather that is soon.
        let noticed = self.weather == Weather::Fair || !self.chance(4);
        let delay = if self.weather == Weather::Fair { self.millis(0, 300) } else { self.millis(0, 1500) };
        let conn = self.wires[wire].conn;
        self.wires[wire].cut = true;
        if self.wires[wire].done {
            return;
        }
        if noticed {
            self.meet("fault: a stream ends");
            self.plan(delay, NetworkEvent::Ended { wire });
        } else {
            self.meet("fault: a stream ends unnoticed");
            self.host.stream(conn).room = 0;
        }
    }

    /// Writes one packet to a client's WebSocket.
    fn write(&mut self, client: usize, packet: &str) {
        let Some(index) = self.ties[client].wire else { return };
        let mut mask = [0; 4];
        self.rng.fill(&mut mask);
        let parts = if packet.len() > 8 && self.chance(8) { 2 } else { 1 };
        if parts > 1 {
            self.meet("fault: a fragmented message");
        }
        let wire = &mut self.wires[index];
        let binary = packet.strip_prefix('b').map(|_| super::client::bytes_of(packet));
        let (opcode, payload) = match &binary {
            Some(bytes) => (Opcode::Binary, bytes.as_ref()),
            None => (Opcode::Text, packet.as_bytes()),
        };
        let (first, rest) = payload.split_at(payload.len() / parts);
        if parts == 1 {
            encode_frame(&mut wire.up, Fin::Final, opcode, payload, Some(mask));
        } else {
            encode_frame(&mut wire.up, Fin::More, opcode, first, Some(mask));
            encode_frame(&mut wire.up, Fin::Final, Opcode::Continuation, rest, Some(mask));
        }
        self.plan_up(index);
    }

    /// Writes some of a packet to a client's WebSocket, and nothing behind that.
    pub(super) fn write_part(&mut self, client: usize, packet: &str, bytes: usize) {
        let Some(index) = self.ties[client].wire else { return };
        let mut frame = Vec::new();
        encode_frame(&mut frame, Fin::Final, Opcode::Text, packet.as_bytes(), Some([1, 2, 3, 4]));
        self.wires[index].up.extend(frame.into_iter().take(bytes));
        self.plan_up(index);
    }

    /// A client is told why its session ends.
    fn ended_for(&mut self, client: usize, wire: usize, code: u16) {
        if self.ties[client].wire == Some(wire)
            && let Some(provoked) = self.clients[client].provoked.filter(|provoked| provoked.close == code)
        {
            self.meet(provoked.limit);
        }
    }

    fn plan_up(&mut self, wire: usize) {
        if !std::mem::replace(&mut self.wires[wire].up_planned, true) {
            let delay = self.delay();
            self.plan(delay, NetworkEvent::Up { wire });
        }
    }

    fn dialled(&mut self, client: usize, epoch: u32, purpose: WsPurpose) {
        let state = &self.clients[client];
        if state.epoch != epoch {
            return;
        }
        let target = match purpose {
            WsPurpose::Session => format!("{PATH}?EIO=4&transport=websocket"),
            WsPurpose::Upgrade if state.stage == Stage::Polling => {
                format!("{PATH}?EIO=4&transport=websocket&sid={}", state.sid)
            }
            WsPurpose::Intruder if !state.sid.is_empty() => {
                format!("{PATH}?EIO=4&transport=websocket&sid={}", state.sid)
            }
            WsPurpose::Upgrade | WsPurpose::Intruder => return,
        };
        let Some(endpoint) = self.host.server().route(PATH) else { return };
        let Ok((conn, _)) = self.host.upgrade(endpoint, &handshake(&target, None)) else {
            // A session by polling may be over, which its polls will tell.
            if purpose == WsPurpose::Session {
                self.turned_away(client);
                self.cut(client);
            }
            return;
        };
        if self.chance(2) {
            // In fair weather a ping gets through a queue in time.
            self.meet("fault: little room in a stream");
            let least = if self.weather == Weather::Storm { 100 } else { 1000 };
            self.host.stream(conn).room = least + self.index_below(2000);
        }
        if self.chance(3) {
            self.meet("fault: short writes");
            self.host.stream(conn).write_bytes_max = 1 + self.index_below(50);
        }
        self.wires.push(Wire {
            client,
            conn,
            decoder: Decoder::new(Role::Client),
            up: Vec::new(),
            down: Vec::new(),
            up_planned: false,
            down_planned: false,
            server_end: None,
            cut: purpose == WsPurpose::Intruder,
            sids: Vec::new(),
            done: false,
        });
        let wire = self.wires.len() - 1;
        self.live_wires.push(wire);
        if purpose == WsPurpose::Intruder {
            if self.chance(2) {
                encode_frame(&mut self.wires[wire].up, Fin::Final, Opcode::Text, b"2probe", Some([4, 3, 2, 1]));
                self.plan_up(wire);
            }
            let upgraded =
                |wire: usize| self.wires[wire].up.is_empty() && !self.host.stream(self.wires[wire].conn).is_paused();
            if self.clients[client].stage == Stage::Streaming && self.ties[client].wire.is_some_and(upgraded) {
                self.plan(Duration::from_secs(4), NetworkEvent::Expelled { wire });
            }
            return self.cut_wire(wire);
        }
        self.ties[client].wire = Some(wire);
        if purpose == WsPurpose::Upgrade {
            self.clients[client].stage = Stage::Probing;
            self.write(client, "2probe");
        }
    }

    fn up(&mut self, index: usize) {
        let len = self.wires[index].up.len();
        let count = if self.weather == Weather::Storm && self.chance(2) { 1 + self.index_below(len) } else { len };
        if count < len {
            self.meet("fault: bytes in parts, to the server");
        }
        let wire = &mut self.wires[index];
        wire.up_planned = false;
        if wire.done {
            return;
        }
        let bytes: Vec<u8> = wire.up.drain(..count.min(len)).collect();
        let (conn, more) = (wire.conn, !wire.up.is_empty());
        self.host.ws_bytes(conn, &bytes);
        if more {
            self.plan_up(index);
        }
    }

    fn down(&mut self, index: usize) -> Result<(), String> {
        let len = self.wires[index].down.len();
        let whole = self.weather != Weather::Storm || len == 0 || !self.chance(2);
        let count = if whole { len } else { 1 + self.index_below(len) };
        if count < len {
            self.meet("fault: bytes in parts, to a client");
        }
        let wire = &mut self.wires[index];
        wire.down_planned = false;
        if wire.cut || wire.done {
            return Ok(());
        }
        let bytes: Vec<u8> = wire.down.drain(..count).collect();
        let (more, conn, client) = (!wire.down.is_empty(), wire.conn, wire.client);
        if count > 0 {
            let delay = if self.weather == Weather::Storm && self.chance(30) {
                self.meet("fault: a slow reader");
                self.millis(500, 3000)
            } else {
                self.delay()
            };
            self.plan(delay, NetworkEvent::Space { wire: index, bytes: count });
        }
        let mut input = bytes.as_slice();
        loop {
            let message = self.wires[index].decoder.decode(&LIMITS, &mut input);
            let text = match message {
                Ok(None) => break,
                Ok(Some(WsMessage::Text(text))) => text.to_string(),
                Ok(Some(WsMessage::Binary(bytes))) => super::client::text_of(bytes),
                Ok(Some(WsMessage::Close(frame))) => {
                    let code = frame.as_ref().map_or(1005, |frame| frame.code.as_u16());
                    self.model_mut().coverage.meet(format!("close {code}"));
                    self.ended_for(client, index, code);
                    encode_close(&mut self.wires[index].up, frame.map(|frame| (frame.code, "")), Some([1, 2, 3, 4]));
                    self.plan_up(index);
                    continue;
                }
                Ok(Some(other @ (WsMessage::Ping(_) | WsMessage::Pong(_)))) => return Err(format!("{other:?}")),
                Err(error) => return Err(format!("broken frames: {error:?}")),
            };
            if self.ties[client].wire == Some(index) {
                self.heard(client, &text)?;
            }
        }
        if more {
            let delay = self.delay();
            self.wires[index].down_planned = true;
            self.plan(delay, NetworkEvent::Down { wire: index });
        } else if let Some(end) = self.host.stream(conn).end {
            if end == StreamEnd::HalfClosed {
                self.host.ws_ended(conn);
            }
            self.wires[index].done = true;
            if self.ties[client].wire == Some(index) {
                self.lost_wire(client);
            }
        }
        Ok(())
    }

    /// The server has ended a client's WebSocket, or the network has ended a probe.
    pub(super) fn lost_wire(&mut self, client: usize) {
        self.ties[client].wire = None;
        match self.clients[client].stage {
            Stage::Probing | Stage::Pausing => {
                self.clients[client].stage = Stage::Polling;
                self.poll(client);
                self.flush(client);
            }
            Stage::Away | Stage::Opening | Stage::Polling | Stage::Streaming => self.cut(client),
        }
    }

    fn end_wire(&mut self, index: usize) {
        let wire = &mut self.wires[index];
        if !std::mem::replace(&mut wire.done, true) {
            // If the server has read all of it: an upgrade whose last packet is lost has not happened.
            if wire.up.is_empty() && !self.host.stream(wire.conn).is_paused() {
                self.gone = std::mem::take(&mut wire.sids);
            }
            self.host.ws_ended(wire.conn);
        }
    }

    fn call(&mut self, client: usize, method: Method, body: String) -> usize {
        let sid = &self.clients[client].sid;
        let target = if sid.is_empty() {
            format!("{PATH}?EIO=4&transport=polling")
        } else {
            format!("{PATH}?EIO=4&transport=polling&sid={sid}")
        };
        let stage = CallStage::Sent;
        self.calls.push(HttpCall { client, method, target, body, stage, cut: false, sids: Vec::new() });
        let (call, delay) = (self.calls.len() - 1, self.delay());
        self.plan(delay, NetworkEvent::Head { call });
        call
    }

    /// A request of a client's session that the client does not wait for.
    pub(super) fn rogue_call(&mut self, client: usize, method: Method, body: String) {
        let call = self.call(client, method, body);
        self.calls[call].cut = true;
    }

    fn head(&mut self, index: usize) -> Result<(), String> {
        let call = &mut self.calls[index];
        if !matches!(call.stage, CallStage::Sent) {
            return Ok(());
        }
        let mut request = Request::new(());
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.target.parse().map_err(|error| format!("{}: {error}", call.target))?;
        let Some(endpoint) = self.host.server().route(PATH) else { return Err("no path".into()) };
        match self.host.head(endpoint, request) {
            Ok(id) => {
                call.stage = CallStage::Begun(id);
                let at_once = call.method == Method::GET || self.chance(2);
                if at_once {
                    self.body(index);
                } else {
                    let delay = self.delay();
                    self.plan(delay, NetworkEvent::Body { call: index });
                }
            }
            Err(response) => {
                let body = String::from_utf8_lossy(response.body()).into_owned();
                call.stage = CallStage::Answered(response.status().as_u16(), body);
                let delay = self.delay();
                self.plan(delay, NetworkEvent::Answer { call: index });
            }
        }
        Ok(())
    }

    fn body(&mut self, index: usize) {
        let call = &mut self.calls[index];
        if let CallStage::Begun(id) = call.stage {
            call.stage = CallStage::Running(id);
            self.live_calls.push(index);
            self.host.body(id, Bytes::from(std::mem::take(&mut call.body)));
        }
    }

    fn answer(&mut self, index: usize) -> Result<(), String> {
        let call = &mut self.calls[index];
        let CallStage::Answered(status, body) = std::mem::replace(&mut call.stage, CallStage::Done) else {
            return Ok(());
        };
        if call.cut {
            return Ok(());
        }
        let (client, method) = (call.client, call.method.clone());
        if status != 200 {
            self.model_mut().coverage.meet(format!("status {status}: {body}"));
            if self.clients[client].stage == Stage::Opening {
                self.turned_away(client);
            }
            self.cut(client);
            return Ok(());
        }
        if method == Method::POST {
            self.ties[client].post = None;
            if body != "ok" {
                return Err(format!("a POST was answered {body}"));
            }
        } else {
            self.ties[client].get = None;
            if body.is_empty() || body.split('\x1e').count() > 16 {
                return Err(format!("a poll was answered {body:?}"));
            }
            let epoch = self.clients[client].epoch;
            for text in body.split('\x1e') {
                if self.clients[client].epoch == epoch {
                    self.heard(client, text)?;
                }
            }
        }
        self.resume(client);
        Ok(())
    }

    /// A request is done: the client goes on with the next, or with its upgrade.
    pub(super) fn resume(&mut self, client: usize) {
        let ties = self.ties[client];
        if self.clients[client].stage == Stage::Pausing && ties.get.is_none() && ties.post.is_none() {
            self.clients[client].stage = Stage::Streaming;
            self.write(client, "5");
        }
        self.poll(client);
        self.flush(client);
    }

    /// A client receives a packet, on any transport.
    fn heard(&mut self, client: usize, text: &str) -> Result<(), String> {
        let now = self.host.now();
        match self.clients[client].hear(text, now) {
            PacketEffect::Nothing => {}
            PacketEffect::Opened => self.opened(client),
            PacketEffect::Probed => {
                if self.clients[client].stage == Stage::Probing {
                    self.clients[client].stage = Stage::Pausing;
                    self.resume(client);
                }
            }
            PacketEffect::Over => self.cut(client),
            PacketEffect::Packet { sid, text } => self.model_mut().deliver(&sid, &text)?,
            PacketEffect::Asked { sid, text, answer, namespace } => {
                self.model_mut().deliver(&sid, &text)?;
                if !self.chance(10) {
                    self.send(client, &namespace, answer);
                }
            }
            PacketEffect::Crowded => self.meet("limit: namespaces of a session"),
            PacketEffect::Nonsense(what) => return Err(format!("client {client} cannot make sense of {what}")),
        }
        self.flush(client);
        Ok(())
    }

    /// How long something takes: mostly not long.
    pub(super) fn delay(&mut self) -> Duration {
        match (self.weather, self.rng.below(20)) {
            (Weather::Storm, 0) => self.millis(50, 400),
            (Weather::Storm, 1..=4) => Duration::ZERO,
            (Weather::Storm | Weather::Fair | Weather::Quiet | Weather::Ending, _) => self.millis(0, 40),
        }
    }
}

const PATH: &str = "/socket.io/";
const LIMITS: FrameLimits = FrameLimits { message_bytes_max: 1 << 20, fragments_max: 1 };
