//! Which transports an endpoint offers.
//!
//! Owns: what each choice allows. Must never know: requests.

/// Which transports an endpoint offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transports {
    /// Long polling, with upgrades, and WebSocket.
    Both,
    /// Long polling alone.
    Polling,
    /// WebSocket alone.
    WebSocket,
    /// Long polling and WebSocket, where a session keeps the one that it began with: engine.io's `allowUpgrades: false`.
    /// Open packets offer no upgrade, and a client that tries all the same is answered 400.
    BothWithoutUpgrades,
}

impl Transports {
    /// Whether a session may begin by long polling.
    pub(super) const fn has_polling(self) -> bool {
        match self {
            Self::Both | Self::Polling | Self::BothWithoutUpgrades => true,
            Self::WebSocket => false,
        }
    }

    /// Whether a session may begin by WebSocket.
    pub(super) const fn has_web_socket(self) -> bool {
        match self {
            Self::Both | Self::WebSocket | Self::BothWithoutUpgrades => true,
            Self::Polling => false,
        }
    }

    /// Whether a session may go from long polling to WebSocket.
    pub(super) const fn can_upgrade(self) -> bool {
        match self {
            Self::Both => true,
            Self::Polling | Self::WebSocket | Self::BothWithoutUpgrades => false,
        }
    }
}
