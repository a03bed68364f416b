//! Generational handles.
//!
//! Owns: the [`SlabKey`] trait and the macro that makes one newtype per kind of thing. Must never know: what the things
//! are.

/// An index into a [`Slab`](crate::slab::Slab) with the generation of what stood there when it was handed out.
///
/// The generation is an ABA guard: a close that crosses a read on its way leaves a stale handle, which is ignored.
pub trait SlabKey: Copy + Eq {
    /// Puts the two halves together.
    fn from_parts(index: u32, generation: u32) -> Self;
    /// The place in the slab.
    fn index(self) -> u32;
    /// How often that place had been freed when this handle was made.
    fn generation(self) -> u32;
}

/// Makes a handle type: `slab_key! { /// Docs. pub struct ConnId; }`.
#[macro_export]
#[doc(hidden)]
macro_rules! slab_key {
    ($(#[$meta:meta])* pub struct $name:ident;) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            index: u32,
            generation: u32,
        }

        impl $crate::id::SlabKey for $name {
            fn from_parts(index: u32, generation: u32) -> Self {
                Self { index, generation }
            }

            fn index(self) -> u32 {
                self.index
            }

            fn generation(self) -> u32 {
                self.generation
            }
        }

        #[allow(dead_code, reason = "not every handle is seen by a caller who needs both")]
        impl $name {
            /// The handle as one number, for a map or a log of the caller.
            pub const fn as_u64(self) -> u64 {
                (self.generation as u64) << 32 | self.index as u64
            }

            /// The place in its slab: small and dense, so that a caller may keep a `Vec` beside it.
            pub const fn slot(self) -> usize {
                self.index as usize
            }
        }
    };
}
