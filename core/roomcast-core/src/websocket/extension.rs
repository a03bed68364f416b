//! What client and server agree on about compression ([RFC 7692 §7.1](https://www.rfc-editor.org/rfc/rfc7692#section-7.1)).
//!
//! Owns: which offer of a request is taken, and how the response says so. Must never know: compressed bytes.
//!
//! Neither side keeps its window between messages: a message is compressed once for all its recipients, and an idle
//! connection costs nothing. So both `no_context_takeover` parameters stand in every answer, which a server may demand of
//! its clients unasked (§7.1.1.2).

use http::HeaderMap;
use http::header::{HeaderValue, SEC_WEBSOCKET_EXTENSIONS};

/// permessage-deflate as agreed with one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateAgreement {
    /// `server_max_window_bits`: the client's window for what it receives holds `2^bits` bytes. 8 to 15.
    window_bits: u8,
    is_window_named: bool,
}

impl DeflateAgreement {
    /// The first offer in a request that can be taken; `None` if there is none, which declines the extension.
    pub fn choose(headers: &HeaderMap) -> Option<Self> {
        headers
            .get_all(SEC_WEBSOCKET_EXTENSIONS)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|list| list.split(','))
            .find_map(Self::of_offer)
    }

    /// The value of `Sec-WebSocket-Extensions` in the response.
    pub fn header(self) -> HeaderValue {
        let mut text = String::from("permessage-deflate; server_no_context_takeover; client_no_context_takeover");
        if self.is_window_named {
            text.push_str("; server_max_window_bits=");
            text.push_str(&self.window_bits.to_string());
        }
        // Visible ASCII throughout.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("permessage-deflate"))
    }

    /// Bytes of the window that the client has for what it receives. A message that is no longer needs no larger one.
    pub const fn window_bytes(self) -> usize {
        1 << self.window_bits
    }

    /// `None` for another extension, and for an offer with a parameter that is unknown, repeated or has no such value
    /// (§7.1: such an offer is declined).
    fn of_offer(offer: &str) -> Option<Self> {
        let mut members = offer.split(';').map(str::trim);
        if !members.next()?.eq_ignore_ascii_case("permessage-deflate") {
            return None;
        }
        let mut agreement = Self { window_bits: WINDOW_BITS_MAX, is_window_named: false };
        let mut seen = [false; 4];
        for member in members {
            let (name, value) = match member.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start()))),
                None => (member, None),
            };
            let place = match (name.to_ascii_lowercase().as_str(), value) {
                ("server_no_context_takeover", None) => 0,
                ("client_no_context_takeover", None) => 1,
                ("server_max_window_bits", Some(bits)) => {
                    agreement = Self { window_bits: window_bits(bits)?, is_window_named: true };
                    2
                }
                // Messages of clients with any window are taken; a hint needs no answer (§7.1.2.2).
                ("client_max_window_bits", bits) => {
                    if let Some(bits) = bits {
                        window_bits(bits)?;
                    }
                    3
                }
                _ => return None,
            };
            if std::mem::replace(&mut seen[place], true) {
                return None;
            }
        }
        Some(agreement)
    }
}

/// A value is a token, or the same in quotes (RFC 6455 §9.1).
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// §7.1.2.1: a decimal number from 8 to 15 without leading zeros.
fn window_bits(text: &str) -> Option<u8> {
    let is_decimal = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    let bits = text.parse().ok().filter(|_| is_decimal)?;
    (WINDOW_BITS_MIN..=WINDOW_BITS_MAX).contains(&bits).then_some(bits)
}

const WINDOW_BITS_MIN: u8 = 8;
const WINDOW_BITS_MAX: u8 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_of_browsers_and_libraries_are_taken() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "Permessage-Deflate; Client_Max_Window_Bits=10",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits=\"15\"",
        ] {
            let answer = answer(&[offer]).unwrap();
            assert_eq!(
                answer.0, "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                "{offer}"
            );
            assert_eq!(answer.1, 32768);
        }
    }

    #[test]
    fn a_smaller_window_is_agreed_to_and_named() {
        let (header, window) = answer(&["permessage-deflate; server_max_window_bits=10"]).unwrap();
        assert!(header.ends_with("; server_max_window_bits=10") && window == 1024);
    }

    /// RFC 7692 section 7.1.3: the first offer that can be taken.
    #[test]
    fn the_next_offer_counts_where_one_cannot_be_taken() {
        let bad = "permessage-deflate; server_max_window_bits=7";
        assert_eq!(answer(&[bad, "permessage-deflate; server_max_window_bits=8"]).unwrap().1, 256);
        for offer in [
            bad,
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; client_max_window_bits=x",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; what=1",
            "permessage-deflate;",
            "permessage-bzip2",
            "",
        ] {
            assert_eq!(answer(&[offer]), None, "{offer}");
        }
    }

    fn answer(offers: &[&str]) -> Option<(String, usize)> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(offer).unwrap());
        }
        let agreement = DeflateAgreement::choose(&headers)?;
        Some((agreement.header().to_str().unwrap().to_owned(), agreement.window_bytes()))
    }
}
