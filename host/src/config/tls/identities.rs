//! Which certificate a client gets.

use std::collections::BTreeMap;

use skep_policy::quote::quoted;

use super::Identity;

/// Certificates by the name that a client asks for; no name leads to two.
#[derive(Debug, Clone)]
pub struct Identities {
    all: Vec<Identity>,
    /// The index of each name's certificate.
    names: BTreeMap<String, usize>,
    strict: bool,
}

/// Certificates that don't go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct NameError {
    /// The certificate that is one too many, by its place in the list.
    pub index: usize,
    what: String,
}

impl Identities {
    /// Of certificates in the order of the settings. `strict`: none for clients that ask for no name or an unknown one;
    /// otherwise these get the first.
    ///
    /// # Errors
    /// If two have a name in common, or no client could ever get one.
    pub fn new(all: Vec<Identity>, strict: bool) -> Result<Self, NameError> {
        let mut names = BTreeMap::new();
        for (index, identity) in all.iter().enumerate() {
            for name in &identity.names {
                let other = *names.entry(name.clone()).or_insert(index);
                if other != index {
                    let name = quoted(name);
                    let what = format!(
                        "is for {name}, and so is certificate[{other}]: leave out one of them"
                    );
                    return Err(NameError { index, what });
                }
            }
            if identity.names.is_empty() && (strict || index > 0) {
                let what = "has no DNS name (subjectAltName), so that no client would get it: leave it out, put it \
                            first without strict_sni, or have it made with its names";
                let what = what.to_owned();
                return Err(NameError { index, what });
            }
        }
        Ok(Self { all, names, strict })
    }

    /// The certificate for a client that asks for `name`: the one that has it, or has `*` in the place of its first
    /// label.
    #[must_use]
    pub fn find(&self, name: Option<&str>) -> Option<&Identity> {
        let named = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let exact = self.names.get(&name);
            let index = exact.or_else(|| {
                let (_, above) = name.split_once('.')?;
                self.names.get(&format!("*.{above}"))
            });
            self.all.get(*index?)
        });
        let default = || self.all.first().filter(|_| !self.strict);
        named.or_else(default)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    fn identity(names: &[&str]) -> Identity {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new(names).unwrap().self_signed(&key);
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Identity::of(made.unwrap().der().clone(), key).unwrap()
    }

    fn all() -> Vec<Identity> {
        let names: [&[&str]; 4] = [
            &["Shop.example", "192.0.2.1"],
            &["*.shop.example"],
            &["api.shop.example"],
            &["*.example"],
        ];
        names.map(identity).into()
    }

    #[test]
    fn the_most_specific_name_decides_and_others_get_the_first() {
        for (strict, other) in [(false, Some(0)), (true, None)] {
            let identities = Identities::new(all(), strict).unwrap();
            for (asked, expected) in [
                (Some("shop.example"), Some(0)),
                (Some("SHOP.EXAMPLE"), Some(0)),
                (Some("www.shop.example"), Some(1)),
                (Some("api.shop.example"), Some(2)),
                (Some("Other.Example"), Some(3)),
                (Some("a.www.shop.example"), other),
                (Some("example"), other),
                (Some("192.0.2.1"), other),
                (None, other),
            ] {
                let found = identities.find(asked).map(|found| &found.names);
                let expected = expected.map(|index: usize| &identities.all[index].names);
                assert_eq!(found, expected, "{asked:?}, strict: {strict}");
            }
        }
    }

    #[test]
    fn certificates_that_no_client_would_get_are_refused() {
        let twice = vec![
            identity(&["a.example"]),
            identity(&["b.example", "A.example"]),
        ];
        let error = Identities::new(twice, false).unwrap_err();
        assert_eq!(error.index, 1);
        let expected = "is for \"a.example\", and so is certificate[0]: leave out one of them";
        assert_eq!(error.to_string(), expected);
        let nameless = || identity(&["192.0.2.1"]);
        assert!(Identities::new(vec![nameless()], false).is_ok());
        for (all, strict) in [
            (vec![nameless()], true),
            (vec![identity(&["a.example"]), nameless()], false),
        ] {
            let error = Identities::new(all, strict).unwrap_err();
            assert!(error.to_string().contains("has no DNS name"), "{error}");
        }
    }
}
