//! Small files that commands are given: manifests, signatures.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// A larger file is no manifest and no signature.
const BYTES_MAX: u64 = 1 << 20;

/// The file, whole.
pub(super) fn read(file: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for a writer.
    if !std::fs::metadata(file)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(file)?
        .take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        let what = format!("larger than {BYTES_MAX} bytes");
        return Err(io::Error::other(what));
    }
    Ok(bytes)
}

/// A signature in base64, whether the file has it so or as bytes.
pub(super) fn signature(file: &Path) -> io::Result<String> {
    let bytes = read(file)?;
    let text = std::str::from_utf8(&bytes).map(str::trim);
    let encoded = text.is_ok_and(|text| !text.is_empty() && BASE64_STANDARD.decode(text).is_ok());
    match text {
        Ok(text) if encoded => Ok(text.to_owned()),
        _ => Ok(BASE64_STANDARD.encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_in_base64_however_they_are_stored() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.sig");
        for stored in [&b"\xff\x00sig"[..], b"/wBzaWc=\n"] {
            std::fs::write(&file, stored).unwrap();
            assert_eq!(signature(&file).unwrap(), "/wBzaWc=");
        }
        let error = signature(folder.path()).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}
