//! Stand-in until the codec lands.

/// A close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1001.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002.
    pub const PROTOCOL: Self = Self(1002);
    /// 1008.
    pub const POLICY: Self = Self(1008);
    /// 1009.
    pub const TOO_BIG: Self = Self(1009);
    /// The number.
    pub const fn as_u16(self) -> u16 {
        self.0
    }
}
