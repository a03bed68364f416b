//! JSON arrays of byte values: `[1,3,141]`, the form in which browsers of the application protocol carry binary.
//!
//! Owns: the two directions. Must never know: what the bytes are.

/// Why a text is not an array of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotBytes {
    /// It is not a JSON array of integers, or something follows it.
    Syntax,
    /// A number is above 255.
    Range,
    /// It holds more than `bytes_max`.
    TooLong,
}

/// Writes `bytes` as a JSON array without blanks, at most four characters a byte and two brackets.
pub fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + bytes.len() * 7 / 2);
    out.push(b'[');
    // Where a number goes depends on all before it. Four parts side by side do not wait for each other.
    let mut blocks = [[0; BLOCK * 4]; LANES];
    let mut parts = bytes.chunks_exact(BLOCK * LANES);
    for part in &mut parts {
        let mut ends = [0; LANES];
        let mut lanes = part.chunks_exact(BLOCK);
        if let [Some(first), Some(second), Some(third), Some(fourth)] = std::array::from_fn(|_| lanes.next()) {
            for (((first, second), third), fourth) in first.iter().zip(second).zip(third).zip(fourth) {
                for ((block, end), byte) in blocks.iter_mut().zip(&mut ends).zip([first, second, third, fourth]) {
                    *end = put(block, *end, *byte);
                }
            }
        }
        for (block, end) in blocks.iter().zip(ends) {
            out.extend_from_slice(block.get(..end).unwrap_or_default());
        }
    }
    let [block, ..] = &mut blocks;
    for part in parts.remainder().chunks(BLOCK) {
        let end = part.iter().fold(0, |end, byte| put(block, end, *byte));
        out.extend_from_slice(block.get(..end).unwrap_or_default());
    }
    if bytes.is_empty() {
        out.push(b']');
    } else if let Some(comma) = out.last_mut() {
        *comma = b']';
    }
    out
}

/// Writes a number and a comma behind `at`; where they end.
#[inline(always)]
fn put(block: &mut [u8; BLOCK * 4], at: usize, byte: u8) -> usize {
    let (digits, len) = DECIMALS[usize::from(byte)];
    // Four bytes always, of which `len` count: a copy of a fixed size is one store.
    if let Some(place) = block.get_mut(at..at + 4) {
        place.copy_from_slice(&digits);
    }
    at + usize::from(len)
}

/// Reads a JSON array of integers from 0 to 255. Blanks are taken wherever JSON takes them.
///
/// # Errors
///
/// Returns why `text` is not one, or that it holds more than `bytes_max`.
pub fn decode(text: &[u8], bytes_max: usize) -> Result<Vec<u8>, NotBytes> {
    let mut at = skip_blanks(text, 0);
    if text.get(at) != Some(&b'[') {
        return Err(NotBytes::Syntax);
    }
    at = skip_blanks(text, at + 1);
    // Each element takes at least two characters.
    let mut out = Vec::with_capacity((text.len() / 2).min(bytes_max).min(text.len() * 10 / 36 + 16));
    if text.get(at) == Some(&b']') {
        at += 1;
    } else {
        loop {
            at = numbers_and_commas(text, at, bytes_max, &mut out);
            at = skip_blanks(text, at);
            let (byte, next) = number(text, at)?;
            if out.len() == bytes_max {
                return Err(NotBytes::TooLong);
            }
            out.push(byte);
            at = next + 1;
            match text.get(next) {
                Some(b',') => {}
                Some(b']') => break,
                _ => {
                    let behind = skip_blanks(text, next);
                    at = behind + 1;
                    match text.get(behind) {
                        Some(b',') => {}
                        Some(b']') => break,
                        _ => return Err(NotBytes::Syntax),
                    }
                }
            }
            at = skip_blanks(text, at);
        }
    }
    if skip_blanks(text, at) == text.len() { Ok(out) } else { Err(NotBytes::Syntax) }
}

/// Appends numbers with a comma right behind them, as they mostly come, and tells where it stopped: before a number that
/// is among the last, wrong, too many, or followed by anything else.
///
/// Two numbers of at most four characters with their commas out of eight characters, and without a branch on how many
/// digits there are, which is not to be foreseen.
fn numbers_and_commas(text: &[u8], mut at: usize, bytes_max: usize, out: &mut Vec<u8>) -> usize {
    while let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*chunk);
        let digits = word ^ 0x3030_3030_3030_3030;
        // The high bit of each character that is no digit. Only characters from 0x8a on carry into the next one, and the
        // first that is no digit is seen to be a comma.
        let others = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
        let first = others.trailing_zeros() / 8;
        let second = (others & others.wrapping_sub(1)).trailing_zeros() / 8;
        let is_comma = |place: u32| word.checked_shr(8 * place).is_some_and(|rest| rest & 0xff == u64::from(b','));
        if !is_comma(first) || !is_comma(second) || out.len() + 2 > bytes_max {
            break;
        }
        let Some(left) = from_digits(digits, first) else { break };
        let Some(right) = from_digits(digits >> (8 * (first + 1)), second - first - 1) else { break };
        out.extend_from_slice(&[left, right]);
        at += second as usize + 1;
    }
    at
}

/// The value of the lowest `len` digits, of which the first one is the lowest.
#[inline]
fn from_digits(digits: u64, len: u32) -> Option<u8> {
    let leading_zero = len > 1 && digits & 0xff == 0;
    if !(1..=3).contains(&len) || leading_zero {
        return None;
    }
    // Hundreds, tens and ones, wherever the number began.
    let [hundreds, tens, ones, ..] = (digits << (8 * (3 - len))).to_le_bytes();
    u8::try_from(u32::from(hundreds) * 100 + u32::from(tens) * 10 + u32::from(ones)).ok()
}

/// The number at `at` and where it ends. As in JSON, no sign, no fraction and no leading zero.
#[inline]
fn number(text: &[u8], at: usize) -> Result<(u8, usize), NotBytes> {
    let digit = |at: usize| text.get(at).map_or(10, |byte| byte.wrapping_sub(b'0'));
    let (first, second) = (digit(at), digit(at + 1));
    if first > 9 {
        return Err(NotBytes::Syntax);
    }
    if second > 9 {
        return Ok((first, at + 1));
    }
    if first == 0 {
        return Err(NotBytes::Syntax);
    }
    let third = digit(at + 2);
    let two = first * 10 + second;
    if third > 9 {
        return Ok((two, at + 2));
    }
    let three = two.checked_mul(10).and_then(|tens| tens.checked_add(third)).ok_or(NotBytes::Range)?;
    if digit(at + 3) > 9 { Ok((three, at + 3)) } else { Err(NotBytes::Range) }
}

#[inline]
fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Bytes that are put together on the stack before they are appended.
const BLOCK: usize = 64;
/// How many of them are filled at a time.
const LANES: usize = 4;

/// Each byte with a comma behind it, and how many of the four characters that are.
const DECIMALS: [([u8; 4], u8); 256] = decimals();

const fn decimals() -> [([u8; 4], u8); 256] {
    let mut table = [([0; 4], 0); 256];
    let mut value = 0u8;
    loop {
        let (hundreds, tens, ones) = (b'0' + value / 100, b'0' + value / 10 % 10, b'0' + value % 10);
        table[value as usize] = match value {
            0..10 => ([ones, b',', 0, 0], 2),
            10..100 => ([tens, ones, b',', 0], 3),
            100.. => ([hundreds, tens, ones, b','], 4),
        };
        if value == u8::MAX {
            return table;
        }
        value += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn encoding_is_what_serde_writes_and_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..900)) {
            let text = encode(&bytes);
            prop_assert_eq!(&text, &serde_json::to_vec(&bytes).unwrap());
            prop_assert_eq!(decode(&text, bytes.len()), Ok(bytes.clone()));
            if !bytes.is_empty() {
                prop_assert_eq!(decode(&text, bytes.len() - 1), Err(NotBytes::TooLong));
            }
        }

        #[test]
        fn decoding_takes_what_serde_takes(text in "[\\[\\], 0-9\n-]{0,16}") {
            let serde = serde_json::from_str::<Vec<u8>>(&text).ok();
            let ours = decode(text.as_bytes(), 100).ok();
            // serde takes `-0` for 0.
            prop_assert!(ours == serde || (ours.is_none() && text.contains('-')), "{text:?}: {ours:?} {serde:?}");
        }
    }

    /// What is left to the slow way is what it says: it would hide any number that the fast way gives up for no reason.
    #[test]
    fn two_numbers_at_a_time_are_read_wherever_two_stand() {
        let ends = ["", "0", "7", "9", "10", "25", "99", "100", "199", "255"];
        let others =
            ["", "00", "01", "007", "256", "260", "300", "999", "1000", "a", "/", ":", "1a", "a1", "-1", " 1", "1 "];
        for left in ends.iter().chain(&others) {
            for right in ends.iter().chain(&others) {
                for behind in ["1,1,1,1", "255,255,", "]       ", "\u{e9}\u{e9}\u{e9}\u{e9}"] {
                    let text = format!("{left},{right},{behind}");
                    let pair = [left, right].map(|number| number.parse::<u8>().ok());
                    let is_number = |number: &&str| ends[1..].contains(number);
                    let is_pair = is_number(left) && is_number(right);
                    let mut out = vec![1];
                    let at = numbers_and_commas(text.as_bytes(), 0, 3, &mut out);
                    let expected = match pair {
                        [Some(left), Some(right)] if is_pair => vec![1, left, right],
                        _ => vec![1],
                    };
                    assert_eq!((&out, at), (&expected, if is_pair { text.len() - behind.len() } else { 0 }), "{text}");
                }
            }
        }
        let mut out = vec![1];
        assert_eq!((numbers_and_commas(b"1,2,3,4,", 0, 2, &mut out), out.len()), (0, 1), "one place is left, not two");
        assert_eq!((numbers_and_commas(b"0,1,2,3,4,5", 2, 9, &mut out), out), (6, vec![1, 1, 2]), "eight characters");
    }

    #[test]
    fn a_number_of_four_digits_is_out_of_range_wherever_it_stands() {
        for text in ["[1000]", "[1, 1119]", "[11,22,33, 2559]", "[1, 1110]"] {
            assert_eq!(decode(text.as_bytes(), 9), Err(NotBytes::Range), "{text}");
        }
        for (text, number) in [("[1, 9]", 9), ("[1, 89]", 89), ("[1, 98]", 98), ("[1, 199]", 199), ("[1, 190]", 190)] {
            assert_eq!(decode(text.as_bytes(), 9), Ok(vec![1, number]), "{text}");
        }
    }

    #[test]
    fn blanks_are_taken_and_nothing_else() {
        assert_eq!(decode(b" [ 1 ,\n2,\t255 ] ", 3), Ok(vec![1, 2, 255]));
        assert_eq!(
            decode(b"[1,2, 3,4,5, 6]", 9),
            Ok(vec![1, 2, 3, 4, 5, 6]),
            "behind two numbers that were read at once"
        );
        assert_eq!((encode(&[]).as_slice(), decode(b"[]", 0)), (&b"[]"[..], Ok(vec![])));
        assert_eq!(decode(b"[256]", 9), Err(NotBytes::Range));
        assert_eq!(decode(b"[1000]", 9), Err(NotBytes::Range));
        for bad in
            ["", "[", "[1", "[1,", "[1,]", "[,1]", "[01]", "[1.0]", "[1e1]", "[-1]", "[1]]", "[1] x", "{}", "[1 2]"]
        {
            assert_eq!(decode(bad.as_bytes(), 9), Err(NotBytes::Syntax), "{bad}");
        }
        // Digits but for their high bit.
        for byte in 0xb0..=0xb9 {
            assert_eq!(decode(&[b'[', byte, b',', byte, b',', b'1', b',', b'1', b']'], 9), Err(NotBytes::Syntax));
        }
    }
}
