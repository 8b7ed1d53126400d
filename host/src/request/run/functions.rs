//! The functions that a component exports beside its handler, called by other services.

use std::collections::HashMap;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use wasmtime::component::{Component, ComponentExportIndex, Func, Instance, Val, types};
use wasmtime::{AsContextMut, Store};
use wasmtime_wasi_http::WasiBody;

use super::state::State;
use crate::deploy::compile::Contracts;

/// Where in a component the functions are.
#[derive(Debug)]
pub(crate) struct Functions(HashMap<String, HashMap<String, Exported>>);

#[derive(Debug)]
struct Exported {
    index: ComponentExportIndex,
    results: usize,
}

/// A call of a function, carried by a request in place of what the request itself would say.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    /// As the callee exports it.
    pub(crate) interface: String,
    pub(crate) function: Arc<str>,
    pub(crate) arguments: Arc<[Val]>,
}

/// What a function returned, carried by the answer.
#[derive(Clone, Debug)]
pub(crate) struct Returned(pub(crate) Arc<Vec<Val>>);

impl Functions {
    /// Finds what the contracts promise.
    ///
    /// # Errors
    /// When the component has something else.
    pub(crate) fn of(component: &Component, contracts: &Contracts) -> wasmtime::Result<Self> {
        let mut interfaces = HashMap::new();
        for contract in &contracts.exports {
            let interface = contract.interface.to_string();
            let lacks = |what: &str| wasmtime::format_err!("the component does not export {what}");
            let instance = component.get_export_index(None, interface.as_str());
            let instance = instance.ok_or_else(|| lacks(&interface))?;
            let mut functions = HashMap::new();
            for name in contract.functions.keys() {
                let export = component.get_export(Some(&instance), name.as_str());
                let Some((types::ComponentItem::ComponentFunc(ty), index)) = export else {
                    return Err(lacks(&format!("{interface}#{name}")));
                };
                let results = ty.results().len();
                functions.insert(name.clone(), Exported { index, results });
            }
            interfaces.insert(interface, functions);
        }
        Ok(Self(interfaces))
    }

    /// The function that is to be called, and room for what it returns.
    ///
    /// # Errors
    /// When there is no such function, which the one who calls has made sure of.
    pub(super) fn find(
        &self,
        store: impl AsContextMut,
        instance: &Instance,
        invocation: &Invocation,
    ) -> wasmtime::Result<(Func, Vec<Val>)> {
        let Invocation {
            interface,
            function,
            ..
        } = invocation;
        let lacks = || wasmtime::format_err!("the service does not export {interface}#{function}");
        let exported = self.0.get(interface).and_then(|all| all.get(&**function));
        let exported = exported.ok_or_else(lacks)?;
        let func = instance.get_func(store, exported.index);
        let results = vec![Val::Bool(false); exported.results];
        Ok((func.ok_or_else(lacks)?, results))
    }
}

impl Invocation {
    /// What the request carries, if it is a call of a function.
    pub(crate) fn of<B>(request: &Request<B>) -> Option<&Self> {
        request.extensions().get()
    }

    /// Calls the function, which has the store to itself until it returns.
    pub(super) async fn call(
        &self,
        functions: &Functions,
        store: &mut Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<Response<WasiBody>> {
        let (func, mut results) = functions.find(&mut *store, instance, self)?;
        func.call_async(store, &self.arguments, &mut results)
            .await?;
        Ok(Returned::answer(results))
    }
}

impl Returned {
    /// The answer that carries `results`.
    pub(super) fn answer(results: Vec<Val>) -> Response<WasiBody> {
        let nothing = Empty::new().map_err(|never| match never {});
        let mut response = Response::new(nothing.boxed_unsync());
        response.extensions_mut().insert(Self(Arc::new(results)));
        response
    }

    /// Takes the results out of an answer; None if it has none.
    pub(crate) fn take<B>(response: &mut Response<B>) -> Option<Vec<Val>> {
        let Self(results) = response.extensions_mut().remove()?;
        Some(Arc::unwrap_or_clone(results))
    }
}
