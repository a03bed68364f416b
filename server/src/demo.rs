//! The demonstration: a random secret, tokens of the made-up users, and commands to try.
//!
//! Owns: what is printed, and what the page is told. Must never know: how a client is served.

use std::fmt::Write as _;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use roomcast_auth::sign_hs256;
use roomcast_stores::{Rows, UserRow};
use roomcast_tokio::wall_now;
use serde_json::json;

use crate::settings::Secret;

/// The random keys of this process.
#[derive(Debug)]
pub struct Demo {
    secret: Secret,
    api_key: Secret,
    /// A key from the environment is not printed.
    api_key_shown: KeyShown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyShown {
    Yes,
    No,
}

impl Demo {
    /// Draws a secret, and a key of the HTTP API unless one is given.
    ///
    /// # Errors
    ///
    /// The operating system gives no random numbers.
    pub fn new(api_key: Option<Secret>) -> Result<Self, getrandom::Error> {
        let api_key_shown = if api_key.is_some() { KeyShown::No } else { KeyShown::Yes };
        let api_key = match api_key {
            Some(key) => key,
            None => random()?,
        };
        Ok(Self { secret: random()?, api_key, api_key_shown })
    }

    /// The key that signs tokens.
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The key of the HTTP API.
    pub const fn api_key(&self) -> &Secret {
        &self.api_key
    }

    /// What the page has to know: the made-up rows, a token of each user, and the key of the HTTP API. A key from the
    /// environment is left out, as it is not this process's to tell.
    pub fn setup(&self) -> serde_json::Value {
        let Rows { users, channels, notes, chats, .. } = Rows::demo();
        let users: Vec<_> = users
            .iter()
            .map(|user| json!({ "id": *user.id, "name": *user.name, "role": *user.role, "token": self.token(user) }))
            .collect();
        let channel = channels.first().map(|channel| json!({ "id": *channel.id, "name": *channel.name }));
        let note = notes.first().map(|note| {
            let data = note.data.as_deref().and_then(|data| serde_json::from_str::<serde_json::Value>(data).ok());
            json!({ "id": *note.id, "title": *note.title, "data": data })
        });
        let chat = chats.first().map(|chat| json!({ "id": *chat.id, "title": *chat.title }));
        let api_key = (self.api_key_shown == KeyShown::Yes).then(|| self.api_key.reveal());
        json!({ "api_key": api_key, "users": users, "channel": channel, "note": note, "chat": chat })
    }

    fn token(&self, user: &UserRow) -> String {
        let claims = json!({ "id": *user.id, "jti": format!("demo-{}", user.id), "iat": wall_now().as_unix_secs() });
        sign_hs256(self.secret.reveal().as_bytes(), &claims.to_string())
    }

    /// Tokens of all users, and commands that use them.
    pub fn text(&self, address: SocketAddr, path: &str) -> String {
        let tokens: Vec<_> =
            Rows::demo().users.iter().map(|user| (user.id.clone(), user.role.clone(), self.token(user))).collect();
        let mut text = String::from(
            "Demonstration mode: the secret and the tokens below are random and valid until this process ends.\n\
             To run beside Open WebUI, set its WEBUI_SECRET_KEY and DATABASE_URL; --help lists all settings.\n\n",
        );
        for (user, role, token) in &tokens {
            let _ = writeln!(text, "token of {user} ({role}): {token}");
        }
        let key = match self.api_key_shown {
            KeyShown::Yes => {
                let _ = writeln!(text, "key of the HTTP API: {}", self.api_key.reveal());
                self.api_key.reveal()
            }
            KeyShown::No => "$ROOMCAST_API_KEY",
        };
        if let Some((user, _, token)) = tokens.first() {
            let _ = write!(
                text,
                "\nConnect as {user} by long polling and print what arrives:\n\
                 U='http://{address}{path}/?EIO=4&transport=polling'; S=$(curl -s \"$U\" | cut -d'\"' -f4); \
                 curl -s \"$U&sid=$S\" -d '40'; \
                 curl -s \"$U&sid=$S\" -d '420[\"user-join\",{{\"auth\":{{\"token\":\"{token}\"}}}}]'; \
                 while curl -sf \"$U&sid=$S\"; do echo; curl -s \"$U&sid=$S\" -d 3 >/dev/null; done\n\
                 \nFrom another terminal, send {user} an event:\n\
                 curl -s http://{address}/api/emit -H \"Authorization: Bearer {key}\" \
                 -d '{{\"to\":{{\"user\":\"{user}\"}},\"event\":\"events\",\"data\":{{\"hello\":\"{user}\"}}}}'\n"
            );
        }
        text
    }
}

/// What is said below the link to the page.
pub const PAGE_TEXT: &str = "\
Open it in a browser: a demonstration with made-up users and tokens, until this process ends.
Tokens and commands for a terminal: --page off. Beside Open WebUI: docs/operation.md. All settings: --help.
";

/// Draws 256 bits and encodes them as text.
fn random() -> Result<Secret, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}
