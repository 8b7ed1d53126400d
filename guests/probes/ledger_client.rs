//! Calls a ledger's plain functions: `?how=` has it behave so, `?times=` so often; `?name=` and `?amount=` make an entry;
//! else nothing is called.

use fixtures::p2::{self, IncomingRequest, ResponseOutparam};
use fixtures::query;
use test::ledger::plain::{Entry, add, behave};

wit_bindgen::generate!({ path: "fixtures/wit", world: "client" });

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let target = p2::target(&request);
    let text = if let Some(how) = query::get(&target, "how") {
        for _ in 1..query::number(&target, "times", 1) {
            behave(&how);
        }
        behave(&how)
    } else if let Some(name) = query::get(&target, "name") {
        let entry = Entry {
            name,
            amount: query::number(&target, "amount", 1).cast_signed(),
            notes: vec![None, Some("é".to_owned())],
        };
        format!("{:?}", add(&entry))
    } else {
        "nothing to call".to_owned()
    };
    p2::answer(out, &format!("{text}\n"));
}
