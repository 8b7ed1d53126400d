//! Certificates, and clients that speak TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{self, Connection};
use super::host::Host;
use super::wait::{until, within};

/// Who signs certificates in a test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) pem: String,
    pub(crate) key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        // OpenSSL takes a certificate whose issuer has its own name for its own issuer.
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a server with these names.
    pub(crate) fn issue(&self, names: &[&str]) -> Pair {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(&CertificateParams::new(names).unwrap())
    }

    /// A certificate for a client.
    pub(crate) fn client(&self, organization: &str, name: &str) -> Pair {
        self.sign(&subject(organization, name))
    }

    /// One that was good for a day.
    pub(crate) fn expired_client(&self) -> Pair {
        let mut params = subject("Shop", "late");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 2);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            key,
        }
    }

    /// A client that trusts this authority and speaks every version.
    pub(crate) fn trusting(&self) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Client {
            roots: Arc::new(roots),
            versions: rustls::ALL_VERSIONS.to_vec(),
            protocols: Vec::new(),
            shows: None,
            fingerprint: None,
        }
    }
}

fn subject(organization: &str, name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let parts = &mut params.distinguished_name;
    parts.push(DnType::OrganizationName, organization);
    parts.push(DnType::CommonName, name);
    params
}

/// What a client speaks, trusts and shows.
#[derive(Clone)]
pub(crate) struct Client {
    roots: Arc<RootCertStore>,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<Vec<u8>>,
    shows: Option<(CertificateDer<'static>, Vec<u8>)>,
    /// Trusts the certificate with this sha256 alone.
    fingerprint: Option<String>,
}

/// A connection after its handshake.
pub(crate) type Stream = TlsStream<TcpStream>;

impl Client {
    /// Speaks this version of TLS alone.
    pub(crate) fn only(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    /// Offers these protocols (ALPN).
    pub(crate) fn offering(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        self
    }

    /// Shows a certificate if it is asked for one.
    pub(crate) fn showing(mut self, pair: &Pair) -> Self {
        self.shows = Some((pair.der.clone(), pair.key.serialize_der()));
        self
    }

    /// Trusts nobody, but this certificate.
    pub(crate) fn pinning(mut self, sha256: &str) -> Self {
        self.fingerprint = Some(sha256.to_owned());
        self
    }

    /// Shakes hands; `name` is what it asks for, or an address, for which it asks nothing.
    ///
    /// # Errors
    /// What the handshake fails with; in TLS 1.3 a server may refuse a client's certificate later.
    pub(crate) async fn shake(&self, address: SocketAddr, name: &str) -> io::Result<Stream> {
        let provider = Arc::new(default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(&self.versions).unwrap();
        let builder = builder.with_root_certificates(self.roots.clone());
        let mut config = match &self.shows {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::Pkcs8(key.clone().into());
                let chain = vec![certificate.clone()];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols.clone_from(&self.protocols);
        if let Some(sha256) = &self.fingerprint {
            let roots = self.roots.clone();
            let signatures = WebPkiServerVerifier::builder_with_provider(roots, provider);
            let verifier = Pinned(sha256.clone(), signatures.build().unwrap());
            config
                .dangerous()
                .set_certificate_verifier(Arc::new(verifier));
        }
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = client::connect(address).await;
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        within("a TLS handshake", handshake).await
    }

    /// The certificate that it is shown.
    pub(crate) async fn shown(&self, address: SocketAddr, name: &str) -> CertificateDer<'static> {
        let stream = self.shake(address, name).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    }

    /// A connection for requests, of the version that was agreed on.
    pub(crate) async fn connect(&self, address: SocketAddr, name: &str) -> Connection {
        Connection::tls(self.shake(address, name).await.unwrap(), address).await
    }
}

#[derive(Debug)]
struct Pinned(String, Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match sha256(certificate) == self.0 {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::Error::General("another certificate".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.1.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.1.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.supported_verify_schemes()
    }
}

/// Waits until so many handshakes have ended in this way.
pub(crate) async fn handshakes(host: &Host, result: &str, count: usize) {
    until(&format!("{count} handshakes to be {result}"), async || {
        let labels = [("result", result)];
        let found = host.metric("skep_tls_handshakes_total", &labels).await;
        (found? == count as f64).then_some(())
    })
    .await;
}

/// In hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
