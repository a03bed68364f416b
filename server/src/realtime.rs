//! What handlers and routes of one's own ask of the program, and say by it.
//!
//! Owns: the few questions that such code has. Must never know: what events mean.

use std::fmt;

use roomcast_openwebui::{LoginInfo, OpenWebUi, Request, Response, StoreChange, To};
use roomcast_tokio::{AppHandle, AppLink, Args, Builder, Extract, Handle, HandlerArguments, Rejection, Socket, State};
use serde::Serialize;

/// The program, as code beside it reaches it: an argument of any handler, and the first of a route. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Realtime(AppHandle<OpenWebUi>);

impl Realtime {
    pub(crate) const fn of(app: AppHandle<OpenWebUi>) -> Self {
        Self(app)
    }

    /// Lets handlers of this server take it as an argument.
    pub(crate) fn provide(builder: Builder<OpenWebUi>) -> Builder<OpenWebUi> {
        let link = builder.app_link();
        builder.state(link)
    }

    /// Whose socket it is, as of now, since tokens end and are revoked; `None` without a login. Nothing that a client says
    /// of itself is believed. A socket that loses its login leaves all rooms, those of added handlers too.
    pub async fn login(&self, socket: &Socket) -> Option<LoginInfo> {
        let answer = self.0.ask(Request::Login { socket: socket.id() }).await?;
        if let Response::Login(login) = answer { login.map(|login| *login) } else { None }
    }

    /// Sends all sessions of a user an event with one argument, on all devices, shards and nodes.
    ///
    /// # Errors
    ///
    /// See [`NotifyError`]. A user without a session is none.
    pub async fn notify_user(&self, user: &str, event: &str, argument: impl Serialize) -> Result<(), NotifyError> {
        let args = Args::from_serialize(&argument).map_err(|_| NotifyError::Malformed)?;
        let (to, event, skip) = (To::User(user.into()), event.into(), Vec::new());
        match self.0.ask(Request::Emit { to, skip, event, args, change: StoreChange::Nothing }).await {
            Some(Response::Emitted) => Ok(()),
            Some(_) => Err(NotifyError::Malformed),
            None => Err(NotifyError::Ended),
        }
    }

    /// The server's handle, for rooms: `realtime.handle().of("/").to("feature:dark").emit(…)`. Names of rooms that begin
    /// with `user:`, `channel:`, `note:`, `chat:` and `doc_` are Open WebUI's.
    pub const fn handle(&self) -> &Handle {
        self.0.handle()
    }
}

impl<C> Extract<C> for Realtime
where
    Handle: Extract<C>,
    State<AppLink<OpenWebUi>>: Extract<C>,
{
    fn extract(input: &C) -> Result<Self, Rejection> {
        let link = State::<AppLink<OpenWebUi>>::extract(input)?;
        Ok(Self(link.of(Handle::extract(input)?)))
    }

    fn describe(arguments: &mut HandlerArguments) {
        State::<AppLink<OpenWebUi>>::describe(arguments);
    }
}

/// Why a user is not notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotifyError {
    /// The argument is no JSON, or the name of the event is one that Socket.IO keeps for itself.
    Malformed,
    /// The server has ended.
    Ended,
}

impl fmt::Display for NotifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the event or its argument cannot be sent",
            Self::Ended => "the server has ended",
        })
    }
}

impl std::error::Error for NotifyError {}
