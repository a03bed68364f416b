//! What is otherwise beside Open WebUI 0.12. Section 2.3 of the protocol.

mod entry;
mod tokens;

use roomcast_openwebui::{Release, Settings};

use super::world::{World, token};

/// A world with Open WebUI 0.12.
fn world() -> World {
    world_with(|_| {})
}

fn world_with(change: impl FnOnce(&mut Settings)) -> World {
    World::with(|settings| {
        settings.release = Release::V0_12;
        settings.recheck_interval = std::time::Duration::from_secs(30);
        change(settings);
    })
}

/// A client that has connected with a user's token, as the front end of 0.12 does.
fn connect(world: &mut World, user: &str) -> usize {
    world.connect(&format!(r#"{{"token":"{}"}}"#, token(user)))
}
