//! The text of an argument list, in one piece or in several.
//!
//! What an application puts around a long value that it passes on is a few bytes: the value stays where it is, and is
//! shared with the packets that are made of the list.
//!
//! Owns: the pieces, and the whole text for those that ask for it. Must never know: JSON, attachments.

use std::sync::{Arc, OnceLock};

use bytestring::ByteString;

/// Text in pieces.
#[derive(Clone, Debug)]
pub(super) enum ArgsText {
    Whole(ByteString),
    Pieces(Arc<TextPieces>),
}

/// Several pieces, and what they are together, joined when that is asked for first.
#[derive(Debug)]
pub(super) struct TextPieces {
    pieces: Box<[ByteString]>,
    bytes: usize,
    whole: OnceLock<ByteString>,
}

impl ArgsText {
    pub(super) const fn empty() -> Self {
        Self::Whole(ByteString::new())
    }

    pub(super) fn of_pieces(mut pieces: Vec<ByteString>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        if pieces.len() < 2 {
            return Self::Whole(pieces.pop().unwrap_or_default());
        }
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        Self::Pieces(Arc::new(TextPieces { pieces: pieces.into(), bytes, whole: OnceLock::new() }))
    }

    /// The whole text. Pieces are joined, once for all clones.
    pub(super) fn whole(&self) -> &ByteString {
        match self {
            Self::Whole(text) => text,
            Self::Pieces(text) => text.whole.get_or_init(|| {
                let mut whole = String::with_capacity(text.bytes);
                text.pieces.iter().for_each(|piece| whole.push_str(piece));
                whole.into()
            }),
        }
    }

    /// The pieces, of which none is empty if there are several.
    pub(super) fn pieces(&self) -> &[ByteString] {
        match self {
            Self::Whole(text) => std::slice::from_ref(text),
            Self::Pieces(text) => &text.pieces,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Whole(text) => text.len(),
            Self::Pieces(text) => text.bytes,
        }
    }
}

impl Default for ArgsText {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for ArgsText {
    fn eq(&self, other: &Self) -> bool {
        self.whole() == other.whole()
    }
}

impl Eq for ArgsText {}

impl From<ByteString> for ArgsText {
    fn from(text: ByteString) -> Self {
        Self::Whole(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_once_and_only_if_asked_for() {
        let pieces = ["{\"a\":", "", "[1,2]", "}"].map(ByteString::from_static);
        let text = ArgsText::of_pieces(pieces.to_vec());
        let clone = text.clone();
        assert_eq!((text.len(), text.pieces().len()), (11, 3));
        assert_eq!(text.pieces()[1].as_ptr(), pieces[2].as_ptr(), "not copied");
        assert_eq!(&**text.whole(), r#"{"a":[1,2]}"#);
        assert_eq!(text.whole().as_ptr(), clone.whole().as_ptr(), "joined once");
        assert_eq!(text, ArgsText::from(ByteString::from_static(r#"{"a":[1,2]}"#)));
        assert_ne!(text, ArgsText::empty());
    }

    #[test]
    fn one_piece_is_the_whole() {
        let text = ByteString::from_static("1,2");
        for pieces in [vec![text.clone()], vec![ByteString::new(), text.clone()]] {
            assert_eq!(ArgsText::of_pieces(pieces).whole().as_ptr(), text.as_ptr());
        }
        assert_eq!(ArgsText::of_pieces(Vec::new()), ArgsText::default());
    }
}
