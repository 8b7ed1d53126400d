//! Answers well, except that it says at `/health` that it is not.

use fixtures::p2::{self, Fields, IncomingRequest, ResponseOutparam, revision};

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    if p2::target(&request) == "/health" {
        return p2::respond(out, 500, Fields::new(), "not well\n");
    }
    revision::serve(&request, out, "sick");
}
