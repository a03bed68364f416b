//! WebSocket frames from either side.

use roomcast_core::websocket::{
    Decoder, Fin, FrameLimits, Opcode, Role, WsError, WsMessage, encode_close, encode_frame,
};

/// Invariant tested: a stream gives the same messages and ends in the same error however it is cut; what is kept never
/// exceeds what came, nor one message and a frame header; an error and a close are final; and what was decoded is
/// decoded again from its own encoding.
///
/// The first byte chooses the role, the second the seed of the cuts, the others are the stream.
pub fn frame(data: &[u8]) {
    let [role, cuts, stream @ ..] = data else { return };
    let role = if role & 1 == 0 { Role::Server } else { Role::Client };
    let whole = decode(role, stream, |left| left);
    let mut seed = u32::from(*cuts);
    let cut = decode(role, stream, |left| {
        // Any cheap sequence does: mostly short pieces, so that every field of a header is split somewhere.
        seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        left.min(1 + (seed >> 16) as usize % 7)
    });
    assert_eq!(whole, cut);
    round_trip(role, &whole.0);
}

fn decode(role: Role, stream: &[u8], mut piece: impl FnMut(usize) -> usize) -> (Vec<WsMessage>, Option<WsError>) {
    let mut decoder = Decoder::new(role);
    let (mut messages, mut at) = (Vec::new(), 0);
    while at < stream.len() {
        let end = at + piece(stream.len() - at);
        let mut input = &stream[at..end];
        at = end;
        loop {
            match decoder.decode(&LIMITS, &mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&LIMITS, &mut &stream[..]), Err(error), "an error is final");
                    return (messages, Some(error));
                }
            }
        }
        assert!(input.is_empty(), "all of the input is taken");
        assert!(decoder.buffered_bytes() <= at.min(LIMITS.message_bytes_max + HEADER_AND_CONTROL_BYTES));
    }
    if let Some(closed) = messages.iter().position(|message| matches!(message, WsMessage::Close(_))) {
        assert_eq!(closed + 1, messages.len(), "a close is the last message");
    }
    (messages, None)
}

fn round_trip(role: Role, messages: &[WsMessage]) {
    let mask = (role == Role::Server).then_some([0x00, 0xff, 0x5a, 0x01]);
    let mut stream = Vec::new();
    for message in messages {
        let (opcode, payload) = match message {
            WsMessage::Text(text) => (Opcode::Text, &text.as_bytes()[..]),
            WsMessage::Binary(bytes) => (Opcode::Binary, &bytes[..]),
            WsMessage::Ping(bytes) => (Opcode::Ping, &bytes[..]),
            WsMessage::Pong(bytes) => (Opcode::Pong, &bytes[..]),
            WsMessage::Close(frame) => {
                encode_close(&mut stream, frame.as_ref().map(|frame| (frame.code, &*frame.reason)), mask);
                continue;
            }
        };
        encode_frame(&mut stream, Fin::Final, opcode, payload, mask);
    }
    assert_eq!(decode(role, &stream, |left| left), (messages.to_vec(), None));
}

const LIMITS: FrameLimits = FrameLimits { message_bytes_max: 300, fragments_max: 6 };
/// The longest header, and a control frame between two fragments.
const HEADER_AND_CONTROL_BYTES: usize = 14 + 125;
