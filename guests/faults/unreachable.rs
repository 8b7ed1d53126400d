//! Runs into WebAssembly's `unreachable` instruction, as a panic or an abort does.

use fixtures::p2::{IncomingRequest, ResponseOutparam};

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
    core::arch::wasm32::unreachable();
}
