//! The one place that turns bytes into native code.

use std::os::fd::AsRawFd;

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
