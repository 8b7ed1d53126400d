//! Paths and URLs with places for what a route's parameters stand for.

use serde::{Deserialize, Serialize};

use super::path::PathPattern;
use crate::quote::quoted;

/// Most characters of a template.
const TEMPLATE_LEN_MAX: usize = 2048;

/// A text with places for the parameters of one pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Text(String),
    /// What the pattern's parameter at this place stands for.
    Parameter(usize),
}

/// Why a text is no template for a pattern; its display says how to write one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is too long.
    #[error("is longer than {TEMPLATE_LEN_MAX} characters")]
    TooLong,
    /// A brace has no counterpart.
    #[error("{{ and }} must pair up; a literal brace is %7B or %7D")]
    Braces,
    /// It names what the pattern does not have.
    #[error(
        "{} is no parameter of the route's path: it has {}",
        quoted(name),
        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    )]
    Unknown {
        /// What it names.
        name: String,
        /// What the pattern has.
        known: Vec<String>,
    },
    /// It is neither a path nor a URL.
    #[error("must be a path that starts with a slash{}", if *.0 { ", or an http:// or https:// URL" } else { "" })]
    NoPath(bool),
    /// Who is asked would depend on the request.
    #[error(
        "has a parameter before the path: a client could choose where it leads; put a slash before the parameter"
    )]
    OpenHost,
    /// A character that can't stand there.
    #[error("{} can't stand in it: percent-encode it, as in %20", quoted(.0))]
    Character(String),
}

impl Template {
    /// A path that a request of `pattern` is given in place of its own.
    ///
    /// # Errors
    /// When it is no path, or names what the pattern does not have.
    pub fn path(text: &str, pattern: &PathPattern) -> Result<Self, TemplateError> {
        if !text.starts_with('/') {
            return Err(TemplateError::NoPath(false));
        }
        check(text, is_of_path)?;
        Self::read(text, pattern)
    }

    /// A path or URL that a client of `pattern` is sent to.
    ///
    /// # Errors
    /// When it is neither, leaves the host to the client, or names what the pattern does not have.
    pub fn location(text: &str, pattern: &PathPattern) -> Result<Self, TemplateError> {
        let after_scheme = ["http://", "https://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        match after_scheme {
            None if !text.starts_with('/') || text.starts_with("//") => {
                return Err(TemplateError::NoPath(true));
            }
            Some(rest) if rest.is_empty() || rest.starts_with(['/', '?', '#']) => {
                return Err(TemplateError::NoPath(true));
            }
            Some(rest) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                if rest[..end].contains('{') {
                    return Err(TemplateError::OpenHost);
                }
            }
            None => {}
        }
        check(text, |c| is_of_path(c) || "?#[]".contains(c))?;
        Self::read(text, pattern)
    }

    fn read(text: &str, pattern: &PathPattern) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_LEN_MAX {
            return Err(TemplateError::TooLong);
        }
        let known: Vec<&str> = pattern.parameters().collect();
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(open);
            let inner = from.strip_prefix('{').ok_or(TemplateError::Braces)?;
            let (name, after) = inner.split_once('}').ok_or(TemplateError::Braces)?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let place = known.iter().position(|known| *known == name);
            let place = place.ok_or_else(|| TemplateError::Unknown {
                name: name.to_owned(),
                known: known.iter().map(|name| (*name).to_owned()).collect(),
            })?;
            parts.push(Part::Parameter(place));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The template with what `pattern` finds in `path`, which it takes. Never begins with two slashes, which clients take
    /// for the name of another host.
    #[must_use]
    pub fn fill(&self, pattern: &PathPattern, path: &str) -> String {
        let values = pattern.values(path);
        let mut filled = String::new();
        for part in &self.parts {
            filled.push_str(match part {
                Part::Text(text) => text,
                Part::Parameter(place) => values.get(*place).copied().unwrap_or_default(),
            });
        }
        if filled.starts_with('/') {
            let path = filled.trim_start_matches(['/', '\\']).len();
            let slashes = filled.len() - path;
            filled.replace_range(..slashes, "/");
        }
        filled
    }

    /// Whether it says itself what is asked for beside the path.
    #[must_use]
    pub fn has_query(&self) -> bool {
        let asks = |part: &Part| matches!(part, Part::Text(text) if text.contains(['?', '#']));
        self.parts.iter().any(asks)
    }
}

/// RFC 3986's characters of a path, and the braces of parameters.
fn is_of_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@%{}".contains(c)
}

fn check(text: &str, allowed: impl Fn(char) -> bool) -> Result<(), TemplateError> {
    match text.chars().find(|c| !allowed(*c)) {
        Some(other) => Err(TemplateError::Character(other.to_string())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::try_from(text).unwrap()
    }

    #[test]
    fn parameters_stand_where_the_template_names_them() {
        for (of, template, path, expected) in [
            ("/old/{*rest}", "/new/{rest}", "/old/a/b", "/new/a/b"),
            ("/{a}/{b}", "/{b}/{a}/{b}", "/1/2", "/2/1/2"),
            ("/{a}/x/{*rest}", "/{rest}", "/1/x/2/3", "/2/3"),
            ("/fixed", "/other", "/fixed", "/other"),
            ("/{*rest}", "/{rest}", "//evil.example", "/evil.example"),
            ("/{*rest}", "/{rest}", "/\\evil.example", "/evil.example"),
            ("/a/{*rest}", "/b//{rest}", "/a//c", "/b///c"),
        ] {
            let pattern = pattern(of);
            let template = Template::path(template, &pattern).unwrap();
            assert_eq!(template.fill(&pattern, path), expected, "{of} {path}");
        }
    }

    #[test]
    fn a_location_may_lead_elsewhere_but_never_where_the_client_says() {
        let pattern = pattern("/old/{*rest}");
        for (text, filled, has_query) in [
            ("https://new.example/{rest}", "https://new.example/a", false),
            ("https://new.example", "https://new.example", false),
            ("/new?from={rest}", "/new?from=a", true),
            ("http://[::1]:80/#{rest}", "http://[::1]:80/#a", true),
        ] {
            let template = Template::location(text, &pattern).unwrap();
            assert_eq!(template.fill(&pattern, "/old/a"), filled);
            assert_eq!(template.has_query(), has_query);
        }
        for (text, error) in [
            ("new", TemplateError::NoPath(true)),
            ("//new.example/", TemplateError::NoPath(true)),
            ("https:///a", TemplateError::NoPath(true)),
            ("javascript:alert(1)", TemplateError::NoPath(true)),
            ("https://{rest}/", TemplateError::OpenHost),
            ("https://new.example{rest}", TemplateError::OpenHost),
            ("/a\r\nb", TemplateError::Character("\r".to_owned())),
            ("/ä", TemplateError::Character("ä".to_owned())),
            ("/{rest", TemplateError::Braces),
            ("/rest}", TemplateError::Braces),
        ] {
            assert_eq!(Template::location(text, &pattern), Err(error), "{text}");
        }
    }

    #[test]
    fn what_a_pattern_does_not_have_is_refused() {
        let error = Template::path("/{other}", &pattern("/{a}/{*rest}")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"other\" is no parameter of the route's path: it has a, rest"
        );
        assert_eq!(
            Template::path("/a?b", &pattern("/")),
            Err(TemplateError::Character("?".to_owned()))
        );
        let long = format!("/{}", "a".repeat(TEMPLATE_LEN_MAX));
        assert_eq!(
            Template::path(&long, &pattern("/")),
            Err(TemplateError::TooLong)
        );
    }

    proptest::proptest! {
        #[test]
        fn no_request_leads_to_another_host(path in "/[/\\\\a-z.@:%]{0,12}") {
            let pattern = pattern("/{*rest}");
            for text in ["/{rest}", "/a/{rest}"] {
                let filled = Template::location(text, &pattern).unwrap().fill(&pattern, &path);
                assert!(!filled.starts_with("//") && !filled.starts_with("/\\"), "{filled}");
            }
        }
    }
}
