//! Looks through all the memory it can get for what `fill_memory` left; answers `found N of M words`.
//!
//! With `?plant` it leaves 512 words itself first, to show that it finds what is there. With `?fill` it does what
//! `fill_memory` does, in memory that is most likely to be its own again.

use core::arch::wasm32::{memory_grow, memory_size};

use fixtures::p2::{self, IncomingRequest, ResponseOutparam};
use fixtures::pattern;

const PAGE_BYTES: usize = 64 * 1024;
/// More than `fill_memory` ever had.
const PAGES: usize = 192;

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let target = p2::target(&request);
    if target.ends_with("?fill") {
        pattern::leave_everywhere();
        return p2::answer(out, "filled\n");
    }
    if target.ends_with("?plant") {
        pattern::fill(vec![0; 4096].leak());
    }
    let missing = PAGES.saturating_sub(memory_size(0));
    // Refused only if the service's limit is lower: then there is less to look through.
    memory_grow(0, missing);
    let words = memory_size(0) * PAGE_BYTES / 8;
    // Kept inverted, so that looking for the secret leaves no copy of it.
    let inverted = !pattern::secret();
    // The first word's address is null, which Rust will not read.
    let found = (1..words)
        // SAFETY: the address is aligned and below the memory's size; any bytes make a u64.
        .map(|index| unsafe { ((index * 8) as *const u64).read_volatile() })
        .filter(|word| !*word == inverted)
        .count();
    p2::answer(out, &format!("found {found} of {words} words\n"));
}
