//! The arrays and objects that a scanner is in.
//!
//! Owns: which of them are open, from the outermost to the innermost. Must never know: text.

#[derive(Clone, Copy)]
pub(super) enum Container {
    Array,
    Object,
}

/// Which containers are open: one bit each, the innermost lowest.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    bits: u128,
    pub(super) depth: u32,
    /// The bits of each full 128 levels further out.
    outer: Vec<u128>,
}

impl Nesting {
    pub(super) fn push(&mut self, container: Container) {
        if self.depth > 0 && self.depth.is_multiple_of(u128::BITS) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u128::from(matches!(container, Container::Object));
        self.depth += 1;
    }

    pub(super) fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.bits >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(u128::BITS) {
            self.bits = self.outer.pop().unwrap_or_default();
        }
    }

    #[inline]
    pub(super) fn innermost(&self) -> Option<Container> {
        match (self.depth, self.bits & 1) {
            (0, _) => None,
            (_, 0) => Some(Container::Array),
            (_, _) => Some(Container::Object),
        }
    }
}
