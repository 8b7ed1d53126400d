//! As `ledger_client`, for WASI 0.3; `?wait=` waits for so many milliseconds, three times at once.

use fixtures::p3::{self, ErrorCode, Request, Response};
use fixtures::query;
use test::ledger::plain::{Entry, add, behave};
use test::ledger::waiting::wait;

wit_bindgen::generate!({ path: "fixtures/wit", world: "waiting-client" });

fixtures::serve_p3!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let target = p3::target(&request);
    let text = if let Some(how) = query::get(&target, "how") {
        behave(&how)
    } else if let Some(name) = query::get(&target, "name") {
        let entry = Entry {
            name,
            amount: query::number(&target, "amount", 1).cast_signed(),
            notes: vec![None, Some("é".to_owned())],
        };
        format!("{:?}", add(&entry))
    } else {
        let ms = query::number(&target, "wait", 0) as u32;
        let (one, two, three) = futures::join!(wait(ms), wait(ms), wait(ms));
        format!("{}", one + two + three)
    };
    Ok(p3::answer(format!("{text}\n")))
}
