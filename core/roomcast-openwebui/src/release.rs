//! Which release of Open WebUI is beside this.
//!
//! Owns: the releases that are told apart. Must never know: what differs between them.

/// Which release of Open WebUI is beside this. They differ in rights, in what a socket may do before it has a login, and in
/// how a browser loads a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// 0.6.41 to 0.7: sockets wait for `user-join`, and the one session that a state names loads the note's content into
    /// an empty document.
    V0_6,
    /// 0.12: CONNECT is the login, and without one a socket may not speak. A state on join carries the note's content,
    /// and of all that initialize a document the first wins.
    V0_12,
}
