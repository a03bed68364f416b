//! An ack that is sent later.
//!
//! Owns: [`AckSender`]. Must never know: handlers, beyond that one took it.

use roomcast_core::server::AckId;

use crate::args::IntoArgs;
use crate::emit_error::EmitError;
use crate::handler::{Extract, Received, Rejection};
use crate::handler_arguments::HandlerArguments;
use crate::socket::Socket;

/// The ack that a client waits for, as an argument of the event's handler, which may keep it and return: the socket's next
/// events do not wait for the ack. What the handler returns is not sent then.
///
/// ```
/// use roomcast_adapter::{AckSender, Data, Handle, Namespace};
/// # async fn report(_: String) -> String { String::new() }
///
/// fn set_up(ns: &mut Namespace) {
///     ns.on("report", async |ack: AckSender, Data((name,)): Data<(String,)>| {
///         // In a task of its own; by tokio: `tokio::spawn`.
///         # async fn spawn(task: impl Future<Output = ()>) { task.await; }
///         spawn(async move {
///             if let Err(error) = ack.send(report(name).await) {
///                 eprintln!("no ack: {error}");
///             }
///         })
///         .await;
///     });
/// }
/// ```
///
/// Dropped without being sent, the client gets no ack, as if the handler had returned [`NoAck`](crate::NoAck).
#[derive(Debug)]
#[must_use = "the client waits for it"]
pub struct AckSender {
    socket: Socket,
    ack: Option<AckId>,
}

impl AckSender {
    /// Whether the client asked for an ack. Where it did not, there is nothing to send.
    pub const fn is_wanted(&self) -> bool {
        self.ack.is_some()
    }

    /// Sends the ack; nothing if the client asked for none, or is gone.
    ///
    /// # Errors
    ///
    /// The arguments have no JSON form.
    pub fn send<M>(self, args: impl IntoArgs<M>) -> Result<(), EmitError> {
        let args = args.into_args().map_err(EmitError::Args)?;
        if let Some(ack) = self.ack {
            self.socket.ack(ack, args);
        }
        Ok(())
    }
}

impl Extract<Received> for AckSender {
    fn extract(it: &Received) -> Result<Self, Rejection> {
        Ok(Self { socket: it.socket.clone(), ack: it.ack })
    }

    fn describe(arguments: &mut HandlerArguments) {
        arguments.sends_ack();
    }
}
