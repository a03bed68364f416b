//! The application protocol without a server port: events in, commands out, over the real server and a store whose
//! answers the test decides. The comment above a test names the section of `docs/openwebui-protocol.md` that it holds to.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

mod chats;
mod crowds;
mod deviations;
mod documents;
mod events;
mod front_end;
mod live_bytes;
mod logins;
mod random;
mod sharing;
mod store;
mod stores;
mod talks;
mod v0_12;
mod world;
