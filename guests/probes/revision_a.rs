//! Answers lines that show `a`: with its sibling, two revisions by artifact.

use fixtures::p2::{IncomingRequest, ResponseOutparam, revision};

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    revision::serve(&request, out, "a");
}
