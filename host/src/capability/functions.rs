//! Functions of other services: a component imports an interface that another service exports, and each call of it is a
//! request to that service.

use std::sync::Arc;

use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Empty};
use skep_policy::contract::{Contract, Unbound, provider};
use skep_policy::name::ServiceName;
use wasmtime::component::{Linker, Val};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi_http::WasiBody;

use crate::config::ServiceConfig;
use crate::deploy::compile::{Contracts, is_async};
use crate::fault::{Cause, Fault};
use crate::registry::{Service, Snapshot};
use crate::request::call::Errand;
use crate::request::run::functions::{Invocation, Returned};
use crate::request::run::state::State;

/// One function of an interface that a component imports.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) contract: Arc<Contract>,
    function: Arc<str>,
    /// What the call is in logs: `/INTERFACE/FUNCTION`.
    path: Uri,
}

/// The function of another service gave no result; its caller can't go on.
#[derive(Debug, thiserror::Error)]
#[error("{import}: {why}")]
pub(crate) struct CalleeFailed {
    import: String,
    why: String,
}

/// Offers what a component imports from other services.
///
/// # Errors
/// When a name is no name.
pub(crate) fn add_to_linker(
    linker: &mut Linker<State>,
    contracts: &Contracts,
) -> wasmtime::Result<()> {
    for contract in &contracts.imports {
        let contract = Arc::new(contract.clone());
        let interface = contract.interface.to_string();
        let mut instance = linker.instance(&interface)?;
        for (name, signature) in &contract.functions {
            let import = Arc::new(Import {
                contract: contract.clone(),
                function: name.as_str().into(),
                path: format!("/{interface}/{name}").parse()?,
            });
            if is_async(signature) {
                instance.func_new_concurrent(name, move |accessor, _, arguments, results| {
                    let import = import.clone();
                    Box::pin(async move {
                        let called = accessor
                            .with(|mut access| call(access.as_context_mut(), &import, arguments));
                        put(called.await?, results)
                    })
                })?;
            } else {
                instance.func_new_async(name, move |store, _, arguments, results| {
                    let called = call(store, &import, arguments);
                    Box::new(async move { put(called.await?, results) })
                })?;
            }
        }
    }
    Ok(())
}

fn put(returned: Vec<Val>, results: &mut [Val]) -> wasmtime::Result<()> {
    // The signatures are the same.
    wasmtime::ensure!(
        returned.len() == results.len(),
        "the callee's results are others"
    );
    for (result, returned) in results.iter_mut().zip(returned) {
        *result = returned;
    }
    Ok(())
}

/// Calls the function where the guest's request has it.
fn call(
    mut store: StoreContextMut<'_, State>,
    import: &Arc<Import>,
    arguments: &[Val],
) -> impl Future<Output = wasmtime::Result<Vec<Val>>> + Send + use<> {
    State::note_caller(&mut store);
    let called = store.data_mut().invoke(import, arguments);
    let import = import.clone();
    async move {
        let failed = |why: String| {
            let import = format!("{}#{}", import.contract.interface, import.function);
            wasmtime::Error::new(CalleeFailed { import, why })
        };
        let answer = match called {
            Ok(called) => called.await,
            Err(fault) => Err(fault),
        };
        let mut answer = answer.map_err(|fault| failed(fault.detail))?;
        if let Some(results) = Returned::take(&mut answer) {
            return Ok(results);
        }
        // The callee's own line in the log has the details, under the same id.
        let fault = answer.extensions_mut().remove::<Fault>();
        let cause = fault.map_or(Cause::InvalidResponse, |fault| fault.cause);
        Err(failed(format!("the callee failed: {}", cause.as_str())))
    }
}

impl Import {
    /// The request that carries the call to a service which exports the `offered` interface.
    pub(crate) fn request(&self, offered: &Contract, arguments: &[Val]) -> Request<WasiBody> {
        let nothing = Empty::new().map_err(|never| match never {});
        let mut request = Request::new(nothing.boxed_unsync());
        // Nothing says that it may be called twice.
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        request.extensions_mut().insert(Invocation {
            interface: offered.interface.to_string(),
            function: self.function.clone(),
            arguments: arguments.into(),
        });
        request
    }
}

/// The service that provides what a service of this `config` imports, of those that it may call, each as `errand` finds it.
///
/// # Errors
/// Why there is none.
pub(crate) fn bind<'a>(
    config: &'a ServiceConfig,
    errand: &'a Errand,
    wanted: &Contract,
) -> Result<(&'a ServiceName, &'a Contract), Unbound<&'a ServiceName>> {
    let callees = config.allow.services.iter().filter_map(|name| {
        let service = errand.snapshot().services.get(name)?;
        let revision = errand.view(service).revision.as_ref()?;
        Some((name, &*revision.contracts.exports))
    });
    provider(wanted, callees)
}

/// Why functions that the service imports can't be called, a sentence each.
pub(crate) fn unbound(service: &Service, snapshot: &Snapshot) -> Vec<String> {
    let exports = snapshot.services.values().filter_map(|other| {
        let revision = other.revision.as_ref()?;
        Some((&other.name, &*revision.contracts.exports))
    });
    let imports = service
        .revision
        .iter()
        .flat_map(|revision| &revision.contracts.imports);
    imports
        .filter_map(|wanted| lack(&service.config, wanted, exports.clone()))
        .collect()
}

/// What a service of this `config` lacks of the `wanted` interface, and what to do about it, where these are all
/// `exports`. None if it lacks nothing.
pub(crate) fn lack<'a>(
    config: &ServiceConfig,
    wanted: &Contract,
    exports: impl Iterator<Item = (&'a ServiceName, &'a [Contract])> + Clone,
) -> Option<String> {
    if !wanted.has_functions() {
        return None;
    }
    let may_call = |name: &ServiceName| config.allow.services.contains(name);
    let why = provider(wanted, exports.clone().filter(|(name, _)| may_call(name))).err()?;
    let others = exports.filter(|(name, _)| !may_call(name));
    let remedy = match (&why, provider(wanted, others)) {
        (Unbound::Nobody { .. }, Ok((other, _))) => format!(
            "; {other} does: add {:?} to services under [allow] in the manifest of {}",
            other.as_str(),
            config.name
        ),
        _ => String::new(),
    };
    Some(format!("it imports {}: {why}{remedy}", wanted.interface))
}
