//! Reads outside of its linear memory: a trap that the processor finds, not the compiler.

use fixtures::p2::{IncomingRequest, ResponseOutparam};

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
    let beyond = std::hint::black_box(usize::MAX - 7) as *const u64;
    // SAFETY: there is none; the read traps.
    std::hint::black_box(unsafe { beyond.read_volatile() });
}
