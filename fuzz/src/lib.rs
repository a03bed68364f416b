//! Fuzz targets. A body is an ordinary function over bytes which panics when its property does not hold: libFuzzer
//! calls it from a binary (`./test.sh fuzz`), and `cargo test` runs it over the committed corpus.
//!
//! A new target `NAME` is its body and its line in [`TARGETS`], a binary of three lines in `src/bin/NAME.rs`, its
//! entry in `Cargo.toml`, and at least one file in `corpus/NAME/`. A test fails until all of them are there.
//!
//! An input that found a bug goes into the corpus with the fix.

pub mod bus;
pub mod frame;
pub mod inflate;
pub mod msgpack;
pub mod packet;
pub mod payload;
pub mod session;
pub mod slab;
pub mod token;
pub mod yjs;

/// A body: panics when its property does not hold.
pub type TargetBody = fn(&[u8]);

/// Every target by name.
pub const TARGETS: &[(&str, TargetBody)] = &[
    ("bus_javascript", bus::bus_javascript),
    ("bus_python", bus::bus_python),
    ("frame", frame::frame),
    ("inflate", inflate::inflate),
    ("msgpack", msgpack::msgpack),
    ("packet", packet::packet),
    ("payload", payload::payload),
    ("session", session::session),
    ("slab", slab::slab),
    ("token", token::token),
    ("yjs_awareness", yjs::yjs_awareness),
    ("yjs_state_vector", yjs::yjs_state_vector),
    ("yjs_store", yjs::yjs_store),
    ("yjs_update", yjs::yjs_update),
];

/// The whole of a target's binary: `roomcast_fuzz::target!(slab::slab);`.
#[cfg(feature = "libfuzzer")]
#[macro_export]
macro_rules! target {
    ($module:ident::$body:ident) => {
        ::libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$module::$body(data));
    };
}
