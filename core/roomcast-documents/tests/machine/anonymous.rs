//! Members without a user.

use bytes::Bytes;
use roomcast_documents::yjs::ProtocolMessage;
use roomcast_documents::{Access, Flow};

use super::world::World;

/// An id is kept for a while for the user who has gone. Members without a user are not one user.
#[test]
fn members_without_a_user_do_not_take_each_others_cursors() {
    for (user, takes_over) in [("", false), ("alice", true)] {
        let mut world = World::new(|_| {});
        for member in 1..4 {
            world.machine.handle_opened(member, "plan".into());
            world.machine.let_in(member, user.into(), Access::Write, world.now);
            world.run();
        }
        let heard = |world: &mut World, member, clock| {
            world.sent.clear();
            world.machine.handle_message(member, cursor(7, clock), Flow::Free, world.now);
            world.run();
            world.sent.iter().any(|(to, message)| {
                *to == 3 && matches!(ProtocolMessage::decode(message), Ok(ProtocolMessage::Awareness(_)))
            })
        };
        assert!(heard(&mut world, 1, 1));
        assert!(!heard(&mut world, 2, 2), "it belongs to another session");
        world.leave(1);
        assert_eq!(heard(&mut world, 2, 3), takes_over, "{user:?}");
        // When no member has shown it for a while, it is free.
        world.pass(std::time::Duration::from_secs(61));
        assert!(heard(&mut world, 2, 4));
    }
}

fn cursor(client: u8, clock: u8) -> Bytes {
    let state = br#"{"x":1}"#;
    let update = [&[1, client, clock, state.len() as u8][..], state].concat();
    ProtocolMessage::Awareness(&update).encode().into()
}
