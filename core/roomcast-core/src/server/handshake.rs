//! The request that opened a session.
//!
//! Owns: what is kept of it. Must never know: sessions, whether the request was right.

use core::net::IpAddr;
use std::any::Any;

use super::config::HeadersKept;

/// The address of a client, in the extensions of a request. An adapter knows it of the connections that it accepts; a web
/// framework that hands requests on may insert it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// The request that opened a session, as text: what an application may want to look at, in one small allocation that
/// lives as long as the session.
#[derive(Clone, Default)]
pub struct Handshake {
    text: Box<[u8]>,
    address: Option<IpAddr>,
    /// None of most requests.
    extensions: http::Extensions,
}

/// The same request; its extensions are not compared.
impl PartialEq for Handshake {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.address) == (&other.text, other.address)
    }
}

impl Eq for Handshake {}

impl std::fmt::Debug for Handshake {
    /// Not its fields: cookies and tokens do not belong into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handshake({} bytes)", self.text.len())
    }
}

impl Handshake {
    /// Keeps the target, all header fields and the extensions of a request.
    pub fn of<T>(request: &http::Request<T>) -> Self {
        Self::with(request, &HeadersKept::All)
    }

    /// Keeps the target and the extensions of a request, and those header fields that are asked for.
    pub fn with<T>(request: &http::Request<T>, kept: &HeadersKept) -> Self {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let fields = || request.headers().iter().filter(|(name, _)| kept.keeps(name.as_str()));
        let bytes =
            target.len() + 1 + fields().map(|(name, value)| name.as_str().len() + value.len() + 2).sum::<usize>();
        let mut text = Vec::with_capacity(bytes);
        text.extend_from_slice(target.as_bytes());
        text.push(b'\n');
        for (name, value) in fields() {
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            text.extend_from_slice(value.as_bytes());
            text.push(b'\n');
        }
        let address = request.extensions().get().map(|ClientAddress(address)| *address);
        // A table for the address alone would take more than all the rest.
        let has_others = request.extensions().len() > usize::from(address.is_some());
        let extensions = if has_others { request.extensions().clone() } else { http::Extensions::new() };
        Self { text: text.into_boxed_slice(), address, extensions }
    }

    /// Bytes in memory, without extensions.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The address of the client, as far as it is known: behind trusted proxies the one that they say.
    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// What a layer in front put into the extensions of the request, one of each type: a user that it has authenticated, for
    /// one.
    pub fn extension<T: Any + Send + Sync + Clone>(&self) -> Option<&T> {
        self.extensions.get()
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        let line = self.text.split(|byte| *byte == b'\n').next().unwrap_or(&[]);
        std::str::from_utf8(line).unwrap_or("/")
    }

    /// The first parameter of this name in the query, with `%` decoded and `+` as it is; `None` also if that is no UTF-8.
    pub fn param(&self, name: &str) -> Option<String> {
        let (_, query) = self.target().split_once('?')?;
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let (_, value) = pairs.find(|(other, _)| *other == name || percent_decoded(other).as_deref() == Some(name))?;
        percent_decoded(value)
    }

    /// The header fields, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.text.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(colon);
            Some((std::str::from_utf8(name).ok()?, value.get(1..)?))
        })
    }

    /// The first header field of this name (in lower case), if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers().find(|(other, _)| *other == name)?;
        std::str::from_utf8(value).ok()
    }
}

/// Text without its `%` escapes ([RFC 3986 section 2.1](https://www.rfc-editor.org/rfc/rfc3986#section-2.1)); `None` if one is
/// malformed, or if the text is no UTF-8 then.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_keeps_target_and_fields_and_shows_neither_in_a_log() {
        let request = http::Request::get("/io?a=b").header("cookie", "secret").header("x-two", "2").body(()).unwrap();
        let handshake = Handshake::of(&request);
        assert_eq!((handshake.target(), handshake.header("cookie")), ("/io?a=b", Some("secret")));
        assert_eq!(handshake.headers().collect::<Vec<_>>(), [("cookie", &b"secret"[..]), ("x-two", &b"2"[..])]);
        assert_eq!((handshake.len(), handshake.is_empty()), ("/io?a=b\ncookie:secret\nx-two:2\n".len(), false));
        assert_eq!(format!("{handshake:?}"), "Handshake(30 bytes)");
    }

    #[test]
    fn the_query_is_read_by_name() {
        let request =
            http::Request::get("/io?EIO=4&n%61me=a%20b%3D%C3%A9+c&flag&bad=%zz&name=second").body(()).unwrap();
        let handshake = Handshake::of(&request);
        assert_eq!(handshake.param("name").as_deref(), Some("a b=\u{e9}+c"));
        assert_eq!(handshake.param("flag").as_deref(), Some(""));
        assert_eq!((handshake.param("bad"), handshake.param("none")), (None, None));
        assert_eq!(Handshake::of(&http::Request::get("/io").body(()).unwrap()).param("EIO"), None);
    }

    #[test]
    fn extensions_and_the_address_stay_with_the_handshake() {
        let address = IpAddr::from([192, 0, 2, 1]);
        let mut request = http::Request::get("/io").body(()).unwrap();
        request.extensions_mut().insert(ClientAddress(address));
        let handshake = Handshake::of(&request);
        assert_eq!((handshake.address(), handshake.extension::<ClientAddress>()), (Some(address), None));
        request.extensions_mut().insert("alice");
        let handshake = Handshake::of(&request);
        assert_eq!((handshake.address(), handshake.extension::<&str>()), (Some(address), Some(&"alice")));
        assert_eq!(handshake.extension::<u8>(), None);
    }
}
