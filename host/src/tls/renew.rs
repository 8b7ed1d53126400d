//! Files that change while the host runs: what is good takes over for handshakes to come, what is not is logged.
//!
//! Files are looked at by their stamps, so that a link that is bent, a file that is renamed into place and one that is
//! written where it lies are all the same. A look that finds a change waits for the next, in which nothing has changed
//! any more: certificate and key are two files, and neither is written at once.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Material, identities, server_config};
use crate::config::ConfigError;
use crate::config::tls::{Certificates, Identity, Tls as Settings};
use crate::deploy::arrive::{Rest, Stamp};
use crate::telemetry;

/// From one look at the files to the next.
const LOOK: Duration = Duration::from_secs(1);
const READABLE_BY_OTHERS: u32 = 0o044;

/// A source's files as they were at a look; None for one that isn't there.
type Stamps = Vec<Option<Stamp>>;

/// What handshakes are made with, and what its files were like.
pub(super) struct Kept {
    settings: Settings,
    material: Material,
    /// Of the files that the material is of, by source: the certificates, then the authorities.
    used: Vec<Stamps>,
    /// Of all files.
    rest: Rest<Vec<Stamps>>,
}

/// Starts the thread that looks at the files, if there are any; it ends when what is returned is dropped.
pub(super) fn start(
    mut kept: Kept,
    current: Arc<ArcSwap<ServerConfig>>,
) -> io::Result<Option<mpsc::Sender<()>>> {
    if kept.used.is_empty() {
        return Ok(None);
    }
    let (look, asked) = mpsc::channel();
    thread::Builder::new()
        .name("skep-tls".to_owned())
        .spawn(move || {
            loop {
                let is_asked = match asked.recv_timeout(LOOK) {
                    Ok(()) => true,
                    Err(RecvTimeoutError::Timeout) => false,
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                if let Some(config) = kept.look(is_asked) {
                    current.store(Arc::new(config));
                }
            }
        })?;
    Ok(Some(look))
}

impl Kept {
    pub(super) fn read(settings: &Settings) -> anyhow::Result<Self> {
        // Before the files are read: what changes meanwhile is seen as a change.
        let stamps = stamps(settings);
        let authorities = settings.clients.as_ref().map(|clients| clients.read());
        let material = Material {
            identities: identities(&settings.certificates)?,
            authorities: authorities.transpose()?.map(Arc::new),
        };
        let kept = Self {
            settings: settings.clone(),
            material,
            used: stamps.clone(),
            rest: Rest::of(stamps),
        };
        (0..kept.used.len()).for_each(|source| kept.warn(source));
        Ok(kept)
    }

    pub(super) fn material(&self) -> &Material {
        &self.material
    }

    /// What handshakes are made with from now on, if that changes. A look that was `asked` for does not wait until files
    /// are at rest, and tries once more what was bad.
    fn look(&mut self, asked: bool) -> Option<ServerConfig> {
        let now = stamps(&self.settings);
        let is_due = self.rest.is_due(&now, asked);
        if !is_due && !asked {
            return None;
        }
        let changed = (0..now.len()).filter(|source| now[*source] != self.used[*source]);
        let changed: Vec<usize> = changed.collect();
        let mut material = self.material.clone();
        let mut read = Vec::new();
        for source in changed {
            read.push((source, material.read(&self.settings, source)));
        }
        if stamps(&self.settings) != now {
            // What was read may be of two minds. The next look tells.
            return None;
        }
        self.rest.read(now.clone());
        self.adopt(material, read, &now)
    }

    fn adopt(
        &mut self,
        material: Material,
        read: Vec<(usize, Result<(), ConfigError>)>,
        stamps: &[Stamps],
    ) -> Option<ServerConfig> {
        let mut good = Vec::new();
        for (source, outcome) in read {
            match outcome {
                Ok(()) => good.push(source),
                Err(error) => tracing::error!(
                    error = telemetry::chain(&error),
                    "files of TLS have changed and can't be used; what was there before stays"
                ),
            }
        }
        if good.is_empty() {
            return None;
        }
        let config = match server_config(&self.settings, &material) {
            Ok(config) => config,
            Err(error) => {
                let files: Vec<_> = good.iter().map(|source| self.name(*source)).collect();
                tracing::error!(
                    error = telemetry::chain(&*error),
                    files = files.join(", "),
                    "files of TLS have changed and can't be used; what was there before stays"
                );
                return None;
            }
        };
        self.material = material;
        for source in good {
            self.used[source].clone_from(&stamps[source]);
            self.announce(source);
        }
        Some(config)
    }

    fn announce(&self, source: usize) {
        let file = self.name(source);
        match self.material.identities.get(source) {
            Some(identity) if self.is_pair(source) => tracing::info!(
                file,
                names = identity.names.join(", "),
                expires = date(identity.expires),
                "a new certificate is used from now on"
            ),
            _ => tracing::info!(file, "new authorities of clients are used from now on"),
        }
        self.warn(source);
    }

    /// Says what an operator should know of a source that is used all the same.
    fn warn(&self, source: usize) {
        let (Certificates::Files(files), true) =
            (&self.settings.certificates, self.is_pair(source))
        else {
            return;
        };
        let key = &files[source].key;
        if is_readable_by_others(key) {
            tracing::warn!(
                file = %key.display(),
                "others than its owner can read this private key; `chmod 600` it"
            );
        }
        if let Some(Identity { expires, .. }) = self.material.identities.get(source)
            && *expires <= seconds_now()
        {
            let (file, expires) = (self.name(source), date(*expires));
            tracing::warn!(
                file,
                expires,
                "this certificate has expired: clients refuse it"
            );
        }
    }

    fn is_pair(&self, source: usize) -> bool {
        paths(&self.settings)
            .get(source)
            .is_some_and(|paths| paths.len() > 1)
    }

    /// The file that a source is known by.
    fn name(&self, source: usize) -> String {
        let paths = paths(&self.settings);
        let first = paths.get(source).and_then(|paths| paths.first());
        first.map_or_else(String::new, |path| path.display().to_string())
    }
}

impl Material {
    /// Reads a source once more.
    fn read(&mut self, settings: &Settings, source: usize) -> Result<(), ConfigError> {
        if let Certificates::Files(files) = &settings.certificates
            && let Some(files) = files.get(source)
        {
            self.identities[source] = files.read()?;
        } else if let Some(clients) = &settings.clients {
            self.authorities = Some(Arc::new(clients.read()?));
        }
        Ok(())
    }
}

/// The files of each source.
fn paths(settings: &Settings) -> Vec<Vec<&Path>> {
    let mut paths = Vec::new();
    if let Certificates::Files(files) = &settings.certificates {
        paths.extend(files.iter().map(|files| vec![&*files.cert, &*files.key]));
    }
    let clients = settings.clients.as_ref();
    paths.extend(clients.map(|clients| vec![&*clients.authorities]));
    paths
}

fn stamps(settings: &Settings) -> Vec<Stamps> {
    let stamp = |path: &Path| fs::metadata(path).ok().map(|found| Stamp::of(&found));
    let stamps = |paths: Vec<&Path>| paths.into_iter().map(stamp).collect();
    paths(settings).into_iter().map(stamps).collect()
}

fn is_readable_by_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.permissions().mode() & READABLE_BY_OTHERS != 0)
}

fn seconds_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

fn date(seconds: i64) -> String {
    let date = OffsetDateTime::from_unix_timestamp(seconds);
    date.ok()
        .and_then(|date| date.format(&Rfc3339).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;
    use crate::config::tls::{CertificateFiles, Redirect, TlsVersion};

    /// A certificate in PEM, and its key.
    fn made() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn write(folder: &TempDir, name: &str, text: &str) {
        fs::write(folder.path().join(name), text).unwrap();
    }

    fn kept(folder: &TempDir) -> Kept {
        let (certificate, key) = made();
        write(folder, "pem", &certificate);
        write(folder, "key", &key);
        let files = CertificateFiles {
            cert: folder.path().join("pem"),
            key: folder.path().join("key"),
        };
        let settings = Settings {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            certificates: Certificates::Files(vec![files]),
            strict_sni: false,
            min_version: TlsVersion::V1_2,
            clients: None,
            redirect: Some(Redirect::Port(NonZero::<u16>::MIN)),
        };
        Kept::read(&settings).unwrap()
    }

    #[test]
    fn files_are_read_once_nothing_changes_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = kept(&folder);
        assert!(kept.look(false).is_none());
        let (certificate, key) = made();
        write(&folder, "key", &key);
        assert!(kept.look(false).is_none());
        write(&folder, "pem", &certificate);
        assert!(kept.look(false).is_none(), "it has just been written");
        assert!(kept.look(false).is_some());
        assert!(kept.look(false).is_none());
    }

    #[test]
    fn who_asks_does_not_wait_and_what_is_bad_is_not_tried_again_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = kept(&folder);
        let before = kept.used.clone();
        let (certificate, key) = made();
        write(&folder, "key", &key);
        for asked in [true, false, true] {
            assert!(kept.look(asked).is_none(), "the key is another's");
        }
        let now = stamps(&kept.settings);
        assert!(kept.used == before && !kept.rest.is_due(&now, true));
        write(&folder, "pem", &certificate);
        assert!(kept.look(true).is_some());
        assert!(kept.used == stamps(&kept.settings) && kept.used != before);
    }
}
