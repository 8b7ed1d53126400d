//! Why an artifact is refused, told to who built it: what is wrong and what to do.

use std::fmt;

use super::artifact::ArtifactKind;

/// How to build what Skep serves; closes the messages about files that are something else.
const HOW_TO_BUILD: &str =
    "build a component, for example with `cargo build --target wasm32-wasip2`";

/// What a component has to export to be served.
const SERVED_EXPORTS: &str = "wasi:http/incoming-handler@0.2, wasi:http/handler@0.3, as CGI wasi:cli/run@0.2, or \
     an interface with functions that other services call";

const NAMES_SHOWN_MAX: usize = 8;

/// An artifact that can't be served.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No bytes at all.
    #[error("the file is empty; {HOW_TO_BUILD}")]
    Empty,

    /// Some other kind of file.
    #[error("this is {what}, not WebAssembly; {HOW_TO_BUILD}")]
    NotWasm {
        /// The kind, with its article.
        what: &'static str,
    },

    /// The binary stops early.
    #[error("the file is cut short (unexpected end): copy or build it again")]
    Truncated {
        /// Where it ends.
        #[source]
        source: wasmparser::BinaryReaderError,
    },

    /// The binary's structure is wrong.
    #[error("the file is not a valid WebAssembly binary: build it again with current tools")]
    Malformed {
        /// What is wrong, and where.
        #[source]
        source: wasmparser::BinaryReaderError,
    },

    /// A core module for something else than WASI.
    #[error(
        "this is a core module for another environment (it imports {import}), and Skep gives core modules only \
         WASI preview 1; build it for wasm32-wasip2, or for wasm32-wasip1 if it is a CGI program"
    )]
    ForeignModule {
        /// `module.name` of the first such import.
        import: String,
    },

    /// A core module with nothing to run.
    #[error(
        "this is a core module that exports {exports} but no _start, as built for wasm32-unknown-unknown or as a \
         library; build a component for wasm32-wasip2, or a CGI program (with a main function) for wasm32-wasip1"
    )]
    NothingToRun {
        /// What it exports instead.
        exports: Names,
    },

    /// A module of the preview before preview 1.
    #[error(
        "this module is built for the withdrawn wasi_unstable; build it with current tools for wasm32-wasip2"
    )]
    Preview0,

    /// Turning a module into a component failed.
    #[error("this core module can't be made into a component")]
    Componentize {
        /// The encoder's reasons, outermost first.
        #[source]
        source: Reasons,
    },

    /// A component that is not an HTTP service.
    #[error("this component exports {exports}; a service exports {SERVED_EXPORTS}")]
    NoHandler {
        /// What it exports instead.
        exports: Names,
    },

    /// A handler of a version that is not served.
    #[error(
        "this component exports {export}, a version that Skep does not serve; a service exports {SERVED_EXPORTS}"
    )]
    HandlerVersion {
        /// The export.
        export: String,
    },

    /// An import that nothing satisfies.
    #[error(
        "this component imports {import}, which Skep does not offer; a service may import {offered}"
    )]
    Import {
        /// The import's full name.
        import: String,
        /// What may be imported.
        offered: &'static str,
    },

    /// Served as 0.2, needs 0.3.
    #[error(
        "this component exports {export} but imports {import}: interfaces of WASI 0.3 need an export of \
         wasi:http/handler@0.3"
    )]
    MixedVersions {
        /// The 0.2 export it would be served by.
        export: String,
        /// The first 0.3 import.
        import: String,
    },

    /// An import that only a component in the same instance could satisfy.
    #[error(
        "this component imports {import} with {what} in its types, which belongs to one instance and can't pass \
         from service to service: use plain values, or call the service by HTTP"
    )]
    Bound {
        /// Interface and function.
        import: String,
        /// What can't pass, with its article.
        what: &'static str,
    },

    /// A signature that nobody has written by hand.
    #[error(
        "this component imports {import}, whose types are too large or too deeply nested: simplify them"
    )]
    LargeSignature {
        /// Interface and function.
        import: String,
    },

    /// Too many functions.
    #[error(
        "the functions that this component shares with other services take more than {limit} bytes to describe: \
         divide them among several services"
    )]
    LargeContracts {
        /// The most that is taken.
        limit: usize,
    },

    /// Served without the async component model, needs it.
    #[error(
        "this component imports {import}, an async function, which a {kind} can't call: export \
         wasi:http/handler@0.3, or make the function a plain one"
    )]
    AsyncImport {
        /// Interface and function.
        import: String,
        /// How it would be served.
        kind: ArtifactKind,
    },

    /// The compiler found what the checks above did not.
    #[error("the component does not validate or compile")]
    Compile {
        /// The compiler's reasons, outermost first.
        #[source]
        source: Reasons,
    },
}

impl Refused {
    /// Tells a binary that ends early from one that is wrong.
    pub(super) fn parsing(source: wasmparser::BinaryReaderError) -> Self {
        if source.message().contains("unexpected end") {
            Self::Truncated { source }
        } else {
            Self::Malformed { source }
        }
    }
}

/// A chain of reasons from a library that reports them as one untyped error.
#[derive(Debug)]
pub struct Reasons {
    reason: String,
    source: Option<Box<Reasons>>,
}

impl Reasons {
    /// From reasons, outermost first; an empty list reads "unknown".
    pub fn new(reasons: impl IntoIterator<Item = String>) -> Self {
        let reasons: Vec<_> = reasons.into_iter().collect();
        reasons
            .into_iter()
            .rev()
            .fold(None, |source, reason| {
                Some(Self {
                    reason,
                    source: source.map(Box::new),
                })
            })
            .unwrap_or_else(|| Self {
                reason: "unknown".to_owned(),
                source: None,
            })
    }
}

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Reasons {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|reasons| reasons as _)
    }
}

/// Names from a binary, shown shortened and without control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        let shown: Vec<_> = self
            .0
            .iter()
            .take(NAMES_SHOWN_MAX)
            .map(|name| shown(name))
            .collect();
        f.write_str(&shown.join(", "))?;
        match self.0.len().saturating_sub(NAMES_SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

const NAME_CHARS_MAX: usize = 120;

/// A name from a binary, fit for a message.
pub(super) fn shown(name: &str) -> String {
    let mut shown: String = name
        .chars()
        .take(NAME_CHARS_MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if name.chars().count() > NAME_CHARS_MAX {
        shown.push('…');
    }
    shown
}
