//! Loops for ever in its handler.

use fixtures::p2::{IncomingRequest, ResponseOutparam};

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
    loop {
        std::hint::spin_loop();
    }
}
