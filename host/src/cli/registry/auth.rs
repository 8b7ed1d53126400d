//! What a registry wants to know of who asks: its challenges, read, and the requests that answer them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::credentials::Login;

/// How this program is called by registries that want to know.
const CLIENT: &str = "skep";

/// What an answer of status 401 asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token, which another server gives out.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// What a token server answers.
#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

impl Challenge {
    /// The first challenge that can be met. Where both are offered, a token goes further than a password.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter();
        let mut known: Vec<Self> = challenges
            .filter_map(|value| Self::read(value.to_str().ok()?))
            .collect();
        let bearer = known.iter().position(|known| *known != Self::Basic);
        match bearer {
            Some(at) => Some(known.swap_remove(at)),
            None => known.pop(),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ')?;
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (None, None, None);
        for (name, value) in parameters(rest) {
            match name {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
        }
        Some(Self::Bearer {
            realm: realm?,
            service,
            scope,
        })
    }
}

/// `name="value", name=value, …`; stops at what is neither.
fn parameters(mut text: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    while let Some((name, rest)) = text.split_once('=') {
        let name = name.trim_matches([',', ' ']);
        let value;
        (value, text) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].trim().to_owned(), &rest[end..])
            }
        };
        found.push((name, value));
    }
    found
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, char)| char)),
            char => value.push(char),
        }
    }
    (value, "")
}

/// The header that says name and password.
pub(super) fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    secret(&format!(
        "Basic {}",
        STANDARD.encode(format!("{user}:{password}"))
    ))
}

/// The header that says a token.
pub(super) fn bearer(token: &Token) -> Option<HeaderValue> {
    secret(&format!("Bearer {}", token.token))
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What asks `realm` for a token: with name and password if there are any, or with what was given for them before.
/// None if these can't be written.
pub(super) fn token_request(
    realm: &str,
    service: Option<&str>,
    scope: &str,
    login: &Login,
) -> Option<Request<String>> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut query = format!("scope={}", encoded(scope));
    if let Some(service) = service {
        query.push_str(&format!("&service={}", encoded(service)));
    }
    if let Login::Refresh(token) = login {
        let token = encoded(token);
        query.push_str(&format!(
            "&grant_type=refresh_token&client_id={CLIENT}&refresh_token={token}"
        ));
        let request = Request::builder().method(Method::POST).uri(realm);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        return request.body(query).ok();
    }
    let separator = if realm.contains('?') { '&' } else { '?' };
    let mut request = Request::get(format!("{realm}{separator}{query}"));
    if let Login::Password { user, password } = login {
        request = request.header(AUTHORIZATION, basic(user, password)?);
    }
    request.body(String::new()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        Challenge::of(&headers)
    }

    #[test]
    fn challenges_are_read() {
        assert_eq!(of(&["Basic realm=\"r\""]), Some(Challenge::Basic));
        let bearer = "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",scope=\"repository:a/b:pull,push\"";
        let expected = Challenge::Bearer {
            realm: "https://auth.example/token".into(),
            service: Some("registry.example".into()),
            scope: Some("repository:a/b:pull,push".into()),
        };
        assert_eq!(of(&["Basic realm=\"r\"", bearer]), Some(expected));
        let plain = Challenge::Bearer {
            realm: "a\"b".into(),
            service: Some("s".into()),
            scope: None,
        };
        assert_eq!(
            of(&["bearer realm=\"a\\\"b\", service=s, error=\"x\""]),
            Some(plain)
        );
        for odd in [
            "",
            "Negotiate",
            "Bearer",
            "Bearer scope=x",
            "Bearer realm",
            "Digest realm=\"r\"",
        ] {
            assert_eq!(of(&[odd]), None, "{odd}");
        }
    }

    #[test]
    fn a_token_is_asked_for_with_what_there_is() {
        let ask = |login| {
            token_request(
                "https://a.example/t",
                Some("s"),
                "repository:a:pull",
                &login,
            )
            .unwrap()
        };
        let anonymous = ask(Login::Anonymous);
        assert_eq!(
            anonymous.uri(),
            "https://a.example/t?scope=repository%3Aa%3Apull&service=s"
        );
        assert!(anonymous.headers().is_empty());
        let known = ask(Login::Password {
            user: "user".into(),
            password: "secret".into(),
        });
        assert_eq!(known.headers()[AUTHORIZATION], "Basic dXNlcjpzZWNyZXQ=");
        let refreshed = ask(Login::Refresh("a&b".into()));
        assert_eq!(refreshed.uri(), "https://a.example/t");
        assert!(refreshed.body().ends_with("&refresh_token=a%26b"));
    }

    #[test]
    fn a_token_has_either_name() {
        for answer in [
            r#"{"token": "t", "expires_in": 1}"#,
            r#"{"access_token": "t"}"#,
        ] {
            let token: Token = serde_json::from_str(answer).unwrap();
            assert_eq!(bearer(&token).unwrap(), "Bearer t");
        }
    }
}
