//! A service of wasi:http 0.2 that has plain functions as well.

use fixtures::p2::{self, IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({ path: "fixtures/wit", world: "plain-provider" });

struct Ledger;

export!(Ledger);
fixtures::ledger!(Ledger);
fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    p2::answer(out, "a ledger\n");
}
