//! `[tls]` and its flags.

use std::net::SocketAddr;
use std::num::NonZero;

use skep_policy::quote::quoted;

use super::settings::{Origin, address};
use crate::config::error::ConfigError;
use crate::config::raw::{RawCertificate, RawTls};
use crate::config::tls::{
    CertificateFiles, Certificates, Clients, Identities, Redirect, Tls, TlsVersion,
};

const CERTIFICATES_MAX: usize = 1_000;

/// What flags say of TLS.
pub(super) struct Flags {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) self_signed: bool,
}

/// TLS, if anything says so. `plain` and `admin` are where else the host listens.
pub(super) fn tls(
    raw: Option<RawTls>,
    origin: &Origin<'_>,
    flags: Flags,
    plain: &[SocketAddr],
    admin: SocketAddr,
) -> Result<Option<Tls>, ConfigError> {
    if raw.is_none() && flags.listen.is_empty() && !flags.self_signed {
        return Ok(None);
    }
    let raw = raw.unwrap_or_default();
    let listen = listen(&raw, origin, &flags)?;
    if let Some(taken) = listen
        .iter()
        .find(|address| address.port() != 0 && (plain.contains(address) || admin == **address))
    {
        let what = format!("{taken} is where the host listens without TLS: choose another address");
        return Err(origin.error(&["tls", "listen"], what));
    }
    let certificates = certificates(&raw, origin, flags.self_signed)?;
    let strict_sni = raw.strict_sni.unwrap_or(false);
    sound(&certificates, strict_sni, origin)?;
    Ok(Some(Tls {
        listen,
        certificates,
        strict_sni,
        min_version: min_version(&raw, origin)?,
        clients: clients(&raw, origin)?,
        redirect: redirect(&raw, origin)?,
    }))
}

fn listen(
    raw: &RawTls,
    origin: &Origin<'_>,
    flags: &Flags,
) -> Result<Vec<SocketAddr>, ConfigError> {
    if !flags.listen.is_empty() {
        return Ok(flags.listen.clone());
    }
    let listed = raw.listen.as_ref().map(|listen| &listen.0);
    match listed.filter(|listed| !listed.is_empty()) {
        Some(listed) => {
            let parsed = listed.iter().enumerate().map(|(at, text)| {
                let keys = ["tls", "listen", &at.to_string()];
                address(text).map_err(|what| origin.error(&keys, what))
            });
            parsed.collect()
        }
        None if flags.self_signed => Err(ConfigError::Flag(
            "--tls-self-signed needs an address to listen on: add --tls-listen 127.0.0.1:8443"
                .to_owned(),
        )),
        None => {
            let what = "names no address: write one, such as \"0.0.0.0:8443\", or leave [tls] out";
            Err(origin.error(&["tls", "listen"], what))
        }
    }
}

fn certificates(
    raw: &RawTls,
    origin: &Origin<'_>,
    self_signed: bool,
) -> Result<Certificates, ConfigError> {
    let listed = raw.certificate.as_deref().unwrap_or_default();
    match (listed, self_signed) {
        ([], true) => return Ok(Certificates::SelfSigned),
        ([], false) => {
            let what = "names no certificate: write certificate = [{ cert = \"shop.pem\", key = \"shop.key\" }] under \
                        [tls], or, for development, start with --tls-self-signed";
            return Err(origin.error(&["tls", "certificate"], what));
        }
        (_, true) => {
            let what = "--tls-self-signed makes a certificate, and [tls] certificate names one: leave out one of them";
            return Err(ConfigError::Flag(what.to_owned()));
        }
        (_, false) => {}
    }
    if listed.len() > CERTIFICATES_MAX {
        let what = format!("lists more than {CERTIFICATES_MAX} certificates");
        return Err(origin.error(&["tls", "certificate"], what));
    }
    let files = listed.iter().enumerate();
    let files = files.map(|(at, raw)| files_of(raw, &at.to_string(), origin));
    files.collect::<Result<_, _>>().map(Certificates::Files)
}

fn files_of(
    raw: &RawCertificate,
    at: &str,
    origin: &Origin<'_>,
) -> Result<CertificateFiles, ConfigError> {
    let path = |key, named: Option<&str>| {
        let keys = ["tls", "certificate", at, key];
        let named = named.ok_or_else(|| {
            origin.error(
                &keys,
                "is missing: a certificate has a `cert` and a `key`, files in PEM",
            )
        })?;
        origin.path(&keys, named)
    };
    Ok(CertificateFiles {
        cert: path("cert", raw.cert.as_deref())?,
        key: path("key", raw.key.as_deref())?,
    })
}

/// Reads the files, to tell now what the host could not start with.
fn sound(
    certificates: &Certificates,
    strict_sni: bool,
    origin: &Origin<'_>,
) -> Result<(), ConfigError> {
    let Certificates::Files(files) = certificates else {
        return Ok(());
    };
    let all: Result<Vec<_>, _> = files.iter().map(CertificateFiles::read).collect();
    match Identities::new(all?, strict_sni) {
        Ok(_) => Ok(()),
        Err(error) => {
            let keys = ["tls", "certificate", &error.index.to_string()];
            Err(origin.error(&keys, error))
        }
    }
}

fn min_version(raw: &RawTls, origin: &Origin<'_>) -> Result<TlsVersion, ConfigError> {
    match raw.min_version.as_deref() {
        None | Some("1.2") => Ok(TlsVersion::V1_2),
        Some("1.3") => Ok(TlsVersion::V1_3),
        Some(other) => {
            let what = format!("{} is no version: write \"1.2\" or \"1.3\"", quoted(other));
            Err(origin.error(&["tls", "min_version"], what))
        }
    }
}

fn clients(raw: &RawTls, origin: &Origin<'_>) -> Result<Option<Clients>, ConfigError> {
    let keys = ["tls", "client_auth"];
    let required = match raw.client_auth.as_deref() {
        None | Some("required") => true,
        Some("optional") => false,
        Some(other) => {
            let what = format!(
                "{} is neither: write \"required\" or \"optional\"",
                quoted(other)
            );
            return Err(origin.error(&keys, what));
        }
    };
    let Some(authorities) = &raw.client_ca else {
        return match raw.client_auth {
            None => Ok(None),
            Some(_) => {
                let what = "needs client_ca, the authorities that clients' certificates are of";
                Err(origin.error(&keys, what))
            }
        };
    };
    let clients = Clients {
        authorities: origin.path(&["tls", "client_ca"], authorities)?,
        required,
    };
    clients.read().map(|_| Some(clients))
}

fn redirect(raw: &RawTls, origin: &Origin<'_>) -> Result<Option<Redirect>, ConfigError> {
    let keys = ["tls", "redirect_port"];
    match (raw.redirect.unwrap_or(false), raw.redirect_port) {
        (false, None) => Ok(None),
        (true, None) => Ok(Some(Redirect::Listener)),
        (true, Some(port)) => match NonZero::new(port) {
            Some(port) => Ok(Some(Redirect::Port(port))),
            None => Err(origin.error(&keys, "0 is no port: write the one that clients connect to")),
        },
        (false, Some(_)) => {
            let what = "does nothing without redirect = true: write that, too, or leave it out";
            Err(origin.error(&keys, what))
        }
    }
}
