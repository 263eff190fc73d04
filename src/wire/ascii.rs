//! Byte classes of HTTP: tokens, field values, request targets, and comparisons that ignore ASCII case.

/// Class of a byte in a request target: may not stand there.
pub(super) const TARGET_BAD: u8 = 1;
/// Class of a byte in a request target: a `.` or a `%`, which may be part of a dot segment.
pub(super) const TARGET_DOT: u8 = 2;
/// Class of a byte in a request target: `?`.
pub(super) const TARGET_QUERY: u8 = 4;

const TOKEN: [bool; 256] = token_table();
const TARGET: [u8; 256] = target_table();

const fn token_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
}

const fn target_table() -> [u8; 256] {
    let mut table = [TARGET_BAD; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        table[byte] = match byte as u8 {
            b'#' => TARGET_BAD,
            b'.' | b'%' => TARGET_DOT,
            b'?' => TARGET_QUERY,
            _ => 0,
        };
        byte += 1;
    }
    table
}

/// May this byte stand in a method or a field name.
#[inline]
pub(super) const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// A token is one or more token bytes.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| is_token_byte(b))
}

/// The union of the classes of all bytes of a request target.
#[inline]
pub(super) fn target_classes(text: &[u8]) -> u8 {
    text.iter().fold(0, |seen, &b| seen | TARGET[b as usize])
}

/// Visible ASCII, space, tab and obs-text: no other control byte may stand in a field value or a reason phrase.
#[inline]
pub(super) fn is_field_value(text: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let words = text.chunks_exact(8);
    let rest = words.remainder();
    for chunk in words {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes);
        let below_space = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let xored = word ^ (ONES * 0x7f);
        let delete = xored.wrapping_sub(ONES) & !xored & HIGH;
        if (below_space | delete) != 0 && !chunk.iter().all(|&b| is_value_byte(b)) {
            return false;
        }
    }
    rest.iter().all(|&b| is_value_byte(b))
}

#[inline]
const fn is_value_byte(byte: u8) -> bool {
    (byte >= 0x20 && byte != 0x7f) || byte == b'\t'
}

/// Without leading and trailing spaces and tabs.
#[inline]
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_and_bytes_agree_on_field_values(text in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(is_field_value(&text), text.iter().all(|&b| is_value_byte(b)));
        }

        #[test]
        fn one_bad_byte_anywhere_is_found(at in 0_usize..40, bad in prop_oneof![0_u8..9, 10_u8..32, Just(127_u8)]) {
            let mut text = vec![b'a'; 40];
            text[at] = bad;
            prop_assert!(!is_field_value(&text));
        }
    }

    #[test]
    fn trimming_takes_spaces_and_tabs_only() {
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b" \t"), b"");
        assert_eq!(trim(b"\ra\r"), b"\ra\r");
    }
}
