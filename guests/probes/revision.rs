//! Answers lines that show the value of `REVISION`: two revisions by configuration.

use fixtures::p2::{IncomingRequest, ResponseOutparam, revision};

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let name = std::env::var("REVISION").unwrap_or_default();
    revision::serve(&request, out, &name);
}
