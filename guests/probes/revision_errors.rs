//! Answers every request with 500, as a revision that was not tried out.

use fixtures::p2::{self, Fields, IncomingRequest, ResponseOutparam};

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    p2::respond(out, 500, Fields::new(), "an error\n");
}
