//! What the measurements share.
//!
//! Owns: the macro bench, which measures whole server processes. The Criterion benches of the core stand in `benches/`.

#[cfg(target_os = "linux")]
pub mod macro_bench;
