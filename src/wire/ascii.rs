//! Byte classes of HTTP: tokens, field values, request targets, and comparisons that ignore ASCII case.

/// Class of a byte in a request target: may not stand there.
pub(super) const TARGET_BAD: u8 = 1;
/// Class of a byte in a request target: a `.` or a `%`, which may be part of a dot segment.
pub(super) const TARGET_DOT: u8 = 2;
/// Class of a byte in a request target: `?`.
pub(super) const TARGET_QUERY: u8 = 4;

const TOKEN: [bool; 256] = token_table();
const HOST: [bool; 256] = host_table();
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

const fn host_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
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

/// How many bytes of a registered name stand first: letters, digits, `-`, `.`, `_`, `~`.
#[inline]
pub(super) fn host_name_len(text: &[u8]) -> usize {
    text.iter().position(|&b| !HOST[b as usize]).unwrap_or(text.len())
}

/// The union of the classes of all bytes of a request target.
#[inline]
pub(super) fn target_classes(text: &[u8]) -> u8 {
    text.iter().fold(0, |seen, &b| seen | TARGET[b as usize])
}

/// How many token bytes stand first.
#[inline]
pub(super) fn token_len(text: &[u8]) -> usize {
    text.iter().position(|&b| !is_token_byte(b)).unwrap_or(text.len())
}

/// How many bytes of a usual field name stand first (letters, digits and `-`), eight at a time. Other tokens have other bytes
/// too: they end it early.
#[inline]
pub(super) fn usual_name_len(text: &[u8]) -> usize {
    let mut len = 0;
    while let Some((chunk, _)) = text[len..].split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        // Bit 7 of each byte that is in the range; bytes are seven bits wide here, so that no sum carries over.
        let within = |word: u64, first: u8, last: u8| {
            (word + ONES * u64::from(0x80 - first)) & !(word + ONES * u64::from(0x7f - last))
        };
        let low = word & !HIGH;
        let usual = within(low | (ONES * 0x20), b'a', b'z') | within(low, b'0', b'9') | within(low, b'-', b'-');
        let other = !(usual & !word) & HIGH;
        if other != 0 {
            return len + other.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + text[len..].iter().take_while(|&&b| b.is_ascii_alphanumeric() || b == b'-').count()
}

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES * 0x80;

/// How many bytes stand first that are no control bytes (tab counts as one here).
#[inline]
pub(super) fn plain_len(text: &[u8]) -> usize {
    let mut len = 0;
    while let Some((chunk, _)) = text[len..].split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let below_space = word.wrapping_sub(ONES * 0x20) & !word;
        let xored = word ^ (ONES * 0x7f);
        let delete = xored.wrapping_sub(ONES) & !xored;
        // A borrow can only flag bytes above one that is rightly flagged: the lowest flag is exact.
        let control = (below_space | delete) & HIGH;
        if control != 0 {
            return len + control.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + text[len..].iter().take_while(|&&b| b >= 0x20 && b != 0x7f).count()
}

/// Visible ASCII, space, tab and obs-text: no other control byte may stand in a field value or a reason phrase.
pub(super) fn is_field_value(mut text: &[u8]) -> bool {
    loop {
        match text[plain_len(text)..] {
            [] => return true,
            [b'\t', ref rest @ ..] => text = rest,
            _ => return false,
        }
    }
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
            let allowed = |b: u8| (b >= 0x20 && b != 0x7f) || b == b'\t';
            prop_assert_eq!(is_field_value(&text), text.iter().all(|&b| allowed(b)));
            let plain = text.iter().position(|&b| b < 0x20 || b == 0x7f).unwrap_or(text.len());
            prop_assert_eq!(plain_len(&text), plain);
        }

        #[test]
        fn words_and_bytes_agree_on_usual_names(text in prop::collection::vec(any::<u8>(), 0..40), name in "[!-~]{0,30}") {
            for text in [&text[..], name.as_bytes()] {
                let usual = text.iter().position(|&b| !(b.is_ascii_alphanumeric() || b == b'-')).unwrap_or(text.len());
                prop_assert_eq!(usual_name_len(text), usual);
            }
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
