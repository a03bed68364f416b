//! What users write: functions that are called when something happens.
//!
//! Owns: which arguments such a function may take ([`Extract`]), what it may return ([`IntoOutcome`]), and the call
//! itself ([`Handler`]). Must never know: when it is called.

use std::fmt;
use std::future::Future;
use std::ops::Deref;

use bytestring::ByteString;
use roomcast_core::server::{AckId, Message, Reason};
use roomcast_core::socket_io::{Args, ArgsError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ack_result::{ErrorArgs, of_result};
use crate::args::{Fallible, Raw, Typed};
use crate::handle::Handle;
use crate::handler_arguments::HandlerArguments;
use crate::peer::Peer;
use crate::socket::Socket;

/// A function that is called when something happens: an async function, or a closure that returns a future, of up to
/// six arguments which the input `C` can give (see [`Extract`]).
///
/// `M` only tells the compiler what the arguments are; there is nothing to write for it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler here",
    label = "not a handler of `{C}`",
    note = "a handler is an async function or closure (`async |…| …`, not `|…| …`) of up to six arguments",
    note = "each argument has to be one that this kind of handler gives, see the implementations of `Extract`: what a client sent is `Data<T>`, where `T` implements `serde::Deserialize` and is owned",
    note = "an event's handler returns anything that implements `serde::Serialize`, or a `Result` whose error implements `serde::Serialize` or `ErrorArgs`; `admit` and `before` return nothing or `Result<(), impl Into<Refusal>>`; all others return nothing",
    note = "everything that it holds across an `.await` has to be `Send`"
)]
pub trait Handler<C: HandlerInput, M>: Send + Sync + 'static {
    /// Calls the function with the arguments that it asks for.
    fn call(&self, input: C) -> impl Future<Output = Result<C::Outcome, Rejection>> + Send;

    /// What the types of its arguments say.
    fn arguments(&self) -> HandlerArguments;
}

/// What a handler is called with: something that happened to a client.
pub trait HandlerInput: Send + 'static {
    /// What the handler's result becomes.
    type Outcome: Send;
}

/// An argument of a handler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no argument for handlers of `{C}`",
    label = "not an argument of this handler",
    note = "what a client sent is `Data<T>`, where `T` implements `serde::Deserialize` and is owned",
    note = "a value that the builder was given is `State<T>`, one that was kept with the socket `Extension<T>`"
)]
pub trait Extract<C>: Sized + Send {
    /// Takes it from what happened.
    ///
    /// # Errors
    ///
    /// The client sent something else: the handler is not called.
    fn extract(input: &C) -> Result<Self, Rejection>;

    /// Notes what its type asks for before the server starts. Nothing, for most.
    fn describe(_arguments: &mut HandlerArguments) {}
}

/// What a handler may return.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}` here",
    label = "not an answer",
    note = "an event's handler returns anything that implements `serde::Serialize`, or a `Result` whose error implements `serde::Serialize` or `ErrorArgs`",
    note = "`admit` and `before` return nothing or `Result<(), impl Into<Refusal>>`, all others nothing"
)]
pub trait IntoOutcome<A, M> {
    /// Makes the answer.
    fn into_outcome(self) -> A;
}

/// A client asks to come into a namespace, and its [`admit`](crate::Namespace::admit) handler decides.
#[derive(Clone, Debug)]
pub struct Connecting(pub(crate) Socket);

/// A client came into a namespace.
#[derive(Clone, Debug)]
pub struct Connected(pub(crate) Socket);

/// A client sent an event.
#[derive(Clone, Debug)]
pub struct Received {
    pub(crate) socket: Socket,
    pub(crate) name: ByteString,
    pub(crate) args: Args,
    pub(crate) ack: Option<AckId>,
}

/// A client sent an event, which a [`before`](crate::Namespace::before) handler may refuse.
#[derive(Clone, Debug)]
pub struct Arriving(pub(crate) Received);

/// A client left a namespace.
#[derive(Clone, Debug)]
pub struct Disconnected {
    pub(crate) socket: Socket,
    pub(crate) reason: Reason,
    pub(crate) rooms: Box<[ByteString]>,
}

/// A client of a bare endpoint is there.
#[derive(Clone, Debug)]
pub struct Opened(pub(crate) Peer);

/// A client of a bare endpoint sent a message.
#[derive(Clone, Debug)]
pub struct MessageReceived(pub(crate) Peer, pub(crate) Message);

/// A client of a bare endpoint is gone.
#[derive(Clone, Debug)]
pub struct Closed(pub(crate) Peer, pub(crate) Reason);

/// Arguments of an event, or a client's auth payload, as a Rust value.
///
/// Of an event's arguments, a tuple takes one after the other, and any other type the first one. Missing ones read as
/// `null`, so that an `Option` may stand for them. If they do not fit, the handler is not called and no ack is sent; to
/// answer that too, take a [`Result`] of this and [`ArgsError`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data<T>(pub T);

/// The name of an event, for handlers of any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName(pub ByteString);

/// The rooms in which a client was until it left, without its own, for [`on_disconnect`](crate::Namespace::on_disconnect).
/// Those who are still there can be told by [`Socket::to`].
///
/// ```
/// # use roomcast_adapter::{Namespace, RoomsLeft, Socket};
/// fn set_up(ns: &mut Namespace) {
///     ns.on_disconnect(async |socket: Socket, RoomsLeft(rooms): RoomsLeft| {
///         for room in rooms {
///             socket.to(room).emit("left", socket.sid().as_str()).await;
///         }
///     });
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomsLeft(pub Box<[ByteString]>);

/// Returned by a handler of an event: no ack, even where the client asks for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoAck;

/// Why a client may not come into a namespace: the payload of CONNECT_ERROR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub(crate) ByteString);

impl Refusal {
    /// `{"message": …}`.
    pub fn new(message: &str) -> Self {
        Self(serde_json::json!({ "message": message }).to_string().into())
    }

    /// `{"message": …, "data": …}`. Data that have no JSON form are left out, and logged.
    ///
    /// ```
    /// # use roomcast_adapter::Refusal;
    /// #[derive(serde::Serialize)]
    /// struct Why {
    ///     code: &'static str,
    /// }
    /// let refusal = Refusal::with_data("not authorized", &Why { code: "E_AUTH" });
    /// assert_eq!(refusal.as_json(), r#"{"message":"not authorized","data":{"code":"E_AUTH"}}"#);
    /// ```
    pub fn with_data(message: &str, data: &impl Serialize) -> Self {
        match (serde_json::to_string(message), serde_json::to_string(data)) {
            (Ok(message), Ok(data)) => Self(format!(r#"{{"message":{message},"data":{data}}}"#).into()),
            (_, Err(error)) | (Err(error), _) => {
                tracing::error!(%error, "the data of a refusal cannot be sent");
                Self::new(message)
            }
        }
    }

    /// The payload of the CONNECT_ERROR or ack.
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// Why a handler was not called.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// What the client sent does not fit an argument.
    Args {
        /// What kind of misfit it is.
        error: ArgsError,
        /// The same in words, with the field and the place, as far as they are known.
        why: String,
    },
    /// There is no value of this type, which is the program's fault.
    Missing(&'static str),
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Args { error, why } if why.is_empty() => error.fmt(f),
            Self::Args { why, .. } => f.write_str(why),
            Self::Missing(name) => write!(f, "there is no {name}"),
        }
    }
}

impl std::error::Error for Rejection {}

impl<T> Deref for Data<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What becomes of an event's ack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack(pub(crate) Option<Args>);

impl HandlerInput for Connecting {
    type Outcome = Result<(), Refusal>;
}

impl HandlerInput for Connected {
    type Outcome = ();
}

impl HandlerInput for Received {
    type Outcome = Ack;
}

impl HandlerInput for Arriving {
    type Outcome = Result<(), Refusal>;
}

impl HandlerInput for Disconnected {
    type Outcome = ();
}

impl HandlerInput for Opened {
    type Outcome = ();
}

impl HandlerInput for MessageReceived {
    type Outcome = ();
}

impl HandlerInput for Closed {
    type Outcome = ();
}

impl<T: Serialize> IntoOutcome<Ack, Typed> for T {
    fn into_outcome(self) -> Ack {
        let args = of_result(&self).unwrap_or_else(|| Args::from_serialize(&self));
        Ack(args.inspect_err(|error| tracing::error!(%error, "an ack has no JSON form")).ok())
    }
}

impl<M, T: IntoOutcome<Ack, M>, E: ErrorArgs> IntoOutcome<Ack, Fallible<M>> for Result<T, E> {
    fn into_outcome(self) -> Ack {
        match self {
            Ok(value) => value.into_outcome(),
            Err(error) => Ack(Some(error.error_args())),
        }
    }
}

impl IntoOutcome<Ack, Raw> for Args {
    fn into_outcome(self) -> Ack {
        Ack(Some(self))
    }
}

impl IntoOutcome<Ack, Raw> for Option<Args> {
    fn into_outcome(self) -> Ack {
        Ack(self)
    }
}

impl IntoOutcome<Ack, Raw> for NoAck {
    fn into_outcome(self) -> Ack {
        Ack(None)
    }
}

impl IntoOutcome<Result<(), Refusal>, Raw> for () {
    fn into_outcome(self) -> Result<(), Refusal> {
        Ok(())
    }
}

impl<E: Into<Refusal>> IntoOutcome<Result<(), Refusal>, Raw> for Result<(), E> {
    fn into_outcome(self) -> Result<(), Refusal> {
        self.map_err(Into::into)
    }
}

impl IntoOutcome<(), Raw> for () {
    fn into_outcome(self) {}
}

macro_rules! extract {
    ($($input:ident { $($argument:ident = |$it:ident| $value:expr;)* })*) => {
        $($(
            impl Extract<$input> for $argument {
                fn extract($it: &$input) -> Result<Self, Rejection> {
                    Ok($value)
                }
            }
        )*)*
    };
}

extract! {
    Connecting {
        Socket = |it| it.0.clone();
        Handle = |it| it.0.handle();
    }
    Connected {
        Socket = |it| it.0.clone();
        Handle = |it| it.0.handle();
    }
    Received {
        Socket = |it| it.socket.clone();
        Handle = |it| it.socket.handle();
        Args = |it| it.args.clone();
        EventName = |it| EventName(it.name.clone());
    }
    Arriving {
        Socket = |it| it.0.socket.clone();
        Handle = |it| it.0.socket.handle();
        Args = |it| it.0.args.clone();
        EventName = |it| EventName(it.0.name.clone());
    }
    Disconnected {
        Socket = |it| it.socket.clone();
        Handle = |it| it.socket.handle();
        Reason = |it| it.reason;
        RoomsLeft = |it| RoomsLeft(it.rooms.clone());
    }
    Opened {
        Peer = |it| it.0.clone();
        Handle = |it| it.0.handle();
    }
    MessageReceived {
        Peer = |it| it.0.clone();
        Handle = |it| it.0.handle();
        Message = |it| it.1.clone();
    }
    Closed {
        Peer = |it| it.0.clone();
        Handle = |it| it.0.handle();
        Reason = |it| it.1;
    }
}

impl<T: DeserializeOwned + Send> Extract<Received> for Data<T> {
    fn extract(it: &Received) -> Result<Self, Rejection> {
        it.args.parse_or_why().map(Data).map_err(|why| Rejection::Args { error: ArgsError::Deserialize, why })
    }
}

impl<T: DeserializeOwned + Send> Extract<Arriving> for Data<T> {
    fn extract(it: &Arriving) -> Result<Self, Rejection> {
        Self::extract(&it.0)
    }
}

impl<T: DeserializeOwned + Send> Extract<Connecting> for Data<T> {
    fn extract(it: &Connecting) -> Result<Self, Rejection> {
        auth(&it.0)
    }
}

impl<T: DeserializeOwned + Send> Extract<Connected> for Data<T> {
    fn extract(it: &Connected) -> Result<Self, Rejection> {
        auth(&it.0)
    }
}

/// Anything that may fail, as a result: the handler is called either way.
impl<C, T: Extract<C>> Extract<C> for Result<T, ArgsError> {
    fn extract(it: &C) -> Result<Self, Rejection> {
        match T::extract(it) {
            Ok(value) => Ok(Ok(value)),
            Err(Rejection::Args { error, .. }) => Ok(Err(error)),
            Err(missing @ Rejection::Missing(_)) => Err(missing),
        }
    }

    fn describe(arguments: &mut HandlerArguments) {
        T::describe(arguments);
    }
}

fn auth<T: DeserializeOwned>(socket: &Socket) -> Result<Data<T>, Rejection> {
    let text = if socket.auth().is_empty() { "{}" } else { socket.auth() };
    let because = |error: serde_json::Error| Rejection::Args { error: ArgsError::Deserialize, why: error.to_string() };
    serde_json::from_str(text).map(Data).map_err(because)
}

macro_rules! handler {
    ($($argument:ident)*) => {
        impl<C, F, Fut, O, M, $($argument,)*> Handler<C, (M, $($argument,)*)> for F
        where
            C: HandlerInput,
            F: Fn($($argument,)*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = O> + Send,
            O: IntoOutcome<C::Outcome, M>,
            $($argument: Extract<C>,)*
        {
            fn call(&self, input: C) -> impl Future<Output = Result<C::Outcome, Rejection>> + Send {
                let called = (|_input: &C| -> Result<Fut, Rejection> {
                    Ok(self($(<$argument as Extract<C>>::extract(_input)?,)*))
                })(&input);
                async move { Ok(called?.await.into_outcome()) }
            }

            fn arguments(&self) -> HandlerArguments {
                #[allow(unused_mut, reason = "a handler may take nothing")]
                let mut arguments = HandlerArguments::default();
                $(<$argument as Extract<C>>::describe(&mut arguments);)*
                arguments
            }
        }
    };
}

handler! {}
handler! { A }
handler! { A B }
handler! { A B D }
handler! { A B D E }
handler! { A B D E G }
handler! { A B D E G H }
