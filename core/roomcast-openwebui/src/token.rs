//! What is kept of a verified token.
//!
//! Owns: the claims that matter after verification, and what they say beside an account. Must never know: signatures, or
//! the socket that presented the token.

use bytestring::ByteString;

use super::query::{Account, Mfa, Question};
use super::refusals::LoginRefused;
use roomcast_auth::Claims;
use roomcast_core::time::WallTime;

/// The claims of a verified token.
#[derive(Clone, Debug)]
pub(crate) struct TokenClaims {
    pub(crate) user: ByteString,
    pub(crate) jti: Option<ByteString>,
    pub(crate) issued_at_secs: Option<u64>,
    pub(crate) expires: Option<WallTime>,
    /// What is judged beside an account.
    pub(crate) origin: TokenOrigin,
}

/// How the login came about that a token stands for. In 0.12; older tokens say nothing of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenOrigin {
    kind: TokenKind,
    session_stamp: Option<ByteString>,
    method: LoginMethod,
    has_second_factor: bool,
}

/// What a token may be used for: the claim `typ`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum TokenKind {
    /// `session`, or nothing.
    #[default]
    Session,
    /// `automation` or `subagent`: Open WebUI on behalf of a user.
    Delegated,
    Other,
}

/// How a user has logged in: the claim `auth_method`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LoginMethod {
    OAuth,
    TrustedHeader,
    #[default]
    Other,
}

impl TokenClaims {
    /// `None` for claims that are too long, or name no user.
    pub(crate) fn of(claims: &Claims, id_bytes_max: usize) -> Option<Self> {
        let user = claims.id().filter(|id| !id.is_empty() && id.len() <= id_bytes_max)?;
        if claims.jti().is_some_and(|jti| jti.len() > id_bytes_max) {
            return None;
        }
        Some(Self {
            user: user.into(),
            jti: claims.jti().map(ByteString::from),
            issued_at_secs: claims.iat().map(WallTime::as_unix_secs),
            expires: claims.exp(),
            origin: TokenOrigin::of(claims),
        })
    }

    pub(crate) fn has_ended(&self, wall: WallTime) -> bool {
        self.expires.is_some_and(|expires| expires <= wall)
    }

    /// The question for the token's user.
    pub(crate) fn question(&self) -> Question {
        Question::Authenticate {
            user: self.user.clone(),
            jti: self.jti.clone(),
            issued_at_secs: self.issued_at_secs,
            ends_at_secs: self.expires.map(WallTime::as_unix_secs),
        }
    }
}

impl TokenOrigin {
    fn of(claims: &Claims) -> Self {
        let text = |name| claims.string(name);
        let stamp = match (claims.raw("session_stamp"), text("session_stamp")) {
            (None | Some("null"), _) => None,
            // What is no text equals no stamp, and is not none either.
            (Some(raw), text) => Some(text.unwrap_or_else(|| raw.to_owned()).into()),
        };
        Self {
            kind: match (claims.raw("typ"), text("typ").as_deref()) {
                (None, _) | (Some(_), Some("session")) => TokenKind::Session,
                (Some(_), Some("automation" | "subagent")) => TokenKind::Delegated,
                (Some(_), Some(_) | None) => TokenKind::Other,
            },
            session_stamp: stamp,
            method: match text("auth_method").as_deref() {
                Some("oauth") => LoginMethod::OAuth,
                Some("trusted_header") => LoginMethod::TrustedHeader,
                Some(_) | None => LoginMethod::Other,
            },
            has_second_factor: claims.raw("mfa_verified") == Some("true"),
        }
    }

    /// Judges the token beside the account of its user, in the order of Open WebUI.
    pub(crate) fn judge(&self, account: &Account) -> Result<(), LoginRefused> {
        if !account.is_active {
            return Err(LoginRefused::Unknown);
        }
        if self.session_stamp != account.session_stamp {
            return Err(LoginRefused::Revoked);
        }
        match self.kind {
            TokenKind::Session if self.needs_second_factor(account.mfa) => {
                let is_there = self.has_second_factor && account.mfa.is_set_up;
                is_there.then_some(()).ok_or(LoginRefused::SecondFactor)
            }
            TokenKind::Session | TokenKind::Delegated => Ok(()),
            TokenKind::Other => Err(LoginRefused::Kind),
        }
    }

    fn needs_second_factor(&self, mfa: Mfa) -> bool {
        let is_exempt = match self.method {
            LoginMethod::OAuth => mfa.oauth_is_exempt,
            LoginMethod::TrustedHeader => mfa.trusted_header_is_exempt,
            LoginMethod::Other => false,
        };
        mfa.is_required && !is_exempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::query::{Features, Permission};
    use roomcast_auth::sign_hs256;
    use roomcast_core::server::EndpointId;

    #[test]
    fn ids_are_of_a_bounded_length() {
        for (claims, is_taken) in [
            (r#"{"id":"1234","jti":"1234"}"#, true),
            (r#"{"id":"1234"}"#, true),
            (r#"{"id":"12345"}"#, false),
            (r#"{"id":"1234","jti":"12345"}"#, false),
            (r#"{"id":""}"#, false),
        ] {
            assert_eq!(token(claims).is_some(), is_taken, "{claims}");
        }
    }

    #[test]
    fn a_store_is_asked_with_all_that_a_revocation_goes_by() {
        let token = token(r#"{"id":"u","jti":"j","iat":1799999990,"exp":1800000010}"#).unwrap();
        let (user, jti) = ("u".into(), Some("j".into()));
        let (issued_at_secs, ends_at_secs) = (Some(1_799_999_990), Some(1_800_000_010));
        assert_eq!(token.question(), Question::Authenticate { user, jti, issued_at_secs, ends_at_secs });
        let at = |secs: u64| WallTime::from_unix_millis(secs * 1000);
        assert_eq!((token.has_ended(at(1_800_000_009)), token.has_ended(at(1_800_000_010))), (false, true));
    }

    #[test]
    fn a_stamp_is_the_accounts_or_none_where_the_account_has_none() {
        for (claim, stamp, is_good) in [
            ("", None, true),
            (r#","session_stamp":null"#, None, true),
            (r#","session_stamp":"s""#, Some("s"), true),
            (r#","session_stamp":"s""#, Some("t"), false),
            (r#","session_stamp":"s""#, None, false),
            ("", Some("s"), false),
            (r#","session_stamp":7"#, None, false),
            (r#","session_stamp":"""#, None, false),
        ] {
            let account = Account { session_stamp: stamp.map(ByteString::from), ..account(NO_MFA) };
            let expected = if is_good { Ok(()) } else { Err(LoginRefused::Revoked) };
            assert_eq!(judged(claim, &account), expected, "{claim} {stamp:?}");
        }
        let gone = Account { is_active: false, session_stamp: Some("s".into()), ..account(NO_MFA) };
        assert_eq!(judged("", &gone), Err(LoginRefused::Unknown));
    }

    #[test]
    fn only_sessions_need_a_second_factor_and_only_known_kinds_give_a_login() {
        let required = Mfa { is_required: true, ..NO_MFA };
        let set_up = Mfa { is_set_up: true, ..required };
        let (verified, oauth) = (r#","mfa_verified":true"#, r#","auth_method":"oauth""#);
        for (claims, mfa, expected) in [
            ("", NO_MFA, Ok(())),
            (r#","typ":"session""#, NO_MFA, Ok(())),
            (r#","typ":"automation""#, required, Ok(())),
            (r#","typ":"subagent""#, required, Ok(())),
            (r#","typ":"api""#, NO_MFA, Err(LoginRefused::Kind)),
            (r#","typ":null"#, NO_MFA, Err(LoginRefused::Kind)),
            ("", required, Err(LoginRefused::SecondFactor)),
            (verified, required, Err(LoginRefused::SecondFactor)),
            (verified, set_up, Ok(())),
            (r#","mfa_verified":1"#, set_up, Err(LoginRefused::SecondFactor)),
            (oauth, required, Err(LoginRefused::SecondFactor)),
            (oauth, Mfa { oauth_is_exempt: true, ..required }, Ok(())),
            (oauth, Mfa { trusted_header_is_exempt: true, ..required }, Err(LoginRefused::SecondFactor)),
            (r#","auth_method":"trusted_header""#, Mfa { trusted_header_is_exempt: true, ..required }, Ok(())),
        ] {
            assert_eq!(judged(claims, &account(mfa)), expected, "{claims} {mfa:?}");
        }
    }

    fn judged(claims: &str, account: &Account) -> Result<(), LoginRefused> {
        token(&format!(r#"{{"id":"u"{claims}}}"#)).unwrap().origin.judge(account)
    }

    fn account(mfa: Mfa) -> Account {
        let granted = Permission::Granted;
        let features = Features { notes: granted, channels: granted, encrypted_channels: granted };
        Account { is_active: true, session_stamp: None, mfa, features }
    }

    const NO_MFA: Mfa =
        Mfa { is_required: false, oauth_is_exempt: false, trusted_header_is_exempt: false, is_set_up: false };

    fn token(claims: &str) -> Option<TokenClaims> {
        let secret = b"a secret for this test";
        let settings = Settings::new(EndpointId::new(0), secret).unwrap();
        let wall = WallTime::from_unix_millis(1_800_000_000_000);
        TokenClaims::of(&settings.verifier.verify(&sign_hs256(secret, claims), wall).unwrap(), 4)
    }
}
