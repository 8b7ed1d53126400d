//! Reads the request's body; answers `BYTES CHECKSUM`, the checksum FNV-1a of 64 bits in hexadecimal. A body that
//! breaks off is answered with 400.

use fixtures::p2::{self, Fields, IncomingRequest, ResponseOutparam, outgoing};

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let mut bytes = 0;
    let mut checksum = FNV_OFFSET;
    let whole = outgoing::read(request.consume().unwrap(), |chunk| {
        bytes += chunk.len();
        for byte in chunk {
            checksum = (checksum ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
        true
    });
    let status = if whole { 200 } else { 400 };
    let text = format!("{bytes} {checksum:016x}\n");
    p2::respond(out, status, Fields::new(), &text);
}
