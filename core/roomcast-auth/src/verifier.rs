//! The checks of a token, in their order.
//!
//! Owns: the shape of a token, the order of the checks (nothing in the payload is read before the signature is right),
//! every rule about claims. Must never know: sockets, sessions, where a token came from, what a claim that is not
//! registered means.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use roomcast_time::WallTime;

use crate::algorithm::Algorithm;
use crate::claims::{Claim, Claims};
use crate::error::AuthError;
use crate::json::{JsonFault, Object, Round, millis, text};
use crate::key::{Key, SetupError};
use crate::policy::{Audience, Dates, Policy};

/// Checks tokens against a [`Policy`]. Holds no state: the same token at the same time always gets the same verdict.
#[derive(Clone, Debug)]
pub struct Verifier {
    policy: Policy,
    keys: Vec<Key>,
}

impl Verifier {
    /// Makes a verifier. Several keys of one family are tried in turn, so that a secret can be replaced without a gap.
    ///
    /// # Errors
    ///
    /// [`SetupError::NoAlgorithm`] if the policy allows none, [`SetupError::NoKeyFor`] if it allows one that no key
    /// serves.
    pub fn new(policy: Policy, keys: Vec<Key>) -> Result<Self, SetupError> {
        if policy.algorithms.is_empty() {
            return Err(SetupError::NoAlgorithm);
        }
        match policy.algorithms.iter().find(|algorithm| !keys.iter().any(|key| key.fits(**algorithm))) {
            Some(algorithm) => Err(SetupError::NoKeyFor(*algorithm)),
            None => Ok(Self { policy, keys }),
        }
    }

    /// Returns the claims of a token that is valid at `wall`.
    ///
    /// [RFC 7519 section 7.2](https://www.rfc-editor.org/rfc/rfc7519#section-7.2), with what
    /// [RFC 8725](https://www.rfc-editor.org/rfc/rfc8725) adds: three parts, strict base64url, one algorithm that the
    /// policy names, no `crit`, no name twice, and the signature before anything in the payload. Keys that the header
    /// contains or points to (`kid`, `jku`, `jwk`, `x5u`) are ignored.
    ///
    /// # Errors
    ///
    /// The first check that failed, in the order of the variants of [`AuthError`].
    pub fn verify(&self, token: &str, wall: WallTime) -> Result<Claims, AuthError> {
        if token.len() > self.policy.token_bytes_max {
            return Err(AuthError::TokenTooLong);
        }
        let parts = TokenParts::split(token)?;
        let algorithm = self.algorithm(&decode(parts.header).ok_or(AuthError::HeaderMalformed)?)?;
        let signature = URL_SAFE_NO_PAD.decode(parts.signature).map_err(|_| AuthError::SignatureMalformed)?;
        if !self.keys.iter().any(|key| key.has_signed(parts.signed, &signature, algorithm)) {
            return Err(AuthError::SignatureWrong);
        }
        let payload = decode(parts.payload).ok_or(AuthError::PayloadMalformed)?;
        self.claims(&payload, wall)
    }

    fn algorithm(&self, header: &str) -> Result<Algorithm, AuthError> {
        let header = Object::parse(header).map_err(|fault| match fault {
            JsonFault::NotAnObject => AuthError::HeaderMalformed,
            JsonFault::NameTwice => AuthError::HeaderNameTwice,
            JsonFault::TooDeep => AuthError::HeaderTooDeep,
        })?;
        // RFC 7515 section 4.1.11: an extension that is not understood must be refused; none is understood here.
        if header.find("crit").is_some() {
            return Err(AuthError::CriticalExtension);
        }
        let name = header.find("alg").and_then(text).ok_or(AuthError::AlgorithmMissing)?;
        let mut allowed = self.policy.algorithms.iter();
        allowed.find(|algorithm| algorithm.name() == name).copied().ok_or(AuthError::AlgorithmRefused)
    }

    fn claims(&self, payload: &str, wall: WallTime) -> Result<Claims, AuthError> {
        let object = Object::parse(payload).map_err(|fault| match fault {
            JsonFault::NotAnObject => AuthError::PayloadMalformed,
            JsonFault::NameTwice => AuthError::PayloadNameTwice,
            JsonFault::TooDeep => AuthError::PayloadTooDeep,
        })?;
        if let Some(missing) = self.policy.required.iter().find(|claim| object.find(claim.name()).is_none()) {
            return Err(AuthError::ClaimMissing(*missing));
        }
        let claims = Claims {
            expiry: self.date(&object, Claim::Expiry, Round::Down)?,
            not_before: self.date(&object, Claim::NotBefore, Round::Up)?,
            issued_at: self.date(&object, Claim::IssuedAt, Round::Up)?,
            subject: self.name(&object, Claim::Subject)?,
            id: self.name(&object, Claim::Id)?,
            jwt_id: self.name(&object, Claim::JwtId)?,
            issuer: self.name(&object, Claim::Issuer)?,
            json: payload.into(),
        };
        self.check_audience(&object)?;
        if claims.expiry.is_some_and(|expiry| expiry + self.policy.leeway <= wall) {
            return Err(AuthError::Expired);
        }
        if claims.not_before.is_some_and(|not_before| not_before > wall + self.policy.leeway) {
            return Err(AuthError::NotYetValid);
        }
        if claims.issued_at.is_some_and(|issued_at| issued_at > wall + self.policy.leeway) {
            return Err(AuthError::IssuedInFuture);
        }
        Ok(claims)
    }

    fn date(&self, object: &Object<'_>, claim: Claim, round: Round) -> Result<Option<WallTime>, AuthError> {
        let Some(raw) = object.find(claim.name()) else { return Ok(None) };
        let millis = match (raw.as_bytes().first(), self.policy.dates) {
            (Some(b'-' | b'0'..=b'9'), Dates::Number | Dates::NumberOrDigits) => Some(millis(raw, round)),
            (Some(b'"'), Dates::NumberOrDigits) => text(raw)
                .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
                .map(|digits| millis(&digits, round)),
            _ => None,
        };
        match millis {
            Some(millis) => Ok(Some(WallTime::from_unix_millis(millis))),
            None => Err(AuthError::ClaimMalformed(claim)),
        }
    }

    fn name(&self, object: &Object<'_>, claim: Claim) -> Result<Option<Box<str>>, AuthError> {
        let Some(raw) = object.find(claim.name()) else { return Ok(None) };
        match text(raw) {
            Some(name) => Ok(Some(name.into())),
            // A name that is not registered may be anything, unless the policy requires it.
            None if claim == Claim::Id && !self.policy.required.contains(&claim) => Ok(None),
            None => Err(AuthError::ClaimMalformed(claim)),
        }
    }

    fn check_audience(&self, object: &Object<'_>) -> Result<(), AuthError> {
        let raw = object.find(Claim::Audience.name());
        match (&self.policy.audience, raw) {
            (Audience::Refused, None) => Ok(()),
            (Audience::Refused, Some(_)) => Err(AuthError::AudienceRefused),
            (Audience::OneOf(_), None) => Err(AuthError::ClaimMissing(Claim::Audience)),
            (Audience::OneOf(expected), Some(raw)) => {
                let named = match text(raw) {
                    Some(one) => vec![one],
                    None => serde_json::from_str(raw).map_err(|_| AuthError::ClaimMalformed(Claim::Audience))?,
                };
                if named.iter().any(|name| expected.contains(name)) { Ok(()) } else { Err(AuthError::AudienceRefused) }
            }
        }
    }
}

/// A token cut at its dots.
struct TokenParts<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// Header, dot and payload: what the signature is over.
    signed: &'a str,
}

impl<'a> TokenParts<'a> {
    fn split(token: &'a str) -> Result<Self, AuthError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(AuthError::NotThreeParts)?;
        match signed.split_once('.') {
            Some((header, payload)) if !payload.contains('.') => Ok(Self { header, payload, signature, signed }),
            Some(_) | None => Err(AuthError::NotThreeParts),
        }
    }
}

/// Strict base64url without padding, of UTF-8.
fn decode(part: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::AuthError::*;
    use super::*;
    use crate::secret::sign_sha256;
    use crate::sign::{sign_hs256, sign_hs256_with};

    #[test]
    fn good_tokens() {
        for (claims, exp_ms) in [
            (r#"{"exp":2001,"sub":"u"}"#, 2_001_000),
            (r#" { "exp" : 2e3 , "x" : [ { } , null ] } "#, 2_000_000),
            (r#"{"exp":2000.0009,"id":7}"#, 2_000_000),
            (r#"{"exp":20000000.5e-4}"#, 2_000_000),
            (r#"{"exp":1000.001}"#, 1_000_001),
            (r#"{"exp":1e999999999999999999999}"#, u64::MAX),
            (r#"{"exp":99999999999999999999999999999}"#, u64::MAX),
            (r#"{"exp":2000,"nbf":1000,"iat":1000}"#, 2_000_000),
            (r#"{"exp":2000,"nbf":-5,"iat":-1e400}"#, 2_000_000),
            (r#"{"exp":2000,"nbf":0.5e-3,"jti":"j","iss":"i","sub":"\u00fc\"","id":"👋"}"#, 2_000_000),
        ] {
            let token = sign_hs256(SECRET, claims);
            let verified =
                verifier(Policy::default()).verify(&token, NOW).unwrap_or_else(|e| panic!("{claims}: {e:?}"));
            assert_eq!(verified.as_json(), claims);
            assert_eq!(verified.exp(), Some(WallTime::from_unix_millis(exp_ms)), "{claims}");
        }
    }

    #[test]
    fn bad_claims() {
        for (claims, error) in [
            ("{}", ClaimMissing(Claim::Expiry)),
            (r#"{"EXP":2000}"#, ClaimMissing(Claim::Expiry)),
            (r#"{"exp":1000}"#, Expired),
            (r#"{"exp":1000.0009}"#, Expired),
            (r#"{"exp":0}"#, Expired),
            (r#"{"exp":-2000}"#, Expired),
            (r#"{"exp":-1e999}"#, Expired),
            (r#"{"exp":1e-999999999999999999999}"#, Expired),
            (r#"{"exp":"2000"}"#, ClaimMalformed(Claim::Expiry)),
            (r#"{"exp":null}"#, ClaimMalformed(Claim::Expiry)),
            (r#"{"exp":true}"#, ClaimMalformed(Claim::Expiry)),
            (r#"{"exp":[2000]}"#, ClaimMalformed(Claim::Expiry)),
            (r#"{"exp":{"n":2000}}"#, ClaimMalformed(Claim::Expiry)),
            (r#"{"exp":2000,"nbf":1001}"#, NotYetValid),
            (r#"{"exp":2000,"nbf":1000.0001}"#, NotYetValid),
            (r#"{"exp":2000,"nbf":1e999}"#, NotYetValid),
            (r#"{"exp":2000,"nbf":"1"}"#, ClaimMalformed(Claim::NotBefore)),
            (r#"{"exp":2000,"iat":1001}"#, IssuedInFuture),
            (r#"{"exp":2000,"iat":null}"#, ClaimMalformed(Claim::IssuedAt)),
            (r#"{"exp":2000,"sub":1}"#, ClaimMalformed(Claim::Subject)),
            (r#"{"exp":2000,"sub":"\ud800"}"#, ClaimMalformed(Claim::Subject)),
            (r#"{"exp":2000,"jti":null}"#, ClaimMalformed(Claim::JwtId)),
            (r#"{"exp":2000,"iss":[]}"#, ClaimMalformed(Claim::Issuer)),
            (r#"{"exp":2000,"aud":"us"}"#, AudienceRefused),
            (r#"{"exp":2000,"aud":null}"#, AudienceRefused),
        ] {
            assert_eq!(outcome(&sign_hs256(SECRET, claims)), Err(error), "{claims}");
        }
    }

    #[test]
    fn bad_payloads() {
        let deep = |levels: usize| format!(r#"{{"exp":2000,"x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert_eq!(outcome(&sign_hs256(SECRET, &deep(15))), Ok(()));
        for (claims, error) in [
            ("", PayloadMalformed),
            ("null", PayloadMalformed),
            ("[]", PayloadMalformed),
            (r#""x""#, PayloadMalformed),
            (r#"{"exp":2000"#, PayloadMalformed),
            (r#"{"exp":2000}{}"#, PayloadMalformed),
            (r#"{"exp":2000,}"#, PayloadMalformed),
            (r#"{"exp":02000}"#, PayloadMalformed),
            (r#"{"exp":+2000}"#, PayloadMalformed),
            (r#"{"exp":NaN}"#, PayloadMalformed),
            (r#"{"exp":Infinity}"#, PayloadMalformed),
            (r#"{"exp":0x7d0}"#, PayloadMalformed),
            ("\u{feff}{\"exp\":2000}", PayloadMalformed),
            (r#"{"exp":2000,"exp":2000}"#, PayloadNameTwice),
            (r#"{"exp":2000,"\u0065xp":3000}"#, PayloadNameTwice),
            (r#"{"exp":2000,"x":[{"y":1,"y":1}]}"#, PayloadNameTwice),
            (&deep(16), PayloadTooDeep),
            (&deep(4000), PayloadTooDeep),
        ] {
            assert_eq!(outcome(&sign_hs256(SECRET, claims)), Err(error), "{claims}");
        }
        let no_utf8 =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(b"{\"\xff\":1}"));
        assert_eq!(outcome(&signed(&no_utf8)), Err(PayloadMalformed));
    }

    #[test]
    fn headers() {
        let outcome = |header: &str| outcome(&sign_hs256_with(SECRET, header, CLAIMS));
        for header in [
            r#"{"alg":"HS256"}"#,
            r#"{"typ":"at+jwt","alg":"HS256"}"#,
            r#"{"alg":"HS256","kid":"../../dev/null","jku":"http://x/","x5u":"http://x/","jwk":{"kty":"oct","k":"eA"}}"#,
            r#"{"alg":"HS256","kid":7}"#,
        ] {
            assert_eq!(outcome(header), Ok(()), "{header}");
        }
        for (header, error) in [
            ("", HeaderMalformed),
            ("[]", HeaderMalformed),
            (r#""HS256""#, HeaderMalformed),
            ("{}", AlgorithmMissing),
            (r#"{"alg":null}"#, AlgorithmMissing),
            (r#"{"alg":["HS256"]}"#, AlgorithmMissing),
            (r#"{"ALG":"HS256"}"#, AlgorithmMissing),
            (r#"{"alg":"none"}"#, AlgorithmRefused),
            (r#"{"alg":"None"}"#, AlgorithmRefused),
            (r#"{"alg":""}"#, AlgorithmRefused),
            (r#"{"alg":"hs256"}"#, AlgorithmRefused),
            (r#"{"alg":"HS256 "}"#, AlgorithmRefused),
            (r#"{"alg":"HS384"}"#, AlgorithmRefused),
            (r#"{"alg":"RS256"}"#, AlgorithmRefused),
            (r#"{"alg":"HS256","alg":"none"}"#, HeaderNameTwice),
            (r#"{"alg":"HS256","\u0061lg":"HS256"}"#, HeaderNameTwice),
            (r#"{"alg":"HS256","crit":["exp"]}"#, CriticalExtension),
            (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, CriticalExtension),
            (r#"{"alg":"HS256","crit":[]}"#, CriticalExtension),
            (r#"{"alg":"HS256","crit":null}"#, CriticalExtension),
            (r#"{"alg":"HS256","x":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}"#, HeaderTooDeep),
        ] {
            assert_eq!(outcome(header), Err(error), "{header}");
        }
    }

    #[test]
    fn shapes() {
        let good = sign_hs256(SECRET, CLAIMS);
        let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
        for (token, error) in [
            (String::new(), NotThreeParts),
            ("..".into(), HeaderMalformed),
            (format!("{header}.{payload}"), NotThreeParts),
            (format!("{header}.{payload}."), SignatureWrong),
            (format!("{good}."), NotThreeParts),
            (format!(".{good}"), NotThreeParts),
            (format!("{header}.{payload}.{signature}.x"), NotThreeParts),
            (format!("{header}=.{payload}.{signature}"), HeaderMalformed),
            (format!("{header}\n.{payload}.{signature}"), HeaderMalformed),
            (format!("{good}="), SignatureMalformed),
            (format!("{good} "), SignatureMalformed),
            (format!("{good}A"), SignatureWrong),
            (format!("{good}AA"), SignatureMalformed),
            (format!("{header}.{payload}.{}", &signature[..42]), SignatureMalformed),
            (format!("{header}.{payload}.{}", &signature[..40]), SignatureWrong),
            (format!("{header}.{payload}.{}/", &signature[..42]), SignatureMalformed),
            (format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(r#"{"exp":3000}"#)), SignatureWrong),
            (sign_hs256(b"another", CLAIMS), SignatureWrong),
            (signed(&format!("{header}.{payload}=")), PayloadMalformed),
            (signed(&format!("{header}.{payload}\u{e9}")), PayloadMalformed),
            (signed(&format!("{header}.")), PayloadMalformed),
        ] {
            assert_eq!(outcome(&token), Err(error), "{token}");
        }
    }

    #[test]
    fn the_length_is_checked_first() {
        let token = sign_hs256(SECRET, CLAIMS);
        let policy = |token_bytes_max| Policy { token_bytes_max, ..Policy::default() };
        assert!(verifier(policy(token.len())).verify(&token, NOW).is_ok());
        assert_eq!(verifier(policy(token.len() - 1)).verify(&token, NOW), Err(TokenTooLong));
        assert_eq!(outcome(&"x".repeat(16_385)), Err(TokenTooLong));
        assert_eq!(outcome(&"x".repeat(16_384)), Err(NotThreeParts));
    }

    /// However wrong the claims are, they are not read before the signature is right.
    #[test]
    fn the_signature_comes_before_the_claims() {
        for claims in ["", "[", r#"{"exp":0}"#, r#"{"exp":1,"exp":1}"#] {
            assert_eq!(outcome(&sign_hs256(b"another", claims)), Err(SignatureWrong), "{claims}");
        }
    }

    #[test]
    fn requirements() {
        let policy = Policy { required: vec![Claim::Expiry, Claim::Subject, Claim::Id], ..Policy::default() };
        let outcome = |claims: &str| verifier(policy.clone()).verify(&sign_hs256(SECRET, claims), NOW).map(drop);
        assert_eq!(outcome(r#"{"exp":2000,"sub":"","id":"7"}"#), Ok(()));
        assert_eq!(outcome(r#"{"exp":2000,"id":"7"}"#), Err(ClaimMissing(Claim::Subject)));
        assert_eq!(outcome(r#"{"exp":2000,"sub":null,"id":"7"}"#), Err(ClaimMalformed(Claim::Subject)));
        assert_eq!(outcome(r#"{"exp":2000,"sub":"u"}"#), Err(ClaimMissing(Claim::Id)));
        assert_eq!(outcome(r#"{"exp":2000,"sub":"u","id":7}"#), Err(ClaimMalformed(Claim::Id)));
        assert_eq!(outcome(r#"{"sub":"u","id":"7"}"#), Err(ClaimMissing(Claim::Expiry)));
        let lasting = verifier(Policy { required: vec![Claim::Id], ..Policy::default() });
        let claims = lasting.verify(&sign_hs256(SECRET, r#"{"id":"7"}"#), NOW).unwrap();
        assert_eq!((claims.exp(), claims.id()), (None, Some("7")));
        assert_eq!(lasting.verify(&sign_hs256(SECRET, r#"{"id":"7","exp":999}"#), NOW), Err(Expired));
    }

    #[test]
    fn leeway_is_for_all_three() {
        let lenient = Policy { leeway: Duration::from_secs(10), ..Policy::default() };
        let outcome = |claims: &str| verifier(lenient.clone()).verify(&sign_hs256(SECRET, claims), NOW).map(drop);
        assert_eq!(outcome(r#"{"exp":990.001,"nbf":1010,"iat":1010}"#), Ok(()));
        assert_eq!(outcome(r#"{"exp":990}"#), Err(Expired));
        assert_eq!(outcome(r#"{"exp":2000,"nbf":1010.001}"#), Err(NotYetValid));
        assert_eq!(outcome(r#"{"exp":2000,"iat":1010.001}"#), Err(IssuedInFuture));
    }

    #[test]
    fn digits_if_the_policy_takes_them() {
        let policy = Policy { dates: Dates::NumberOrDigits, ..Policy::default() };
        let outcome = |claims: &str| verifier(policy.clone()).verify(&sign_hs256(SECRET, claims), NOW).map(drop);
        assert_eq!(outcome(r#"{"exp":"2000","nbf":"1000","iat":1000}"#), Ok(()));
        assert_eq!(outcome(r#"{"exp":"1000"}"#), Err(Expired));
        assert_eq!(outcome(r#"{"exp":"2000","iat":"1001"}"#), Err(IssuedInFuture));
        for exp in [r#""""#, r#"" 2000""#, r#""2_000""#, r#""+2000""#, r#""2e3""#, r#""٢٠٠٠""#, "true", "null"] {
            assert_eq!(outcome(&format!(r#"{{"exp":{exp}}}"#)), Err(ClaimMalformed(Claim::Expiry)), "{exp}");
        }
    }

    #[test]
    fn audiences() {
        let policy = Policy { audience: Audience::OneOf(vec!["a".into(), "b".into()]), ..Policy::default() };
        let outcome = |aud: &str| {
            let claims = format!(r#"{{"exp":2000{aud}}}"#);
            verifier(policy.clone()).verify(&sign_hs256(SECRET, &claims), NOW).map(drop)
        };
        assert_eq!(outcome(r#","aud":"b""#), Ok(()));
        assert_eq!(outcome(r#","aud":["x","a"]"#), Ok(()));
        assert_eq!(outcome(""), Err(ClaimMissing(Claim::Audience)));
        assert_eq!(outcome(r#","aud":"ab""#), Err(AudienceRefused));
        assert_eq!(outcome(r#","aud":[]"#), Err(AudienceRefused));
        assert_eq!(outcome(r#","aud":["a",7]"#), Err(ClaimMalformed(Claim::Audience)));
        assert_eq!(outcome(r#","aud":{"a":1}"#), Err(ClaimMalformed(Claim::Audience)));
    }

    #[test]
    fn what_a_token_says() {
        let claims =
            r#"{"exp":2000,"iat":999.5,"nbf":1,"sub":"u","id":"7","jti":"j","iss":"i","role":"\u0061dmin","n":[1, 2]}"#;
        let claims = verifier(Policy::default()).verify(&sign_hs256(SECRET, claims), NOW).unwrap();
        assert_eq!(
            (claims.subject(), claims.id(), claims.jti(), claims.issuer()),
            (Some("u"), Some("7"), Some("j"), Some("i"))
        );
        assert_eq!(
            (claims.iat(), claims.nbf()),
            (Some(WallTime::from_unix_millis(999_500)), Some(WallTime::from_unix_millis(1000)))
        );
        assert_eq!(
            (claims.string("role").as_deref(), claims.string("n"), claims.string("x")),
            (Some("admin"), None, None)
        );
        assert_eq!(claims.raw("n"), Some("[1, 2]"));
        assert_eq!(format!("{claims:?}"), "Claims { expiry: Some(WallTime(2000000)), .. }");
    }

    /// RFC 7515 appendix A.1.
    #[test]
    fn the_example_of_the_rfc() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                     eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                     dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = Key::hmac(&URL_SAFE_NO_PAD.decode(key).unwrap()).unwrap();
        let verifier = Verifier::new(Policy::default(), vec![key]).unwrap();
        let claims = verifier.verify(token, NOW).unwrap();
        assert_eq!((claims.issuer(), claims.raw("http://example.com/is_root")), (Some("joe"), Some("true")));
        assert_eq!(verifier.verify(token, WallTime::from_unix_millis(1_300_819_380_000)), Err(Expired));
    }

    /// Keys and tokens made with Node's `crypto`.
    #[cfg(feature = "asymmetric")]
    #[test]
    fn public_keys() {
        let bytes = |base64: &str| URL_SAFE_NO_PAD.decode(base64).unwrap();
        let point = [&[4][..], &bytes(EC_X), &bytes(EC_Y)].concat();
        let ed25519: [u8; 32] = bytes(ED25519).try_into().unwrap();
        let (rsa, ec) = (Key::rsa(&bytes(RSA_N), &[1, 0, 1]).unwrap(), Key::ec(&point).unwrap());
        let keys = [Key::hmac(SECRET).unwrap(), rsa, ec, Key::ed25519(&ed25519).unwrap()];
        let verifier = |algorithms: &[Algorithm]| {
            Verifier::new(Policy { algorithms: algorithms.to_vec(), ..Policy::default() }, keys.to_vec()).unwrap()
        };
        let all = [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa];
        for (algorithm, token) in all.into_iter().zip([RS256, PS256, ES256, EDDSA]) {
            assert_eq!(verifier(&all).verify(token, NOW).unwrap().subject(), Some("u"), "{}", algorithm.name());
            assert_eq!(verifier(&[Algorithm::Hs256]).verify(token, NOW), Err(AlgorithmRefused));
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let mut other = bytes(signature);
            other[9] ^= 1;
            let other = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(other));
            assert_eq!(verifier(&all).verify(&other, NOW), Err(SignatureWrong), "{}", algorithm.name());
            assert_eq!(verifier(&all).verify(&format!("{signed}.AAAA"), NOW), Err(SignatureWrong));
        }
        // A public key never serves as a shared secret.
        let forged = sign_hs256(&bytes(RSA_N), CLAIMS);
        assert_eq!(verifier(&[Algorithm::Rs256, Algorithm::Hs256]).verify(&forged, NOW), Err(SignatureWrong));
    }

    #[test]
    fn keys_and_policies_that_make_no_verifier() {
        let policy = |algorithms: &[Algorithm]| Policy { algorithms: algorithms.to_vec(), ..Policy::default() };
        let hmac = || vec![Key::hmac(SECRET).unwrap()];
        assert_eq!(Key::hmac(b"").err(), Some(SetupError::SecretEmpty));
        assert_eq!(Verifier::new(policy(&[]), hmac()).err(), Some(SetupError::NoAlgorithm));
        for algorithm in [Algorithm::Rs256, Algorithm::Ps384, Algorithm::Es384, Algorithm::EdDsa] {
            let setup = Verifier::new(policy(&[Algorithm::Hs256, algorithm]), hmac());
            assert_eq!(setup.err(), Some(SetupError::NoKeyFor(algorithm)));
        }
    }

    #[cfg(feature = "asymmetric")]
    #[test]
    fn bytes_that_are_no_public_key() {
        let policy = |algorithms: &[Algorithm]| Policy { algorithms: algorithms.to_vec(), ..Policy::default() };
        assert_eq!(Key::rsa(&[1; 255], &[3]).err(), Some(SetupError::KeyMalformed));
        assert_eq!(Key::rsa(&[1; 256], &[]).err(), Some(SetupError::KeyMalformed));
        assert_eq!(Key::ec(&[4; 64]).err(), Some(SetupError::KeyMalformed));
        assert_eq!(Key::ec(&[4; 65]).err(), Some(SetupError::KeyMalformed));
        assert_eq!(Key::ed25519(&[2; 32]).err(), Some(SetupError::KeyMalformed));
        let p256 = [&[4][..], &URL_SAFE_NO_PAD.decode(EC_X).unwrap(), &URL_SAFE_NO_PAD.decode(EC_Y).unwrap()].concat();
        assert_eq!(
            Verifier::new(policy(&[Algorithm::Es384]), vec![Key::ec(&p256).unwrap()]).err(),
            Some(SetupError::NoKeyFor(Algorithm::Es384))
        );
    }

    /// HS384 and HS512 as they are made by jsonwebtoken.
    #[test]
    fn longer_hashes() {
        for (algorithm, other) in
            [(Algorithm::Hs384, jsonwebtoken::Algorithm::HS384), (Algorithm::Hs512, jsonwebtoken::Algorithm::HS512)]
        {
            let token = jsonwebtoken_token(other);
            let only = |algorithm| verifier(Policy { algorithms: vec![algorithm], ..Policy::default() });
            assert_eq!(only(algorithm).verify(&token, NOW).unwrap().subject(), Some("u"));
            assert_eq!(only(Algorithm::Hs256).verify(&token, NOW), Err(AlgorithmRefused));
            let both = verifier(Policy { algorithms: vec![Algorithm::Hs256, algorithm], ..Policy::default() });
            let (_, rest) = token.split_once('.').unwrap();
            let relabelled = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#));
            assert_eq!(both.verify(&relabelled, NOW), Err(SignatureWrong));
        }
    }

    #[test]
    fn several_secrets() {
        let keys = vec![Key::hmac(b"new").unwrap(), Key::hmac(SECRET).unwrap()];
        let verifier = Verifier::new(Policy::default(), keys).unwrap();
        for (secret, expected) in [(&b"new"[..], Ok(())), (SECRET, Ok(())), (b"older", Err(SignatureWrong))] {
            assert_eq!(verifier.verify(&sign_hs256(secret, CLAIMS), NOW).map(drop), expected);
        }
        assert!(!format!("{verifier:?}").contains("110"), "no byte of a secret is printed");
    }

    proptest! {
        #[test]
        fn round_trip(sub in ".{0,40}", exp in 1001u64..1 << 40, secret in prop::collection::vec(any::<u8>(), 1..200)) {
            let json = serde_json::json!({ "sub": sub, "exp": exp }).to_string();
            let verifier = Verifier::new(Policy::default(), vec![Key::hmac(&secret).unwrap()]).unwrap();
            let claims = verifier.verify(&sign_hs256(&secret, &json), NOW).unwrap();
            prop_assert_eq!((claims.as_json(), claims.subject()), (json.as_str(), Some(sub.as_str())));
            prop_assert_eq!(claims.exp(), Some(WallTime::from_unix_millis(exp * 1000)));
        }

        /// One character of a token is changed, left out or put in.
        #[test]
        fn no_mutation_passes(at in any::<prop::sample::Index>(), by in "[-A-Za-z0-9_.=+/ é\0]", how in 0..3) {
            let token = sign_hs256(SECRET, CLAIMS);
            let at = at.index(token.len());
            let mutated = match how {
                0 => format!("{}{by}{}", &token[..at], &token[at + 1..]),
                1 => format!("{}{}", &token[..at], &token[at + 1..]),
                _ => format!("{}{by}{}", &token[..at], &token[at..]),
            };
            prop_assume!(mutated != token);
            prop_assert!(outcome(&mutated).is_err(), "{}", mutated);
        }

        #[test]
        fn garbage_does_not_panic(token in ".{0,300}", header in ".{0,100}", payload in "[]{}\",:a0.e+-]{0,60}") {
            prop_assert!(outcome(&token).is_err());
            prop_assert!(outcome(&sign_hs256_with(SECRET, &header, CLAIMS)).is_err());
            prop_assert!(outcome(&sign_hs256(SECRET, &payload)).is_err());
        }
    }

    const NOW: WallTime = WallTime::from_unix_millis(1_000_000);
    const SECRET: &[u8] = b"conformance-secret-conformance-secret";
    const CLAIMS: &str = r#"{"exp":2000,"sub":"u"}"#;

    fn verifier(policy: Policy) -> Verifier {
        Verifier::new(policy, vec![Key::hmac(SECRET).unwrap()]).unwrap()
    }

    fn outcome(token: &str) -> Result<(), AuthError> {
        verifier(Policy::default()).verify(token, NOW).map(drop)
    }

    fn jsonwebtoken_token(algorithm: jsonwebtoken::Algorithm) -> String {
        use jsonwebtoken::EncodingKey;
        use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;

        let header = format!(r#"{{"typ":"JWT","alg":"{algorithm:?}"}}"#);
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(CLAIMS));
        let signer = (DEFAULT_PROVIDER.signer_factory)(&algorithm, &EncodingKey::from_secret(SECRET)).unwrap();
        let signature = signer.try_sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Any two parts with the signature that they need.
    fn signed(message: &str) -> String {
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(sign_sha256(SECRET, message.as_bytes())))
    }

    #[cfg(feature = "asymmetric")]
    const RSA_N: &str = "uHyCKH5hfnn0C3FIlESK4gRQfRtIsEPgX6qZZq7mny81lA_waeWIBsgBX6WtXo_fpi_1-h19G82dw175b1neClD3CxiJXJcrnWivtLaLW39JIUObzgLIAzUDZaV7bN67MZgJEwBkvDzd9FLu6I8nNlEgb-vqpaNN1WmEe0oUIiLGEdeuBJt7U-HSb2AyFingI22KvckQxxC5bucVrdtmuVhFEZfRlWxLUmP9XzwIgTIb67rlgr1w1xCd6ZWd2hI130XsShNdUmK2WAkaUTGIW5fV49-NzRKjUBbfEXKwu8PBoEXlMX3QUuCX0kKfYpdhd4PM771YVIRU4FYo0YIaSw";
    #[cfg(feature = "asymmetric")]
    const RS256: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1IiwiZXhwIjoyMDAwMDAwMDAwfQ.SkHcCrLbuggkzeU8HplZc_zhK4xIfQl4XCFPkta7h0bducvymOENyiSglqH-qK87mwG3nZMlay4-jqEFF2rbIzTRz9sS0lp6xZKEjWkm7TbKxHujTuOs_bJHXE6GR1CIo0-Y5sNCYd5P0J-fF3PGpdN-XuXSETCGTAVk2vBSAUFY1SFKCS-4g2OSyylqMqgy41N6zeOlpueB47TCt6-yXIMmB7Fp4GmvdrHGxevj0ZEFLH0CFQISIN1RurBcYv5mRKNS8yd7lkjjRGwQ0uPAxTaQ0kX_WJQcT5iwnj-a7C5bhE84h3Bp4-4mtcNOXp3rcKY6mIFiOOvIoG2dO8i_EQ";
    #[cfg(feature = "asymmetric")]
    const PS256: &str = "eyJhbGciOiJQUzI1NiJ9.eyJzdWIiOiJ1IiwiZXhwIjoyMDAwMDAwMDAwfQ.MvWh9eCcCccRYH0hqSjC1fKiH9n1dqcdhIeu8WR_G8IDfnrHbtm4jyPbVHuOqv6yGiEs5bbjkCTNlJZqQKeRUimqAdRiRoTcjTdVb_l4v7bue-nNyTL3z56LFY3reCToXCNEBUHSLfGj8ZTiWhsId9V2A1uVBysJAF40kvUXdApBNPWhwEwZHBRTxTW2HKpuYvEUfGiRtiqq7uxaKuGU8zYvIp09mVE3TUwp7BQSfv7UR46hQ0rWag0LG2GOnS4NzeLGh8iJBijmP4NhdsJUU5772F6GpIyE_qPssM9DF8HBZ49wATMWlcE0xeXON2vHm_TzyG7ODzm6KsuOL_sITw";
    #[cfg(feature = "asymmetric")]
    const EC_X: &str = "hvUQeHXxFR-18K_BDp-esMUOt82wCetdwwJKpLvfFoI";
    #[cfg(feature = "asymmetric")]
    const EC_Y: &str = "qN1qVj9nS6rOBgl0CNdZwtoDlo0QjnE2L9oiAxEERfc";
    #[cfg(feature = "asymmetric")]
    const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1IiwiZXhwIjoyMDAwMDAwMDAwfQ.SCeEtEZDVeSOlUd2SfNh32qGtqWv6wDg19xWnk-Q_CKwc6HDxM6ZlJD8-IiUO0CSnDOFkm0VMwuNBQiEMwK3fw";
    #[cfg(feature = "asymmetric")]
    const ED25519: &str = "kCIbMZzsgxQE_ECAus-D1g3CIExDiUdFT64afsc_4Ec";
    #[cfg(feature = "asymmetric")]
    const EDDSA: &str = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1IiwiZXhwIjoyMDAwMDAwMDAwfQ.ScNhv7q2V16XSrg9KTHeqQV7dNE4DnZvS7nZYCveyZ5Ht7ASNweOW8VP2tVrHs2VX37ZBcSaDdXrpF_yp0hkAA";
}
