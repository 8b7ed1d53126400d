//! Who may ask the admin API for what, and whose components are taken, as `skep.toml` lists them.

use skep_policy::nearest;
use skep_policy::quote::quoted;

use super::settings::Origin;
use crate::config::document::Document;
use crate::config::error::ConfigError;
use crate::config::raw::{RawHost, RawToken};
use crate::config::secret;
use crate::config::token::{Caller, Role, Token, Tokens};
use crate::config::trust::Trust;

/// What `admin_token` is called where it is told who did something.
const ADMIN_NAME: &str = "admin";
const TOKENS_MAX: usize = 1_000;

pub(super) fn admin_token(
    raw: &RawHost,
    origin: &Origin<'_>,
) -> Result<Option<Token>, ConfigError> {
    let token = |keys: &[&str], text: &str| {
        Token::try_from(text)
            .map(Some)
            .map_err(|error| origin.error(keys, error))
    };
    match (&raw.admin_token, &raw.admin_token_file) {
        (None, None) => Ok(None),
        (Some(text), None) => token(&["admin_token"], text),
        (None, Some(file)) => {
            let keys = ["admin_token_file"];
            let file = Document::read(&origin.path(&keys, file)?)?;
            token(&keys, file.text().trim())
        }
        (Some(_), Some(_)) => {
            let what = "is given beside admin_token: leave out one of them";
            Err(origin.error(&["admin_token_file"], what))
        }
    }
}

/// All tokens: `admin_token`, if there is one, and each `[[token]]`.
pub(super) fn tokens(
    raw: &RawHost,
    admin_token: Option<&Token>,
    origin: &Origin<'_>,
) -> Result<Tokens, ConfigError> {
    let mut tokens = Tokens::default();
    if let Some(token) = admin_token {
        let name = ADMIN_NAME.to_owned();
        let role = Role::Admin;
        tokens.add(Caller { name, role }, token);
    }
    let listed = raw.token.as_deref().unwrap_or_default();
    if listed.len() > TOKENS_MAX {
        return Err(origin.error(&["token"], format!("lists more than {TOKENS_MAX} tokens")));
    }
    for (at, raw) in listed.iter().enumerate() {
        let at = at.to_string();
        let caller = caller(raw, &at, origin)?;
        if tokens.has(&caller.name) {
            let what = format!("{} is another token's name", quoted(&caller.name));
            return Err(origin.error(&["token", &at, "name"], what));
        }
        let digest = secret::digest(raw.sha256.as_deref(), "token");
        let digest = digest.map_err(|what| origin.error(&["token", &at, "sha256"], what))?;
        tokens.add_digest(caller, digest);
    }
    Ok(tokens)
}

fn caller(raw: &RawToken, at: &str, origin: &Origin<'_>) -> Result<Caller, ConfigError> {
    let name = secret::holder(raw.name.clone(), "it says who did what");
    let name = name.map_err(|what| origin.error(&["token", at, "name"], what))?;
    let given = raw.role.as_deref().unwrap_or_default();
    let role = Role::ALL.into_iter().find(|role| role.as_str() == given);
    let role = role.ok_or_else(|| {
        let names = Role::ALL.map(Role::as_str);
        let near = nearest::nearest(given, names.iter().copied());
        let hint = near.map_or_else(String::new, |near| format!("did you mean \"{near}\"? "));
        let what = format!(
            "{} is no role: {hint}write one of {}",
            quoted(given),
            names.join(", ")
        );
        origin.error(&["token", at, "role"], what)
    })?;
    Ok(Caller { name, role })
}

/// The keys that components must be signed with: files in PEM, or the PEM itself.
pub(super) fn trust(raw: &RawHost, origin: &Origin<'_>) -> Result<Trust, ConfigError> {
    let mut trust = Trust::default();
    let keys = raw.trust.as_ref().and_then(|trust| trust.keys.as_deref());
    if keys.is_some_and(<[String]>::is_empty) {
        let what = "is empty, and no component could be deployed: name a key, or leave it out";
        return Err(origin.error(&["trust", "keys"], what));
    }
    for (at, key) in keys.unwrap_or_default().iter().enumerate() {
        let at = at.to_string();
        let keys = ["trust", "keys", &at];
        let file;
        let pem = if key.contains("-----BEGIN") {
            key.as_str()
        } else {
            file = Document::read(&origin.path(&keys, key)?)?;
            file.text()
        };
        trust.add(pem).map_err(|error| origin.error(&keys, error))?;
    }
    Ok(trust)
}
