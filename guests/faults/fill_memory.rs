//! Leaves a secret wherever it can: in 48 regions of memory that lie apart, on its stack, in its globals.
//!
//! `find_memory` must find none of it afterwards.

use fixtures::p2::{self, IncomingRequest, ResponseOutparam};
use fixtures::pattern;

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    pattern::leave_everywhere();
    p2::answer(out, "filled\n");
}
