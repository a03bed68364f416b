//! The values of a server that handlers share.
//!
//! Owns: the values by their types. Must never know: what they are for, or who takes them.

use std::any::{Any, TypeId};
use std::sync::Arc;

/// The values of a server, one of each type.
#[derive(Default)]
pub(crate) struct States(Vec<Arc<dyn Any + Send + Sync>>);

impl States {
    /// Adds a value; `false` if there was one of its type.
    pub(crate) fn insert<T: Any + Send + Sync>(&mut self, value: T) -> bool {
        let is_new = !self.has(TypeId::of::<T>());
        self.0.push(Arc::new(value));
        is_new
    }

    pub(crate) fn has(&self, id: TypeId) -> bool {
        self.0.iter().any(|known| known.as_ref().type_id() == id)
    }

    pub(crate) fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.iter().find_map(|known| known.clone().downcast().ok())
    }
}
