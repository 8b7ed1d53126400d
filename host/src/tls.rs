//! TLS as the gateway speaks it: handshakes, with certificates that take over from each other while connections go on.
//!
//! Nothing here knows of HTTP but the names of its versions.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use rustls::crypto::ring::{self, Ticketer};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use self::renew::Kept;
use crate::config::tls::{self as config, Certificates, Identities, Identity, TlsVersion};
use crate::telemetry::handshakes::{Handshakes, Outcome};

pub(crate) mod client;
mod renew;
mod self_signed;

/// HTTP/2 first: clients that speak both get it.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What every TLS listener of the gateway shares.
pub(crate) struct Tls {
    current: Arc<ArcSwap<ServerConfig>>,
    handshakes: Arc<Handshakes>,
    /// To the thread that looks at the files, if there are any; it ends with this.
    look: Option<mpsc::Sender<()>>,
}

/// What files say: all that handshakes need but the settings.
#[derive(Debug, Clone)]
struct Material {
    identities: Vec<Identity>,
    authorities: Option<Arc<RootCertStore>>,
}

impl Tls {
    /// Reads the files and watches them from now on.
    ///
    /// # Errors
    /// When one can't be used, or a thread can't be started.
    pub(crate) fn open(
        settings: &config::Tls,
        handshakes: Arc<Handshakes>,
    ) -> anyhow::Result<Self> {
        let kept = Kept::read(settings)?;
        let config = server_config(settings, kept.material())?;
        let current = Arc::new(ArcSwap::from_pointee(config));
        let look = renew::start(kept, current.clone()).context("threads can't be started")?;
        Ok(Self {
            current,
            handshakes,
            look,
        })
    }

    /// Looks now whether files have changed.
    pub(crate) fn look(&self) {
        if let Some(look) = &self.look {
            // The thread lives for as long as this does.
            look.send(()).ok();
        }
    }

    /// Shakes hands with a client, for so long at most; None if nothing came of it.
    pub(crate) async fn accept<S>(
        &self,
        stream: S,
        peer: SocketAddr,
        limit: Duration,
    ) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(self.current.load_full());
        let (outcome, error) = match timeout(limit, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                self.handshakes.end(Outcome::Ok);
                return Some(stream);
            }
            Err(_) => (Outcome::TimedOut, "[timeouts] header passed".to_owned()),
            // What rustls finds wrong comes as this kind.
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                (Outcome::Failed, error.to_string())
            }
            Ok(Err(error)) => (Outcome::Disconnected, error.to_string()),
        };
        self.handshakes.end(outcome);
        tracing::debug!(%peer, error, result = outcome.as_str(), "no TLS handshake");
        None
    }
}

/// Who gets which certificate.
#[derive(Debug)]
struct Resolver(Identities);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let identity = self.0.find(hello.server_name())?;
        Some(identity.key.clone())
    }
}

fn server_config(settings: &config::Tls, material: &Material) -> anyhow::Result<ServerConfig> {
    let identities = material.identities.clone();
    let identities = Identities::new(identities, settings.strict_sni)?;
    let provider = Arc::new(ring::default_provider());
    let versions = match settings.min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12][..],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(versions)?;
    let is_required = settings
        .clients
        .as_ref()
        .is_some_and(|clients| clients.required);
    let builder = match &material.authorities {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(authorities.clone(), provider);
            let verifier = match is_required {
                true => verifier,
                false => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(Resolver(identities)));
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    if material.authorities.is_none() {
        config.ticketer = Ticketer::new()?;
    } else {
        // A session that goes on would outlive its client's certificate, which is looked at in full handshakes alone.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

/// Of the settings, or made now.
fn identities(certificates: &Certificates) -> anyhow::Result<Vec<Identity>> {
    match certificates {
        Certificates::SelfSigned => Ok(vec![self_signed::make()?]),
        Certificates::Files(files) => Ok(files
            .iter()
            .map(config::CertificateFiles::read)
            .collect::<Result<_, _>>()?),
    }
}

/// Hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
