//! A component that is ready to be instantiated.

use http::Request;
use wasmtime::component::InstancePre;
use wasmtime_wasi::p2::bindings::CommandIndices;
use wasmtime_wasi_http::p2::bindings::ProxyIndices;
use wasmtime_wasi_http::p3::bindings::ServiceIndices;

use super::functions::{Functions, Invocation};
use super::state::State;
use crate::engine::Kind;
use crate::fault::{Cause, Fault};

/// A linked component: all that is needed to instantiate it and to call it.
pub(crate) struct Program {
    pub(crate) instance: InstancePre<State>,
    pub(crate) entry: Entry,
    pub(crate) functions: Functions,
    /// Whether it calls functions of other services: a call that fails ends an instance, and a plain one holds up all else
    /// in it.
    pub(crate) calls_functions: bool,
}

/// Where requests enter a component.
pub(crate) enum Entry {
    /// wasi:http 0.2 proxy.
    Http02(ProxyIndices),
    /// wasi:http 0.3 service.
    Http03(ServiceIndices),
    /// wasi:cli command, served as CGI.
    Command(CommandIndices),
    /// Nowhere: it has functions alone.
    None,
}

impl Program {
    pub(crate) fn kind(&self) -> Kind {
        match self.entry {
            Entry::Http02(_) | Entry::Command(_) => Kind::Sync,
            Entry::Http03(_) | Entry::None => Kind::Concurrent,
        }
    }

    pub(crate) fn is_command(&self) -> bool {
        matches!(self.entry, Entry::Command(_))
    }

    /// What `skep ls` calls it.
    pub(crate) fn describe(&self) -> &'static str {
        match self.entry {
            Entry::Http02(_) => "wasi:http 0.2",
            Entry::Http03(_) => "wasi:http 0.3",
            Entry::Command(_) => "cgi",
            Entry::None => "functions",
        }
    }

    /// Whether the request is one that the component takes.
    ///
    /// # Errors
    /// [`Cause::NoRoute`] when it is not.
    pub(crate) fn takes<B>(&self, request: &Request<B>) -> Result<(), Fault> {
        match (&self.entry, Invocation::of(request)) {
            (Entry::None, None) => Err(Fault::new(
                Cause::NoRoute,
                "the component exports functions and no HTTP handler",
            )),
            (Entry::Command(_), Some(_)) => Err(Fault::new(
                Cause::NoRoute,
                "the component is a CGI command, whose functions can't be called",
            )),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.describe())
    }
}
