//! What the types of a handler's arguments say before it is called.
//!
//! Owns: [`HandlerArguments`]. Must never know: an argument's value.

use std::any::{Any, TypeId, type_name};

/// What is known of a handler from the types of its arguments; filled by [`Extract::describe`](crate::Extract::describe).
#[derive(Debug, Default)]
pub struct HandlerArguments {
    pub(crate) states: Vec<StateType>,
    pub(crate) sends_ack: bool,
}

/// The type of a [`State`](crate::State).
#[derive(Clone, Copy, Debug)]
pub(crate) struct StateType {
    pub(crate) id: TypeId,
    pub(crate) name: &'static str,
}

impl HandlerArguments {
    /// The handler takes a [`State`](crate::State) of this type.
    pub fn needs_state<T: Any>(&mut self) {
        self.states.push(StateType { id: TypeId::of::<T>(), name: type_name::<T>() });
    }

    /// The handler sends the ack itself: what it returns is not sent.
    pub const fn sends_ack(&mut self) {
        self.sends_ack = true;
    }
}
