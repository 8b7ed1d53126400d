//! What services offer each other beside HTTP: interfaces by name and version, their functions by signature.

use std::collections::BTreeMap;
use std::fmt;

use semver::Version;
use serde::{Deserialize, Serialize};

/// `namespace:package/interface`, and the version of the package if it has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct InterfaceName {
    path: String,
    version: Option<Version>,
}

/// It is not written `namespace:package/interface@version`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an interface is written namespace:package/interface@version, not {0:?}")]
pub struct NotAnInterface(String);

/// An interface as one component knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// Which interface.
    pub interface: InterfaceName,
    /// The functions that the component has or wants, by name. Two signatures are the same if their texts are.
    pub functions: BTreeMap<String, String>,
}

/// Why what one component exports is not what another imports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Another version, which need not be compatible.
    #[error("exports {offered}, which is not compatible with {wanted}")]
    Version {
        /// What is imported.
        wanted: InterfaceName,
        /// What is exported.
        offered: InterfaceName,
    },
    /// A function is not there.
    #[error("exports {interface} without the function {function}")]
    Function {
        /// What is exported.
        interface: InterfaceName,
        /// What it lacks.
        function: String,
    },
    /// A function is another.
    #[error("exports {interface} with another {function}: {offered} instead of {wanted}")]
    Signature {
        /// What is exported.
        interface: InterfaceName,
        /// The function's name.
        function: String,
        /// As it is imported.
        wanted: String,
        /// As it is exported.
        offered: String,
    },
}

/// Why nobody provides what a component imports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unbound<N: fmt::Display + fmt::Debug> {
    /// No candidate exports the interface at all.
    #[error("no service that it may call exports {wanted}")]
    Nobody {
        /// What is imported.
        wanted: InterfaceName,
    },
    /// One exports it, and not as it is imported.
    #[error("{candidate} {mismatch}")]
    Mismatch {
        /// Who exports it.
        candidate: N,
        /// What is wrong with that.
        mismatch: Box<Mismatch>,
    },
    /// Several export it.
    #[error("both {first} and {second} export {wanted}: let it call one of them alone")]
    Several {
        /// What is imported.
        wanted: InterfaceName,
        /// Who exports it.
        first: N,
        /// Who does as well.
        second: N,
    },
}

impl InterfaceName {
    /// `namespace:package/interface`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether a package of the other version can stand for this one by the rules of semantic versioning; the functions
    /// decide the rest. A pre-release stands for itself alone.
    fn is_compatible(&self, other: &Self) -> bool {
        let (Some(one), Some(other)) = (&self.version, &other.version) else {
            return self.version == other.version;
        };
        if !one.pre.is_empty() || !other.pre.is_empty() {
            return one == other;
        }
        match (one.major, one.minor) {
            (0, 0) => (other.major, other.minor, other.patch) == (0, 0, one.patch),
            (0, minor) => (other.major, other.minor) == (0, minor),
            (major, _) => other.major == major,
        }
    }
}

impl TryFrom<&str> for InterfaceName {
    type Error = NotAnInterface;

    fn try_from(text: &str) -> Result<Self, NotAnInterface> {
        let not = || NotAnInterface(text.to_owned());
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (text, None),
        };
        let (package, name) = path.split_once('/').ok_or_else(not)?;
        let is_package = package
            .split_once(':')
            .is_some_and(|(namespace, package)| !namespace.is_empty() && !package.is_empty());
        if !is_package || name.is_empty() {
            return Err(not());
        }
        let version = version.map(Version::parse).transpose();
        Ok(Self {
            path: path.to_owned(),
            version: version.map_err(|_| not())?,
        })
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = NotAnInterface;

    fn try_from(text: String) -> Result<Self, NotAnInterface> {
        Self::try_from(text.as_str())
    }
}

impl From<InterfaceName> for String {
    fn from(name: InterfaceName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

impl Contract {
    /// Whether there is anything to call: an interface may have types alone.
    pub fn has_functions(&self) -> bool {
        !self.functions.is_empty()
    }

    /// Whether a component that exports this can be called by one that imports `wanted`; None if it is another interface.
    fn serves(&self, wanted: &Self) -> Option<Result<(), Mismatch>> {
        let interface = &self.interface;
        if interface.path != wanted.interface.path {
            return None;
        }
        if !interface.is_compatible(&wanted.interface) {
            return Some(Err(Mismatch::Version {
                wanted: wanted.interface.clone(),
                offered: interface.clone(),
            }));
        }
        let misfit = wanted.functions.iter().find_map(|(function, wanted)| {
            let interface = interface.clone();
            match self.functions.get(function) {
                Some(offered) if offered == wanted => None,
                Some(offered) => Some(Mismatch::Signature {
                    interface,
                    function: function.clone(),
                    wanted: wanted.clone(),
                    offered: offered.clone(),
                }),
                None => Some(Mismatch::Function {
                    interface,
                    function: function.clone(),
                }),
            }
        });
        Some(misfit.map_or(Ok(()), Err))
    }
}

/// The one of the `candidates`, each with what it exports, that provides what is `wanted`, and as what it does.
///
/// # Errors
/// When there is none, or more than one.
pub fn provider<'a, N: fmt::Display + fmt::Debug>(
    wanted: &Contract,
    candidates: impl IntoIterator<Item = (N, &'a [Contract])>,
) -> Result<(N, &'a Contract), Unbound<N>> {
    let mut found: Option<(N, &'a Contract)> = None;
    let mut unfit = None;
    for (candidate, exports) in candidates {
        // A component may export several versions.
        let mut served = exports
            .iter()
            .filter_map(|export| Some((export, export.serves(wanted)?)));
        let Some((export, mut serves)) = served.next() else {
            continue;
        };
        let mut export = export;
        for (other, also) in served {
            if serves.is_err() {
                (export, serves) = (other, also);
            }
        }
        match (serves, &found) {
            (Ok(()), None) => found = Some((candidate, export)),
            (Ok(()), Some(_)) => {
                if let Some((first, _)) = found {
                    return Err(Unbound::Several {
                        wanted: wanted.interface.clone(),
                        first,
                        second: candidate,
                    });
                }
            }
            (Err(mismatch), _) => {
                unfit.get_or_insert(Unbound::Mismatch {
                    candidate,
                    mismatch: Box::new(mismatch),
                });
            }
        }
    }
    let wanted = wanted.interface.clone();
    found.ok_or_else(|| unfit.unwrap_or(Unbound::Nobody { wanted }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(interface: &str, functions: &[(&str, &str)]) -> Contract {
        let functions = functions.iter();
        Contract {
            interface: InterfaceName::try_from(interface).unwrap(),
            functions: functions
                .map(|(name, signature)| ((*name).to_owned(), (*signature).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in ["shop:inventory/stock@0.1.0", "a:b/c", "a:b/c@1.2.3-rc.1"] {
            assert_eq!(InterfaceName::try_from(text).unwrap().to_string(), text);
        }
        for text in [
            "", "run", "a/b", "a:b", "a:b/", ":b/c", "a:/c", "a:b/c@", "a:b/c@1",
        ] {
            assert!(InterfaceName::try_from(text).is_err(), "{text}");
        }
    }

    #[test]
    fn versions_are_compatible_up_to_what_comes_after_the_first_that_is_not_zero() {
        for (one, other, expected) in [
            ("a:b/c@1.0.0", "a:b/c@1.9.9", true),
            ("a:b/c@1.9.0", "a:b/c@1.0.0", true),
            ("a:b/c@1.0.0", "a:b/c@2.0.0", false),
            ("a:b/c@0.1.0", "a:b/c@0.1.7", true),
            ("a:b/c@0.1.0", "a:b/c@0.2.0", false),
            ("a:b/c@0.1.0", "a:b/c@1.1.0", false),
            ("a:b/c@0.0.1", "a:b/c@0.0.1", true),
            ("a:b/c@0.0.1", "a:b/c@0.0.2", false),
            ("a:b/c@0.0.1", "a:b/c@0.1.1", false),
            ("a:b/c@1.0.0-rc.1", "a:b/c@1.0.0-rc.1", true),
            ("a:b/c@1.0.0-rc.1", "a:b/c@1.0.0", false),
            ("a:b/c", "a:b/c", true),
            ("a:b/c", "a:b/c@1.0.0", false),
        ] {
            let [left, right] = [one, other].map(|text| InterfaceName::try_from(text).unwrap());
            assert_eq!(left.is_compatible(&right), expected, "{one} {other}");
            assert_eq!(right.is_compatible(&left), expected, "{other} {one}");
        }
    }

    #[test]
    fn a_provider_may_have_more_functions_and_not_others() {
        let wanted = contract("a:b/c@0.1.0", &[("f", "func()")]);
        let serves = |functions: &[(&str, &str)]| {
            let offered = contract("a:b/c@0.1.4", functions);
            { offered.serves(&wanted).unwrap() }.map_err(|mismatch| mismatch.to_string())
        };
        assert_eq!(serves(&[("f", "func()"), ("g", "func()")]), Ok(()));
        let lacks = serves(&[("g", "func()")]).unwrap_err();
        assert_eq!(lacks, "exports a:b/c@0.1.4 without the function f");
        let differs = serves(&[("f", "async func()")]).unwrap_err();
        assert_eq!(
            differs,
            "exports a:b/c@0.1.4 with another f: async func() instead of func()"
        );
        let other = contract("a:b/d@0.1.0", &[("f", "func()")]);
        assert_eq!(other.serves(&wanted), None);
    }

    #[test]
    fn one_candidate_provides_or_it_is_said_why_none_does() {
        let wanted = contract("a:b/c@0.1.0", &[("f", "func()")]);
        let good = [contract("a:b/c@0.1.2", &[("f", "func()")])];
        let newer = [contract("a:b/c@0.2.0", &[("f", "func()")])];
        let both = [newer[0].clone(), good[0].clone()];
        let found = |candidates: &[(&'static str, &'static [Contract])]| {
            provider(&wanted, candidates.iter().copied()).map(|(name, _)| name)
        };
        let [good, newer, both]: [&'static [Contract]; 3] = [
            &*good.to_vec().leak(),
            newer.to_vec().leak(),
            both.to_vec().leak(),
        ];
        assert_eq!(found(&[("x", newer), ("y", good), ("z", &[])]), Ok("y"));
        assert_eq!(found(&[("x", both)]), Ok("x"));
        for (candidates, expected) in [
            (
                &[("x", &[][..])][..],
                "no service that it may call exports a:b/c@0.1.0",
            ),
            (
                &[("x", newer), ("y", &[])],
                "x exports a:b/c@0.2.0, which is not compatible with a:b/c@0.1.0",
            ),
            (
                &[("x", good), ("y", both)],
                "both x and y export a:b/c@0.1.0: let it call one of them alone",
            ),
        ] {
            assert_eq!(found(candidates).unwrap_err().to_string(), expected);
        }
    }
}
