//! The login for a registry, from Docker's configuration: written there, or kept by a credential helper.

use std::ffi::OsString;
use std::path::PathBuf;
use std::{fs, io};

use docker_credential::{
    CredentialRetrievalError, DockerCredential, get_credential_from_reader as credential_in,
};

use super::error::RegistryError;

/// What Docker calls its Hub in its configuration.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// What a credential helper says if it has nothing for a registry.
const HELPER_HAS_NONE: &str = "credentials not found";

/// How to log in. Never shown.
pub(super) enum Login {
    Anonymous,
    Password {
        user: String,
        password: String,
    },
    /// Exchanged for a token for each purpose (OAuth 2).
    Refresh(String),
}

/// The login for `registry`. A credential helper may ask the user something, so it has all the time it wants.
///
/// # Errors
/// When there may be a login and it can't be had.
pub(super) fn find(registry: &str) -> Result<Login, RegistryError> {
    let Some(path) = path(std::env::var_os("DOCKER_CONFIG"), std::env::var_os("HOME")) else {
        return Ok(Login::Anonymous);
    };
    match fs::read(&path) {
        Ok(config) => find_in(&config, registry).map_err(|source| RegistryError::Credentials {
            registry: registry.to_owned(),
            path,
            source,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Login::Anonymous),
        Err(source) => Err(RegistryError::Unreadable { path, source }),
    }
}

fn path(docker: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let is_set = |value: &OsString| !value.is_empty();
    let folder = docker.filter(is_set).map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(home.filter(is_set)?).join(".docker")))?;
    Some(folder.join("config.json"))
}

fn find_in(config: &[u8], registry: &str) -> Result<Login, CredentialRetrievalError> {
    let key = match registry {
        "docker.io" => DOCKER_HUB_KEY,
        registry => registry,
    };
    match credential_in(config, key) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Login::Password { user, password })
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Login::Refresh(token)),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(Login::Anonymous),
        Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. })
            if [&stdout, &stderr]
                .iter()
                .any(|said| said.contains(HELPER_HAS_NONE)) =>
        {
            Ok(Login::Anonymous)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_where_docker_has_it() {
        let at = |docker: Option<&str>, home: Option<&str>| {
            path(docker.map(OsString::from), home.map(OsString::from))
        };
        assert_eq!(at(Some("/d"), Some("/h")), Some("/d/config.json".into()));
        assert_eq!(
            at(Some(""), Some("/h")),
            Some("/h/.docker/config.json".into())
        );
        assert_eq!(at(None, None), None);
    }

    #[test]
    fn logins_are_found_by_the_registry_they_are_for() {
        // user:secret
        let config = br#"{
            "auths": {
                "registry.example": {"auth": "dXNlcjpzZWNyZXQ="},
                "https://index.docker.io/v1/": {"auth": "dXNlcjpzZWNyZXQ="},
                "acr.example": {"auth": "dXNlcjpzZWNyZXQ=", "identitytoken": "token"},
                "helped.example": {}
            }
        }"#;
        for registry in ["registry.example", "docker.io"] {
            let login = find_in(config, registry).unwrap();
            assert!(
                matches!(login, Login::Password { user, password } if user == "user" && password == "secret")
            );
        }
        let login = find_in(config, "acr.example").unwrap();
        assert!(matches!(login, Login::Refresh(token) if token == "token"));
        for registry in ["helped.example", "elsewhere.example"] {
            let login = find_in(config, registry).unwrap();
            assert!(matches!(login, Login::Anonymous));
        }
    }

    #[test]
    fn what_is_broken_is_an_error() {
        assert!(find_in(b"rubbish", "registry.example").is_err());
        let no_such_helper = br#"{"credsStore": "there-is-none-of-this-name"}"#;
        assert!(find_in(no_such_helper, "registry.example").is_err());
    }
}
