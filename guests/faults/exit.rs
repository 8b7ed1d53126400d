//! Ends the program in the middle of a request.

use fixtures::p2::{IncomingRequest, ResponseOutparam};

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
    std::process::exit(1);
}
