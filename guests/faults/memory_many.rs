//! Makes the host keep ever more small things for it, while its own memory hardly grows.

use fixtures::p2::{Fields, IncomingRequest, ResponseOutparam};

const VALUE_BYTES: usize = 1024;

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
    let value = vec![b'x'; VALUE_BYTES];
    loop {
        let fields = Fields::new();
        let _ = fields.append("x", &value);
        // The handle is forgotten, so that the host's resource stays.
        std::mem::forget(fields);
    }
}
