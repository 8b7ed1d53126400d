//! Serves several requests at once in one instance and panics on `/panic`; anything else is answered after
//! `?ms=` milliseconds.

use fixtures::p3::{self, ErrorCode, Request, Response};
use fixtures::query;

fixtures::serve_p3!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let target = p3::target(&request);
    let path = target.split('?').next().unwrap_or_default();
    if path.ends_with("/panic") {
        panic!("asked to");
    }
    p3::wait_ms(query::number(&target, "ms", 0)).await;
    Ok(p3::answer("answered\n".to_owned()))
}
