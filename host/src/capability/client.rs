//! wasi:http 0.3 for guests: what Wasmtime offers, with a note of the request for which a guest sends another.

use wasmtime::AsContextMut;
use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::p3::bindings::http::{client, types};
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtxView, WasiHttpView};

use crate::request::run::state::State;

/// Offers the interfaces of wasi:http 0.3.
///
/// # Errors
/// When the linker has them already.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    client::add_to_linker::<_, Client>(linker, State::http)?;
    types::add_to_linker::<_, WasiHttp>(linker, State::http)
}

struct Client;

impl HasData for Client {
    type Data<'a> = WasiHttpCtxView<'a>;
}

impl client::HostWithStore<State> for Client {
    async fn send(
        store: &Accessor<State, Self>,
        request: Resource<Request>,
    ) -> Result<Resource<Response>, TrappableError<types::ErrorCode>> {
        // Nothing comes between this and the call of the egress: both are in the first poll.
        store.with(|mut access| State::note_caller(&mut access.as_context_mut()));
        let http = store.with_getter::<WasiHttp>(State::http);
        <WasiHttp as client::HostWithStore<State>>::send(&http, request).await
    }
}
