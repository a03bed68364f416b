//! The application protocol without a server port: events in, commands out, over the real server and a store whose
//! answers the test decides. A test's name says which row or item of the contract it holds to.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

mod chats;
mod documents;
mod holes;
mod items;
mod random;
mod rows;
mod store;
mod stores;
mod world;
