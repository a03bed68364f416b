//! The server as a sequence of operations.

mod client;
mod world;

use arbitrary::Unstructured;

use self::world::World;

/// Invariant tested, in a small world with small limits:
///
/// * nothing panics, and no output names a handle that is gone (`world`);
/// * every request is answered exactly once or aborted;
/// * every client receives well-formed frames, payloads and packets, attachments right behind their packet, and each
///   event that was emitted to it once and in order, over any transports (`client`); what was emitted reliably
///   to a socket that is still there at the end has arrived;
/// * after `handle_timeout` the next timeout lies ahead;
/// * once all clients are gone and the clock has run out, `audit()` is all zeros.
///
/// Bytes are read as they come: a letter is an operation, and each operation takes its operands behind it. A capital
/// letter leaves the server's outputs where they are, for the next operation to cross. Text files make good seeds.
pub fn session(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let ending = if next(&mut bytes) & 1 == 0 { ClientsLeave::Silence } else { ClientsLeave::Hangup };
    let mut world = World::new();
    let mut operations = 0;
    while !bytes.is_empty() && operations < OPERATIONS_MAX {
        let letter = next(&mut bytes);
        operate(&mut world, letter, &mut bytes);
        // Capitals and what stands with them.
        if letter & 0x20 != 0 {
            world.drain();
        }
        operations += 1;
    }
    world.end(ending);
}

/// How the clients leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientsLeave {
    /// They say nothing more, and the server's deadlines end them.
    Silence,
    /// Their streams end and their requests are aborted.
    Hangup,
}

fn operate(world: &mut World, letter: u8, bytes: &mut Unstructured<'_>) {
    let mut operand = || operand(bytes);
    match letter & 0x1f | 0x40 {
        b'A' => world.admit(operand(), operand()),
        b'B' => {
            let (conn, len) = (operand(), usize::from(operand() & 0x1f));
            let raw = bytes.bytes(len.min(bytes.len())).unwrap_or(&[]);
            world.send_raw(conn, raw);
        }
        b'C' => world.send_packet(operand(), operand(), operand()),
        b'D' => world.disconnect(operand(), operand()),
        b'E' => world.emit(operand(), operand(), operand()),
        b'F' => world.end_stream(operand()),
        b'G' => world.get(operand()),
        b'H' => world.odd_request(operand(), operand()),
        b'I' => world.give_body(operand(), operand()),
        b'J' => world.join(operand(), operand()),
        b'K' => world.ack(operand()),
        b'L' => world.leave(operand(), operand()),
        b'M' => world.message(operand(), operand()),
        b'N' => world.handled(operand()),
        b'O' => world.open(operand()),
        b'P' => world.post(operand(), operand(), operand()),
        b'Q' => world.close(operand()),
        b'R' => world.take(operand(), operand()),
        b'S' if operand() == b'!' => world.shut_down(),
        b'T' => world.wait_ms(1 << (operand() & 0x0f)),
        b'U' => world.upgrade(operand()),
        b'V' => world.wait_for_timeout(),
        b'W' => world.tell_wall_clock(operand()),
        b'X' => world.abort(operand()),
        b'Z' => world.ask_congestion(operand()),
        // Nothing by itself; `y` drains.
        _ => {}
    }
}

/// The next byte as a number; digits and small letters count from 0 to 35, for seeds that people read.
fn operand(bytes: &mut Unstructured<'_>) -> u8 {
    let byte = next(bytes);
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'z' => byte - b'a' + 10,
        _ => byte,
    }
}

/// The next byte; 0 once they have run out.
fn next(bytes: &mut Unstructured<'_>) -> u8 {
    bytes.arbitrary().unwrap_or(0)
}

/// Each takes a few microseconds; more of them find no more.
const OPERATIONS_MAX: usize = 2_000;
