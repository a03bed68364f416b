//! The simulator, the reference model and the suite server of roomcast.

pub mod pair;
pub mod sim;
