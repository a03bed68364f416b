//! The program `roomcast` as a library: Open WebUI's real-time layer with its settings, HTTP API, metrics and page, and
//! handlers of one's own beside Open WebUI's.
//!
//! [`Roomcast`] is the program; [`Realtime`] is what handlers and routes reach it by. What Open WebUI's protocol knows
//! stays with it, and comes first: all other events go to the handlers that are added here. `examples/feature.rs` adds two
//! events and two routes in 30 lines:
//!
//! ```no_run
//! use roomcast_server::{Realtime, Roomcast};
//! use roomcast_tokio::Socket;
//!
//! fn main() -> std::process::ExitCode {
//!     Roomcast::new()
//!         .handlers(|ns| {
//!             ns.on("who am i?", async |realtime: Realtime, socket: Socket| {
//!                 realtime.login(&socket).await.map(|login| login.user.id.to_string())
//!             });
//!         })
//!         .route("/api/greet", async |realtime: Realtime, user: String| {
//!             realtime.notify_user(&user, "greeting", "hello").await.is_ok()
//!         })
//!         .main()
//! }
//! ```
//!
//! It takes the flags and variables of `roomcast --help`. The crates beneath are for programs that want less of it:
//! `roomcast-openwebui` is the protocol as a machine, `roomcast-tokio` serves it.
//!
//! Owns: which parts of the program there are. Must never know: what they do.
//!
//! | file | what |
//! |---|---|
//! | `roomcast` | the program, as a program of one's own starts it |
//! | `process` | the program from its start to its end |
//! | `additions` | what a program of one's own adds |
//! | `realtime` | what handlers of one's own ask and say |
//! | `settings` | flags, environment, defaults |
//! | `demo` | the made-up secret and what the demonstration prints |
//! | `store` | opens the store and counts the questions under way |
//! | `bus` | Redis, if other nodes or Open WebUI itself are to be heard |
//! | `sharing` | sessions and models in use, as others find them in Redis |
//! | `session_pool` | who is in a chat on any node, as Open WebUI 0.12 keeps it |
//! | `app` | endpoints, application and pages, put together |
//! | `api`, `health`, `metrics` | the pages |
//! | `shard_apps` | the application in all shards, for pages that one of them serves |
//! | `page` | the page that shows the system at work |
//! | `probe` | a look at a roomcast that runs |
//! | `bridge` | the connections of the backend's own processes |
//! | `memory` | what a burst took, given back |
//! | `sessions` | how many clients came and left, for the log |
//! | `signals` | SIGTERM, SIGINT and SIGHUP |

mod additions;
mod api;
mod app;
mod bridge;
mod bus;
mod conversations;
mod demo;
mod health;
mod memory;
mod metrics;
mod page;
mod probe;
mod process;
mod realtime;
mod reply;
mod roomcast;
mod session_pool;
mod sessions;
mod settings;
mod shard_apps;
mod sharing;
mod signals;
mod store;

pub use crate::realtime::{NotifyError, Realtime};
pub use crate::roomcast::Roomcast;
