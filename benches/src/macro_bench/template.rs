//! Message texts with a number in them: what is sent, and what must come back.

use super::subject::ProcessKind;

/// A text with one number, of eight digits, in one or more places (`########` where it was written).
#[derive(Debug, Clone)]
pub(super) struct Template {
    text: Vec<u8>,
    places: Vec<usize>,
}

impl Template {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.as_bytes().to_vec(), places: text.match_indices(PLACE).map(|(place, _)| place).collect() }
    }

    /// The text with the number of message `sequence`; a bare loop knows the first text only.
    pub(super) fn at(&mut self, kind: ProcessKind, sequence: usize) -> &[u8] {
        let number = match kind {
            ProcessKind::Server => FIRST + sequence,
            ProcessKind::Bare => FIRST,
        };
        let digits = number.to_string();
        for place in &self.places {
            self.text[*place..*place + PLACE.len()].copy_from_slice(digits.as_bytes());
        }
        &self.text
    }

    /// The number of the message that `text` is, if it could be one of these.
    pub(super) fn sequence_in(&self, text: &[u8]) -> Option<usize> {
        let place = *self.places.first()?;
        let digits = text.get(place..place + PLACE.len()).filter(|_| text.len() == self.text.len())?;
        str::from_utf8(digits).ok()?.parse::<usize>().ok()?.checked_sub(FIRST)
    }

    pub(super) fn length(&self) -> usize {
        self.text.len()
    }

    /// The text of the first message, with the lowest number.
    pub(super) fn first(&mut self) -> String {
        String::from_utf8_lossy(self.at(ProcessKind::Bare, 0)).into_owned()
    }
}

/// A JSON string of 156 bytes between its quotes: `["msg",…]` becomes a server frame of 172 bytes.
pub(super) fn payload() -> String {
    format!("{PLACE}{}", "the quick brown fox jumps over the lazy dog. ".repeat(4)).chars().take(156).collect()
}

const PLACE: &str = "########";
/// Eight digits, none of them a leading zero: an ack id is a number.
const FIRST: usize = 10_000_000;

#[cfg(test)]
mod tests {
    use super::super::frame::unmasked_text;
    use super::*;

    #[test]
    fn the_number_stands_in_each_place() {
        let mut template = Template::new("43########[\"########\"]");
        assert_eq!(template.at(ProcessKind::Server, 7), b"4310000007[\"10000007\"]");
        assert_eq!(template.sequence_in(b"4310000007[\"10000007\"]"), Some(7));
        assert_eq!(template.sequence_in(b"4310000007[\"10000007\"]]"), None);
        assert_eq!(template.sequence_in(b"430000000x[\"10000007\"]"), None);
        assert_eq!(template.at(ProcessKind::Bare, 8), b"4310000000[\"10000000\"]");
        assert_eq!(template.first(), "4310000000[\"10000000\"]");
    }

    #[test]
    fn a_fan_out_frame_has_172_bytes() {
        let mut template = Template::new(&format!("42[\"msg\",\"{}\"]", payload()));
        assert_eq!(unmasked_text(template.at(ProcessKind::Server, 1)).len(), 172);
    }
}
