//! How much of a log a client has: the number of the last packet, for each origin that numbers packets.
//!
//! Owns: comparing and joining positions, and their text. Must never know: packets, sockets.

use std::sync::Arc;

/// The number of the last packet of each origin, by the origin's place. An origin that is not named has sent nothing yet.
/// Cheap to clone: those who join at the same time share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position(Arc<Vec<u64>>);

impl Position {
    /// The number of the last packet of an origin; 0 if there is none.
    pub(super) fn number(&self, origin: usize) -> u64 {
        self.0.get(origin).copied().unwrap_or(0)
    }

    /// Whether a packet is at this position or before it.
    pub(super) fn has(&self, origin: usize, number: u64) -> bool {
        number <= self.number(origin)
    }

    /// Moves on to a packet, if it is further on.
    pub(super) fn advance(&mut self, origin: usize, number: u64) {
        if self.has(origin, number) {
            return;
        }
        let numbers = Arc::make_mut(&mut self.0);
        if numbers.len() <= origin {
            numbers.resize(origin + 1, 0);
        }
        if let Some(known) = numbers.get_mut(origin) {
            *known = number;
        }
    }

    /// Moves on to all that another position has.
    pub(super) fn join(&mut self, other: &Self) {
        for (origin, number) in other.0.iter().enumerate() {
            self.advance(origin, *number);
        }
    }

    /// Whether it has all that another position has.
    pub(super) fn reaches(&self, other: &Self) -> bool {
        other.0.iter().enumerate().all(|(origin, number)| self.has(origin, *number))
    }

    /// Appends its text, `tag.number` for each origin, parted by commas. No character of it is escaped in JSON.
    pub(super) fn write(&self, tags: &[Box<str>], out: &mut String) {
        for (tag, number) in tags.iter().zip(self.0.iter()).filter(|(_, number)| **number > 0) {
            if !out.is_empty() {
                out.push(',');
            }
            out.push_str(tag);
            out.push('.');
            out.push_str(&number.to_string());
        }
    }

    /// Reads what [`write`](Self::write) wrote. Origins whose tags are not known are passed over: what they sent is not
    /// known either. `None`: it is not of this form.
    pub(super) fn read(text: &str, tags: &[Box<str>]) -> Option<Self> {
        let mut position = Self::default();
        for part in text.split(',') {
            let (tag, number) = part.split_once('.')?;
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let number = number.parse().ok().filter(|_| is_number)?;
            if tag.is_empty() {
                return None;
            }
            if let Some(origin) = tags.iter().position(|known| **known == *tag) {
                position.advance(origin, number);
            }
        }
        Some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_what_is_at_it_or_before_it_of_each_origin() {
        let position = at(&[(0, 3), (2, 1)]);
        assert!(position.has(0, 3) && position.has(0, 1) && !position.has(0, 4));
        assert!(!position.has(1, 1) && position.has(2, 1) && !position.has(9, 1));
    }

    #[test]
    fn joined_positions_reach_both() {
        let (one, other) = (at(&[(0, 3), (1, 1)]), at(&[(0, 2), (2, 5)]));
        assert!(!one.reaches(&other) && !other.reaches(&one));
        let mut both = one.clone();
        both.join(&other);
        assert_eq!(both, at(&[(0, 3), (1, 1), (2, 5)]));
        assert!(both.reaches(&one) && both.reaches(&other) && one.reaches(&Position::default()));
    }

    #[test]
    fn text_reads_back_and_unknown_origins_are_passed_over() {
        let tags = ["a", "b", "c"].map(Box::from);
        let position = at(&[(0, 3), (2, 17)]);
        let mut text = String::new();
        position.write(&tags, &mut text);
        assert_eq!(text, "a.3,c.17");
        assert_eq!(Position::read(&text, &tags), Some(position));
        assert_eq!(Position::read("gone.5,b.2", &tags), Some(at(&[(1, 2)])));
        assert_eq!(Position::read("a.0", &tags), Some(Position::default()));
        for bad in ["", "a", "a.", ".3", "a.3,", "a.+3", "a.3x", "a.99999999999999999999", "hello"] {
            assert_eq!(Position::read(bad, &tags), None, "{bad}");
        }
    }

    fn at(numbers: &[(usize, u64)]) -> Position {
        let mut position = Position::default();
        numbers.iter().for_each(|(origin, number)| position.advance(*origin, *number));
        position
    }
}
