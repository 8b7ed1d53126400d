//! Loops for ever while it is instantiated, before any handler is called.

use fixtures::p2::{self, IncomingRequest, ResponseOutparam};

fixtures::serve_p2!(handle);

/// What the component calls when it is instantiated.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    loop {
        std::hint::spin_loop();
    }
}

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    p2::answer(out, "unreachable: the start function never returns\n");
}
