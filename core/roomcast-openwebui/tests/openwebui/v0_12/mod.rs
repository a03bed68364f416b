//! What is otherwise beside Open WebUI 0.12. Section 2.3 of the protocol.

mod chats;
mod encryption;
mod entry;
mod pool;
mod rooms;
mod tokens;

use roomcast_openwebui::{Release, Settings};

use super::world::{World, token};

/// A world with Open WebUI 0.12.
fn world() -> World {
    world_with(|_| {})
}

fn world_with(change: impl FnOnce(&mut Settings)) -> World {
    World::with(|settings| {
        newer(settings);
        change(settings);
    })
}

/// The same on a bus with processes of Open WebUI.
fn world_on_bus() -> World {
    World::on_bus(newer)
}

fn newer(settings: &mut Settings) {
    settings.release = Release::V0_12;
    settings.recheck_interval = std::time::Duration::from_secs(30);
}

/// A client that has connected with a user's token, as the front end of 0.12 does.
fn connect(world: &mut World, user: &str) -> usize {
    world.connect(&format!(r#"{{"token":"{}"}}"#, token(user)))
}
