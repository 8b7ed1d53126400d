//! Whether a WebAssembly binary has arrived to its end, told from the lengths of its sections alone.

use std::io::{self, BufReader, Read, Seek};

const MAGIC: &[u8; 4] = b"\0asm";
const HEADER_BYTES: u64 = 8;

/// A binary of more sections is handed on: the compiler refuses what is wrong with it.
const SECTIONS_MAX: u32 = 1_000_000;

/// A section's length is at most five bytes of seven bits.
const LENGTH_SHIFT_MAX: u32 = 28;

/// How much of a file is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it; or it is no WebAssembly binary, or a malformed one, which the compiler will say.
    Whole,
    /// Not a byte.
    Empty,
    /// It ends in the middle of the header.
    CutInHeader,
    /// It ends in the middle of a section, counted from 1.
    CutInSection(u32),
}

/// Walks the sections of a file of `bytes` bytes.
pub(super) fn extent(file: impl Read + Seek, bytes: u64) -> io::Result<Extent> {
    if bytes == 0 {
        return Ok(Extent::Empty);
    }
    let mut file = BufReader::new(file);
    let mut magic = Vec::new();
    file.by_ref()
        .take(MAGIC.len() as u64)
        .read_to_end(&mut magic)?;
    if !MAGIC.starts_with(&magic) {
        return Ok(Extent::Whole);
    }
    if bytes < HEADER_BYTES {
        return Ok(Extent::CutInHeader);
    }
    file.seek_relative((HEADER_BYTES - MAGIC.len() as u64).cast_signed())?;
    let mut position = HEADER_BYTES;
    for section in 1..=SECTIONS_MAX {
        if position == bytes {
            return Ok(Extent::Whole);
        }
        let (head, length) = match section_head(&mut file) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Extent::Whole),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(Extent::CutInSection(section));
            }
            Err(error) => return Err(error),
        };
        position += head + length;
        if position > bytes {
            return Ok(Extent::CutInSection(section));
        }
        file.seek_relative(length.cast_signed())?;
    }
    Ok(Extent::Whole)
}

/// The bytes that a section's kind and length take, and the length; `None` if it is malformed.
fn section_head(file: &mut impl Read) -> io::Result<Option<(u64, u64)>> {
    let mut next = || {
        let mut byte = [0];
        file.read_exact(&mut byte).map(|()| byte[0])
    };
    next()?;
    let mut head = 1;
    let mut length = 0;
    for shift in (0..=LENGTH_SHIFT_MAX).step_by(7) {
        let byte = next()?;
        head += 1;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some((head, length)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn of(bytes: &[u8]) -> Extent {
        extent(Cursor::new(bytes), bytes.len() as u64).unwrap()
    }

    #[test]
    fn only_a_binary_with_all_its_sections_is_whole() {
        let whole = b"\0asm\x01\0\0\0\x00\x03abc\x00\x81\x00x";
        let boundaries = [8, 13, 17];
        for end in 0..=whole.len() {
            let is_whole = boundaries.contains(&end);
            assert_eq!(of(&whole[..end]) == Extent::Whole, is_whole, "{end}");
        }
        assert_eq!(of(&whole[..0]), Extent::Empty);
        assert_eq!(of(&whole[..7]), Extent::CutInHeader);
        assert_eq!(of(&whole[..12]), Extent::CutInSection(1));
        assert_eq!(of(&whole[..14]), Extent::CutInSection(2));
    }

    #[test]
    fn what_is_no_binary_is_left_to_the_compiler() {
        for bytes in [
            &b"hello"[..],
            b"\x7fELF",
            b"\0asm\x01\0\0\0\x00\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(of(bytes), Extent::Whole, "{bytes:?}");
        }
    }
}
