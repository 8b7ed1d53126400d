//! Prints a line of a mebibyte and ten thousand short ones on both streams, then answers.

use fixtures::p2::{self, IncomingRequest, ResponseOutparam};

const LONG_LINE_BYTES: usize = 1 << 20;
const LINES: u32 = 10_000;

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let long = "x".repeat(LONG_LINE_BYTES);
    println!("{long}");
    eprintln!("{long}");
    for number in 0..LINES {
        println!("line {number}");
        eprintln!("line {number}");
    }
    p2::answer(out, "printed\n");
}
