//! SHA-256, and bytes as hexadecimal digits.

use aws_lc_rs::digest::{Context, SHA256};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// SHA-256 of these parts, one behind the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Two digits for each byte, in lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// Reads what [`hex`] writes: exactly so many bytes, in lower case alone.
pub(crate) fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let half = |digit: u8| DIGITS.iter().position(|known| *known == digit).map(|half| half as u8);
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = half(pair[0])? << 4 | half(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_digested_as_one_text() {
        // printf abc | sha256sum
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for parts in [&[&b"abc"[..]][..], &[b"a", b"", b"bc"]] {
            assert_eq!(hex(&sha256(parts)), known);
        }
        assert_eq!(from_hex(known.as_bytes()), Some(sha256(&[b"abc"])));
    }

    #[test]
    fn digits_are_read_as_they_are_written() {
        for byte in 0..=u8::MAX {
            assert_eq!(hex(&[byte]), format!("{byte:02x}"));
            assert_eq!(from_hex(hex(&[byte, 7]).as_bytes()), Some([byte, 7]));
        }
        for wrong in ["", "0", "000", "0A", "0g", " 0", "+1", "é"] {
            assert_eq!(from_hex::<1>(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
