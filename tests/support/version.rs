//! As many components as a test needs, each of which says which it is.

use std::fs;

use skep::deploy::compile::Digest;

use super::host::Host;
use super::setup::Setup;

/// What `guests/hello` says of itself, and what its versions do: as long, so that the bytes can be put in its place.
const SAYS: &[u8] = b"Hello from hello";

/// One of many components that differ in nothing but what they answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u16);

impl Version {
    /// The component.
    pub(crate) fn component(self) -> Vec<u8> {
        let mut bytes = fs::read(super::guest("hello")).unwrap();
        let mut places = bytes.windows(SAYS.len());
        let at = places.position(|window| window == SAYS).unwrap();
        let says = format!("Hello from v{:04}", self.0);
        bytes[at..at + SAYS.len()].copy_from_slice(says.as_bytes());
        bytes
    }

    /// Its digest.
    pub(crate) fn digest(self) -> String {
        Digest::of(&self.component()).to_string()
    }

    /// Which one answered; None if the answer is not exactly what one of them says to `GET /`, as it sees it.
    pub(crate) fn of(answer: &str) -> Option<Self> {
        let rest = answer.strip_prefix("Hello from v")?;
        let number = rest.get(..4)?.parse().ok()?;
        let version = Self(number);
        (answer == version.answer()).then_some(version)
    }

    fn answer(self) -> String {
        format!("Hello from v{:04} revision 1: GET /\n", self.0)
    }
}

impl Setup {
    /// Puts a version into the folder in one step, in the place of the one before.
    pub(crate) fn deploy_version(&self, name: &str, version: Version) {
        self.put(&format!("{name}.wasm"), version.component());
    }

    /// One more drop-in: a version.
    pub(crate) fn version(self, name: &str, version: Version) -> Self {
        self.deploy_version(name, version);
        self
    }
}

impl Host {
    /// Which version answers at `/NAME`.
    pub(crate) async fn version_of(&self, name: &str) -> Version {
        let answer = self.get(&format!("/{name}")).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        let version = Version::of(answer.text());
        version.unwrap_or_else(|| panic!("of no version: {answer:?}"))
    }
}
