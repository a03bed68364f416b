//! The driver loop of a [`Stack`](roomcast_core::server::Stack) without a runtime: outputs are carried out by
//! [`Hooks`], under a clock that a test sets.
//!
//! Owns: the one loop over [`Output`](roomcast_core::server::Output) that tests, fuzzers and benches share. Must never
//! know: an application, a protocol that clients speak, or a clock of the operating system.
//!
//! | module | what |
//! |---|---|
//! | [`kit`] | [`Kit`]: the loop; [`Hooks`]: what carries outputs out |
//! | [`network`] | [`Network`]: hooks that keep byte streams and responses until a test takes them |
//! | [`observed`] | [`Observed`]: an application whose events an [`Observer`] sees first |
//! | [`trace`] | [`Trace`]: a hash of everything that went in and came out |
//! | [`yjs_update`] | updates of Yjs as a client that types sends them |

pub mod kit;
pub mod network;
pub mod observed;
pub mod trace;
pub mod yjs_update;

pub use self::kit::{Hooks, Kit, Reading, drain_one};
pub use self::network::{Network, Stream, StreamEnd};
pub use self::observed::{Observed, Observer};
pub use self::trace::Trace;

/// The part of an `impl App` that an application without stores, requests and notices needs only for its shape.
///
/// ```
/// use roomcast_core::server::{App, Cx, Event};
/// use roomcast_core::time::Instant;
///
/// struct Counter(usize);
///
/// impl App for Counter {
///     roomcast_testkit::without_stores!();
///
///     fn handle_event(&mut self, _event: Event, _cx: &mut Cx<'_>) -> Option<Event> {
///         self.0 += 1;
///         None
///     }
///
///     fn handle_timeout(&mut self, _cx: &mut Cx<'_>) {}
///
///     fn poll_timeout(&self) -> Option<Instant> {
///         None
///     }
/// }
/// ```
#[macro_export]
macro_rules! without_stores {
    () => {
        type Query = ::std::convert::Infallible;
        type Reply = ::std::convert::Infallible;
        type Request = ::std::convert::Infallible;
        type Response = ::std::convert::Infallible;
        type Notice = ::std::convert::Infallible;

        fn handle_reply(&mut self, reply: Self::Reply, _cx: &mut $crate::core::Cx<'_>) {
            match reply {}
        }

        fn handle_request(
            &mut self,
            _id: $crate::core::AppRequestId,
            request: Self::Request,
            _cx: &mut $crate::core::Cx<'_>,
        ) {
            match request {}
        }

        fn poll_event(&mut self) -> Option<$crate::core::Event> {
            None
        }

        fn poll_query(&mut self) -> Option<Self::Query> {
            None
        }

        fn poll_response(&mut self) -> Option<($crate::core::AppRequestId, Self::Response)> {
            None
        }

        fn poll_notice(&mut self) -> Option<Self::Notice> {
            None
        }
    };
}

#[doc(hidden)]
pub use roomcast_core::server as core;
