//! The one place that turns bytes into native code.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use rustix::mm::{Advice, madvise};
use rustix::param::page_size;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::cache::Verified;

/// Maps a verified image into the process.
///
/// # Errors
/// When the image was made for another engine, or the file can't be mapped.
#[allow(
    unsafe_code,
    reason = "native code can't be checked, only its origin can: see SAFETY"
)]
pub(super) fn component(engine: &Engine, image: &Verified) -> wasmtime::Result<Component> {
    // The name of the open file itself, so that what is mapped is the file that was verified, whatever has
    // become of its path since.
    let path = format!("/proc/self/fd/{}", image.file().as_raw_fd());
    // SAFETY: the bytes have to come from `Engine::precompile_component` and must not change while mapped.
    // A `Verified` is only made of a regular file that this user owns and nobody else may write, in a
    // directory nobody else may write, whose bytes have the sha256 that the compile child reported (in an
    // index file held to the same rules). Files in the cache are never written in place: they come by rename
    // and go by unlink, and a mapping outlives both. Wasmtime checks version and engine settings itself.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Whether a page is in memory, and whether it is the file's own, in an entry of /proc/self/pagemap.
const PRESENT: u64 = 1 << 63;
const OF_FILE: u64 = 1 << 61;
const ENTRY_BYTES: usize = size_of::<u64>();

/// Gives back the memory that loading and probing a component brought its image into: what is used of it again is mapped
/// again from the file. Pages that were changed while it was loaded stay. Without /proc nothing is given back.
#[allow(
    unsafe_code,
    reason = "the kernel is told of pages by their address: see SAFETY"
)]
pub(super) fn unload_pages(component: &Component) {
    let range = component.image_range();
    let page = page_size();
    let first = range.start.addr().next_multiple_of(page);
    let pages = (range.end.addr() / page).saturating_sub(first / page);
    let mut entries = vec![0; pages * ENTRY_BYTES];
    let offset = (first / page * ENTRY_BYTES) as u64;
    let read = File::open("/proc/self/pagemap")
        .and_then(|pagemap| pagemap.read_exact_at(&mut entries, offset));
    if read.is_err() {
        return;
    }
    let is_of_file = |entry: &[u8; ENTRY_BYTES]| {
        let entry = u64::from_ne_bytes(*entry);
        entry & PRESENT != 0 && entry & OF_FILE != 0
    };
    let mut index = 0;
    for run in entries
        .as_chunks()
        .0
        .chunk_by(|one, next| is_of_file(one) == is_of_file(next))
    {
        let address = range.start.with_addr(first + index * page);
        index += run.len();
        if !run.first().is_some_and(is_of_file) {
            continue;
        }
        let bytes = run.len() * page;
        // SAFETY: the pages lie in the image of a component that is alive. They are the page cache's own, so nothing was
        // ever written to them here, nor can be: Wasmtime has made the image read-only. The next access maps the same
        // bytes again, since images never change (see `component`).
        let given_back =
            unsafe { madvise(address.cast_mut().cast(), bytes, Advice::LinuxDontNeed) };
        if given_back.is_err() {
            return;
        }
    }
}
