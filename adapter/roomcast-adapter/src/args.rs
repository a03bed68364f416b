//! What may be given as arguments.
//!
//! Owns: [`IntoArgs`]. Must never know: where the arguments go.

use serde::Serialize;

use roomcast_core::socket_io::{Args, ArgsError};

/// Arguments of an event or an ack: [`Args`] as they are, the elements of a tuple, `()` for none, and any other value
/// as the one argument.
///
/// `M` only tells the compiler which of these it is; there is nothing to write for it.
pub trait IntoArgs<M> {
    /// The arguments as they are sent.
    ///
    /// # Errors
    ///
    /// A value that has no JSON form, such as a map whose keys are no strings.
    fn into_args(self) -> Result<Args, ArgsError>;
}

impl<T: Serialize> IntoArgs<Typed> for T {
    fn into_args(self) -> Result<Args, ArgsError> {
        Args::from_serialize(&self)
    }
}

impl IntoArgs<Raw> for Args {
    fn into_args(self) -> Result<Args, ArgsError> {
        Ok(self)
    }
}

impl IntoArgs<Raw> for &Args {
    fn into_args(self) -> Result<Args, ArgsError> {
        Ok(self.clone())
    }
}

/// Marks what serde turns into arguments.
#[derive(Debug)]
pub enum Typed {}

/// Marks what is arguments already.
#[derive(Debug)]
pub enum Raw {}

/// Marks a [`Result`] whose error says by [`ErrorArgs`](crate::ErrorArgs) how it looks.
#[derive(Debug)]
pub struct Fallible<M>(std::marker::PhantomData<M>);

/// About how much memory arguments hold while they wait.
pub(crate) fn weight(args: &Args) -> usize {
    args.json_bytes() + args.attachments().iter().map(bytes::Bytes::len).sum::<usize>()
}
