//! Values that handlers share.
//!
//! Owns: [`State`] and [`Extension`]. Must never know: where the values are kept.

use std::any::{Any, type_name};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::handler::{
    Arriving, Closed, Connected, Connecting, Disconnected, Extract, MessageReceived, Opened, Received, Rejection,
};
use crate::handler_arguments::HandlerArguments;

/// A value of the server, given to [`Builder::state`](crate::Builder::state), as an argument of handlers. The server does
/// not start while a handler takes one that is missing. In a server of several shards each builder is given its own, so that
/// what all are to share is an `Arc`.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use roomcast_adapter::{Builder, State};
///
/// #[derive(Default)]
/// struct Visits(AtomicU64);
///
/// let builder = Builder::new().state(Visits::default()).socket_io("/socket.io", |io| {
///     io.namespace("/", |ns| {
///         ns.on("visit", async |visits: State<Visits>| visits.0.fetch_add(1, Ordering::Relaxed) + 1);
///     });
/// });
/// # let _ = builder;
/// ```
pub struct State<T>(pub(crate) Arc<T>);

/// A value that was kept with the socket by [`Socket::extend`](crate::Socket::extend), in an
/// [`admit`](crate::Namespace::admit) handler for one, as an argument of the handlers after it. Where it is missing the
/// handler is not called; an `Option` of this takes that as well.
///
/// ```
/// use roomcast_adapter::{Data, Extension, Namespace, Refusal, Socket};
///
/// struct User {
///     name: String,
/// }
///
/// fn set_up(ns: &mut Namespace) {
///     ns.admit(async |socket: Socket, Data((name,)): Data<(String,)>| {
///         socket.extend(User { name });
///         Ok::<_, Refusal>(())
///     });
///     ns.on("whoami", async |user: Extension<User>| user.name.clone());
/// }
/// ```
pub struct Extension<T>(Arc<T>);

macro_rules! extract_state {
    ($($input:ident: |$it:ident| $shared:expr;)*) => {$(
        impl<T: Any + Send + Sync> Extract<$input> for State<T> {
            fn extract($it: &$input) -> Result<Self, Rejection> {
                $shared.states.get().map(Self).ok_or(Rejection::Missing(type_name::<Self>()))
            }

            fn describe(arguments: &mut HandlerArguments) {
                arguments.needs_state::<T>();
            }
        }
    )*};
}

extract_state! {
    Connecting: |it| it.0.shared();
    Connected: |it| it.0.shared();
    Received: |it| it.socket.shared();
    Arriving: |it| it.0.socket.shared();
    Disconnected: |it| it.socket.shared();
    Opened: |it| it.0.shared();
    MessageReceived: |it| it.0.shared();
    Closed: |it| it.0.shared();
}

macro_rules! extract_extension {
    ($($input:ident: |$it:ident| $socket:expr;)*) => {$(
        impl<T: Any + Send + Sync> Extract<$input> for Extension<T> {
            fn extract($it: &$input) -> Result<Self, Rejection> {
                $socket.extension().map(Self).ok_or(Rejection::Missing(type_name::<Self>()))
            }
        }

        impl<T: Any + Send + Sync> Extract<$input> for Option<Extension<T>> {
            fn extract($it: &$input) -> Result<Self, Rejection> {
                Ok($socket.extension().map(Extension))
            }
        }
    )*};
}

extract_extension! {
    Connecting: |it| it.0;
    Connected: |it| it.0;
    Received: |it| it.socket;
    Arriving: |it| it.0.socket;
    Disconnected: |it| it.socket;
}

macro_rules! shares {
    ($($name:ident)*) => {$(
        impl<T> Deref for $name<T> {
            type Target = T;

            fn deref(&self) -> &T {
                &self.0
            }
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl<T: fmt::Debug> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

shares! { State Extension }
